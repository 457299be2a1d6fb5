//! Owners, modes and links: what differs between systems.

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
pub(super) use other::{access, create_dir, open_lock, open_read, sync_dir, user, user_name};
#[cfg(unix)]
pub(super) use unix::{access, create_dir, open_lock, open_read, sync_dir, user, user_name};

/// Who owns a file and who may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    /// The owner's user id.
    pub(super) owner: u32,
    /// The permission bits.
    pub(super) mode: u32,
}
