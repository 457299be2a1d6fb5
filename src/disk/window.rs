//! One partition's bytes seen as a disk of their own.

use std::io;

use super::block::{BlockRead, BlockWrite, past_end};
use super::range::ByteRange;

/// A range of a medium, addressed from zero. Nothing outside the range can be reached through it.
#[derive(Debug)]
pub struct Window<D> {
    medium: D,
    range: ByteRange,
}

impl<D: BlockRead> Window<D> {
    /// The window of `medium` that `range` names.
    ///
    /// # Errors
    /// When the range passes the end of the medium.
    pub fn new(medium: D, range: ByteRange) -> io::Result<Self> {
        if range.end() > medium.size() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{range} pass the end of the disk at {}", medium.size()),
            ));
        }
        Ok(Self { medium, range })
    }

    fn translate(&self, offset: u64, len: usize) -> io::Result<u64> {
        match offset.checked_add(len as u64) {
            Some(end) if end <= self.range.len() => Ok(self.range.start() + offset),
            _ => Err(past_end(offset, len, self.range.len())),
        }
    }

    /// Gives the medium back.
    pub fn into_inner(self) -> D {
        self.medium
    }
}

impl<D: BlockRead> BlockRead for Window<D> {
    fn size(&self) -> u64 {
        self.range.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.medium.read_at(self.translate(offset, buf.len())?, buf)
    }

    fn is_hole(&self, offset: u64, len: u64) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.range.len())
            && self.medium.is_hole(self.range.start() + offset, len)
    }
}

impl<D: BlockWrite> BlockWrite for Window<D> {
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = self.translate(offset, data.len())?;
        self.medium.write_at(offset, data)
    }
}
