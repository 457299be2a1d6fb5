//! Why a bundle could not be made.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::ExitCode;
use crate::interrupt::Interrupted;

/// A fetch error.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Something said on the command line cannot be understood.
    #[error("{0}")]
    Usage(String),
    /// The image has no apt source that could be used, and none was named.
    #[error("the image has no apt source that pibake can read")]
    NoSources,
    /// A server could not be reached, or broke off too often.
    #[error("fetching {url}")]
    Network {
        /// What was being fetched.
        url: String,
        /// What went wrong last.
        source: Box<ureq::Error>,
    },
    /// A server answered with something else than the file.
    #[error("fetching {url}: the server answered {status}")]
    Status {
        /// What was being fetched.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// An archive has no such suite.
    #[error("{archive} has no such suite: there is neither InRelease nor Release at {url}")]
    NoSuite {
        /// URI and suite.
        archive: String,
        /// Where they were looked for.
        url: String,
    },
    /// An archive's signature is not one to trust.
    #[error("the signature of {archive} is not good: {what}")]
    Signature {
        /// URI and suite.
        archive: String,
        /// What is wrong with it.
        what: String,
    },
    /// A keyring cannot be used.
    #[error("the keyring {keyring}: {what}")]
    Keyring {
        /// Its path, and whose.
        keyring: String,
        /// What is wrong with it.
        what: String,
    },
    /// A Release file has run out, or its key has.
    #[error("{archive} is out of date: {what}")]
    Expired {
        /// URI and suite.
        archive: String,
        /// What has run out.
        what: String,
    },
    /// A signed Release file does not say what it must, or not of what was asked for.
    #[error("the Release file of {archive} {what}")]
    Release {
        /// URI and suite.
        archive: String,
        /// What is wrong.
        what: String,
    },
    /// A file is not the one that the signed indexes name.
    #[error("{url} is not what the archive's signed index says: {what}")]
    Mismatch {
        /// Where it came from.
        url: String,
        /// What differs.
        what: String,
    },
    /// An index cannot be read.
    #[error("the package index {url} {what}")]
    Index {
        /// Where it came from.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// No archive has a package, or nothing that would do.
    #[error("{what}")]
    Missing {
        /// Which, for what, and where it was looked for.
        what: String,
    },
    /// A bundle was put together that would not install: a fault of this program.
    #[error("the bundle is not complete, which is a fault of pibake: {0}")]
    Incomplete(String),
    /// The directory holds something that must not be replaced.
    #[error("{path}: {what}")]
    Occupied {
        /// What is in the way.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// The system refused.
    #[error("{doing} {path}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The run was asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl FetchError {
    /// Makes a [`FetchError::Io`].
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    /// The exit status it deserves, and what can be done about it.
    #[must_use]
    pub fn advice(&self) -> (ExitCode, &'static str) {
        match self {
            Self::Usage(_) => (ExitCode::Usage, "`pibake fetch --help` shows how it is written"),
            Self::Occupied { .. } => {
                (ExitCode::Usage, "name another directory with --output; nothing was written there")
            }
            Self::NoSources => (ExitCode::Failed, "name one with --archive 'URI SUITE COMPONENT...'"),
            Self::Network { .. } | Self::Status { .. } => (
                ExitCode::Failed,
                "try again: what was fetched is kept; --mirror OLD=NEW takes an archive from elsewhere",
            ),
            Self::NoSuite { .. } => (
                ExitCode::Failed,
                "say where the archive is now with --mirror OLD=NEW, or do without it with --without URI",
            ),
            Self::Signature { .. } | Self::Keyring { .. } => (
                ExitCode::Failed,
                "take the archive from elsewhere with --mirror OLD=NEW; a key that you trust is named with --keyring FILE",
            ),
            Self::Expired { .. } => (
                ExitCode::Failed,
                "check this machine's clock and the mirror; --allow-expired takes an archive that is no longer renewed",
            ),
            Self::Release { .. } | Self::Mismatch { .. } | Self::Index { .. } => (
                ExitCode::Failed,
                "the server, or something on the way, is at fault: try again later, or another with --mirror OLD=NEW",
            ),
            Self::Missing { .. } => {
                (ExitCode::Failed, "name an archive that has it with --archive 'URI SUITE COMPONENT...'")
            }
            Self::Incomplete(_) => {
                (ExitCode::Failed, "please report this with the command and the image's name")
            }
            Self::Io { .. } => (ExitCode::Failed, "make room or correct the permissions, and try again"),
            Self::Interrupted(_) => (ExitCode::Interrupted, ""),
        }
    }
}
