//! A card that is only looked at.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;

use super::spans::cut;
use super::{ALIGN, REQUEST};
use crate::device::aligned::AlignedBuf;
use crate::device::authority::Authority;
use crate::device::info::{DeviceInfo, Kind};
use crate::device::platform;
use crate::device::refusal::LookError;
use crate::disk::block::{BlockRead, past_end};
use crate::disk::range::ByteRange;

/// A card open for reading what its medium holds, whatever caches hold. It cannot be written through this.
pub struct CardReader {
    file: File,
    size: u64,
    block: u64,
    direct: AtomicBool,
}

impl CardReader {
    /// Opens a described disk, or a regular file standing for one. Others may have it open.
    ///
    /// # Errors
    /// When it may not be opened, or is gone.
    pub fn open(info: &DeviceInfo, authority: &dyn Authority) -> Result<Self, LookError> {
        let path = &info.path;
        let is_device = info.kind != Kind::RegularFile;
        let open = |direct| authority.open(path, &platform::read_options(is_device, direct));
        let opened = match open(is_device) {
            Err(error) if is_device && is_invalid(&error) => open(false).map(|file| (file, false)),
            other => other.map(|file| (file, is_device)),
        };
        let (file, direct) = opened.map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => LookError::Denied { path: path.clone(), source },
            _ => LookError::Io { path: path.clone(), source },
        })?;
        let end = (&file).seek(SeekFrom::End(0));
        let size = end.map_err(|source| LookError::Io { path: path.clone(), source })?;
        let block = u64::from(info.logical_block.max(1));
        Ok(Self { file, size, block, direct: AtomicBool::new(direct) })
    }

    /// What has to be read to get at a range: whole blocks and pages, as far as the card goes.
    pub(super) fn around(&self, range: ByteRange) -> ByteRange {
        let unit = self.block.max(ALIGN);
        let start = range.start() - range.start() % unit;
        let end = range.end().checked_next_multiple_of(unit).unwrap_or(u64::MAX).min(self.size);
        ByteRange::new(start, end.max(range.end())).unwrap_or(range)
    }

    /// Fills `buf` from the medium. The range is one that [`around`](Self::around) gave.
    pub(super) fn read_medium(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        // Asked first: another thread may meanwhile be the one that finds out.
        let direct = self.direct.load(Ordering::Acquire);
        if direct {
            match self.file.read_exact_at(buf, offset) {
                Err(error) if is_invalid(&error) => {
                    platform::clear_direct(&self.file)?;
                    self.direct.store(false, Ordering::Release);
                }
                other => return other,
            }
        }
        // What others wrote and the system has not yet written out cannot be dropped, and is what it holds.
        platform::forget_cached(&self.file, offset, (buf.len() as u64).next_multiple_of(ALIGN))?;
        self.file.read_exact_at(buf, offset)
    }
}

/// Reads of any length at any offset, each of them from the medium: for looking at files, not for speed.
impl BlockRead for CardReader {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let past = || past_end(offset, buf.len(), self.size);
        let range = ByteRange::with_len(offset, buf.len() as u64).filter(|range| range.end() <= self.size);
        let range = range.ok_or_else(past)?;
        let mut held = AlignedBuf::zeroed(self.around(range).len().min(REQUEST) as usize);
        for piece in cut(range) {
            let around = self.around(piece);
            let held = &mut held[..around.len() as usize];
            self.read_medium(around.start(), held)?;
            let (from, to) = (piece.start() - around.start(), (piece.start() - offset) as usize);
            let len = piece.len() as usize;
            buf[to..to + len].copy_from_slice(&held[from as usize..from as usize + len]);
        }
        Ok(())
    }
}

fn is_invalid(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EINVAL as i32)
}
