//! A base image that is never modified, and the blocks that differ from it.
//!
//! Changed blocks live in slots, handed out in the order blocks are first written: the first slots in
//! memory, the rest in an unlinked temporary file, so that memory stays bounded whatever is injected. An
//! extent maps a run of blocks to a run of slots; extents are only ever added or lengthened, so a lookup is
//! one search in an ordered map and a long sequential write is one extent.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::block::{BlockRead, BlockWrite, past_end};
use crate::disk::range::ByteRange;

/// Size of the unit in which changes are kept, in bytes.
pub const BLOCK: u64 = 4096;

/// Bytes of changed blocks kept in memory before the rest goes to a temporary file.
const MEMORY: u64 = 32 << 20;

/// A copy-on-write image: reads fall through to the base, writes stay here. After a write that failed (no
/// room for the temporary file) it is good for nothing and must be dropped.
pub struct CowImage {
    base: Arc<dyn BlockRead>,
    size: u64,
    /// By first block: never overlapping.
    extents: BTreeMap<u64, Extent>,
    store: Store,
}

/// `len` blocks kept in `len` consecutive slots.
#[derive(Clone, Copy)]
struct Extent {
    len: u64,
    slot: u64,
}

/// A run of blocks that are either all changed or all as in the base.
struct Run {
    /// Number of blocks.
    len: u64,
    /// Slot of the first one, if they are changed.
    slot: Option<u64>,
}

impl CowImage {
    /// An unchanged view of `base`. Changes beyond 32 MiB go to an unlinked file in the system's
    /// directory for temporary files.
    #[must_use]
    pub fn new(base: Arc<dyn BlockRead>) -> Self {
        Self::with_spill(base, std::env::temp_dir(), MEMORY)
    }

    /// An unchanged view of `base` that keeps up to `memory` bytes of changes in memory and the rest in an
    /// unlinked file (mode 0600) in `spill_dir`, made when it is first needed.
    #[must_use]
    pub fn with_spill(base: Arc<dyn BlockRead>, spill_dir: PathBuf, memory: u64) -> Self {
        let size = base.size();
        Self { base, size, extents: BTreeMap::new(), store: Store::new(spill_dir, memory / BLOCK) }
    }

    /// Makes the image longer; what is added reads as zeros.
    ///
    /// # Errors
    /// When `size` is smaller than the image is.
    pub fn grow(&mut self, size: u64) -> io::Result<()> {
        if size < self.size {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("an image of {} bytes cannot grow to {size}", self.size),
            ));
        }
        self.size = size;
        Ok(())
    }

    /// The base it stands on.
    #[must_use]
    pub fn base(&self) -> &Arc<dyn BlockRead> {
        &self.base
    }

    /// The ranges that differ from the base, in rising order, merged, aligned to [`BLOCK`] (the last one
    /// cut at the image's end). What lies beyond the base's end and was never written is not among them.
    #[must_use]
    pub fn dirty_ranges(&self) -> Vec<ByteRange> {
        let mut merged: Vec<(u64, u64)> = Vec::new();
        for (start, extent) in &self.extents {
            let end = start + extent.len;
            match merged.last_mut() {
                Some(last) if last.1 == *start => last.1 = end,
                _ => merged.push((*start, end)),
            }
        }
        merged
            .into_iter()
            .filter_map(|(start, end)| ByteRange::new(start * BLOCK, (end * BLOCK).min(self.size)))
            .collect()
    }

    fn check(&self, offset: u64, len: usize) -> io::Result<()> {
        match offset.checked_add(len as u64) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(past_end(offset, len, self.size)),
        }
    }

    /// The run that begins at `block`, no longer than `max` blocks.
    fn run_at(&self, block: u64, max: u64) -> Run {
        let below = self.extents.range(..=block).next_back();
        if let Some((start, extent)) = below
            && block - start < extent.len
        {
            let into = block - start;
            return Run { len: max.min(extent.len - into), slot: Some(extent.slot + into) };
        }
        let next = self.extents.range(block..).next().map_or(u64::MAX, |(start, _)| *start);
        Run { len: max.min(next - block), slot: None }
    }

    /// Reads from the base; what lies beyond its end is zeros.
    fn read_base(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let there = self.base.size().saturating_sub(offset).min(buf.len() as u64) as usize;
        let (inside, beyond) = buf.split_at_mut(there);
        beyond.fill(0);
        if inside.is_empty() { Ok(()) } else { self.base.read_at(offset, inside) }
    }

    /// Gives `len` blocks from `block` on, none of them changed yet, slots; returns the first slot.
    fn add_extent(&mut self, block: u64, len: u64) -> io::Result<u64> {
        let slot = self.store.reserve(len)?;
        if let Some((start, extent)) = self.extents.range_mut(..block).next_back()
            && start + extent.len == block
            && extent.slot + extent.len == slot
        {
            extent.len += len;
        } else {
            self.extents.insert(block, Extent { len, slot });
        }
        Ok(slot)
    }

    /// Writes whole blocks, all of them unchanged so far.
    fn write_new(&mut self, block: u64, data: &[u8]) -> io::Result<()> {
        let slot = self.add_extent(block, data.len() as u64 / BLOCK)?;
        self.store.write(slot * BLOCK, data)
    }

    /// Writes part of one block, unchanged so far.
    fn write_part(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let block = offset / BLOCK;
        let mut whole = [0; BLOCK as usize];
        self.read_base(block * BLOCK, &mut whole)?;
        let at = (offset % BLOCK) as usize;
        whole[at..at + data.len()].copy_from_slice(data);
        self.write_new(block, &whole)
    }

    /// Writes a first piece of `data`; returns how long it was.
    fn write_piece(&mut self, offset: u64, data: &[u8]) -> io::Result<usize> {
        let (block, within) = (offset / BLOCK, offset % BLOCK);
        let run = self.run_at(block, (within + data.len() as u64).div_ceil(BLOCK));
        let len = data.len().min((run.len * BLOCK - within) as usize);
        if let Some(slot) = run.slot {
            self.store.write(slot * BLOCK + within, &data[..len])?;
            return Ok(len);
        }
        if within != 0 || len < BLOCK as usize {
            let len = len.min((BLOCK - within) as usize);
            self.write_part(offset, &data[..len])?;
            return Ok(len);
        }
        let len = len - len % BLOCK as usize;
        self.write_new(block, &data[..len])?;
        Ok(len)
    }
}

impl BlockRead for CowImage {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.check(offset, buf.len())?;
        let (mut offset, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let within = offset % BLOCK;
            let run = self.run_at(offset / BLOCK, (within + rest.len() as u64).div_ceil(BLOCK));
            let len = (run.len * BLOCK - within).min(rest.len() as u64);
            let (piece, after) = rest.split_at_mut(len as usize);
            match run.slot {
                Some(slot) => self.store.read(slot * BLOCK + within, piece)?,
                None => self.read_base(offset, piece)?,
            }
            (offset, rest) = (offset + len, after);
        }
        Ok(())
    }

    fn is_hole(&self, offset: u64, len: u64) -> bool {
        let Some(range) = ByteRange::with_len(offset, len).filter(|range| range.end() <= self.size) else {
            return false;
        };
        let blocks = range.end().div_ceil(BLOCK) - offset / BLOCK;
        let run = self.run_at(offset / BLOCK, blocks);
        let in_base = self.base.size().saturating_sub(offset).min(len);
        run.slot.is_none() && run.len == blocks && (in_base == 0 || self.base.is_hole(offset, in_base))
    }
}

impl BlockWrite for CowImage {
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check(offset, data.len())?;
        let (mut offset, mut rest) = (offset, data);
        while !rest.is_empty() {
            let len = self.write_piece(offset, rest)?;
            (offset, rest) = (offset + len as u64, &rest[len..]);
        }
        Ok(())
    }
}

/// Slots of one block each, addressed by byte.
struct Store {
    /// Grown in pieces of [`CHUNK`], so that nothing is copied when it grows.
    memory: Vec<Box<[u8]>>,
    memory_slots: u64,
    spill_dir: PathBuf,
    spill: Option<File>,
    slots: u64,
}

/// Size of a piece of memory, in bytes: a multiple of [`BLOCK`].
const CHUNK: u64 = 1 << 20;

impl Store {
    fn new(spill_dir: PathBuf, memory_slots: u64) -> Self {
        Self { memory: Vec::new(), memory_slots, spill_dir, spill: None, slots: 0 }
    }

    /// Reserves `len` consecutive slots; returns the first.
    fn reserve(&mut self, len: u64) -> io::Result<u64> {
        let first = self.slots;
        let end = first + len;
        let bytes = end.min(self.memory_slots) * BLOCK;
        while (self.memory.len() as u64) * CHUNK < bytes {
            self.memory.push(vec![0; CHUNK as usize].into_boxed_slice());
        }
        if end > self.memory_slots && self.spill.is_none() {
            let file = tempfile::tempfile_in(&self.spill_dir).map_err(|error| {
                let dir = self.spill_dir.display();
                io::Error::new(error.kind(), format!("making a temporary file in {dir}: {error}"))
            })?;
            self.spill = Some(file);
        }
        self.slots = end;
        Ok(first)
    }

    /// Length of the part of `len` bytes at `at` that lies in one piece of memory, or `None` when `at`
    /// lies in the file.
    fn piece(&self, at: u64, len: usize) -> Option<usize> {
        let in_memory = (self.memory_slots * BLOCK).checked_sub(at).filter(|left| *left > 0)?;
        Some((CHUNK - at % CHUNK).min(in_memory).min(len as u64) as usize)
    }

    fn spilled(&self) -> io::Result<&File> {
        self.spill.as_ref().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn read(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        let (mut at, mut rest) = (at, buf);
        while let Some(len) = self.piece(at, rest.len()).filter(|len| *len > 0) {
            let start = (at % CHUNK) as usize;
            let (piece, after) = rest.split_at_mut(len);
            piece.copy_from_slice(&self.memory[(at / CHUNK) as usize][start..start + len]);
            (at, rest) = (at + len as u64, after);
        }
        if rest.is_empty() {
            return Ok(());
        }
        self.spilled()?.read_exact_at(rest, at - self.memory_slots * BLOCK)
    }

    fn write(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        let (mut at, mut rest) = (at, data);
        while let Some(len) = self.piece(at, rest.len()).filter(|len| *len > 0) {
            let start = (at % CHUNK) as usize;
            self.memory[(at / CHUNK) as usize][start..start + len].copy_from_slice(&rest[..len]);
            (at, rest) = (at + len as u64, &rest[len..]);
        }
        if rest.is_empty() {
            return Ok(());
        }
        self.spilled()?.write_all_at(rest, at - self.memory_slots * BLOCK)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{BLOCK, CowImage};
    use crate::disk::block::{BlockRead, BlockWrite};

    /// Bytes whose odd blocks are holes.
    struct Holey(Vec<u8>);

    impl BlockRead for Holey {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
            self.0.read_at(offset, buf)
        }

        fn is_hole(&self, offset: u64, len: u64) -> bool {
            (offset / BLOCK..(offset + len).div_ceil(BLOCK)).all(|block| block % 2 == 1)
        }
    }

    fn filled(rng: &mut fastrand::Rng, len: usize) -> Vec<u8> {
        std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
    }

    fn compare(cow: &CowImage, model: &[u8], base: &[u8]) {
        let mut all = vec![0; model.len()];
        cow.read_at(0, &mut all).unwrap();
        assert!(all == model, "content differs");
        let dirty = cow.dirty_ranges();
        assert!(dirty.windows(2).all(|pair| pair[0].end() < pair[1].start()), "rising and merged");
        for (index, (now, was)) in model.chunks(BLOCK as usize).zip(base.chunks(BLOCK as usize)).enumerate() {
            let at = index as u64 * BLOCK;
            let is_dirty = dirty.iter().any(|range| range.start() <= at && at < range.end());
            assert!(is_dirty || now == was, "block {index} differs and is not dirty");
        }
    }

    #[test]
    fn does_what_a_vector_does() {
        for seed in 0..24 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let len = rng.usize(1..60 * BLOCK as usize);
            let base = filled(&mut rng, len);
            // A small memory, so that slots on both sides of the spill are exercised, runs across it too.
            let memory = rng.u64(0..40) * BLOCK;
            let mut cow = CowImage::with_spill(Arc::new(base.clone()), std::env::temp_dir(), memory);
            let (mut model, mut grown) = (base.clone(), base);
            for _ in 0..300 {
                let at = rng.usize(0..model.len());
                let len = rng.usize(0..=(model.len() - at).min(6 * BLOCK as usize));
                match rng.u8(0..20) {
                    0 if model.len() < 90 * BLOCK as usize => {
                        let size = model.len() + rng.usize(0..5 * BLOCK as usize);
                        cow.grow(size as u64).unwrap();
                        model.resize(size, 0);
                        grown.resize(size, 0);
                    }
                    1..=9 => {
                        let mut buf = vec![0xA5; len];
                        cow.read_at(at as u64, &mut buf).unwrap();
                        assert_eq!(buf, model[at..at + len]);
                    }
                    _ => {
                        let data = filled(&mut rng, len);
                        cow.write_at(at as u64, &data).unwrap();
                        model[at..at + len].copy_from_slice(&data);
                    }
                }
            }
            compare(&cow, &model, &grown);
        }
    }

    #[test]
    fn says_what_changed_and_nothing_more() {
        let mut cow = CowImage::new(Arc::new(vec![7; 10 * BLOCK as usize + 100]));
        cow.grow(20 * BLOCK).unwrap();
        cow.write_at(3 * BLOCK + 5, b"x").unwrap();
        cow.write_at(5 * BLOCK - 1, b"yz").unwrap();
        cow.write_at(20 * BLOCK - 1, b"e").unwrap();
        let dirty: Vec<_> = cow.dirty_ranges().iter().map(|r| (r.start() / BLOCK, r.end() / BLOCK)).collect();
        assert_eq!(dirty, [(3, 6), (19, 20)]);
    }

    #[test]
    fn knows_holes_of_the_base_and_of_the_grown_tail() {
        let mut cow = CowImage::new(Arc::new(Holey(vec![0; 4 * BLOCK as usize])));
        cow.grow(8 * BLOCK).unwrap();
        assert!(!cow.is_hole(0, BLOCK));
        assert!(cow.is_hole(BLOCK, BLOCK));
        assert!(cow.is_hole(3 * BLOCK, 5 * BLOCK), "the last hole of the base and the tail");
        assert!(!cow.is_hole(2 * BLOCK, 6 * BLOCK));
        assert!(!cow.is_hole(8 * BLOCK, 1), "nothing is there");
        cow.write_at(6 * BLOCK, b"x").unwrap();
        assert!(!cow.is_hole(3 * BLOCK, 5 * BLOCK));
        assert!(cow.is_hole(4 * BLOCK, 2 * BLOCK));
    }

    #[test]
    fn refuses_what_passes_the_end_and_shrinking() {
        let mut cow = CowImage::new(Arc::new(vec![0; 100]));
        assert!(cow.write_at(99, b"ab").is_err());
        assert!(cow.write_at(u64::MAX, b"ab").is_err());
        assert!(cow.read_at(100, &mut [0]).is_err());
        assert!(cow.grow(99).is_err());
        assert!(cow.dirty_ranges().is_empty());
    }

    #[test]
    fn says_where_no_temporary_file_could_be_made() {
        let nowhere = std::path::PathBuf::from("/nonexistent/spill");
        let mut cow = CowImage::with_spill(Arc::new(vec![0; 1 << 16]), nowhere, 2 * BLOCK);
        cow.write_at(0, &[1; 2 * BLOCK as usize]).unwrap();
        let error = cow.write_at(3 * BLOCK, b"x").unwrap_err();
        assert!(error.to_string().contains("/nonexistent/spill"), "{error}");
    }
}
