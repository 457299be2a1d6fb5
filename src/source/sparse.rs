//! A raw image file together with its holes.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

use crate::disk::block::{BlockRead, FileBlocks};
use crate::disk::range::ByteRange;

/// A file that is asked about its holes whenever somebody wants to know: what is a hole now is one for as
/// long as nobody writes there.
#[derive(Debug)]
pub(super) struct SparseFile(FileBlocks);

impl SparseFile {
    /// Takes a file whose size will not change.
    ///
    /// # Errors
    /// When the file cannot be sought through.
    pub(super) fn new(file: File) -> io::Result<Self> {
        FileBlocks::new(file).map(Self)
    }
}

impl BlockRead for SparseFile {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buf)
    }

    fn is_hole(&self, offset: u64, len: u64) -> bool {
        let Some(range) = ByteRange::with_len(offset, len).filter(|range| range.end() <= self.size()) else {
            return false;
        };
        let Ok(from) = i64::try_from(range.start()) else { return false };
        match lseek(self.0.file(), from, Whence::SeekData) {
            Ok(data) => u64::try_from(data).is_ok_and(|data| data >= range.end()),
            // No data up to the end; a filesystem that cannot tell answers otherwise.
            Err(errno) => errno == Errno::ENXIO,
        }
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
        if image.is_hole(0, 4096) {
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
