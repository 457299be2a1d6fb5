//! The operating system's side of a card: which disks there are, what they are and who uses them, which may
//! be written, and opening one so that nobody else can.
//!
//! Describing ([`platform`]) and judging ([`policy`]) are apart: rules are tested on descriptions alone. The
//! only way to a descriptor that can be written is a [`ConfirmedTarget`](policy::ConfirmedTarget), which only
//! [`policy`] makes and which is checked again once it is open. `unsafe` is in one file, for the three
//! requests no crate wraps.

pub mod aligned;
pub mod authority;
pub mod identity;
pub mod info;
#[cfg(target_os = "linux")]
mod linux;
pub mod open;
pub mod policy;
pub mod reading;
pub mod refusal;
pub mod unsupported;
mod usage;

/// The functions of the operating system this was built for; their names are the same on all.
pub mod platform {
    #[cfg(target_os = "linux")]
    pub use super::linux::{
        System, clear_direct, discard, disk_sequence, eject, flush_cached, forget_cached, open_options,
        read_options, reread_table, unmount,
    };
    #[cfg(not(target_os = "linux"))]
    pub use super::unsupported::{
        System, clear_direct, discard, disk_sequence, eject, flush_cached, forget_cached, open_options,
        read_options, reread_table, unmount,
    };
}

/// The whole disks of this machine, by name, without the loop and memory devices that hold nothing.
///
/// # Errors
/// When the system's description of them cannot be read, or is not one this program understands.
pub fn list() -> std::io::Result<Vec<info::DeviceInfo>> {
    platform::System::host().list()
}
