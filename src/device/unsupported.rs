//! Systems whose disks are not known yet: everything but writing cards works there. Compiled everywhere, so
//! that it keeps the names [`platform`](super::platform) promises.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use super::info::{DevNumber, DeviceInfo};
use super::refusal::LookError;

/// A system that cannot say which disks it has.
#[derive(Clone, Copy, Debug)]
pub struct System;

impl System {
    /// This machine.
    #[must_use]
    pub fn host() -> Self {
        Self
    }

    /// A device number as one part: its halves differ from system to system.
    #[must_use]
    pub fn number_of(dev: u64) -> DevNumber {
        DevNumber { major: 0, minor: dev }
    }

    /// The disks of this machine.
    ///
    /// # Errors
    /// Always: listing disks is not supported here yet.
    pub fn list(&self) -> io::Result<Vec<DeviceInfo>> {
        Err(not_yet("listing disks"))
    }

    /// The disk of this kernel name.
    ///
    /// # Errors
    /// Always: describing disks is not supported here yet.
    pub fn named(&self, _name: &str) -> io::Result<Option<DeviceInfo>> {
        Err(not_yet("describing disks"))
    }

    /// What a path names that could be written to.
    ///
    /// # Errors
    /// Always: describing disks is not supported here yet.
    pub fn describe(&self, path: &Path) -> Result<DeviceInfo, LookError> {
        Err(LookError::Io { path: path.to_owned(), source: not_yet("describing disks") })
    }
}

/// How a target is opened: existing, never created.
#[must_use]
pub fn open_options(_block_device: bool, _direct: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options
}

/// How a target is opened to be looked at: existing, never written.
#[must_use]
pub fn read_options(_block_device: bool, _direct: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    options
}

/// Reads and writes go through the page cache anyway.
///
/// # Errors
/// Never.
pub fn clear_direct(_file: &File) -> io::Result<()> {
    Ok(())
}

/// No number of the medium is known.
#[must_use]
pub fn disk_sequence(_file: &File) -> Option<u64> {
    None
}

/// Has the kernel read the partition table again.
///
/// # Errors
/// Always: not supported here yet.
pub fn reread_table(_file: &File) -> io::Result<()> {
    Err(not_yet("reading a partition table again"))
}

/// Tells a device that a range holds nothing any more.
///
/// # Errors
/// Always: not supported here yet.
pub fn discard(_file: &File, _offset: u64, _len: u64) -> io::Result<()> {
    Err(not_yet("discarding"))
}

/// Has a reader let go of its card.
///
/// # Errors
/// Always: not supported here yet.
pub fn eject(_file: &File) -> io::Result<()> {
    Err(not_yet("ejecting"))
}

/// Drops what the page cache holds of a whole device.
///
/// # Errors
/// Always: not supported here yet.
pub fn flush_cached(_file: &File) -> io::Result<()> {
    Err(not_yet("reading a card past the cache"))
}

/// Drops what the page cache holds of a range.
///
/// # Errors
/// Always: not supported here yet.
pub fn forget_cached(_file: &File, _offset: u64, _len: u64) -> io::Result<()> {
    Err(not_yet("reading a card past the cache"))
}

/// Unmounts what is mounted on a directory.
///
/// # Errors
/// Always: not supported here yet.
pub fn unmount(_mount_point: &Path) -> io::Result<()> {
    Err(not_yet("unmounting"))
}

fn not_yet(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("{what} is not supported yet on this system: bake here with `pibake bake`, flash on Linux"),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{
        System, clear_direct, discard, disk_sequence, eject, flush_cached, forget_cached, open_options,
        read_options, reread_table, unmount,
    };
    use crate::device::refusal::LookError;

    #[test]
    fn everything_that_needs_the_system_says_not_yet() {
        let file = tempfile::tempfile().unwrap();
        let system = System::host();
        let LookError::Io { source, .. } = system.describe(Path::new("/dev/disk4")).unwrap_err() else {
            panic!("describing should not be supported");
        };
        for error in [
            source,
            system.list().unwrap_err(),
            system.named("disk4").unwrap_err(),
            reread_table(&file).unwrap_err(),
            flush_cached(&file).unwrap_err(),
            forget_cached(&file, 0, 1).unwrap_err(),
            discard(&file, 0, 512).unwrap_err(),
            eject(&file).unwrap_err(),
            unmount(Path::new("/mnt")).unwrap_err(),
        ] {
            assert!(error.to_string().contains("not supported yet"), "{error}");
        }
        assert_eq!(disk_sequence(&file), None);
        assert_eq!(System::number_of(7).minor, 7);
        clear_direct(&file).unwrap();
    }

    #[test]
    fn opening_never_creates() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("no");
        open_options(false, false).open(&missing).unwrap_err();
        read_options(false, false).open(&missing).unwrap_err();
        assert!(!missing.exists());
    }
}
