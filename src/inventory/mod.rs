//! What was found in an image: release, architecture, network stack, hooks, accounts, free space, and the
//! texts the plan edits. Found by looking inside, never guessed from a file name.

pub mod types;
