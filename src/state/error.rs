//! Why the state could not be used.

use std::io;
use std::path::{Path, PathBuf};

use crate::interrupt::Interrupted;
use crate::keys::KeyError;

/// A state error. Each names the file, and the way out where there is one.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system said no.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done: "reading", "making" …
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others could read what is secret.
    #[error("{} is open to others (mode {mode:04o}); make it private: {fix}", path.display())]
    Open {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The command that mends it.
        fix: String,
    },
    /// It belongs to somebody else.
    #[error("{} belongs to another user (uid {owner}); if it is yours: {fix}", path.display())]
    Foreign {
        /// The file or directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// The command that mends it.
        fix: String,
    },
    /// It is not what pibake wrote there.
    #[error("{} is damaged: {what}", path.display())]
    Corrupt {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it, without any of a secret.
        what: String,
    },
    /// No random numbers are to be had.
    #[error("making a key: {0}")]
    Random(String),
    /// A key or a certificate could not be made, or is not to be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The authorities' keys are under a passphrase that was not asked for yet.
    #[error("the keys in {} are under a passphrase", path.display())]
    Protected {
        /// The state's directory.
        path: PathBuf,
    },
    /// The authorities' keys are under a passphrase, and there is none.
    #[error("the keys in {} are under a passphrase: {source}", path.display())]
    Passphrase {
        /// The state's directory.
        path: PathBuf,
        /// Why nobody could be asked.
        source: io::Error,
    },
    /// Something else is where a file was to be written.
    #[error("{} is there already, and is another", path.display())]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// The run was asked to stop while it waited for the lock.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Says what was being done to which path.
pub(super) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    move |source| StateError::Io { doing, path: path.to_owned(), source }
}

/// Says what is wrong with a file.
pub(super) fn corrupt(path: &Path, what: impl Into<String>) -> StateError {
    StateError::Corrupt { path: path.to_owned(), what: what.into() }
}
