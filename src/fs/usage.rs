//! What of a filesystem is in use, and what came to light while that was found out.

use super::path::FsPath;
use crate::disk::range::ByteRange;

/// The bytes that a filesystem needs to be what it is. What lies outside of them is never read before it is
/// written, by the filesystem's own rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Length of the filesystem in bytes, which may be less than its partition's.
    pub size: u64,
    /// What is in use, in rising order and merged.
    pub ranges: Vec<ByteRange>,
    /// What came to light.
    pub remarks: Vec<Remark>,
}

/// Something about a filesystem that whoever copies it should know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Remark {
    /// Two records of what is in use contradict each other; whatever was in doubt counts as used.
    #[error("{what}")]
    Mismatch {
        /// Which records, what each says, and the program that repairs it.
        what: String,
    },
    /// The journal holds changes that the next mount carries out (a card that was pulled out while in use).
    /// What is in use before and what is in use after them both count.
    #[error("its journal holds {blocks} blocks that were not written to their places yet")]
    Unreplayed {
        /// Copies of blocks in the journal.
        blocks: usize,
    },
    /// It was not unmounted the last time; nothing else is known to be wrong.
    #[error("it was not unmounted cleanly")]
    NotUnmounted,
    /// FAT32's note of how many clusters are free is out of date. It is a hint that systems may leave stale
    /// (Microsoft's specification 1.03, page 21), so this is no damage.
    #[error("its note of {noted} free clusters is out of date: {counted} are free")]
    StaleHint {
        /// Free clusters as noted.
        noted: u32,
        /// Free clusters in the table.
        counted: u32,
    },
    /// The contents of a swap file were left out.
    #[error("{path}: {bytes} bytes of swap are left out")]
    Hollow {
        /// The swap file.
        path: FsPath,
        /// How much of it was left out.
        bytes: u64,
    },
}

impl Remark {
    /// Whether the filesystem contradicts itself, so that a repair should come before a backup.
    #[must_use]
    pub fn is_mismatch(&self) -> bool {
        matches!(self, Self::Mismatch { .. })
    }
}
