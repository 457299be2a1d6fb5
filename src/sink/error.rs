//! What can go wrong while bytes go out.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::ExitCode;
use crate::interrupt::Interrupted;

/// What is wrong with an image, in the words of the room that it comes from.
pub type Unsound = Box<dyn std::error::Error + Send + Sync>;

/// Why an image file or a card was not written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The run was asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// A file could not be read, written or renamed.
    #[error("{doing} {}", path.display())]
    File {
        /// What was being done: `creating`, `writing`.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something that is no regular file has the name the image should get.
    #[error("{} is there already and is not a regular file", .0.display())]
    InTheWay(PathBuf),
    /// The image itself could not be read.
    #[error("reading the image at offset {offset}")]
    Image {
        /// Where in the image.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The image was not the same when it was read again.
    #[error("the image changed while it was written, in the {len} bytes from offset {offset}")]
    ImageChanged {
        /// Where the range that changed starts.
        offset: u64,
        /// Its length in bytes.
        len: u64,
    },
    /// The image turned out not to be what it should be, once all of it was seen.
    #[error("the image is not what it should be")]
    Unsound(#[source] Unsound),
    /// The image does not fit the card.
    #[error("the card holds {has} bytes, the image needs {needs}")]
    TooSmall {
        /// Bytes of the image, rounded up to the card's blocks.
        needs: u64,
        /// Bytes of the card.
        has: u64,
    },
    /// The card could not put on its medium what it had taken.
    #[error("flushing what was written to the card")]
    Flush(#[source] io::Error),
    /// The card refused a read or a write.
    #[error("{doing} the card at offset {offset}{}", within(place.as_deref()))]
    Card {
        /// `writing`, `reading back`.
        doing: &'static str,
        /// Where on the card.
        offset: u64,
        /// What lies there, as for a [`Mismatch`].
        place: Option<String>,
        /// What the system said.
        source: io::Error,
    },
    /// The card does not hold what was written to it.
    #[error("{0}")]
    Mismatch(Mismatch),
    /// The card is counterfeit: what is written past its real size overwrites what lies before it.
    #[error("the card is counterfeit: it claims {claims} bytes and holds {holds}")]
    Wraps {
        /// Bytes that it claims.
        claims: u64,
        /// Bytes after which it begins anew.
        holds: u64,
    },
    /// The card takes writes at its end and does not keep them.
    #[error(
        "the card is counterfeit or worn out: of the {claims} bytes it claims it does not keep those from offset {offset} on"
    )]
    Forgetful {
        /// Bytes that it claims.
        claims: u64,
        /// Where something else was read than was written.
        offset: u64,
    },
    /// The system has no random bytes to try the card with.
    #[error("asking the system for random bytes: {0}")]
    Random(getrandom::Error),
}

impl SinkError {
    /// An error about a file, for `map_err`.
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }

    /// The exit status it deserves.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Interrupted(_) => ExitCode::Interrupted,
            Self::Mismatch(_) | Self::Wraps { .. } | Self::Forgetful { .. } => ExitCode::CardMismatch,
            Self::TooSmall { .. } => ExitCode::TargetRefused,
            Self::File { .. }
            | Self::InTheWay(_)
            | Self::Image { .. }
            | Self::Unsound(_)
            | Self::ImageChanged { .. }
            | Self::Flush(_)
            | Self::Card { .. }
            | Self::Random(_) => ExitCode::Failed,
        }
    }
}

/// Where a card reads back something else than was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The first byte that differed after it had been written a second time, from the start of the card.
    pub offset: u64,
    /// What lies there, for a person: a partition, a file; as far as the caller could tell.
    pub place: Option<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (offset, within) = (self.offset, within(self.place.as_deref()));
        write!(f, "the card does not hold what was written, twice, at offset {offset}{within}")
    }
}

fn within(place: Option<&str>) -> String {
    place.map(|place| format!(", in {place}")).unwrap_or_default()
}
