//! A raw image file: the base cloned where the filesystem can, copied without its holes elsewhere, and the
//! changed blocks over it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

use super::edited::Edited;
use super::error::SinkError;
use super::outfile::OutFile;
use super::track::Track;
use crate::interrupt::Interrupt;
use crate::progress::{Phase, Progress};

/// How much is copied between two looks at the interrupt.
const CHUNK: u64 = 8 << 20;

/// What was written into an image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Size of the file in bytes, holes included.
    pub size: u64,
    /// Bytes that had to be moved: little, where the base could be cloned.
    pub moved: u64,
}

/// Writes the image into `out`, whatever it held before. It is not yet on the disk: publishing flushes it.
///
/// # Errors
/// When the base or the image cannot be read, the file cannot be written, or the run was asked to stop.
pub fn write_img(
    edited: &Edited<'_>,
    out: &OutFile,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Written, SinkError> {
    let base = File::open(edited.base_file).map_err(SinkError::file("opening", edited.base_file))?;
    let base_size = base.metadata().map_err(SinkError::file("looking at", edited.base_file))?.len();
    let size = edited.image.size();
    let track = Track::start(progress, Phase::Baking, out.dest().display().to_string(), size);
    let mut copy = Copy { edited, out, track, interrupt, moved: 0 };
    if reflink_copy::reflink_file(&base, out.file()).is_err() {
        copy.base_data(&base, base_size)?;
    }
    out.file().set_len(size).map_err(SinkError::file("sizing", out.dest()))?;
    copy.changes(base_size)?;
    Ok(Written { size, moved: copy.moved })
}

struct Copy<'a> {
    edited: &'a Edited<'a>,
    out: &'a OutFile,
    track: Track<'a>,
    interrupt: &'a Interrupt,
    moved: u64,
}

impl Copy<'_> {
    /// Copies what is no hole of the base into the empty file.
    fn base_data(&mut self, base: &File, base_size: u64) -> Result<(), SinkError> {
        self.out.file().set_len(0).map_err(SinkError::file("emptying", self.out.dest()))?;
        let mut at = 0;
        while let Some((start, end)) =
            next_data(base, at, base_size).map_err(SinkError::file("reading", self.edited.base_file))?
        {
            at = start;
            while at < end {
                self.interrupt.check()?;
                let len = CHUNK.min(end - at);
                copy_range(base, self.out.file(), at, len)
                    .map_err(SinkError::file("copying the base image to", self.out.dest()))?;
                at += len;
                self.moved += len;
                self.track.advance(at);
            }
        }
        Ok(())
    }

    /// Writes the changed ranges. Beyond the base's end the file is one hole, where zeros need no writing.
    fn changes(&mut self, base_size: u64) -> Result<(), SinkError> {
        let mut buffer = Vec::new();
        for range in &self.edited.changed {
            let mut at = range.start();
            while at < range.end() {
                self.interrupt.check()?;
                let len = CHUNK.min(range.end() - at);
                buffer.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
                self.edited
                    .image
                    .read_at(at, &mut buffer)
                    .map_err(|source| SinkError::Image { offset: at, source })?;
                if at < base_size || buffer.iter().any(|byte| *byte != 0) {
                    self.out
                        .file()
                        .write_all_at(&buffer, at)
                        .map_err(SinkError::file("writing", self.out.dest()))?;
                    self.moved += len;
                }
                at += len;
            }
        }
        Ok(())
    }
}

/// The next stretch of data at or after `from`, as start and end; everything, where holes cannot be asked for.
fn next_data(file: &File, from: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    if from >= size {
        return Ok(None);
    }
    let offset = i64::try_from(from).map_err(io::Error::other)?;
    let start = match lseek(file, offset, Whence::SeekData) {
        Ok(start) => start,
        Err(Errno::ENXIO) => return Ok(None),
        Err(Errno::EINVAL | Errno::EOPNOTSUPP) => return Ok(Some((from, size))),
        Err(error) => return Err(error.into()),
    };
    let end = lseek(file, start, Whence::SeekHole)?;
    match (u64::try_from(start), u64::try_from(end)) {
        (Ok(start), Ok(end)) if start < end.min(size) => Ok(Some((start, end.min(size)))),
        _ => Ok(None),
    }
}

/// Copies inside the kernel where it can: that is what `io::copy` does between two files.
fn copy_range(mut from: &File, mut to: &File, offset: u64, len: u64) -> io::Result<()> {
    from.seek(SeekFrom::Start(offset))?;
    to.seek(SeekFrom::Start(offset))?;
    let copied = io::copy(&mut from.take(len), &mut to)?;
    if copied == len { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{FileExt, MetadataExt};
    use std::path::Path;

    use super::write_img;
    use crate::disk::block::BlockRead;
    use crate::disk::range::ByteRange;
    use crate::interrupt::Interrupt;
    use crate::progress::Silent;
    use crate::sink::edited::Edited;
    use crate::sink::error::SinkError;
    use crate::sink::outfile::OutFile;

    const MIB: u64 = 1 << 20;

    /// A sparse base of 32 MiB with data in two places.
    fn base(path: &Path) -> Vec<u8> {
        let file = File::create(path).unwrap();
        file.set_len(32 * MIB).unwrap();
        file.write_all_at(&[0xaa; 70_000], 0).unwrap();
        file.write_all_at(&[0xbb; 4096], 20 * MIB).unwrap();
        fs::read(path).unwrap()
    }

    fn read_back(out: &OutFile) -> Vec<u8> {
        let blocks = out.written().unwrap();
        let mut bytes = vec![0; usize::try_from(blocks.size()).unwrap()];
        blocks.read_at(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn base_changes_and_growth_arrive_and_holes_stay() {
        let dir = tempfile::tempdir().unwrap();
        let base_file = dir.path().join("base.img");
        let mut image = base(&base_file);
        image.resize(48 << 20, 0);
        let range = |start, len| ByteRange::with_len(start, len).unwrap();
        // Over data, over a hole, across the base's end, zeros beyond it, data beyond it.
        let changed = vec![
            range(4096, 8192),
            range(10 * MIB, 4096),
            range(32 * MIB - 4096, 8192),
            range(36 * MIB, 4096),
            range(40 * MIB, 4096),
        ];
        for (index, range) in changed.iter().enumerate().filter(|(index, _)| *index != 3) {
            let bytes = usize::try_from(range.start()).unwrap()..usize::try_from(range.end()).unwrap();
            image[bytes].fill(u8::try_from(index + 1).unwrap());
        }
        let edited = Edited { image: &image, changed, base_file: &base_file, base_sha256: [0; 32] };
        let dest = dir.path().join("pi1.img");
        let out = OutFile::create(&dest, false).unwrap();
        let written = write_img(&edited, &out, &Silent, &Interrupt::default()).unwrap();
        out.publish().unwrap();
        assert_eq!(written.size, 48 * MIB);
        assert!(written.moved < MIB, "{}", written.moved);
        assert!(fs::read(&dest).unwrap() == image);
        let stored = fs::metadata(&dest).unwrap().blocks() * 512;
        assert!(stored < 4 * MIB, "{stored} bytes stored");
    }

    #[test]
    fn an_image_shorter_than_what_was_cloned_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let base_file = dir.path().join("base.img");
        let mut image = base(&base_file);
        image.truncate(1 << 20);
        let edited =
            Edited { image: &image, changed: Vec::new(), base_file: &base_file, base_sha256: [0; 32] };
        let out = OutFile::create(&dir.path().join("pi1.img"), false).unwrap();
        write_img(&edited, &out, &Silent, &Interrupt::default()).unwrap();
        assert!(read_back(&out) == image);
    }

    #[test]
    fn stops_when_asked_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let base_file = dir.path().join("base.img");
        let image = base(&base_file);
        let changed = vec![ByteRange::new(0, 4096).unwrap()];
        let edited = Edited { image: &image, changed, base_file: &base_file, base_sha256: [0; 32] };
        let dest = dir.path().join("pi1.img");
        let interrupt = Interrupt::default();
        interrupt.request();
        let out = OutFile::create(&dest, false).unwrap();
        let error = write_img(&edited, &out, &Silent, &interrupt).unwrap_err();
        assert!(matches!(error, SinkError::Interrupted(_)));
        drop(out);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_base_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let base_file = dir.path().join("gone.img");
        let image = vec![0u8; 4096];
        let edited =
            Edited { image: &image, changed: Vec::new(), base_file: &base_file, base_sha256: [0; 32] };
        let out = OutFile::create(&dir.path().join("pi1.img"), false).unwrap();
        let error = write_img(&edited, &out, &Silent, &Interrupt::default()).unwrap_err();
        assert!(error.to_string().contains("gone.img"), "{error}");
    }
}
