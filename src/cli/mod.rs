//! The terminal: arguments, questions, progress, tables, and what an error looks like.

pub mod args;
pub mod backup;
pub mod progress;
pub mod prompt;
pub mod survey;
pub mod table;

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use anyhow::Context as _;

use crate::error::advice_of;

/// Sets when standard output and error are coloured.
pub fn set_color(color: args::Color) {
    use anstream::ColorChoice;
    match color {
        args::Color::Auto => ColorChoice::Auto,
        args::Color::Always => ColorChoice::Always,
        args::Color::Never => ColorChoice::Never,
    }
    .write_global();
}

/// Prints to standard output. That a reader went away early is no error: it has seen enough.
///
/// # Errors
/// When standard output cannot be written to for any other reason.
pub fn print(text: impl Display) -> anyhow::Result<()> {
    let mut out = anstream::stdout();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done.context("writing to standard output"),
    }
}

/// Prints an error as one chain, then what to do about it.
pub fn report(error: &anyhow::Error) {
    let red = anstyle::AnsiColor::Red.on_default().bold();
    let mut err = anstream::stderr();
    // Standard error may be closed; there is nobody left to tell.
    let _ = writeln!(err, "{red}pibake:{red:#} {error:#}");
    if let Some(advice) = advice_of(error).filter(|advice| !advice.what_to_do.is_empty()) {
        let _ = writeln!(err, "{}", advice.what_to_do);
    }
}
