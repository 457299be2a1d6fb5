//! A medium as `std::io` streams see one: what the `gpt` crate reads from and writes to.

use std::io::{self, Read, Seek, SeekFrom, Write};

use super::block::{BlockRead, BlockWrite};

/// A position on a medium.
#[derive(Debug)]
pub(super) struct Cursor<D> {
    medium: D,
    position: u64,
}

impl<D: BlockRead> Cursor<D> {
    /// The medium's first byte.
    pub(super) fn new(medium: D) -> Self {
        Self { medium, position: 0 }
    }

    fn left(&self, len: usize) -> usize {
        self.medium.size().saturating_sub(self.position).min(len as u64) as usize
    }
}

impl<D: BlockRead> Read for Cursor<D> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.left(buf.len());
        self.medium.read_at(self.position, &mut buf[..len])?;
        self.position += len as u64;
        Ok(len)
    }
}

impl<D: BlockWrite> Write for Cursor<D> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let len = self.left(data.len());
        self.medium.write_at(self.position, &data[..len])?;
        self.position += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<D: BlockRead> Seek for Cursor<D> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.medium.size().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
