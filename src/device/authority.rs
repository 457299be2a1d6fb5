//! The few acts that may need more rights than the rest of the program has.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use super::platform;

/// Who opens, unmounts, re-reads and ejects: the caller may regain root for just these.
pub trait Authority: Sync {
    /// Opens a path as the options say.
    ///
    /// # Errors
    /// What the system answers.
    fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<File> {
        options.open(path)
    }

    /// Unmounts what is mounted on a directory.
    ///
    /// # Errors
    /// What the system answers.
    fn unmount(&self, mount_point: &Path) -> io::Result<()> {
        platform::unmount(mount_point)
    }

    /// Has the kernel read the partition table of an open disk again.
    ///
    /// # Errors
    /// What the system answers.
    fn reread_table(&self, disk: &File) -> io::Result<()> {
        platform::reread_table(disk)
    }

    /// Has the reader let go of an open disk.
    ///
    /// # Errors
    /// What the system answers.
    fn eject(&self, disk: &File) -> io::Result<()> {
        platform::eject(disk)
    }

    /// Drops what the page cache holds of an open disk.
    ///
    /// # Errors
    /// What the system answers.
    fn flush_cached(&self, disk: &File) -> io::Result<()> {
        platform::flush_cached(disk)
    }
}

/// The rights the process has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own;

impl Authority for Own {}
