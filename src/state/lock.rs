//! One lock per cluster, held by whoever changes the state.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::State;
use super::error::{StateError, io_error};
use super::private;
use crate::interrupt::Interrupt;
use crate::progress::{Event, Progress};

/// How long to wait before trying again. A blocking wait could not be interrupted.
const PAUSE: Duration = Duration::from_millis(50);

/// A lock on the state, until it is dropped; the kernel drops it when the process dies.
#[derive(Debug)]
pub struct LockedState<'a> {
    pub(super) state: &'a State,
    _lock: Lock,
}

/// The locked file: locked for as long as it is open.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl State {
    /// Waits for the lock and takes it; says whom it waits for. What killed runs left half-written is
    /// removed.
    ///
    /// # Errors
    /// When the run is interrupted while it waits, or the lock file is not private.
    pub fn lock(
        &self,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<LockedState<'_>, StateError> {
        let lock = Lock::take(self.dir(), progress, interrupt)?;
        for dir in self.directories()? {
            private::remove_stale(&dir)?;
        }
        Ok(LockedState { state: self, _lock: lock })
    }
}

impl LockedState<'_> {
    /// The state, to read.
    #[must_use]
    pub fn state(&self) -> &State {
        self.state
    }
}

impl Lock {
    /// Takes the lock of a state's directory.
    pub(super) fn take(
        dir: &Path,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Self, StateError> {
        let path = dir.join("lock");
        let mut file = private::open_lock(&path)?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(io_error("locking", &path)(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            if !told {
                let holder = holder(&mut file);
                progress.event(Event::Note(format!("waiting for {holder}, which holds {}", path.display())));
                told = true;
            }
            interrupt.check()?;
            sleep(PAUSE);
        }
        // Only for the note above: a lock works without it.
        let _ = note_holder(&mut file);
        Ok(Self { _file: file })
    }
}

fn note_holder(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(32).read_to_string(&mut text));
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(id)) => format!("process {id}"),
        _ => "another pibake".to_owned(),
    }
}
