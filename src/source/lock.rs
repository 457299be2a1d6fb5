//! One pibake at a time, and files that appear whole.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tempfile::TempPath;

use crate::interrupt::Interrupt;

use super::error::SourceError;

/// What the names of unfinished files end in.
pub(super) const PART: &str = "part";

/// How often a lock that somebody else holds is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// A held lock: it goes when this is dropped, or with the process however that ends. The file stays, since
/// removing it could take it from under somebody who waits for it.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock at `path`; `waiting` is called once if it is held by somebody else.
    ///
    /// # Errors
    /// When the lock file cannot be made, locks are not supported there, or on an interrupt.
    pub(super) fn take(
        path: &Path,
        interrupt: &Interrupt,
        waiting: impl FnOnce(),
    ) -> Result<Self, SourceError> {
        let mut waiting = Some(waiting);
        loop {
            if let Some(lock) = Self::try_take(path).map_err(SourceError::io("locking", path))? {
                return Ok(lock);
            }
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            interrupt.check()?;
            thread::sleep(RETRY);
        }
    }

    /// Takes the lock at `path` unless somebody holds it.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub(super) fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// The unfinished form of a file: removed when dropped before it is given its name.
pub(super) struct Unfinished {
    /// Open for reading and writing.
    pub(super) file: File,
    part: TempPath,
    path: PathBuf,
}

impl Unfinished {
    /// Makes the unfinished form of the file at `path`; whoever does holds the lock that goes with that.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn make(path: &Path) -> io::Result<Self> {
        let part = part_of(path);
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&part)?;
        Ok(Self { file, part: TempPath::try_from_path(part)?, path: path.to_owned() })
    }

    /// Gives it its name, in place of what had that.
    ///
    /// # Errors
    /// When it cannot be renamed; what was there before is there still.
    pub(super) fn place(self) -> io::Result<File> {
        self.part.persist(&self.path)?;
        Ok(self.file)
    }

    /// Fills it and gives it its name, durably.
    ///
    /// # Errors
    /// When it cannot be written; what was there before is there still.
    pub(super) fn place_with(mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.sync_all()?;
        self.place().map(drop)
    }
}

/// Replaces the file at `path` in one step, durably.
///
/// # Errors
/// When it cannot be written; what was there before is there still.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    Unfinished::make(path)?.place_with(bytes)
}

fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(PART);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use super::{Lock, Unfinished, replace};
    use crate::interrupt::Interrupt;
    use crate::source::error::SourceError;

    #[test]
    fn a_lock_is_held_until_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Lock::try_take(&path).unwrap().unwrap();
        assert!(Lock::try_take(&path).unwrap().is_none());
        drop(held);
        assert!(Lock::try_take(&path).unwrap().is_some());
    }

    #[test]
    fn waiting_is_told_once_and_can_be_interrupted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let _held = Lock::try_take(&path).unwrap();
        let (told, interrupt) = (Cell::new(0), Interrupt::default());
        let waited = Lock::take(&path, &interrupt, || {
            told.set(told.get() + 1);
            interrupt.request();
        });
        assert!(matches!(waited, Err(SourceError::Interrupted(_))));
        assert_eq!(told.get(), 1);
    }

    #[test]
    fn an_unfinished_file_goes_and_a_replaced_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        drop(Unfinished::make(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
