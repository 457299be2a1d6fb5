//! What will change on a node's card, as a value: pure functions from what was found in the image and what
//! the cluster file asks for. Nothing here reads or writes anything.

pub mod change;
