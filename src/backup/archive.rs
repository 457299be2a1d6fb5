//! The writer: an image's used bytes into an archive and its bmap, once and in order.
//!
//! Threads read, hash and compress a frame each, some more of them than there are cores, so that the source always
//! has something to do; what they made is written in order. Frames without a used byte are read from nowhere.

use std::io::{self, Write as _};
use std::num::NonZero;
use std::path::Path;

use sha2::Digest as _;

use super::bmap::{self, BLOCK, Bmap, MappedRange};
use super::digest::Sha256;
use super::error::ArchiveError;
use super::manifest::Manifest;
use super::names::Names;
use super::reading::{Reading, whole_blocks, within};
use crate::disk::block::BlockRead;
use crate::disk::range::ByteRange;
use crate::disk::ranges;
use crate::interrupt::Interrupt;
use crate::progress::{Phase, Progress};
use crate::seekable::{FrameSize, seek_table};
use crate::sink::error::SinkError;
use crate::sink::frames::{FRAME, FrameMaker, frame_count, frame_range};
use crate::sink::in_order::{cores, in_order};
use crate::sink::outfile::OutFile;
use crate::sink::track::Track;

pub use super::reading::Unreadable;

/// Threads beyond the number of cores: what is in flight while every core compresses.
const AHEAD: usize = 2;
/// Bytes of the archive that are sent on their way to the disk together.
const FLUSHED: u64 = 8 << 20;
/// The most frames of an archive: 512 GiB. Their digests are held in memory, here and by whoever reads them.
const MAX_FRAMES: usize = 1 << 19;

/// What is to be archived.
pub struct ArchiveJob<'a> {
    /// The image.
    pub image: &'a dyn BlockRead,
    /// What of it is in use, in rising order and merged; widened to whole blocks of 4096 bytes. Nothing else is
    /// ever read.
    pub used: &'a [ByteRange],
    /// What is done about what cannot be read.
    pub unreadable: Unreadable,
    /// Its name in progress events.
    pub subject: &'a str,
    /// Hears about progress, in used bytes.
    pub progress: &'a dyn Progress,
    /// Looked at between any two reads.
    pub interrupt: &'a Interrupt,
}

/// The three files of a backup under temporary names; dropped, they are gone.
pub struct ArchiveWriter {
    names: Names,
    archive: OutFile,
    bmap: OutFile,
    manifest: OutFile,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Archived {
    /// The name of the archive's file.
    pub file: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Sha256,
    /// Bytes of the image that are in one frame; the last may have fewer.
    pub frame_size: u64,
    /// SHA-256 of what each frame decodes to; `None` where that is zeros because nothing in it was in use.
    pub frames: Vec<Option<Sha256>>,
    /// What was in use and could be read.
    pub map: Bmap,
    /// The name of the bmap's file.
    pub bmap_file: String,
    /// SHA-256 of it.
    pub bmap_sha256: Sha256,
    /// What was in use and could not be read: whole blocks, in rising order and merged.
    pub holes: Vec<ByteRange>,
}

/// An archive and its bmap, whole and under temporary names still.
pub struct WrittenArchive {
    files: ArchiveWriter,
    archived: Archived,
}

impl ArchiveWriter {
    /// Begins the files. What killed runs left of the same names is removed; files that have the names stay until
    /// the new ones are whole.
    ///
    /// # Errors
    /// When one of the names is something else's than a regular file's, or the directory cannot be written to.
    pub fn create(names: Names) -> Result<Self, ArchiveError> {
        let [archive, bmap, manifest] = names.all().map(|path| OutFile::create(path, true));
        Ok(Self { archive: archive?, bmap: bmap?, manifest: manifest?, names })
    }

    /// Writes archive and bmap.
    ///
    /// # Errors
    /// When the image cannot be read or is too large, the files cannot be written, or the run was asked to stop.
    pub fn write(self, job: &ArchiveJob<'_>) -> Result<WrittenArchive, ArchiveError> {
        let archived = Writing::new(&self, job)?.run()?;
        Ok(WrittenArchive { files: self, archived })
    }
}

impl WrittenArchive {
    /// What was written.
    #[must_use]
    pub fn archived(&self) -> &Archived {
        &self.archived
    }

    /// Puts all three files on the disk and gives them their names: a manifest that is there stands beside a
    /// whole archive.
    ///
    /// # Errors
    /// When they cannot be written, flushed or renamed; then none of them is left under its name. An older
    /// manifest of that name may be gone by then.
    pub fn publish(self, manifest: &Manifest) -> Result<(), ArchiveError> {
        let ArchiveWriter { names, archive, bmap, manifest: file } = self.files;
        write_all(&file, manifest.to_json().as_bytes())?;
        for out in [&archive, &bmap, &file] {
            out.file().sync_all().map_err(SinkError::file("flushing", out.dest()))?;
        }
        // An older manifest must not stand beside a newer archive.
        remove(&names.manifest).map_err(SinkError::file("removing", &names.manifest))?;
        archive.publish()?;
        bmap.publish().and_then(|()| file.publish()).inspect_err(|_| {
            // The error is what is told; what cannot be removed is an archive without a manifest.
            for path in [&names.archive, &names.bmap] {
                let _ = remove(path);
            }
        })?;
        Ok(())
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn write_all(out: &OutFile, bytes: &[u8]) -> Result<(), ArchiveError> {
    out.file().write_all(bytes).map_err(SinkError::file("writing", out.dest())).map_err(Into::into)
}

/// An archive while it is written.
struct Writing<'a> {
    files: &'a ArchiveWriter,
    job: &'a ArchiveJob<'a>,
    size: u64,
    used: Vec<ByteRange>,
    /// The frame of nothing but zeros.
    empty: Vec<u8>,
    threads: NonZero<usize>,
}

/// What a thread needs to make frames.
struct Maker {
    frames: FrameMaker,
    raw: Vec<u8>,
}

/// One frame, made.
struct Made {
    decoded: u64,
    frame: Vec<u8>,
    sha256: Option<Sha256>,
    mapped: Vec<MappedRange>,
    holes: Vec<ByteRange>,
    used: u64,
}

impl<'a> Writing<'a> {
    fn new(files: &'a ArchiveWriter, job: &'a ArchiveJob<'a>) -> Result<Self, ArchiveError> {
        let size = job.image.size();
        if frame_count(size) > MAX_FRAMES {
            return Err(ArchiveError::TooLarge(format!(
                "{size} bytes are more than {}",
                MAX_FRAMES as u64 * FRAME
            )));
        }
        let empty = FrameMaker::new().and_then(|mut maker| maker.compress(&vec![0; FRAME as usize]));
        let empty = empty.map_err(SinkError::file("compressing into", &files.names.archive))?;
        Ok(Self {
            files,
            job,
            size,
            used: whole_blocks(job.used, size),
            empty,
            threads: cores().saturating_add(AHEAD),
        })
    }

    fn run(&self) -> Result<Archived, ArchiveError> {
        let total = ranges::total(&self.used);
        let track = Track::start(self.job.progress, Phase::Capturing, self.job.subject, total);
        let (mut sizes, mut frames, mut mapped, mut holes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut hasher = sha2::Sha256::new();
        let (mut stored, mut done, mut flushed) = (0, 0, 0);
        in_order(
            frame_count(self.size),
            self.threads,
            || self.maker(),
            |maker, index| self.make(maker, index),
            |made: Made| {
                // Both are about 1 MiB at most.
                sizes.push(FrameSize { compressed: made.frame.len() as u32, decoded: made.decoded as u32 });
                hasher.update(&made.frame);
                write_all(&self.files.archive, &made.frame)?;
                stored += made.frame.len() as u64;
                done += made.used;
                if stored - flushed >= FLUSHED {
                    self.files.archive.flush_soon(flushed, stored - flushed);
                    flushed = stored;
                }
                frames.push(made.sha256);
                mapped.extend(made.mapped);
                holes.extend(made.holes);
                track.advance_storing(done, stored);
                Ok(())
            },
        )?;
        let table =
            seek_table(&sizes).ok_or_else(|| ArchiveError::TooLarge("it has too many frames".into()))?;
        hasher.update(&table);
        write_all(&self.files.archive, &table)?;
        let map = Bmap { image_size: self.size, block_size: BLOCK, ranges: mapped };
        Ok(Archived {
            file: file_name(&self.files.names.archive),
            size: stored + table.len() as u64,
            sha256: Sha256(hasher.finalize().into()),
            frame_size: FRAME,
            frames,
            bmap_file: file_name(&self.files.names.bmap),
            bmap_sha256: self.write_map(&map)?,
            map,
            holes: ranges::union(holes),
        })
    }

    /// Writes the bmap; the SHA-256 of its file.
    fn write_map(&self, map: &Bmap) -> Result<Sha256, ArchiveError> {
        let text = map.to_xml();
        if text.len() as u64 > bmap::MAX_FILE {
            return Err(ArchiveError::TooLarge(format!("what is in use is in {} pieces", map.ranges.len())));
        }
        write_all(&self.files.bmap, text.as_bytes())?;
        Ok(Sha256::of(text.as_bytes()))
    }

    fn maker(&self) -> Result<Maker, ArchiveError> {
        let frames =
            FrameMaker::new().map_err(SinkError::file("compressing into", &self.files.names.archive))?;
        Ok(Maker { frames, raw: Vec::new() })
    }

    fn make(&self, maker: &mut Maker, index: usize) -> Result<Made, ArchiveError> {
        self.job.interrupt.check()?;
        let (start, decoded) = frame_range(index, self.size);
        let whole = ByteRange::with_len(start, decoded);
        let pieces: Vec<ByteRange> =
            whole.map(|frame| within(&self.used, frame).collect()).unwrap_or_default();
        if pieces.is_empty() && decoded == FRAME {
            let frame = self.empty.clone();
            return Ok(Made { decoded, frame, sha256: None, mapped: Vec::new(), holes: Vec::new(), used: 0 });
        }
        // A frame at most.
        maker.raw.clear();
        maker.raw.resize(decoded as usize, 0);
        let holes = self.read(&pieces, start, &mut maker.raw)?;
        let mapped = ranges::without(&pieces, &holes);
        let digest = |range: ByteRange| {
            let (from, to) = (range.start() - start, range.end() - start);
            Sha256::of(&maker.raw[from as usize..to as usize])
        };
        let mapped: Vec<MappedRange> =
            mapped.into_iter().map(|range| MappedRange { range, sha256: digest(range) }).collect();
        let sha256 = match mapped.as_slice() {
            [] => None,
            [all] if Some(all.range) == whole => Some(all.sha256),
            _ => Some(Sha256::of(&maker.raw)),
        };
        let compressed = maker.frames.compress(&maker.raw);
        let frame = compressed.map_err(SinkError::file("compressing into", &self.files.names.archive))?;
        Ok(Made { decoded, frame, sha256, mapped, holes, used: ranges::total(&pieces) })
    }

    /// Reads the pieces of the frame that begins at `start`; what could not be read.
    fn read(&self, pieces: &[ByteRange], start: u64, raw: &mut [u8]) -> Result<Vec<ByteRange>, ArchiveError> {
        let ArchiveJob { image, unreadable, interrupt, .. } = *self.job;
        let reading = Reading { image, unreadable, interrupt };
        let mut holes = Vec::new();
        for piece in pieces {
            let inside = (piece.start() - start) as usize..(piece.end() - start) as usize;
            holes.extend(reading.read(*piece, &mut raw[inside])?);
        }
        Ok(ranges::union(holes))
    }
}
