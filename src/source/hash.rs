//! SHA-256 of whole files.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::interrupt::Interrupt;
use crate::progress::{Event, Phase, Progress};

use super::error::SourceError;

/// Reads are this large, in bytes.
const STEP: usize = 1 << 20;

/// The SHA-256 of all of `file`, which is called `path`.
///
/// # Errors
/// When it cannot be read, or on an interrupt.
pub(super) fn sha256_of(
    file: &File,
    path: &Path,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<[u8; 32], SourceError> {
    let failed = |error| SourceError::io("reading", path)(error);
    let subject = subject_of(path);
    let total = file.metadata().map_err(failed)?.len();
    let phase = Phase::Checking;
    progress.event(Event::Start { phase, subject: subject.clone(), total: Some(total) });
    let mut digest = Sha256::new();
    let mut buffer = vec![0; STEP];
    let mut done = 0;
    loop {
        interrupt.check()?;
        let read = match file.read_at(&mut buffer, done) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read.map_err(failed)?,
        };
        if read == 0 {
            break;
        }
        digest.update(&buffer[..read]);
        done += read as u64;
        progress.event(Event::Advance { phase, subject: subject.clone(), done });
    }
    progress.event(Event::Finish { phase, subject });
    Ok(digest.finalize().into())
}

/// What progress calls a file: its name without the directories.
pub(super) fn subject_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
