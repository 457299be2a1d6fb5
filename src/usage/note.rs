//! What came to light while the used bytes were looked for.

use std::fmt;

use crate::fs::usage::Remark;

/// A finding, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The partition's number; `None` for the image as a whole.
    pub partition: Option<u32>,
    /// What was found.
    pub finding: Finding,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// Something a filesystem says of itself.
    #[error(transparent)]
    Filesystem(Remark),
    /// It contradicts itself so much that every byte of it counts as used.
    #[error("{why}; all of it counts as used")]
    Damaged {
        /// What is wrong with it.
        why: String,
    },
    /// Nothing is known of what is in use in there, so every byte counts.
    #[error("{why}; all of it counts as used")]
    Whole {
        /// What it is, or is not.
        why: String,
    },
    /// The first of the two partition tables is damaged, and the one at the image's end was used.
    #[error("the backup partition table was used: {why}")]
    BackupTable {
        /// What is wrong with the first.
        why: String,
    },
}

impl Note {
    /// Whether something contradicts itself, so that a repair should come before a backup.
    #[must_use]
    pub fn is_mismatch(&self) -> bool {
        match &self.finding {
            Finding::Filesystem(remark) => remark.is_mismatch(),
            Finding::Damaged { .. } | Finding::BackupTable { .. } => true,
            Finding::Whole { .. } => false,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.partition {
            Some(number) => write!(f, "partition {number}: {}", self.finding),
            None => write!(f, "{}", self.finding),
        }
    }
}
