//! Everything wrong with a cluster file, collected: a person mends a file once, not once per error.

use std::cell::RefCell;
use std::fmt;

use super::place::Place;

/// One thing wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    place: Place,
    message: String,
}

impl ConfigError {
    /// The file as the user named it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.place.file
    }

    /// The line, from 1; `None` when the whole file is meant.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.place.line
    }

    /// What is wrong, without the place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// All of them, by file and line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// Goes through them.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Takes errors and warnings from everywhere while a description is read.
#[derive(Debug, Default)]
pub(super) struct Report {
    errors: RefCell<Vec<ConfigError>>,
    warnings: RefCell<Vec<String>>,
}

impl Report {
    /// Takes an error. The same one twice is told once: what is wrong for the whole cluster is found
    /// again at every node.
    pub(super) fn error(&self, place: &Place, message: impl Into<String>) {
        let error = ConfigError { place: place.clone(), message: message.into() };
        let mut errors = self.errors.borrow_mut();
        if !errors.contains(&error) {
            errors.push(error);
        }
    }

    /// Takes a warning; the same one twice is told once.
    pub(super) fn warn(&self, place: &Place, message: impl fmt::Display) {
        let warning = format!("{place}: {message}");
        let mut warnings = self.warnings.borrow_mut();
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    /// The warnings, when there was no error; otherwise the errors.
    pub(super) fn finish(self) -> Result<Vec<String>, ConfigErrors> {
        if self.errors.borrow().is_empty() { Ok(self.warnings.into_inner()) } else { Err(self.into_errors()) }
    }

    /// The errors in the order of the file.
    pub(super) fn into_errors(self) -> ConfigErrors {
        let mut errors = self.errors.into_inner();
        errors.sort_by(|a, b| a.place.cmp(&b.place));
        ConfigErrors(errors)
    }
}
