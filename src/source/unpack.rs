//! From a packed file to a sparse raw one: one thread or more decode, this one writes, another reads what
//! was written and hashes it.
//!
//! Chunks come in any order (the blocks of an .xz file are decoded in parallel), but a hash is made in order:
//! so the hasher follows the writer through the file, which is still in memory then. Nothing is kept but a
//! few chunks, so memory is bounded whatever the image's size.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread;

use sha2::{Digest, Sha256};

use crate::interrupt::{Interrupt, Interrupted};
use crate::progress::{Event, Phase, Progress};

use super::arrival::Arrival;
use super::decode::{Chunk, Decoded, Layout, Output, Packed, Pool, decode};
use super::error::SourceError;
use super::format::{Content, Format, HEAD, furthest_partition_end, recognise};
use super::hash::subject_of;

/// More than this no MBR can address: what unpacks to more was made to fill disks.
pub(super) const SIZE_LIMIT: u64 = 2 << 40;

/// Zeros become holes in units of this size, in bytes: smaller ones would only scatter the file.
const UNIT: usize = 64 << 10;

/// Chunks on their way from the decoders to the writer.
const DEPTH: usize = 4;

/// What was unpacked.
pub(super) struct Unpacked {
    /// Size in bytes.
    pub(super) size: u64,
    /// SHA-256 of the raw image.
    pub(super) sha256: [u8; 32],
}

/// Unpacks into `target`, an empty file called `target_path`, and flushes it to the disk. `arrival` hears of
/// every piece that can be read from there; of none before the image is known to be one.
///
/// # Errors
/// Whatever is wrong with the packed file or with what it holds, no space, or an interrupt; `target` then
/// holds part of the image.
pub(super) fn unpack(
    packed: Packed<'_>,
    layout: &Layout,
    arrival: &Arrival,
    (target, target_path): (&File, &Path),
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Unpacked, SourceError> {
    let subject = subject_of(packed.path);
    let total = packed.file.metadata().map_err(SourceError::io("looking at", packed.path))?.len();
    let phase = Phase::Decoding;
    progress.event(Event::Start { phase, subject: subject.clone(), total: Some(total) });

    let pool = Arc::new(Pool::default());
    let (chunks, from_decoder) = sync_channel(DEPTH);
    let (runs, from_writer) = channel();
    let output = Output::new(chunks, Arc::clone(&pool));
    let mut writer = Writer::new(packed, layout.size(), arrival, target, target_path);
    writer.begin()?;
    let sha256 = thread::scope(|threads| {
        let decoder = threads.spawn(move || decode(packed, layout, arrival, output));
        let hasher = threads.spawn(move || hash(target, &from_writer));
        // Takes both channels' ends along, so that the other threads end whatever becomes of the writer.
        let written = writer.take_all(from_decoder, runs, &pool, interrupt, |done| {
            progress.event(Event::Advance { phase, subject: subject.clone(), done });
        });
        let decoded = joined(decoder);
        let sha256 = joined(hasher);
        // The writer's error comes first: the decoder stops without a reason of its own when it fails.
        written.and(decoded)?;
        writer.finish()?;
        sha256.map_err(SourceError::io("reading", target_path))
    })?;
    progress.event(Event::Finish { phase, subject });
    Ok(Unpacked { size: writer.size, sha256 })
}

/// The result of a thread; its panic goes on in this one.
fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A stretch of the target that was written: its offset and length in bytes.
type Run = (u64, u64);

/// Hashes the target in order, as far as it is written without a gap.
fn hash(target: &File, written: &Receiver<Run>) -> io::Result<[u8; 32]> {
    let mut digest = Sha256::new();
    let mut buffer = Vec::new();
    let mut hashed = 0;
    let mut ahead = BTreeMap::new();
    for (offset, len) in written {
        ahead.insert(offset, len);
        while let Some(len) = ahead.remove(&hashed) {
            buffer.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
            read_padded(target, &mut buffer, hashed)?;
            digest.update(&buffer);
            hashed += len;
        }
    }
    Ok(digest.finalize().into())
}

/// Reads, with zeros for what lies behind the end: a hole there is part of the image, if not yet of the file.
fn read_padded(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer[filled..].fill(0);
    Ok(())
}

/// Puts chunks into the target, zeros as holes.
struct Writer<'a> {
    packed: Packed<'a>,
    target: &'a File,
    target_path: &'a Path,
    /// End of the furthest chunk so far, holes included.
    size: u64,
    /// Whether it is known to begin like a disk image; a first chunk may be too short to tell.
    head_checked: bool,
    /// How far the image must reach to hold its partitions.
    partitions_end: Option<u64>,
    /// What the size will be, where that is known beforehand.
    promised: Option<u64>,
    arrival: &'a Arrival,
    /// Pieces that are complete and not told of, as it is not known yet whether this is a disk image.
    held_back: Vec<usize>,
}

impl<'a> Writer<'a> {
    fn new(
        packed: Packed<'a>,
        promised: Option<u64>,
        arrival: &'a Arrival,
        target: &'a File,
        target_path: &'a Path,
    ) -> Self {
        let (size, head_checked, partitions_end, held_back) = (0, false, None, Vec::new());
        Self { packed, target, target_path, size, head_checked, partitions_end, promised, arrival, held_back }
    }

    /// Gives the file the size that it will have, so that it can be read in the meantime.
    fn begin(&self) -> Result<(), SourceError> {
        let Some(size) = self.promised else { return Ok(()) };
        if size > SIZE_LIMIT {
            return Err(self.too_large());
        }
        self.target.set_len(size).map_err(|error| self.write_failed(error))
    }

    fn take_all(
        &mut self,
        decoded: Receiver<Decoded>,
        written: Sender<Run>,
        pool: &Pool,
        interrupt: &Interrupt,
        mut report: impl FnMut(u64),
    ) -> Result<(), SourceError> {
        let mut done = 0;
        for decoded in decoded {
            interrupt.check()?;
            if self.arrival.is_abandoned() {
                return Err(Interrupted.into());
            }
            match decoded {
                Decoded::Chunk(chunk) => {
                    self.take(&chunk)?;
                    let end = chunk.offset + chunk.bytes.len() as u64;
                    if self.head_checked {
                        self.arrival.reached(end);
                    }
                    // The hasher leaves early only when it cannot read, and then says so itself.
                    let _ = written.send((chunk.offset, chunk.bytes.len() as u64));
                    done += chunk.consumed;
                    pool.put(chunk.bytes);
                    report(done);
                }
                Decoded::Piece(index) => self.held_back.push(index),
            }
            if self.head_checked {
                self.held_back.drain(..).for_each(|index| self.arrival.arrived(index));
            }
        }
        Ok(())
    }

    fn take(&mut self, chunk: &Chunk) -> Result<(), SourceError> {
        if chunk.offset == 0 && chunk.bytes.len() >= HEAD {
            self.check_head(&chunk.bytes)?;
        }
        let end = chunk.offset.checked_add(chunk.bytes.len() as u64).filter(|end| *end <= SIZE_LIMIT);
        self.size = self.size.max(end.ok_or_else(|| self.too_large())?);
        self.write(chunk.offset, &chunk.bytes).map_err(|error| self.write_failed(error))
    }

    /// Stops a file that holds no disk image, or part of one, before it was unpacked for minutes.
    fn check_head(&mut self, head: &[u8]) -> Result<(), SourceError> {
        let path = self.packed.path.to_owned();
        self.partitions_end = furthest_partition_end(head);
        match recognise(head) {
            Content::Image(Format::Raw) => {}
            Content::Image(Format::Packed(inner)) => return Err(SourceError::Nested { path, inner }),
            Content::Other(what) => return Err(SourceError::LooksLike { path, packed: true, what }),
        }
        self.head_checked = true;
        self.promised.map_or(Ok(()), |size| self.check_size(size))
    }

    /// Whether an image of this size holds all its partitions.
    fn check_size(&self, size: u64) -> Result<(), SourceError> {
        match self.partitions_end.filter(|end| *end > size) {
            Some(needed) => Err(cut_short(self.packed.path, size, needed)),
            None => Ok(()),
        }
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut at = 0;
        let units: Vec<&[u8]> = bytes.chunks(UNIT).collect();
        for run in units.chunk_by(|a, b| is_zero(a) == is_zero(b)) {
            let len = run.iter().map(|unit| unit.len()).sum::<usize>();
            if !is_zero(run[0]) {
                self.target.write_all_at(&bytes[at..at + len], offset + at as u64)?;
            }
            at += len;
        }
        Ok(())
    }

    /// Gives the file its size, and makes it last.
    fn finish(&mut self) -> Result<(), SourceError> {
        if !self.head_checked {
            let mut head = vec![0; self.size.min(HEAD as u64) as usize];
            read_padded(self.target, &mut head, 0).map_err(SourceError::io("reading", self.target_path))?;
            self.check_head(&head)?;
        }
        self.check_size(self.size)?;
        self.target.set_len(self.size).map_err(|error| self.write_failed(error))?;
        self.target.sync_all().map_err(|error| self.write_failed(error))
    }

    fn too_large(&self) -> SourceError {
        SourceError::TooLarge { path: self.packed.path.into(), limit: SIZE_LIMIT }
    }

    fn write_failed(&self, error: io::Error) -> SourceError {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        if matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge) {
            let dir = self.target_path.parent().unwrap_or(self.target_path).to_owned();
            SourceError::NoSpace { source_path: self.packed.path.into(), dir }
        } else {
            SourceError::io("writing", self.target_path)(error)
        }
    }
}

/// The error for an image of `size` bytes whose partition table reaches to `needed`.
pub(super) fn cut_short(path: &Path, size: u64, needed: u64) -> SourceError {
    let detail = format!("its partition table reaches to byte {needed}");
    SourceError::Truncated { path: path.into(), format: Format::Raw, offset: size, detail }
}

/// Whether a unit holds nothing but zeros. Comparing slices is a `memcmp`, far faster than a loop.
fn is_zero(unit: &[u8]) -> bool {
    static ZEROS: [u8; UNIT] = [0; UNIT];
    ZEROS.get(..unit.len()) == Some(unit)
}
