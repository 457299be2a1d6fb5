//! Linux and macOS.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::unistd::{User, geteuid};

use super::Access;

/// Owner and mode; `None` where the system has none.
pub(in crate::state) fn access(metadata: &Metadata) -> Option<Access> {
    Some(Access { owner: metadata.uid(), mode: metadata.mode() & 0o7777 })
}

/// The user whose state this must be: the invoking one, for under sudo pibake acts as him.
pub(in crate::state) fn user() -> u32 {
    geteuid().as_raw()
}

/// What chown calls that user.
pub(in crate::state) fn user_name() -> String {
    match User::from_uid(geteuid()) {
        Ok(Some(user)) => user.name,
        _ => user().to_string(),
    }
}

/// Makes a directory and what it lies in, 0700.
pub(in crate::state) fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opens a file; a symbolic link is refused, a FIFO does not hang.
pub(in crate::state) fn open_read(path: &Path) -> io::Result<File> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Opens the lock file, made 0600 if need be; a symbolic link is refused.
pub(in crate::state) fn open_lock(path: &Path) -> io::Result<File> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags)
        .open(path)
}

/// Brings a directory's entries to the medium.
pub(in crate::state) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
