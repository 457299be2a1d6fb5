//! A running node: how it is reached over ssh. Nothing is installed on it.

pub mod silence;
pub mod ssh;
