//! From a packed file to a sparse raw one: one thread decodes, this one writes, a third hashes.
//!
//! The chunks go round: decoder, writer, hasher, and back to the decoder to be filled again, so memory is
//! bounded whatever the image's size.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use sha2::{Digest, Sha256};

use crate::interrupt::Interrupt;
use crate::progress::{Event, Phase, Progress};

use super::decode::{Chunk, Output, Packed, decode};
use super::error::SourceError;
use super::format::{Content, EMPTY, Format, furthest_partition_end, recognise};
use super::hash::subject_of;

/// More than this no MBR can address: what unpacks to more was made to fill disks.
const SIZE_LIMIT: u64 = 2 << 40;

/// Zeros become holes in units of this size, in bytes: smaller ones would only scatter the file.
const UNIT: usize = 64 << 10;

/// Chunks under way between two threads.
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

    let (to_writer, from_decoder) = sync_channel(DEPTH);
    let (to_hasher, from_writer) = sync_channel(DEPTH);
    let (to_decoder, spent) = channel();
    let mut writer = Writer { packed, target, target_path, written: 0, partitions_end: None };
    let unpacked = thread::scope(|threads| {
        let decoder = threads.spawn(move || decode(packed, &mut Output::new(to_writer, spent)));
        let hasher = threads.spawn(move || hash(&from_writer, |buffer| drop(to_decoder.send(buffer))));
        // Taking both channel ends along, so that the other threads end whatever becomes of the writer.
        let written = writer.take_all(from_decoder, to_hasher, interrupt, |done| {
            progress.event(Event::Advance { phase, subject: subject.clone(), done });
        });
        let decoded = joined(decoder);
        let sha256 = joined(hasher);
        // The writer's error comes first: the decoder stops without a reason of its own when it fails.
        written.and(decoded)?;
        let size = writer.finish()?;
        Ok::<_, SourceError>(Unpacked { size, sha256 })
    })?;
    progress.event(Event::Finish { phase, subject });
    Ok(unpacked)
}

/// The result of a thread; its panic goes on in this one.
fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn hash(chunks: &Receiver<Vec<u8>>, give_back: impl Fn(Vec<u8>)) -> [u8; 32] {
    let mut digest = Sha256::new();
    for bytes in chunks {
        digest.update(&bytes);
        give_back(bytes);
    }
    digest.finalize().into()
}

/// Puts chunks into the target in order, zeros as holes.
struct Writer<'a> {
    packed: Packed<'a>,
    target: &'a File,
    target_path: &'a Path,
    /// Bytes of the image seen so far, holes included.
    written: u64,
    /// How far the image must reach to hold its partitions.
    partitions_end: Option<u64>,
}

impl Writer<'_> {
    fn take_all(
        &mut self,
        chunks: Receiver<Chunk>,
        hasher: SyncSender<Vec<u8>>,
        interrupt: &Interrupt,
        mut report: impl FnMut(u64),
    ) -> Result<(), SourceError> {
        for Chunk { bytes, consumed } in chunks {
            interrupt.check()?;
            if self.written == 0 {
                self.check_head(&bytes)?;
            }
            if self.written + bytes.len() as u64 > SIZE_LIMIT {
                return Err(SourceError::TooLarge { path: self.packed.path.into(), limit: SIZE_LIMIT });
            }
            self.write(&bytes).map_err(|error| self.write_failed(error))?;
            self.written += bytes.len() as u64;
            report(consumed);
            // The hasher ends only when its sender is dropped, so it is there to take this.
            drop(hasher.send(bytes));
        }
        Ok(())
    }

    /// Stops a file that holds no disk image before it was unpacked for minutes.
    fn check_head(&mut self, head: &[u8]) -> Result<(), SourceError> {
        let path = self.packed.path.to_owned();
        self.partitions_end = furthest_partition_end(head);
        match recognise(head) {
            Content::Image(Format::Raw) => Ok(()),
            Content::Image(Format::Packed(inner)) => Err(SourceError::Nested { path, inner }),
            Content::Other(what) => Err(SourceError::LooksLike { path, packed: true, what }),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut at = 0;
        for run in bytes.chunks(UNIT).collect::<Vec<_>>().chunk_by(|a, b| is_zero(a) == is_zero(b)) {
            let len = run.iter().map(|unit| unit.len()).sum::<usize>();
            if !run.first().is_some_and(|unit| is_zero(unit)) {
                self.target.write_all_at(&bytes[at..at + len], self.written + at as u64)?;
            }
            at += len;
        }
        Ok(())
    }

    /// Gives the file its size, and makes it last; answers the size.
    fn finish(&self) -> Result<u64, SourceError> {
        if self.written == 0 {
            let path = self.packed.path.into();
            return Err(SourceError::LooksLike { path, packed: true, what: EMPTY });
        }
        if let Some(needed) = self.partitions_end.filter(|end| *end > self.written) {
            return Err(cut_short(self.packed.path, self.written, needed));
        }
        self.target.set_len(self.written).map_err(|error| self.write_failed(error))?;
        self.target.sync_all().map_err(|error| self.write_failed(error))?;
        Ok(self.written)
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
