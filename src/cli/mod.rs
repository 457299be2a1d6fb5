//! The terminal: arguments, questions, progress, tables, and what an error looks like.

pub mod args;
pub mod progress;
pub mod prompt;
pub mod survey;
pub mod table;

use std::io::Write;

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
