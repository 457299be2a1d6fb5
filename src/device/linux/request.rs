//! What is asked of the kernel about an open disk.
//!
//! Request numbers: `include/uapi/linux/fs.h`. `unsafe` stays in this file.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, PosixFadviseAdvice, fcntl, posix_fadvise};
use nix::mount::{MntFlags, umount2};

mod raw {
    nix::ioctl_none!(
        /// `BLKRRPART`: reads the partition table again.
        blkrrpart, 0x12, 95
    );
    nix::ioctl_none!(
        /// `BLKFLSBUF`: writes out and drops what is cached of the device.
        blkflsbuf, 0x12, 97
    );
    nix::ioctl_write_ptr_bad!(
        /// `BLKDISCARD`: tells the device that a range, offset and length in bytes, holds nothing any more.
        blkdiscard, nix::request_code_none!(0x12, 119), [u64; 2]
    );
    nix::ioctl_none_bad!(
        /// `CDROMEJECT` (`include/uapi/linux/cdrom.h`), which the kernel's SCSI disks know as well as drives of CDs:
        /// `scsi_ioctl` in `drivers/scsi/scsi_ioctl.c`.
        cdromeject, 0x5309
    );
    nix::ioctl_read!(
        /// `BLKGETDISKSEQ`: the number of the medium, since Linux 5.15.
        blkgetdiskseq, 0x12, 128, u64
    );
}

/// How a target is opened: existing, whole, no symbolic link, held against mounts and other exclusive users;
/// past the page cache when `direct`. A regular file knows neither exclusive nor direct.
#[must_use]
pub fn open_options(block_device: bool, direct: bool) -> OpenOptions {
    let mut flags = OFlag::O_NOFOLLOW | OFlag::O_NOCTTY;
    if block_device {
        flags |= OFlag::O_EXCL;
        if direct {
            flags |= OFlag::O_DIRECT;
        }
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(flags.bits());
    options
}

/// How a target is opened to be looked at: existing, no symbolic link, never written; past the page cache when
/// `direct`, which a regular file does not know.
#[must_use]
pub fn read_options(block_device: bool, direct: bool) -> OpenOptions {
    let mut flags = OFlag::O_NOFOLLOW | OFlag::O_NOCTTY;
    if block_device && direct {
        flags |= OFlag::O_DIRECT;
    }
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags.bits());
    options
}

/// From now on reads and writes go through the page cache.
///
/// # Errors
/// When the kernel refuses.
pub fn clear_direct(file: &File) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
    fcntl(file, FcntlArg::F_SETFL(flags - OFlag::O_DIRECT))?;
    Ok(())
}

/// The number of the medium behind an open disk, where the kernel knows.
#[must_use]
pub fn disk_sequence(file: &File) -> Option<u64> {
    let mut sequence = 0;
    // SAFETY: the descriptor is open for the length of the call, and the kernel writes one u64 to where the
    // exclusive reference points.
    let answer = unsafe { raw::blkgetdiskseq(file.as_raw_fd(), &raw mut sequence) };
    answer.ok().map(|_| sequence)
}

/// Has the kernel read the partition table again.
///
/// # Errors
/// Without privileges, when a partition is in use, or when the device knows no partitions.
pub fn reread_table(file: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open for the length of the call; the request takes no argument.
    unsafe { raw::blkrrpart(file.as_raw_fd()) }?;
    Ok(())
}

/// Tells a device that a range of bytes, whole blocks, holds nothing any more.
///
/// # Errors
/// When the device or its reader does not know how, or it is no block device.
pub fn discard(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let range = [offset, len];
    // SAFETY: the descriptor is open for the length of the call, and the kernel reads two u64 from where the
    // reference points.
    unsafe { raw::blkdiscard(file.as_raw_fd(), &raw const range) }?;
    Ok(())
}

/// Has a reader let go of its card.
///
/// # Errors
/// When the reader does not know how, as those that are no SCSI devices do not, or it is no block device.
pub fn eject(file: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open for the length of the call, and the request takes no argument.
    unsafe { raw::cdromeject(file.as_raw_fd()) }?;
    Ok(())
}

/// Drops what the page cache holds of a whole device.
///
/// # Errors
/// Without privileges, or when it is no block device.
pub fn flush_cached(file: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open for the length of the call; the request takes no argument.
    unsafe { raw::blkflsbuf(file.as_raw_fd()) }?;
    Ok(())
}

/// Drops what the page cache holds of a range, once it has been flushed.
///
/// # Errors
/// When the range is no range of the file.
pub fn forget_cached(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    posix_fadvise(file, offset, len, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    Ok(())
}

/// Unmounts what is mounted on a directory: itself where it may, else through `umount`, which may on a
/// user's behalf.
///
/// # Errors
/// When neither may, or it is in use.
pub fn unmount(mount_point: &Path) -> io::Result<()> {
    match umount2(mount_point, MntFlags::UMOUNT_NOFOLLOW) {
        Err(Errno::EPERM) => {}
        other => return Ok(other?),
    }
    let output = Command::new("umount").arg("--").arg(mount_point).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io;
    use std::os::unix::fs::symlink;

    use super::{
        clear_direct, discard, disk_sequence, eject, flush_cached, forget_cached, open_options, read_options,
        reread_table,
    };

    #[test]
    fn what_is_opened_to_be_looked_at_cannot_be_written() {
        use std::io::Write;
        let dir = tempfile::tempdir().unwrap();
        let (card, link) = (dir.path().join("card"), dir.path().join("link"));
        fs::write(&card, "content").unwrap();
        symlink(&card, &link).unwrap();
        let options = read_options(false, true);
        assert!(options.open(&link).is_err());
        assert!(options.open(&card).unwrap().write(b"x").is_err());
    }

    #[test]
    fn opening_never_creates_truncates_or_follows() {
        let dir = tempfile::tempdir().unwrap();
        let (card, link, missing) = (dir.path().join("card"), dir.path().join("link"), dir.path().join("no"));
        fs::write(&card, "content").unwrap();
        symlink(&card, &link).unwrap();
        let options = open_options(false, true);
        assert_eq!(options.open(&missing).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(options.open(&link).is_err());
        options.open(&card).unwrap();
        assert_eq!(fs::read(&card).unwrap(), b"content");
        assert!(!missing.exists());
    }

    #[test]
    fn a_regular_file_is_no_disk() {
        let file: File = tempfile::tempfile().unwrap();
        assert_eq!(disk_sequence(&file), None);
        assert!(reread_table(&file).is_err());
        assert!(flush_cached(&file).is_err());
        assert!(discard(&file, 0, 4096).is_err());
        assert!(eject(&file).is_err());
        forget_cached(&file, 0, 4096).unwrap();
        assert!(forget_cached(&file, u64::MAX, 1).is_err());
        clear_direct(&file).unwrap();
    }
}
