//! Why a partition table could not be read or changed.

use std::io;

/// A partition table error. Missing, corrupt and unsupported are different things and stay so.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// There is no partition table at all.
    #[error("no partition table: {found}")]
    NoTable {
        /// What the first sector looks like instead.
        found: String,
    },
    /// The table contradicts itself or the disk.
    #[error("the partition table is damaged (byte {offset}): {what}")]
    Corrupt {
        /// Which structure, and what is wrong with it.
        what: String,
        /// Byte offset of the structure on the disk.
        offset: u64,
    },
    /// A table this program does not read or change.
    #[error("the partition table is not supported: {what}")]
    Unsupported {
        /// What is in the way.
        what: String,
    },
    /// The medium could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl DiskError {
    /// A [`DiskError::Corrupt`] with a message.
    pub(crate) fn corrupt(offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into(), offset }
    }

    /// A [`DiskError::Unsupported`] with a message.
    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }
}
