//! Reading what is in use, and what is done about what cannot be read.

use std::io;

use nix::errno::Errno;

use super::bmap::BLOCK;
use super::error::ArchiveError;
use crate::disk::block::BlockRead;
use crate::disk::range::ByteRange;
use crate::disk::ranges;
use crate::interrupt::Interrupt;

/// How often a block that cannot be read is tried.
const TRIES: usize = 3;

/// What is done about a range that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It ends the backup.
    Fails,
    /// Smaller and smaller parts of it are tried, and the blocks that cannot be read are left out.
    LeftOut,
}

/// An image, and what is done about what of it cannot be read.
pub(super) struct Reading<'a> {
    pub(super) image: &'a dyn BlockRead,
    pub(super) unreadable: Unreadable,
    pub(super) interrupt: &'a Interrupt,
}

/// Ranges widened to whole blocks, as far as the image goes.
pub(super) fn whole_blocks(used: &[ByteRange], size: u64) -> Vec<ByteRange> {
    ranges::union(used.iter().filter_map(|range| {
        let start = range.start() - range.start() % BLOCK;
        let end = range.end().checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
        ByteRange::new(start.min(size), end.min(size)).filter(|_| !range.is_empty())
    }))
}

/// What of sorted ranges lies in a frame.
pub(super) fn within(ranges: &[ByteRange], frame: ByteRange) -> impl Iterator<Item = ByteRange> {
    let first = ranges.partition_point(|range| range.end() <= frame.start());
    ranges[first..].iter().map_while(move |range| range.intersect(frame))
}

impl Reading<'_> {
    /// Fills `buf` with a range of whole blocks. What of it is left out becomes zeros and is given back.
    pub(super) fn read(&self, range: ByteRange, buf: &mut [u8]) -> Result<Vec<ByteRange>, ArchiveError> {
        let Err(source) = self.image.read_at(range.start(), buf) else { return Ok(Vec::new()) };
        let mut holes = Vec::new();
        match self.unreadable {
            _ if is_final(&source) => return Err(ArchiveError::Read { range, source }),
            Unreadable::Fails => return Err(self.narrow(range, buf, source)?),
            Unreadable::LeftOut => self.salvage(range, buf, &mut holes)?,
        }
        Ok(ranges::union(holes))
    }

    /// The first block that cannot be read, as the error that ends the backup.
    fn narrow(
        &self,
        mut range: ByteRange,
        buf: &mut [u8],
        mut source: io::Error,
    ) -> Result<ArchiveError, ArchiveError> {
        while let Some((first, second)) = halves(range) {
            self.interrupt.check()?;
            range = match self.image.read_at(first.start(), &mut buf[..first.len() as usize]) {
                Err(error) => {
                    source = error;
                    first
                }
                Ok(()) => second,
            };
        }
        Ok(ArchiveError::Read { range, source })
    }

    fn salvage(
        &self,
        range: ByteRange,
        buf: &mut [u8],
        holes: &mut Vec<ByteRange>,
    ) -> Result<(), ArchiveError> {
        self.interrupt.check()?;
        let Err(mut source) = self.image.read_at(range.start(), buf) else { return Ok(()) };
        if is_final(&source) {
            return Err(ArchiveError::Read { range, source });
        }
        if let Some((first, second)) = halves(range) {
            let (before, behind) = buf.split_at_mut(first.len() as usize);
            self.salvage(first, before, holes)?;
            return self.salvage(second, behind, holes);
        }
        for _ in 1..TRIES {
            match self.image.read_at(range.start(), buf) {
                Ok(()) => return Ok(()),
                Err(error) => source = error,
            }
        }
        // A disk that was pulled out answers to everything as one that is worn out does to some of it.
        let head = ByteRange::with_len(0, BLOCK.min(self.image.size())).filter(|head| *head != range);
        let gone = head
            .is_some_and(|head| self.image.read_at(head.start(), &mut vec![0; head.len() as usize]).is_err());
        if gone {
            return Err(ArchiveError::Read { range, source });
        }
        buf.fill(0);
        holes.push(range);
        Ok(())
    }
}

/// A range of whole blocks in two, unless it is one block.
fn halves(range: ByteRange) -> Option<(ByteRange, ByteRange)> {
    let blocks = range.len().div_ceil(BLOCK);
    let middle = range.start() + blocks / 2 * BLOCK;
    let whole = ByteRange::new(range.start(), middle).zip(ByteRange::new(middle, range.end()));
    whole.filter(|_| blocks > 1)
}

/// Whether no other read can be expected to go better.
fn is_final(error: &io::Error) -> bool {
    let gone = [Errno::ENODEV, Errno::ENXIO, Errno::ENOMEDIUM, Errno::EBADF, Errno::EINVAL];
    error.kind() == io::ErrorKind::UnexpectedEof
        || error.raw_os_error().is_some_and(|number| gone.contains(&Errno::from_raw(number)))
}
