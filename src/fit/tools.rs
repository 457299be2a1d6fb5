//! e2fsprogs, run on a copy that has no name.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::process::{Command, Output, Stdio};

use super::error::FitError;
use crate::interrupt::Interrupt;

/// Where Linux systems keep programs for disks: `sbin` need not be on a user's path.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// The copy, which the programs have as their standard input: it can be opened again by this name alone.
const COPY: &str = "/proc/self/fd/0";
/// `e2fsck`'s exit statuses, e2fsck(8): nothing wrong, repaired, and repaired so that a mounted one would need a restart.
const REPAIRED: i32 = 1 | 2;

/// How the programs are found and stopped.
pub(super) struct Tools<'a> {
    path: OsString,
    interrupt: &'a Interrupt,
    subject: Subject,
}

/// What the copy is of, for messages.
#[derive(Clone, Copy)]
pub(super) struct Subject {
    /// The partition.
    pub(super) number: u32,
    /// Bytes of the image.
    pub(super) image: u64,
    /// Bytes of the card.
    pub(super) card: u64,
}

impl<'a> Tools<'a> {
    /// The system's own.
    pub(super) fn new(subject: Subject, interrupt: &'a Interrupt) -> Self {
        Self { path: PATH.into(), interrupt, subject }
    }

    /// Replays the journal and repairs what can be repaired without a doubt; whether anything had to be.
    pub(super) fn check(&self, copy: &File) -> Result<bool, FitError> {
        let output = self.run("e2fsck", &["-fp", COPY], copy)?;
        match output.status.code() {
            Some(code) if code & !REPAIRED == 0 => Ok(code != 0),
            _ => Err(self.failed("e2fsck", &output)),
        }
    }

    /// Makes sure that nothing is wrong, changing nothing.
    pub(super) fn is_sound(&self, copy: &File) -> Result<(), FitError> {
        let output = self.run("e2fsck", &["-fn", COPY], copy)?;
        if output.status.success() { Ok(()) } else { Err(self.failed("e2fsck", &output)) }
    }

    /// The fewest blocks that the filesystem can have, as `resize2fs` estimates.
    pub(super) fn least_blocks(&self, copy: &File) -> Result<u64, FitError> {
        let output = self.run("resize2fs", &["-P", COPY], copy)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let number = text.lines().rev().find_map(|line| line.rsplit_once(':')?.1.trim().parse().ok());
        number.filter(|_| output.status.success()).ok_or_else(|| self.failed("resize2fs", &output))
    }

    /// Shrinks the filesystem to `len` bytes; `false` when its files do not fit.
    pub(super) fn shrink(&self, copy: &File, len: u64) -> Result<bool, FitError> {
        // Forced: it compares the clock that the card had with this machine's. e2fsck has just been run.
        let output = self.run("resize2fs", &["-f", COPY, &format!("{}K", len / 1024)], copy)?;
        Ok(output.status.success())
    }

    /// Runs a program as the invoking user, which this process is, with nothing of its environment.
    fn run(&self, program: &'static str, args: &[&str], copy: &File) -> Result<Output, FitError> {
        self.interrupt.check()?;
        let running = || format!("running {program}");
        let stdin = copy.try_clone().map_err(FitError::io(running()))?;
        let output = Command::new(program)
            .args(args)
            .env_clear()
            .env("PATH", &self.path)
            .env("LC_ALL", "C")
            .stdin(Stdio::from(stdin))
            .output();
        // It hears the terminal's interrupt, too, and then has not failed.
        self.interrupt.check()?;
        let Subject { image, card, .. } = self.subject;
        output.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => FitError::NoProgram { card, image, program },
            _ => FitError::io(running())(source),
        })
    }

    fn failed(&self, program: &'static str, output: &Output) -> FitError {
        let text = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
        let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
        let said = last.unwrap_or("nothing").replace(COPY, "it");
        FitError::Program { program, number: self.subject.number, status: output.status.to_string(), said }
    }
}

#[cfg(test)]
mod tests {
    use super::{Subject, Tools};
    use crate::fit::error::FitError;
    use crate::interrupt::Interrupt;

    #[test]
    fn a_program_that_is_not_there_is_told() {
        let interrupt = Interrupt::default();
        let subject = Subject { number: 2, image: 200, card: 100 };
        let tools = Tools { path: "/nowhere".into(), ..Tools::new(subject, &interrupt) };
        let file = tempfile::tempfile().unwrap();
        let error = tools.check(&file).unwrap_err();
        assert!(matches!(error, FitError::NoProgram { program: "e2fsck", card: 100, image: 200 }), "{error}");
        assert!(error.way_out().contains("e2fsprogs") && error.way_out().contains("200 bytes"));
    }
}
