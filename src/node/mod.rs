//! A running node: how it is reached over ssh, and the script that gives out its disk. Nothing is installed on it.

mod answers;
mod complaints;
pub mod link;
pub mod packing;
pub mod request;
pub mod silence;
pub mod ssh;
