//! What can be wrong with a backup, and with making one.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::range::ByteRange;
use crate::error::ExitCode;
use crate::interrupt::Interrupted;
use crate::sink::error::SinkError;

/// Why a manifest or a bmap cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is no such file.
    #[error("{} is not there", .0.display())]
    Missing(PathBuf),
    /// It could not be read.
    #[error("reading {}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It contradicts itself, or what it belongs to.
    #[error("corrupt {what}: {why}")]
    Corrupt {
        /// `manifest` or `bmap`.
        what: &'static str,
        /// What is wrong with it, and where.
        why: String,
    },
    /// It is of a kind that is not read.
    #[error("unsupported {what}: {why}")]
    Unsupported {
        /// `manifest` or `bmap`.
        what: &'static str,
        /// Which kind it is.
        why: String,
    },
}

impl BackupError {
    pub(super) fn corrupt(what: &'static str, why: impl Into<String>) -> Self {
        Self::Corrupt { what, why: why.into() }
    }

    pub(super) fn unsupported(what: &'static str, why: impl Into<String>) -> Self {
        Self::Unsupported { what, why: why.into() }
    }

    /// An error about a file, for `map_err`.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| match source.kind() {
            io::ErrorKind::NotFound => Self::Missing(path),
            _ => Self::Io { path, source },
        }
    }
}

/// Why no backup was made. Nothing of it is left under the names it should have had.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The run was asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// Something in use could not be read.
    #[error("reading {range}")]
    Read {
        /// The first block that cannot be read; with a disk that is gone, where that was noticed.
        range: ByteRange,
        /// What the system said.
        source: io::Error,
    },
    /// It is too large, or in too many pieces, for the format.
    #[error("it cannot be backed up: {0}")]
    TooLarge(String),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] SinkError),
}

impl ArchiveError {
    /// The exit status it deserves.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Interrupted(_) => ExitCode::Interrupted,
            Self::Write(error) => error.exit_code(),
            Self::Read { .. } | Self::TooLarge(_) => ExitCode::Failed,
        }
    }
}
