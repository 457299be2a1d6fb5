//! Telling without reading whether a file is still the one it was.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// What changes whenever a file is written to or replaced. The change time cannot be set back by anyone
/// short of setting the clock, which is what tells a write that hides behind its old modification time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    dev: u64,
    ino: u64,
    size: u64,
    /// Seconds and nanoseconds since 1970.
    mtime: (i64, i64),
    /// Seconds and nanoseconds since 1970.
    ctime: (i64, i64),
}

/// The kernel stamps files with a clock that ticks at 100 Hz at the slowest; network filesystems with the
/// server's, which differs a little more.
const TICK: Duration = Duration::from_millis(50);

impl Stamp {
    /// The stamp of a file with this metadata.
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            dev: metadata.dev(),
            ino: metadata.ino(),
            size: metadata.size(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            ctime: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Size of the file in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Whether a change after `now` is sure to show: one within the clock tick of the last change would
    /// leave the same stamp.
    pub(super) fn is_settled(&self, now: SystemTime) -> bool {
        let (Ok(seconds), Ok(nanos)) = (u64::try_from(self.ctime.0), u32::try_from(self.ctime.1)) else {
            return false;
        };
        let changed = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
        now.duration_since(changed).is_ok_and(|age| age > TICK)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write;
    use std::time::{Duration, SystemTime};

    use super::Stamp;

    #[test]
    fn a_write_behind_the_old_modification_time_shows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "before").unwrap();
        let metadata = fs::metadata(&path).unwrap();
        let before = Stamp::of(&metadata);
        assert_eq!(before, Stamp::of(&fs::metadata(&path).unwrap()));

        std::thread::sleep(Duration::from_millis(20));
        let mut file = File::options().write(true).open(&path).unwrap();
        file.write_all(b"behind").unwrap();
        file.set_modified(metadata.modified().unwrap()).unwrap();
        assert_eq!(metadata.modified().unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
        assert_ne!(before, Stamp::of(&fs::metadata(&path).unwrap()));
    }

    #[test]
    fn a_file_is_settled_once_its_tick_has_passed() {
        let file = tempfile::tempfile().unwrap();
        let stamp = Stamp::of(&file.metadata().unwrap());
        assert!(!stamp.is_settled(SystemTime::now()));
        assert!(stamp.is_settled(SystemTime::now() + Duration::from_secs(1)));
        assert!(!stamp.is_settled(SystemTime::UNIX_EPOCH), "a change in the future is not settled");
    }
}
