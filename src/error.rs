//! What a run ends with: an exit status, and an error chain whose last line says what to do.

use std::fmt;

/// The exit statuses of design.md section 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// Everything asked for was done.
    Done = 0,
    /// Something failed; nothing is claimed.
    Failed = 1,
    /// The command line or the cluster file is wrong.
    Usage = 2,
    /// A safety rule refused the target.
    TargetRefused = 3,
    /// The card does not hold what it should.
    CardMismatch = 4,
    /// SIGINT or SIGTERM.
    Interrupted = 130,
}

impl ExitCode {
    /// Of several cards' results, the one the whole run reports: the first present of 130, 4, 1, 3, 0
    /// (2 never concerns a single card).
    #[must_use]
    pub fn of_many(codes: impl IntoIterator<Item = ExitCode>) -> ExitCode {
        let codes: Vec<ExitCode> = codes.into_iter().collect();
        [
            ExitCode::Interrupted,
            ExitCode::CardMismatch,
            ExitCode::Failed,
            ExitCode::Usage,
            ExitCode::TargetRefused,
        ]
        .into_iter()
        .find(|code| codes.contains(code))
        .unwrap_or(ExitCode::Done)
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        std::process::ExitCode::from(code as u8)
    }
}

/// Marks an error chain with the exit status it deserves and the line that says what to do about it.
///
/// Attach it to an `anyhow` chain with [`Advise::advise`]; [`advice_of`] finds the innermost one again.
/// Room errors that carry their own advice convert into an `anyhow::Error` and are advised where a
/// command calls them.
#[derive(Debug)]
pub struct Advice {
    /// The exit status.
    pub code: ExitCode,
    /// What the user can do about it: one line, lower case, no full stop.
    pub what_to_do: String,
    source: anyhow::Error,
}

impl Advice {
    /// The error that the advice is about.
    #[must_use]
    pub fn inner(&self) -> &anyhow::Error {
        &self.source
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl std::error::Error for Advice {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}

/// Adds an exit status and advice to a result.
pub trait Advise<T> {
    /// Marks the error with `code` and with what to do about it.
    ///
    /// # Errors
    /// Returns the error it was given, marked.
    fn advise(self, code: ExitCode, what_to_do: impl Into<String>) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Advise<T> for Result<T, E> {
    fn advise(self, code: ExitCode, what_to_do: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|error| advise(code, error, what_to_do))
    }
}

/// Marks an error with `code` and with what to do about it.
#[must_use]
pub fn advise(
    code: ExitCode,
    error: impl Into<anyhow::Error>,
    what_to_do: impl Into<String>,
) -> anyhow::Error {
    Advice { code, what_to_do: what_to_do.into(), source: error.into() }.into()
}

/// Makes an advised error out of a message.
#[must_use]
pub fn advised(code: ExitCode, message: impl fmt::Display, what_to_do: impl Into<String>) -> anyhow::Error {
    advise(code, anyhow::anyhow!("{message}"), what_to_do)
}

/// The advice nearest the root cause of a chain, if any was given.
#[must_use]
pub fn advice_of(error: &anyhow::Error) -> Option<&Advice> {
    error.chain().filter_map(|cause| cause.downcast_ref::<Advice>()).last()
}
