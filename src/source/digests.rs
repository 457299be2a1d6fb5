//! The digests of published files already hashed, so that a second bake does not hash 500 MB again.
//!
//! Kept in `digests.json` of the cache directory, newest last. Losing it costs a little time, so whatever
//! is wrong with it counts as knowing nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::interrupt::Interrupt;

use super::error::SourceError;
use super::lock::{Lock, replace};
use super::stamp::Stamp;

const VERSION: u32 = 1;

/// Files remembered.
const CAPACITY: usize = 64;

/// The known digests of a cache directory.
pub(super) struct KnownDigests {
    path: PathBuf,
}

#[derive(Default, Serialize, Deserialize)]
struct Document {
    version: u32,
    files: Vec<Known>,
}

#[derive(Serialize, Deserialize)]
struct Known {
    stamp: Stamp,
    /// In hexadecimal digits.
    sha256: String,
}

impl KnownDigests {
    /// Those of `cache_dir`.
    pub(super) fn of(cache_dir: &Path) -> Self {
        Self { path: cache_dir.join("digests.json") }
    }

    /// The digest of the file with this stamp.
    pub(super) fn find(&self, stamp: &Stamp) -> Option<[u8; 32]> {
        let document = self.load().unwrap_or_default();
        let known = document.files.iter().rfind(|known| known.stamp == *stamp)?;
        parse_digest(&known.sha256)
    }

    /// Remembers a digest, unless a change to the file right now could leave its stamp as it is.
    ///
    /// # Errors
    /// When it cannot be written down, or on an interrupt.
    pub(super) fn remember(
        &self,
        stamp: &Stamp,
        sha256: &[u8; 32],
        interrupt: &Interrupt,
    ) -> Result<(), SourceError> {
        if !stamp.is_settled(SystemTime::now()) {
            return Ok(());
        }
        // Two writers at once would lose one's digest: reading and writing happen under one lock.
        let _lock = Lock::take(&self.path.with_extension("lock"), interrupt, || {})?;
        let mut document = self.load().unwrap_or_default();
        document.version = VERSION;
        document.files.retain(|known| known.stamp != *stamp);
        document.files.push(Known { stamp: *stamp, sha256: data_encoding::HEXLOWER.encode(sha256) });
        let excess = document.files.len().saturating_sub(CAPACITY);
        document.files.drain(..excess);
        let written = serde_json::to_vec(&document).map_err(io::Error::from);
        written.and_then(|bytes| replace(&self.path, &bytes)).map_err(SourceError::io("writing", &self.path))
    }

    fn load(&self) -> Option<Document> {
        let document: Document = serde_json::from_slice(&fs::read(&self.path).ok()?).ok()?;
        (document.version == VERSION).then_some(document)
    }
}

/// A digest from its 64 hexadecimal digits.
pub(super) fn parse_digest(digits: &str) -> Option<[u8; 32]> {
    data_encoding::HEXLOWER.decode(digits.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;
    use std::thread;
    use std::time::Duration;

    use super::{CAPACITY, KnownDigests};
    use crate::interrupt::Interrupt;
    use crate::source::stamp::Stamp;

    fn stamps(dir: &Path, count: usize) -> Vec<Stamp> {
        let made: Vec<File> = (0..count).map(|n| File::create(dir.join(n.to_string())).unwrap()).collect();
        thread::sleep(Duration::from_millis(60));
        made.iter().map(|file| Stamp::of(&file.metadata().unwrap())).collect()
    }

    #[test]
    fn digests_are_found_again_until_too_many_came_after() {
        let dir = tempfile::tempdir().unwrap();
        let (known, interrupt) = (KnownDigests::of(dir.path()), Interrupt::default());
        let stamps = stamps(dir.path(), CAPACITY + 1);
        assert_eq!(known.find(&stamps[0]), None);
        for (n, stamp) in stamps.iter().enumerate() {
            known.remember(stamp, &[n as u8; 32], &interrupt).unwrap();
            known.remember(stamp, &[n as u8; 32], &interrupt).unwrap();
        }
        assert_eq!(known.find(&stamps[0]), None, "the oldest went");
        assert_eq!(known.find(&stamps[1]), Some([1; 32]));
        assert_eq!(known.find(&stamps[CAPACITY]), Some([CAPACITY as u8; 32]));
    }

    #[test]
    fn a_file_changed_a_moment_ago_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let known = KnownDigests::of(dir.path());
        let young = Stamp::of(&tempfile::tempfile().unwrap().metadata().unwrap());
        known.remember(&young, &[1; 32], &Interrupt::default()).unwrap();
        assert_eq!(known.find(&young), None);
    }

    #[test]
    fn a_damaged_index_is_as_good_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let known = KnownDigests::of(dir.path());
        let stamp = stamps(dir.path(), 1)[0];
        for damage in ["", "{", "[]", "{\"version\":2,\"files\":[]}"] {
            fs::write(dir.path().join("digests.json"), damage).unwrap();
            assert_eq!(known.find(&stamp), None);
            known.remember(&stamp, &[7; 32], &Interrupt::default()).unwrap();
            assert_eq!(known.find(&stamp), Some([7; 32]));
        }
    }
}
