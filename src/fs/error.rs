//! Why a filesystem could not be read or changed.

use std::io;

use super::path::FsPath;

/// A filesystem error. Corrupt, unsupported and missing are different things and stay so.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    /// The bytes contradict themselves; `what` names structure, number and offset.
    #[error("the filesystem is damaged: {what}")]
    Corrupt {
        /// Which structure, where, and what is wrong with it.
        what: String,
    },
    /// A feature this program does not edit (or read).
    #[error("the filesystem uses {feature}, which pibake does not support")]
    Unsupported {
        /// The feature's name as e2fsprogs or the FAT specification says it.
        feature: String,
    },
    /// The filesystem is sound but must not be edited as it is (dirty journal, error state, orphans).
    #[error("the filesystem must not be edited as it is: {why}")]
    NotClean {
        /// What was found, and the way out.
        why: String,
    },
    /// Nothing stands at the path.
    #[error("{path}: no such file")]
    NotFound {
        /// The path.
        path: FsPath,
    },
    /// Something stands there already.
    #[error("{path}: something is there already")]
    Exists {
        /// The path.
        path: FsPath,
    },
    /// A component is no directory.
    #[error("{path}: not a directory")]
    NotADirectory {
        /// The path.
        path: FsPath,
    },
    /// Not a regular file where one was needed.
    #[error("{path}: not a regular file")]
    NotAFile {
        /// The path.
        path: FsPath,
    },
    /// A directory to be removed holds something.
    #[error("{path}: the directory is not empty")]
    NotEmpty {
        /// The path.
        path: FsPath,
    },
    /// Symbolic links lead round in a circle, or too deep.
    #[error("{path}: too many levels of symbolic links")]
    SymlinkLoop {
        /// The path.
        path: FsPath,
    },
    /// A name the filesystem cannot hold.
    #[error("{path}: {why}")]
    BadName {
        /// The path.
        path: FsPath,
        /// What is wrong with it.
        why: String,
    },
    /// A file larger than the caller was ready to take.
    #[error("{path}: {size} bytes, more than the {limit} expected at most")]
    TooLarge {
        /// The path.
        path: FsPath,
        /// Its size in bytes.
        size: u64,
        /// The caller's limit in bytes.
        limit: u64,
    },
    /// No free blocks or clusters.
    #[error("no space left in the filesystem: {needed} bytes needed, {free} free")]
    NoSpace {
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// No free inodes.
    #[error("no inodes left in the filesystem")]
    NoInodes,
    /// The medium below could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl FsError {
    /// A [`FsError::Corrupt`] with a message.
    pub fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }

    /// A [`FsError::Unsupported`] naming a feature.
    pub fn unsupported(feature: impl Into<String>) -> Self {
        Self::Unsupported { feature: feature.into() }
    }
}
