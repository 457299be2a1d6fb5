//! Why an image does not fit a card, or could not be made to.

use std::io;

use crate::disk::error::DiskError;
use crate::error::ExitCode;
use crate::fs::error::FsError;
use crate::interrupt::Interrupted;

/// Why an image was not made to fit.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// The run was asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The image could not be read, or what was changed of it not kept.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// The partition table could not be changed.
    #[error("changing the partition table")]
    Table(#[from] DiskError),
    /// A filesystem could not be read or changed.
    #[error("{doing} the filesystem of partition {number}")]
    Filesystem {
        /// `growing`, `replaying the journal of`.
        doing: &'static str,
        /// The partition.
        number: u32,
        /// What was wrong.
        source: FsError,
    },
    /// The card has not as many bytes as are needed.
    #[error("the card holds {card} bytes and the image needs {needs}: {why}")]
    TooSmall {
        /// Bytes of the card.
        card: u64,
        /// Bytes that a card has to have.
        needs: u64,
        /// Why it is not made smaller.
        why: String,
    },
    /// It takes a program to make the image smaller, and it is not installed.
    #[error(
        "the card holds {card} bytes, the image has {image}, and {program}, which it takes to shrink it, is not installed"
    )]
    NoProgram {
        /// Bytes of the card.
        card: u64,
        /// Bytes of the image.
        image: u64,
        /// Which program.
        program: &'static str,
    },
    /// A program that was run on a copy of the filesystem failed.
    #[error("{program} failed on a copy of the filesystem of partition {number} ({status}): {said}")]
    Program {
        /// Which program.
        program: &'static str,
        /// The partition.
        number: u32,
        /// How it ended.
        status: String,
        /// The last line of what it said.
        said: String,
    },
    /// What was changed does not read back as it should.
    #[error("the filesystem of partition {number} reads back wrong after it was {how}: {what}")]
    Proof {
        /// The partition.
        number: u32,
        /// `grown`, `shrunk`.
        how: &'static str,
        /// What differs.
        what: String,
    },
}

impl FitError {
    /// The exit status it deserves.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Interrupted(_) => ExitCode::Interrupted,
            Self::TooSmall { .. } | Self::NoProgram { .. } => ExitCode::TargetRefused,
            _ => ExitCode::Failed,
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn way_out(&self) -> String {
        match self {
            Self::Interrupted(_) => "nothing was written to the card".to_owned(),
            Self::TooSmall { needs, .. } => format!("take a card of at least {needs} bytes"),
            Self::NoProgram { image, .. } => {
                format!("install e2fsprogs, or take a card of at least {image} bytes")
            }
            Self::Program { .. } => {
                "nothing was written to the card; have e2fsck repair the filesystem where the image was taken \
                 from, or take a card as large as the image"
                    .to_owned()
            }
            Self::Io { .. } => "nothing was written to the card; see that there is room in the cache".to_owned(),
            Self::Table(_) | Self::Filesystem { .. } | Self::Proof { .. } => {
                "nothing was written to the card; --as-is writes the image unchanged to a card as large".to_owned()
            }
        }
    }

    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    pub(super) fn filesystem(doing: &'static str, number: u32) -> impl Fn(FsError) -> Self {
        move |source| Self::Filesystem { doing, number, source }
    }
}
