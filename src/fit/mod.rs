//! An image made to fit a card: grown with its root filesystem, cut behind its last partition, or shrunk.
//!
//! Nothing here writes to a card or to the image: what comes out is a [`CowImage`](crate::cow::CowImage) over what went in. Growing is done
//! by the editor of `fs`; shrinking, which moves files, is left to e2fsprogs, on a copy that has no name and is gone
//! with this process. Whatever was changed is read back through another reader before it is handed over.

mod cut;
mod decide;
pub mod error;
mod grow;
mod hook;
mod room;
mod settle;
mod shrink;
mod spliced;
mod tools;
mod tree;

pub use decide::{Fit, FitImage, Fitted, Why, fit};
pub use settle::settle;

#[cfg(test)]
mod tests;
