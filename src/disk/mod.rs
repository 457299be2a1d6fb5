//! Blocks, ranges, windows and partition tables: where things lie on a disk, never what they mean.

pub mod block;
mod cursor;
pub mod error;
mod gpt;
mod mbr;
pub mod partition_table;
pub mod range;
pub mod ranges;
pub mod window;
