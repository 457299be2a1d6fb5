//! A raw image file together with its holes.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

use crate::disk::block::{BlockRead, FileBlocks};
use crate::disk::range::ByteRange;

/// A file whose holes were looked up once: it must not change while it is used.
#[derive(Debug)]
pub(super) struct SparseFile {
    blocks: FileBlocks,
    /// In rising order; neither touching nor empty.
    holes: Vec<ByteRange>,
}

impl SparseFile {
    /// Looks up the holes of `file`.
    ///
    /// # Errors
    /// When the file cannot be sought through.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let blocks = FileBlocks::new(file)?;
        let holes = find_holes(blocks.file(), blocks.size())?;
        Ok(Self { blocks, holes })
    }
}

impl BlockRead for SparseFile {
    fn size(&self) -> u64 {
        self.blocks.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.blocks.read_at(offset, buf)
    }

    fn is_hole(&self, offset: u64, len: u64) -> bool {
        let Some(range) = ByteRange::with_len(offset, len) else { return false };
        let after = self.holes.partition_point(|hole| hole.start() <= offset);
        after.checked_sub(1).and_then(|index| self.holes.get(index)).is_some_and(|hole| hole.contains(range))
    }
}

/// The holes `lseek(2)` finds; none on a filesystem that does not tell.
fn find_holes(file: &File, size: u64) -> io::Result<Vec<ByteRange>> {
    let mut holes = Vec::new();
    let mut offset = 0;
    while offset < size {
        let Some(start) = seek(file, offset, Whence::SeekHole)?.filter(|start| *start < size) else { break };
        // Nothing but a hole up to the end is an error (ENXIO) to SEEK_DATA.
        let end = seek(file, start, Whence::SeekData)?.unwrap_or(size).min(size);
        if end <= start {
            break;
        }
        holes.extend(ByteRange::new(start, end));
        offset = end;
    }
    Ok(holes)
}

fn seek(file: &File, offset: u64, whence: Whence) -> io::Result<Option<u64>> {
    let offset = i64::try_from(offset).map_err(io::Error::other)?;
    match lseek(file, offset, whence) {
        Ok(found) => Ok(u64::try_from(found).ok()),
        Err(Errno::ENXIO | Errno::EINVAL) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::SparseFile;
    use crate::disk::block::BlockRead;

    const MIB: u64 = 1 << 20;

    #[test]
    fn holes_are_known_and_data_is_read() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 4096], 2 * MIB).unwrap();
        file.write_all_at(&[2; 4096], 5 * MIB).unwrap();
        file.set_len(8 * MIB).unwrap();
        let image = SparseFile::new(file).unwrap();

        assert_eq!(image.size(), 8 * MIB);
        assert!(!image.is_hole(2 * MIB, 4096));
        assert!(!image.is_hole(MIB, 2 * MIB), "the range reaches data");
        assert!(!image.is_hole(7 * MIB, 2 * MIB), "the range passes the end");
        assert!(!image.is_hole(u64::MAX, 2));
        if !image.holes.is_empty() {
            assert!(image.is_hole(0, 2 * MIB));
            assert!(image.is_hole(3 * MIB, 2 * MIB));
            assert!(image.is_hole(6 * MIB, 2 * MIB));
        }
        let mut byte = [0; 1];
        image.read_at(5 * MIB, &mut byte).unwrap();
        assert_eq!(byte, [2]);
        assert!(image.read_at(8 * MIB, &mut byte).is_err());
    }

    #[test]
    fn full_and_empty_files_have_no_holes() {
        let full = tempfile::tempfile().unwrap();
        full.write_all_at(&[1; 8192], 0).unwrap();
        assert!(!SparseFile::new(full).unwrap().is_hole(0, 4096));
        assert_eq!(SparseFile::new(tempfile::tempfile().unwrap()).unwrap().size(), 0);
    }
}
