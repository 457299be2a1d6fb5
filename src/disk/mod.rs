//! Blocks, ranges, windows and partition tables: where things lie on a disk, never what they mean.

pub mod block;
pub mod range;
pub mod window;
