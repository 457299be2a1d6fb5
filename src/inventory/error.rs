//! Why no inventory could be taken of an image.

use crate::disk::error::DiskError;
use crate::fs::error::FsError;

/// An inventory error.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// The partition table could not be read.
    #[error("reading the partition table")]
    Disk(#[from] DiskError),
    /// A filesystem could not be read.
    #[error("reading partition {number} ({volume})")]
    Fs {
        /// Number of the partition.
        number: u32,
        /// `fat` or `ext4`.
        volume: &'static str,
        /// What was wrong.
        source: FsError,
    },
    /// Something else than Raspberry Pi OS.
    #[error("the image is not Raspberry Pi OS: {found}")]
    Foreign {
        /// What was found.
        found: String,
    },
    /// Raspberry Pi OS of a release this program does not know.
    #[error("the image is {found}, a release pibake does not know")]
    UnknownRelease {
        /// What the image calls itself.
        found: String,
    },
    /// Raspberry Pi OS, but something in it is not as it must be.
    #[error("the image is Raspberry Pi OS, but {what}")]
    Odd {
        /// What is odd.
        what: String,
    },
}

impl InventoryError {
    /// An [`InventoryError::Foreign`] saying what was found.
    pub(super) fn foreign(found: impl Into<String>) -> Self {
        Self::Foreign { found: found.into() }
    }

    /// Makes an [`InventoryError::Fs`] of a root filesystem's error.
    pub(super) fn root(number: u32) -> impl Fn(FsError) -> Self {
        move |source| Self::Fs { number, volume: "ext4", source }
    }

    /// Makes an [`InventoryError::Fs`] of a firmware partition's error.
    pub(super) fn boot(number: u32) -> impl Fn(FsError) -> Self {
        move |source| Self::Fs { number, volume: "fat", source }
    }
}
