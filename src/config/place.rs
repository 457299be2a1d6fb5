//! Where in the user's files something stands, so that every error can say it.

use std::fmt;
use std::sync::Arc;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The file as the user named it.
    pub(super) file: Arc<str>,
    /// Counted from 1; `None` when the whole file is meant.
    pub(super) line: Option<usize>,
}

impl Place {
    /// The whole file.
    pub(super) fn whole(file: &Arc<str>) -> Self {
        Self { file: Arc::clone(file), line: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    /// The value.
    pub(super) value: T,
    /// Where it was written.
    pub(super) place: Place,
}

/// The value alone, when there is one.
pub(super) fn value_of<T: Clone>(at: Option<&At<T>>) -> Option<T> {
    at.map(|at| at.value.clone())
}
