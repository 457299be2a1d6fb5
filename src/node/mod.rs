//! A running node: how it is reached over ssh, and the script that gives out its disk. Nothing is installed on it.

mod answers;
pub mod link;
pub mod request;
pub mod silence;
pub mod ssh;
