//! Systems without Unix owners and modes: the directory's own protection is what there is.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

use super::Access;

/// Owner and mode; `None` where the system has none.
pub(in crate::state) fn access(_metadata: &Metadata) -> Option<Access> {
    None
}

/// The user whose state this must be.
pub(in crate::state) fn user() -> u32 {
    0
}

/// What the system calls that user.
pub(in crate::state) fn user_name() -> String {
    String::new()
}

/// Makes a directory and what it lies in.
pub(in crate::state) fn create_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Opens a file.
pub(in crate::state) fn open_read(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Opens the lock file, made if need be.
pub(in crate::state) fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Directories cannot be brought to the medium by themselves here.
pub(in crate::state) fn sync_dir(_path: &Path) -> io::Result<()> {
    Ok(())
}
