//! Linux: sysfs and procfs describe, a few requests act.

mod graph;
mod hardware;
mod request;
mod system;
#[cfg(test)]
mod tests;

pub use request::{
    clear_direct, discard, disk_sequence, eject, flush_cached, forget_cached, open_options, read_options,
    reread_table, unmount,
};
pub use system::System;
