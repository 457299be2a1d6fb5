//! The card behind an open target.

use std::io;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;

use super::ALIGN;
use super::medium::CardMedium;
use crate::device::authority::Authority;
use crate::device::info::Kind;
use crate::device::open::OpenTarget;
use crate::device::platform;
use crate::disk::range::ByteRange;

/// A confirmed and open target as a medium. Writes go past the page cache where the device allows it; where
/// it does not, what is read back is dropped from the cache first.
pub struct TargetMedium<'a> {
    target: OpenTarget,
    authority: &'a dyn Authority,
}

impl<'a> TargetMedium<'a> {
    /// Takes the target; nothing else can write to it from here on.
    #[must_use]
    pub fn new(target: OpenTarget, authority: &'a dyn Authority) -> Self {
        Self { target, authority }
    }

    /// The target.
    #[must_use]
    pub fn target(&self) -> &OpenTarget {
        &self.target
    }

    /// Has the kernel read the new partition table and lets the card go.
    ///
    /// # Errors
    /// When the kernel does not read the table: a loop device without partitions says so, and whoever has no
    /// privileges. The card is written all the same.
    pub fn release(self) -> io::Result<()> {
        if self.is_device() { self.authority.reread_table(self.target.file()) } else { Ok(()) }
    }

    /// Has the reader let go of the card, which holds what it was given once it is flushed.
    ///
    /// # Errors
    /// Of a reader that cannot, and for whoever has no privileges.
    pub fn eject(&self) -> io::Result<()> {
        self.authority.eject(self.target.file())
    }

    /// Runs a read or a write; when the kernel calls a direct one invalid, once more through the page cache.
    fn attempt(&self, mut act: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        // Asked first: another thread may meanwhile be the one that finds out.
        let direct = self.target.is_direct();
        match act() {
            Err(error) if direct && error.raw_os_error() == Some(Errno::EINVAL as i32) => {
                self.target.clear_direct()?;
                act()
            }
            other => other,
        }
    }
}

impl CardMedium for TargetMedium<'_> {
    fn size(&self) -> u64 {
        let size = self.target.info().size;
        size - size % self.block()
    }

    fn block(&self) -> u64 {
        u64::from(self.target.info().logical_block.max(1))
    }

    fn is_device(&self) -> bool {
        self.target.info().kind != Kind::RegularFile
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.attempt(|| self.target.file().write_all_at(data, offset))
    }

    fn flush(&self) -> io::Result<()> {
        self.target.file().sync_all()?;
        if !self.target.is_direct() && self.is_device() {
            // Without the privilege each range is dropped before it is read.
            let _ = self.authority.flush_cached(self.target.file());
        }
        Ok(())
    }

    fn read_back_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if !self.target.is_direct() {
            // The kernel keeps a page of which only a part is named.
            let start = offset - offset % ALIGN;
            let end = (offset + buf.len() as u64).next_multiple_of(ALIGN);
            platform::forget_cached(self.target.file(), start, end - start)?;
        }
        self.attempt(|| self.target.file().read_exact_at(buf, offset))
    }

    fn discard(&self, range: ByteRange) -> io::Result<()> {
        platform::discard(self.target.file(), range.start(), range.len())
    }
}
