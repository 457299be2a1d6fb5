//! Asking a person: a secret, or leave to go on.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::unistd::read;

use super::progress::quiet;
use crate::config::types::Secret;
use crate::interrupt::Interrupt;

/// How often a question looks whether the run was asked to stop, in milliseconds.
const LOOK_EVERY: u16 = 100;

/// Whether there is a person at a terminal to ask.
#[must_use]
pub fn somebody_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a secret without showing it.
///
/// # Errors
/// When there is no terminal, or it cannot be read; [`io::ErrorKind::Interrupted`] at Ctrl-C.
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
/// When the terminal cannot be written or read, or is closed; [`io::ErrorKind::Interrupted`] once the run was asked
/// to stop.
pub fn line(question: &str, interrupt: &Interrupt) -> io::Result<String> {
    let _quiet = quiet();
    let mut err = io::stderr();
    write!(err, "{question} ")?;
    err.flush()?;
    let answer = read_line(&io::stdin(), interrupt).inspect_err(|_| {
        // What is said next begins a line; the terminal may be gone.
        let _ = writeln!(err);
    })?;
    Ok(answer.trim().to_owned())
}

/// Reads up to the end of the line and not a byte further: whoever reads next gets the rest. A signal does not end
/// a read, so nothing is read before there is something.
fn read_line(input: &impl AsFd, interrupt: &Interrupt) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") {
        if interrupt.requested() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match poll(&mut [PollFd::new(input.as_fd(), PollFlags::POLLIN)], LOOK_EVERY) {
            Ok(0) | Err(Errno::EINTR) => continue,
            ready => ready?,
        };
        match read(input, &mut byte)? {
            0 if line.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            0 => break,
            _ => line.extend(byte),
        }
    }
    String::from_utf8(line).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Asks a question that only the whole word `yes` answers.
///
/// # Errors
/// As [`line()`].
pub fn yes(question: &str, interrupt: &Interrupt) -> io::Result<bool> {
    Ok(line(&format!("{question} Type yes to go on:"), interrupt)?.eq_ignore_ascii_case("yes"))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use super::read_line;
    use crate::interrupt::Interrupt;

    #[test]
    fn a_line_is_read_and_no_more() {
        let (ear, mut mouth) = io::pipe().unwrap();
        let interrupt = Interrupt::default();
        mouth.write_all("yes\r\nfür später\nrest".as_bytes()).unwrap();
        assert_eq!(read_line(&ear, &interrupt).unwrap(), "yes\r\n");
        assert_eq!(read_line(&ear, &interrupt).unwrap(), "für später\n");
        drop(mouth);
        assert_eq!(read_line(&ear, &interrupt).unwrap(), "rest");
        assert_eq!(read_line(&ear, &interrupt).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn nobody_answers_a_run_that_was_asked_to_stop() {
        let (ear, _mouth) = io::pipe().unwrap();
        let interrupt = Interrupt::default();
        interrupt.request();
        assert_eq!(read_line(&ear, &interrupt).unwrap_err().kind(), io::ErrorKind::Interrupted);
    }
}
