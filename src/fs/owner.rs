//! What a byte of a filesystem belongs to, for people to read.

use std::fmt;

/// What a byte belongs to. Names come from images, so what is not printable stands in them as `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A file's content, the blocks that say where it lies, or its attributes.
    File {
        /// Its path, the first that was found.
        path: String,
    },
    /// A directory.
    Directory {
        /// Its path.
        path: String,
    },
    /// A structure of the filesystem itself.
    Metadata {
        /// Which one.
        what: String,
    },
    /// Nothing.
    Free,
    /// Something in use whose owner was not found.
    Unknown,
}

impl Owner {
    /// An [`Owner::Metadata`] with a name.
    pub(super) fn metadata(what: impl Into<String>) -> Self {
        Self::Metadata { what: what.into() }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path } => write!(f, "{path}"),
            Self::Directory { path } => write!(f, "the directory {path}"),
            Self::Metadata { what } => write!(f, "{what}"),
            Self::Free => write!(f, "free space"),
            Self::Unknown => write!(f, "in use, by what is not known"),
        }
    }
}

/// A name as it may be shown.
pub(super) fn shown(name: &[u8]) -> String {
    let printable = |c: char| if c.is_control() || c == '\u{fffd}' { '?' } else { c };
    String::from_utf8_lossy(name).chars().map(printable).collect()
}
