//! Asking a person: a secret, or leave to go on.

use std::io::{self, BufRead, IsTerminal, Write};

use super::progress::quiet;
use crate::config::types::Secret;

/// Whether there is a person at a terminal to ask.
#[must_use]
pub fn somebody_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a secret without showing it.
///
/// # Errors
/// When there is no terminal, or it cannot be read.
pub fn secret(text: &str) -> io::Result<Secret> {
    if !somebody_there() {
        return Err(io::Error::other("there is no terminal to ask at"));
    }
    let _quiet = quiet();
    rpassword::prompt_password(format!("{text}: ")).map(Secret::new)
}

/// Asks for a line of text and gives it back trimmed.
///
/// # Errors
/// When the terminal cannot be written or read, or is closed.
pub fn line(question: &str) -> io::Result<String> {
    let _quiet = quiet();
    let mut err = io::stderr();
    write!(err, "{question} ")?;
    err.flush()?;
    let mut answer = String::new();
    if io::stdin().lock().read_line(&mut answer)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer.trim().to_owned())
}

/// Asks a question that only the whole word `yes` answers.
///
/// # Errors
/// As [`line()`].
pub fn yes(question: &str) -> io::Result<bool> {
    Ok(line(&format!("{question} Type yes to go on:"))?.eq_ignore_ascii_case("yes"))
}
