//! Why an archive cannot be used.

use std::io;
use std::path::PathBuf;

/// An archive that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct ContainerError {
    /// Which one.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The machine could not read it, or write what is made of it.
    #[error("{0}")]
    Io(io::Error),
    /// It is something else.
    #[error("this is {0}, not an archive of container images; make one with `docker save -o FILE IMAGE`")]
    SomethingElse(String),
    /// A root filesystem without the image around it.
    #[error(
        "this is a bare root filesystem, made by docker export, which drops the command, the environment \
         and the platform; use docker save"
    )]
    Exported,
    /// It ends before its end.
    #[error("it ends early: it was copied or downloaded only in part")]
    Truncated,
    /// It contradicts itself or its format.
    #[error("it is damaged: {0}")]
    Corrupt(String),
    /// It names something that is not in it.
    #[error("it lacks {0}")]
    Missing(String),
    /// Well-formed, but not what this program reads.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// More than any card could hold or than an archive of images has.
    #[error("it is too large to be an archive of images for a card: {0}")]
    TooLarge(String),
    /// The run was asked to stop.
    #[error("interrupted")]
    Stopped,
}

impl Problem {
    /// The problem, of the archive at `path`.
    pub(super) fn at(self, path: &std::path::Path) -> ContainerError {
        ContainerError { path: path.to_owned(), problem: self }
    }
}

/// A contradiction.
pub(super) fn corrupt(what: impl Into<String>) -> Problem {
    Problem::Corrupt(what.into())
}
