//! What comes back from the script, with an eye on the clock and on whether the run was asked to stop.

use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::process::ChildStdout;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::silence::tame;
use crate::interrupt::Interrupt;

/// How often interrupt and clock are looked at, in milliseconds.
const PAUSE: u16 = 100;

/// A line is never longer, whatever a login script prints.
const LINE: u64 = 4096;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Ok(Vec<u8>),
    No(String),
}

/// A pipe that nobody waits for longer than is wise.
struct Patient {
    pipe: ChildStdout,
    interrupt: Interrupt,
    deadline: Option<Instant>,
}

impl Read for Patient {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            self.interrupt.check().map_err(io::Error::other)?;
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let mut fds = [PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::from(PAUSE)) {
                Ok(0) | Err(nix::errno::Errno::EINTR) => {}
                Ok(_) => return self.pipe.read(buf),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The script's standard output.
pub(super) struct Answers(BufReader<Patient>);

impl Answers {
    pub(super) fn new(pipe: ChildStdout, interrupt: Interrupt) -> Self {
        Self(BufReader::with_capacity(256 << 10, Patient { pipe, interrupt, deadline: None }))
    }

    /// When to give up with `TimedOut`; `None` waits for as long as the connection lives.
    pub(super) fn until(&mut self, deadline: Option<Instant>) {
        self.0.get_mut().deadline = deadline;
    }

    /// The next line, without its end; `None` at the end of all.
    pub(super) fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        self.0.by_ref().take(LINE).read_until(b'\n', &mut line)?;
        match line.pop() {
            None => Ok(None),
            Some(b'\n') => Ok(Some(String::from_utf8_lossy(&line).into_owned())),
            Some(_) if line.len() as u64 == LINE - 1 => Err(nonsense("a line without an end")),
            Some(_) => Ok(None),
        }
    }

    /// The next answer, of at most `limit` bytes.
    pub(super) fn answer(&mut self, limit: u64) -> io::Result<Answer> {
        let line = self.line()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if let Some(why) = line.strip_prefix("no ") {
            return Ok(Answer::No(tame(why)));
        }
        let len = line.strip_prefix("ok ").and_then(|len| len.trim().parse::<u64>().ok());
        let len = len.filter(|len| *len <= limit).ok_or_else(|| nonsense(&tame(&line)))?;
        let mut bytes = Vec::new();
        self.0.by_ref().take(len).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Answer::Ok(bytes))
    }

    /// Waits for the end, whatever comes before it; whether it came in time.
    pub(super) fn ends(&mut self, deadline: Instant) -> bool {
        self.until(Some(deadline));
        // Also of a run that was asked to stop
        self.0.get_mut().interrupt = Interrupt::default();
        io::copy(&mut self.0, &mut io::sink()).is_ok()
    }
}

fn nonsense(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the node's answer makes no sense: {what}"))
}
