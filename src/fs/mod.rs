//! One filesystem inside one window: FAT through `fatfs`, ext4 read through `ext4-view` and written by an
//! editor of our own. This room knows nothing of plans, other partitions or devices.

pub mod error;
pub mod ext4;
pub mod fat;
pub mod hash;
pub mod metadata;
pub mod owner;
pub mod path;
pub mod swap;
pub mod usage;
pub mod volume;

use error::FsError;
use metadata::{DirEntry, Stat};
use path::FsPath;

/// Reading one filesystem. Paths are resolved with symbolic links followed inside the filesystem's own
/// root only (an absolute target starts there); `no_follow` forms leave the last component alone.
pub trait FsReader {
    /// What a path leads to, or `None` when nothing is there.
    ///
    /// # Errors
    /// Corruption, an unsupported structure, a symlink loop, or a read error; never "not found".
    fn stat(&self, path: &FsPath) -> Result<Option<Stat>, FsError>;

    /// What stands at a path itself, links not followed in the last component.
    ///
    /// # Errors
    /// As [`FsReader::stat`].
    fn stat_no_follow(&self, path: &FsPath) -> Result<Option<Stat>, FsError>;

    /// The content of a regular file of at most `limit` bytes.
    ///
    /// # Errors
    /// `NotFound`, `NotAFile`, `TooLarge`, or as [`FsReader::stat`].
    fn read(&self, path: &FsPath, limit: u64) -> Result<Vec<u8>, FsError>;

    /// Streams a regular file's content, in order, into `sink`.
    ///
    /// # Errors
    /// As [`FsReader::read`], or what the sink answers.
    fn read_to(&self, path: &FsPath, sink: &mut dyn std::io::Write) -> Result<u64, FsError>;

    /// A symbolic link's target, as the bytes on disk.
    ///
    /// # Errors
    /// `NotFound`, or as [`FsReader::stat`].
    fn read_link(&self, path: &FsPath) -> Result<Vec<u8>, FsError>;

    /// A directory's entries but `.` and `..`, sorted by name.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, or as [`FsReader::stat`].
    fn read_dir(&self, path: &FsPath) -> Result<Vec<DirEntry>, FsError>;
}
