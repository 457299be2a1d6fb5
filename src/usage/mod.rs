//! What of a whole image is in use: partition tables and gaps always, of a filesystem what it uses, of swap its
//! header, of everything else every byte. And, the other way round, what a byte belongs to.
//!
//! When in doubt a byte is in use. What was doubtful is told, and whoever asked decides what that means: an
//! image that was just made and proved has nothing doubtful in it, a card that was in use may.

pub mod note;
pub mod owner;
pub mod used;

#[cfg(test)]
pub(crate) mod testing;
