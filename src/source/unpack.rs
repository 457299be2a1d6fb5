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

use crate::interrupt::Interrupt;
use crate::progress::{Event, Phase, Progress};

use super::decode::{Chunk, Output, Packed, Pool, decode};
use super::error::SourceError;
use super::format::{Content, Format, HEAD, furthest_partition_end, recognise};
use super::hash::subject_of;

/// More than this no MBR can address: what unpacks to more was made to fill disks.
const SIZE_LIMIT: u64 = 2 << 40;

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

/// Unpacks into `target`, an empty file called `target_path`, and flushes it to the disk.
///
/// # Errors
/// Whatever is wrong with the packed file or with what it holds, no space, or an interrupt; `target` then
/// holds part of the image.
pub(super) fn unpack(
    packed: Packed<'_>,
    target: &File,
    target_path: &Path,
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
    let mut writer =
        Writer { packed, target, target_path, size: 0, head_checked: false, partitions_end: None };
    let sha256 = thread::scope(|threads| {
        let decoder = threads.spawn(move || decode(packed, output));
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
}

impl Writer<'_> {
    fn take_all(
        &mut self,
        chunks: Receiver<Chunk>,
        written: Sender<Run>,
        pool: &Pool,
        interrupt: &Interrupt,
        mut report: impl FnMut(u64),
    ) -> Result<(), SourceError> {
        let mut done = 0;
        for Chunk { offset, bytes, consumed } in chunks {
            interrupt.check()?;
            if offset == 0 && bytes.len() >= HEAD {
                self.check_head(&bytes)?;
            }
            let len = bytes.len() as u64;
            let end = offset
                .checked_add(len)
                .filter(|end| *end <= SIZE_LIMIT)
                .ok_or_else(|| SourceError::TooLarge { path: self.packed.path.into(), limit: SIZE_LIMIT })?;
            self.write(offset, &bytes).map_err(|error| self.write_failed(error))?;
            self.size = self.size.max(end);
            pool.put(bytes);
            // The hasher leaves early only when it cannot read, and then says so itself.
            let _ = written.send((offset, len));
            done += consumed;
            report(done);
        }
        Ok(())
    }

    /// Stops a file that holds no disk image before it was unpacked for minutes.
    fn check_head(&mut self, head: &[u8]) -> Result<(), SourceError> {
        let path = self.packed.path.to_owned();
        self.head_checked = true;
        self.partitions_end = furthest_partition_end(head);
        match recognise(head) {
            Content::Image(Format::Raw) => Ok(()),
            Content::Image(Format::Packed(inner)) => Err(SourceError::Nested { path, inner }),
            Content::Other(what) => Err(SourceError::LooksLike { path, packed: true, what }),
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
        if let Some(needed) = self.partitions_end.filter(|end| *end > self.size) {
            return Err(cut_short(self.packed.path, self.size, needed));
        }
        self.target.set_len(self.size).map_err(|error| self.write_failed(error))?;
        self.target.sync_all().map_err(|error| self.write_failed(error))
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
