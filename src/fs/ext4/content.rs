//! File content, streamed in large pieces.

use std::io::{self, Read, Write};

use super::super::error::FsError;
use super::alloc::Run;
use super::inode::Inode;
use super::map::Piece;
use super::store::Store;
use crate::disk::block::{BlockRead, BlockWrite};

/// Bytes read or written at once.
const CHUNK: usize = 1 << 20;

impl<D: BlockRead> Store<D> {
    /// Streams a regular file's content; holes and unwritten blocks read as zeros.
    pub(super) fn copy_content(&self, inode: &Inode, sink: &mut dyn Write) -> Result<u64, FsError> {
        let size = inode.size();
        let block_size = u64::from(self.geometry.block_size);
        let mut buffer = vec![0; CHUNK.min(usize::try_from(size).unwrap_or(CHUNK))];
        let mut at = 0;
        self.walk_map(inode, &mut |piece| {
            let Piece::Data(extent) = piece else { return Ok(()) };
            let start = u64::from(extent.logical) * block_size;
            if start >= size {
                return Ok(());
            }
            zeros(sink, &mut buffer, start - at)?;
            let end = size.min(start + u64::from(extent.len) * block_size);
            at = end;
            if !extent.written {
                return Ok(zeros(sink, &mut buffer, end - start)?);
            }
            self.copy_stretch(extent.start * block_size, end - start, &mut buffer, sink)
        })?;
        zeros(sink, &mut buffer, size - at)?;
        Ok(size)
    }

    fn copy_stretch(
        &self,
        from: u64,
        len: u64,
        buffer: &mut [u8],
        sink: &mut dyn Write,
    ) -> Result<(), FsError> {
        let mut done = 0;
        while done < len {
            let count = buffer.len().min(usize::try_from(len - done).unwrap_or(usize::MAX));
            self.device.read_at(from + done, &mut buffer[..count])?;
            sink.write_all(&buffer[..count])?;
            done += count as u64;
        }
        Ok(())
    }
}

fn zeros(sink: &mut dyn Write, buffer: &mut [u8], count: u64) -> io::Result<()> {
    let mut left = count;
    if left > 0 {
        buffer.fill(0);
    }
    while left > 0 {
        let count = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        sink.write_all(&buffer[..count])?;
        left -= count as u64;
    }
    Ok(())
}

impl<D: BlockWrite> Store<D> {
    /// Fills runs of blocks with exactly `size` bytes; the rest of the last block becomes zero.
    pub(super) fn write_content(
        &mut self,
        runs: &[Run],
        content: &mut dyn Read,
        size: u64,
    ) -> Result<(), FsError> {
        let block_size = u64::from(self.geometry.block_size);
        let mut left = size;
        let mut buffer = Vec::new();
        for run in runs {
            let (mut at, end) = (run.start * block_size, (run.start + u64::from(run.len)) * block_size);
            while at < end {
                let room = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
                let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(room);
                buffer.clear();
                buffer.resize(room, 0);
                read_all(content, &mut buffer[..wanted], size)?;
                self.device.write_at(at, &buffer)?;
                left -= wanted as u64;
                at += room as u64;
            }
        }
        expect_end(content, size)
    }
}

fn read_all(content: &mut dyn Read, buffer: &mut [u8], size: u64) -> Result<(), FsError> {
    content.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => FsError::Io(io::Error::new(
            error.kind(),
            format!("the content ended before the {size} bytes announced"),
        )),
        _ => FsError::Io(error),
    })
}

/// A source that has more than was announced changed since it was counted.
fn expect_end(content: &mut dyn Read, size: u64) -> Result<(), FsError> {
    loop {
        match content.read(&mut [0]) {
            Ok(0) => return Ok(()),
            Ok(_) => {
                let what = format!("the content goes on behind the {size} bytes announced");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what).into());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}
