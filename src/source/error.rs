//! What can be wrong with a base image: each kind apart, because each has another way out.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::interrupt::Interrupted;

use super::format::{Format, Packing};

/// Why a base image cannot be used. Several readers may be told the same.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SourceError {
    /// Nothing has that name.
    #[error("no such image file: {}", path.display())]
    NotFound {
        /// The name asked for.
        path: PathBuf,
    },
    /// A directory, a device, a socket.
    #[error("{} is {what}, not an image file", path.display())]
    NotAFile {
        /// The name asked for.
        path: PathBuf,
        /// What it is, with its article.
        what: &'static str,
    },
    /// The file, or what an archive holds, is something other than a disk image.
    #[error("{}{} is no disk image: it looks like {what}", if *packed { "what is packed in " } else { "" }, path.display())]
    LooksLike {
        /// The file.
        path: PathBuf,
        /// Whether the packed content is meant, not the file itself.
        packed: bool,
        /// What it looks like, with its article.
        what: &'static str,
    },
    /// An archive in an archive.
    #[error("what is packed in {} is itself packed ({inner}): unpack the outer one first", path.display())]
    Nested {
        /// The outer file.
        path: PathBuf,
        /// What the inner one is.
        inner: Packing,
    },
    /// A zip that does not hold exactly one disk image.
    #[error("{} holds {found}, not exactly one disk image", path.display())]
    NotOneImage {
        /// The zip file.
        path: PathBuf,
        /// What it holds instead.
        found: String,
    },
    /// The file ends too early.
    #[error("{} is cut short: the {format} data ends at byte {offset}{}", path.display(), Detail(detail))]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: Format,
        /// Where it ends, in bytes of the file.
        offset: u64,
        /// What is missing, where it is known.
        detail: String,
    },
    /// A checksum or a structure of the archive is wrong.
    #[error("{} is damaged: bad {format} data at or before byte {offset}{}", path.display(), Detail(detail))]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: Packing,
        /// How far it was read, in bytes of the file: the damage lies at or before it.
        offset: u64,
        /// What the decoder says.
        detail: String,
    },
    /// Something that does not belong to the archive follows it.
    #[error("{} goes on after the end of its {format} data at byte {offset}", path.display())]
    TrailingGarbage {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: Packing,
        /// Where the archive ended, in bytes of the file.
        offset: u64,
    },
    /// The archive uses something pibake cannot or will not decode.
    #[error("{} cannot be unpacked: {detail}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: Packing,
        /// What it uses.
        detail: String,
    },
    /// The decoded image passes what an MBR can address.
    #[error("{} unpacks to more than {limit} bytes: no card is that large", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound, in bytes.
        limit: u64,
    },
    /// The file is not the one that was published.
    #[error("{} has the wrong sha256: it is {}, not {}", path.display(), Hex(actual), Hex(expected))]
    DigestMismatch {
        /// The file.
        path: PathBuf,
        /// The digest asked for.
        expected: [u8; 32],
        /// The digest found.
        actual: [u8; 32],
    },
    /// The file was written to or replaced while it was used.
    #[error("{} changed while it was being used", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The cache's filesystem is full.
    #[error("no space left to unpack {} into {}", source_path.display(), dir.display())]
    NoSpace {
        /// The image.
        source_path: PathBuf,
        /// The directory that is full.
        dir: PathBuf,
    },
    /// SIGINT or SIGTERM.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The operating system refused something.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system answered.
        source: Arc<io::Error>,
    },
}

impl SourceError {
    /// What can be done about it, in a line, where that is not simply another image.
    #[must_use]
    pub fn way_out(&self) -> Option<String> {
        match self {
            Self::NoSpace { dir, .. } => Some(format!(
                "make room in {}, or unpack the image where there is room and name what it unpacks to",
                dir.display()
            )),
            Self::Interrupted(_) => Some("run it again when you like".to_owned()),
            Self::Changed { .. } => Some("leave it alone while it is used, and try again".to_owned()),
            _ => None,
        }
    }

    /// For `map_err`: what was being done, and to what.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| SourceError::Io { doing, path: path.to_owned(), source: Arc::new(source) }
    }
}

/// Why bytes of an image that is being unpacked cannot be read: what readers get in an [`io::Error`].
#[derive(Clone, Debug, thiserror::Error)]
#[error("reading what {} unpacks to at byte {offset}", path.display())]
pub struct NotUnpacked {
    /// The file as published.
    pub path: PathBuf,
    /// Where in the image it was to be read.
    pub offset: u64,
    /// What went wrong with unpacking it.
    pub source: SourceError,
}

/// A digest the way `sha256sum` prints it.
pub(super) struct Hex<'a>(pub(super) &'a [u8; 32]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(self.0))
    }
}

/// `: detail`, or nothing.
struct Detail<'a>(&'a str);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}
