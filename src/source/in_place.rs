//! A packed image that is read where it lies: zstd in frames, with a table of them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::SourceError;
use super::format::{Content, Format, HEAD, Packing, furthest_partition_end, recognise};
use super::hash::sha256_of;
use super::stamp::Stamp;
use super::unpack::{SIZE_LIMIT, cut_short};
use super::{open_file, read_head};
use crate::disk::block::BlockRead;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::seekable::{SeekableError, SeekableZst};

/// An image in a seekable zstd file.
pub struct InPlace {
    /// The image. What is wrong with a frame shows when it is read.
    pub image: SeekableZst,
    /// What the file was when it was opened.
    pub file: Unchanged,
}

impl fmt::Debug for InPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InPlace({}, {} bytes)", self.file.path.display(), self.image.size())
    }
}

/// What a file was when it was opened.
#[derive(Clone, Debug)]
pub struct Unchanged {
    path: PathBuf,
    stamp: Stamp,
}

impl Unchanged {
    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.stamp.size()
    }

    /// The SHA-256 of all of it, which is read.
    ///
    /// # Errors
    /// As [`Unchanged::check`], when it cannot be read, or on an interrupt.
    pub fn sha256(&self, progress: &dyn Progress, interrupt: &Interrupt) -> Result<[u8; 32], SourceError> {
        let (file, _) = open_file(&self.path)?;
        let digest = sha256_of(&file, &self.path, progress, interrupt)?;
        self.check().map(|()| digest)
    }

    /// Checks that the file is the one that was opened, unwritten to: to be asked before a result made from it is
    /// handed over.
    ///
    /// # Errors
    /// [`SourceError::Changed`], or why the file cannot be looked at.
    pub fn check(&self) -> Result<(), SourceError> {
        let now = fs::metadata(&self.path).map_err(SourceError::io("looking at", &self.path))?;
        if Stamp::of(&now) == self.stamp {
            Ok(())
        } else {
            Err(SourceError::Changed { path: self.path.clone() })
        }
    }
}

/// Opens a zstd file with a seek table; `None` when it is something else, or frames too large to be read alone. What
/// it decodes to is not looked at.
///
/// # Errors
/// When there is no such file, it cannot be read, its table is damaged, or it claims more than any card holds.
pub fn open_in_place(path: &Path) -> Result<Option<InPlace>, SourceError> {
    let (file, metadata) = open_file(path)?;
    let head = read_head(&file).map_err(SourceError::io("reading", path))?;
    if recognise(&head) != Content::Image(Format::Packed(Packing::Zst)) {
        return Ok(None);
    }
    let image = match SeekableZst::open(file) {
        Ok(image) => image,
        Err(SeekableError::Missing | SeekableError::Unsupported(_)) => return Ok(None),
        Err(error @ SeekableError::Corrupt(_)) => return Err(corrupt(path, metadata.len(), &error)),
        Err(SeekableError::Io(error)) => return Err(SourceError::io("reading", path)(error)),
    };
    if image.size() > SIZE_LIMIT {
        return Err(SourceError::TooLarge { path: path.to_owned(), limit: SIZE_LIMIT });
    }
    Ok(Some(InPlace { image, file: Unchanged { path: path.to_owned(), stamp: Stamp::of(&metadata) } }))
}

fn corrupt(path: &Path, offset: u64, error: &dyn std::error::Error) -> SourceError {
    let (path, detail) = (path.to_owned(), error.to_string());
    SourceError::Corrupt { path, format: Packing::Zst, offset, detail }
}

impl InPlace {
    /// Makes sure that it is a disk image, and reaches as far as its partitions do.
    ///
    /// # Errors
    /// When it is not, or its first frames are damaged.
    pub fn check_image(&self) -> Result<(), SourceError> {
        let (path, size) = (self.file.path.clone(), self.image.size());
        let mut head = vec![0; size.min(HEAD as u64) as usize];
        self.image.read_at(0, &mut head).map_err(|error| corrupt(&path, 0, &error))?;
        match recognise(&head) {
            Content::Image(Format::Raw) => {}
            Content::Image(Format::Packed(inner)) => return Err(SourceError::Nested { path, inner }),
            Content::Other(what) => return Err(SourceError::LooksLike { path, packed: true, what }),
        }
        match furthest_partition_end(&head).filter(|end| *end > size) {
            Some(needed) => Err(cut_short(&path, size, needed)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::{InPlace, SourceError, open_in_place};
    use crate::disk::block::BlockRead;
    use crate::interrupt::Interrupt;
    use crate::progress::Silent;
    use crate::seekable::{FrameSize, seek_table};

    struct Bed {
        dir: tempfile::TempDir,
    }

    impl Bed {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap() }
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("x.img.zst")
        }

        /// Opens two frames that hold these bytes.
        fn open(&self, bytes: &[u8]) -> Result<Option<InPlace>, SourceError> {
            let (mut file, mut frames) = (Vec::new(), Vec::new());
            for part in bytes.chunks(bytes.len().div_ceil(2)) {
                let frame = zstd::bulk::compress(part, 1).unwrap();
                let sizes = [frame.len(), part.len()].map(|len| u32::try_from(len).unwrap());
                frames.push(FrameSize { compressed: sizes[0], decoded: sizes[1] });
                file.extend(frame);
            }
            file.extend(seek_table(&frames).unwrap());
            fs::write(self.path(), file).unwrap();
            let opened = open_in_place(&self.path())?;
            opened.as_ref().map_or(Ok(()), InPlace::check_image).map(|()| opened)
        }
    }

    /// A disk of 256 KiB with one partition that ends at `end` sectors.
    fn disk(end: u32) -> Vec<u8> {
        let mut disk = vec![0; 256 << 10];
        disk[450] = 0x83;
        disk[454] = 8;
        disk[458..462].copy_from_slice(&(end - 8).to_le_bytes());
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        disk
    }

    #[test]
    fn an_image_is_read_where_it_lies_and_its_file_watched() {
        let bed = Bed::new();
        let opened = bed.open(&disk(512)).unwrap().unwrap();
        let mut read = vec![1; 256 << 10];
        opened.image.read_at(0, &mut read).unwrap();
        assert!(read == disk(512));
        assert_eq!(opened.file.size(), fs::metadata(bed.path()).unwrap().len());
        opened.file.sha256(&Silent, &Interrupt::default()).unwrap();
        fs::write(bed.path(), "another").unwrap();
        assert!(matches!(opened.file.check(), Err(SourceError::Changed { .. })));
    }

    #[test]
    fn what_holds_no_image_or_part_of_one_is_told() {
        let bed = Bed::new();
        assert!(matches!(bed.open(&disk(513)), Err(SourceError::Truncated { .. })));
        let page = "<!DOCTYPE html>".repeat(9000);
        assert!(matches!(bed.open(page.as_bytes()), Err(SourceError::LooksLike { packed: true, .. })));
        let packed = zstd::bulk::compress(&disk(512), 1).unwrap();
        assert!(matches!(bed.open(&packed), Err(SourceError::Nested { .. })));
    }

    #[test]
    fn what_has_no_table_is_somebody_elses() {
        let bed = Bed::new();
        for bytes in [zstd::bulk::compress(&disk(512), 1).unwrap(), disk(512), b"text".to_vec()] {
            fs::write(bed.path(), bytes).unwrap();
            assert!(open_in_place(&bed.path()).unwrap().is_none());
        }
        let missing = open_in_place(&bed.dir.path().join("nothing"));
        assert!(matches!(missing, Err(SourceError::NotFound { .. })));
    }
}
