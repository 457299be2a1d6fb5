//! A running node's disk as one instant of it.
//!
//! What is in use is read while the node works, and the node's kernel notes down every write that ends meanwhile.
//! What was written since it was read is read again, and again, until little is left. Then the filesystems are
//! frozen: the rest is read, and what is in use by now and never was before. What is frozen on the disk then is
//! whole without a journal: the kernel empties it as it freezes (`ext4_freeze` in fs/ext4/super.c).
//!
//! Where the kernel cannot note writes down, the node hashes what was read while it is frozen.

mod disk;
pub mod error;
mod facts;
mod passes;
mod pieces;
mod written;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use crate::disk::block::BlockRead;
use crate::fs::path::FsPath;
use crate::node::link::Link;
use crate::node::request::{Request, Unit};
use crate::progress::Progress;
use crate::usage::used::Used;

pub use facts::Facts;

use disk::LiveDisk;
use error::LiveError;

/// What is to be done, and who hears of it.
pub struct Order<'a> {
    /// Units to be stopped while the disk is frozen.
    pub stop: &'a [Unit],
    /// How long it may stay frozen.
    pub limit: Duration,
    /// Finds the swap files of a disk, whose content is left out.
    pub swap_files: &'a dyn Fn(&Arc<dyn BlockRead>) -> Vec<FsPath>,
    /// Its name in progress events.
    pub subject: &'a str,
    /// Hears about progress, in bytes read.
    pub progress: &'a Arc<dyn Progress>,
}

/// What was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What the node says of itself.
    pub facts: Facts,
    /// What of the disk was in use at that instant.
    pub used: Used,
    /// How often it was read before it was frozen: once all of it, then what had changed.
    pub passes: u32,
    /// Bytes read in all.
    pub read: u64,
    /// Bytes read of a frozen disk.
    pub read_frozen: u64,
    /// How long it was frozen, to 10 ms.
    pub frozen: Duration,
    /// Why what had changed was found by hashing, if it was.
    pub hashed: Option<String>,
    /// What did not go well afterwards.
    pub warnings: Vec<String>,
}

/// Takes the disk of the node at the other end of `link` into `spool`, an empty file, which then holds the bytes
/// in use at one instant; what else it holds is nothing. The node is as it was before, whatever comes back.
///
/// # Errors
/// When the node does not do its part, the disk would stay frozen for too long, or the run was asked to stop.
pub fn take(mut link: Link, spool: File, order: &Order<'_>) -> Result<Taken, LiveError> {
    let facts = Facts::parse(&link.ask(&Request::Facts)?)?;
    spool.set_len(facts.size).map_err(LiveError::Spool)?;
    let disk = Arc::new(LiveDisk::new(link, spool, facts.size, order));
    disk.track()?;
    let running = passes::while_running(&disk, order)?;
    let still = passes::while_frozen(&disk, order, &running.swap_files)?;
    disk.close()?;
    Ok(Taken {
        facts,
        used: still.used,
        passes: running.count,
        read: disk.bytes_read(),
        read_frozen: still.read,
        frozen: still.frozen,
        hashed: disk.why_hashed(),
        warnings: still.warnings,
    })
}
