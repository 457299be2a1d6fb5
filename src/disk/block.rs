//! Positioned reads and writes of bytes: what every layer below a filesystem speaks.

use std::fs::File;
use std::io;
use std::sync::Arc;

/// Something of a fixed size that can be read at any offset, by several readers at once.
pub trait BlockRead: Send + Sync {
    /// Size in bytes.
    fn size(&self) -> u64;

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` when the range passes the end, or what the medium answers.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Whether every byte of the range is known to be zero without reading it (a hole); `false` when
    /// unknown.
    fn is_hole(&self, _offset: u64, _len: u64) -> bool {
        false
    }
}

/// Something that can also be written at any offset.
pub trait BlockWrite: BlockRead {
    /// Writes all of `data` at `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the range passes the end, or what the medium answers.
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()>;
}

/// The error for a range that passes the end of a medium.
#[must_use]
pub fn past_end(offset: u64, len: usize, size: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("{len} bytes at offset {offset} pass the end at {size}"),
    )
}

/// The `usize` range of `len` bytes at `offset` inside `size` bytes.
pub(crate) fn checked(offset: u64, len: usize, size: u64) -> io::Result<std::ops::Range<usize>> {
    let end = offset.checked_add(len as u64).filter(|end| *end <= size);
    match (usize::try_from(offset), end.map(usize::try_from)) {
        (Ok(start), Some(Ok(end))) => Ok(start..end),
        _ => Err(past_end(offset, len, size)),
    }
}

impl BlockRead for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        buf.copy_from_slice(&self[checked(offset, buf.len(), self.size())?]);
        Ok(())
    }
}

impl BlockWrite for Vec<u8> {
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let range = checked(offset, data.len(), self.size())?;
        self[range].copy_from_slice(data);
        Ok(())
    }
}

/// A file or block device together with its size at the time of opening.
#[derive(Debug)]
pub struct FileBlocks {
    file: File,
    size: u64,
}

impl FileBlocks {
    /// Takes a file whose size is found by seeking to its end, which works for block devices too.
    ///
    /// # Errors
    /// When the end cannot be sought.
    pub fn new(file: File) -> io::Result<Self> {
        use std::io::{Seek, SeekFrom};
        let size = (&file).seek(SeekFrom::End(0))?;
        Ok(Self { file, size })
    }

    /// The file itself.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl BlockRead for FileBlocks {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        self.file.read_exact_at(buf, offset)
    }
}

impl BlockWrite for FileBlocks {
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        if offset.checked_add(data.len() as u64).is_none_or(|end| end > self.size) {
            return Err(past_end(offset, data.len(), self.size));
        }
        self.file.write_all_at(data, offset)
    }
}

macro_rules! read_through {
    ($($type:ty),*) => {$(
        impl<T: BlockRead + ?Sized> BlockRead for $type {
            fn size(&self) -> u64 {
                (**self).size()
            }

            fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
                (**self).read_at(offset, buf)
            }

            fn is_hole(&self, offset: u64, len: u64) -> bool {
                (**self).is_hole(offset, len)
            }
        }
    )*};
}

read_through!(&T, &mut T, Arc<T>, Box<T>);

impl<T: BlockWrite + ?Sized> BlockWrite for &mut T {
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        (**self).write_at(offset, data)
    }
}
