//! Which bytes of a filesystem are in use, by its bitmaps.
//!
//! - Superblocks, descriptors, bitmaps and inode tables count whole, never-used parts of a table included:
//!   e2fsck reads them as soon as a descriptor's checksum fails, and they make 1.6 % of a filesystem.
//! - A group whose bitmap contradicts its descriptor, its checksum or the places of metadata counts whole.
//! - With a journal that was not replayed, a block is in use when the medium's bitmap or any copy of that
//!   bitmap in the journal says so: the replay ends at one of them, and files were written before the
//!   transaction that says where they are.
//! - A filesystem that says of itself that something went wrong counts whole.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};

use super::super::error::FsError;
use super::super::path::FsPath;
use super::super::usage::{Remark, Usage};
use super::bitmap::Bitmap;
use super::features::Purpose;
use super::journal::Journal;
use super::log::{Kind, Logged};
use super::store::Store;
use super::superblock::{OFFSET, SIZE, Superblock};
use crate::disk::block::BlockRead;
use crate::disk::range::ByteRange;

/// What of the filesystem that fills `device` is in use, its journal replayed or not. Of `swap_files`, those
/// that are swap files keep their header only.
///
/// # Errors
/// `Corrupt`, `Unsupported` (bigalloc, unknown features) or `NotClean` when nothing can be said, and
/// everything must be taken for used; or a read error.
pub fn usage<D: BlockRead>(device: D, swap_files: &[FsPath]) -> Result<Usage, FsError> {
    let store = Store::open(device, Purpose::Survey)?;
    let mut usage = store.usage()?;
    if !usage.remarks.iter().any(|remark| matches!(remark, Remark::Unreplayed { .. })) {
        for path in swap_files {
            store.leave_out_swap(path, &mut usage)?;
        }
    }
    Ok(usage)
}

impl<D: BlockRead> Store<D> {
    /// What is in use, changes that were not written yet included.
    pub(super) fn usage(&self) -> Result<Usage, FsError> {
        let size = self.geometry.blocks * u64::from(self.geometry.block_size);
        if let Some(why) = self.superblock.distrust() {
            let remarks = vec![Remark::Mismatch { what: why.to_owned() }];
            return Ok(Usage { size, ranges: ByteRange::with_len(0, size).into_iter().collect(), remarks });
        }
        let pending = self.pending()?;
        let mut survey = Survey { store: self, stretches: Vec::new(), remarks: Vec::new() };
        if pending.blocks > 0 {
            survey.remarks.push(Remark::Unreplayed { blocks: pending.blocks });
        }
        // In front of the superblock's block no bitmap says anything; a boot loader may lie there.
        survey.add(0, u64::from(self.geometry.first_data_block));
        for group in 0..self.geometry.groups() {
            survey.look_at(group, &pending)?;
        }
        // The kernel writes the superblock's counts only when it unmounts.
        if !self.superblock.needs_recovery() && pending.blocks == 0 {
            survey.note(self.check_counts())?;
        }
        let block = u64::from(self.geometry.block_size);
        let bytes = |(start, len): (u64, u64)| ByteRange::with_len(start * block, len * block);
        let ranges = survey.stretches.into_iter().filter_map(bytes).collect();
        Ok(Usage { size, ranges, remarks: survey.remarks })
    }

    /// What the journal has to say about bitmaps.
    fn pending(&self) -> Result<Pending, FsError> {
        let journal = match self.journal() {
            Ok(journal) => journal,
            // One that must be replayed is needed, one that need not is not.
            Err(error) if self.superblock.needs_recovery() => return Err(error),
            Err(FsError::Io(error)) => return Err(error.into()),
            Err(_) => None,
        };
        let mut pending = Pending::default();
        let Some(journal) = journal.filter(|journal| !journal.is_empty()) else { return Ok(pending) };
        let records = self.records();
        self.walk_log(&journal, &mut |record| {
            if let Kind::Copies(copies) = record.kind {
                for copy in copies {
                    self.note_copy(&journal, &copy, &records, &mut pending)?;
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(pending)
    }

    fn note_copy(
        &self,
        journal: &Journal,
        copy: &Logged,
        records: &BTreeMap<u64, (Range<u32>, bool)>,
        pending: &mut Pending,
    ) -> Result<(), FsError> {
        pending.blocks += 1;
        if copy.target == u64::from(self.geometry.first_data_block) {
            self.check_logged_superblock(&self.read_logged(journal, copy)?)?;
        }
        let Some((groups, is_bitmap)) = records.get(&copy.target) else { return Ok(()) };
        pending.groups.extend(groups.clone());
        if *is_bitmap {
            let bits = self.geometry.group_blocks(groups.start);
            let copy = Bitmap::from_bytes(&self.read_logged(journal, copy)?, bits);
            let all = pending.bitmaps.entry(groups.start);
            all.and_modify(|all| all.absorb(&copy)).or_insert(copy);
        }
        Ok(())
    }

    /// The blocks that say what is in use: of which groups, and whether it is a block bitmap.
    fn records(&self) -> BTreeMap<u64, (Range<u32>, bool)> {
        let (groups, each) = (self.geometry.groups(), self.geometry.descriptors_per_block());
        let tables = (0..self.geometry.descriptor_blocks()).map(|index| {
            let first = index * each;
            (self.geometry.descriptor_block(index), (first..groups.min(first.saturating_add(each)), false))
        });
        let bitmaps = (0..groups).zip(&self.groups).flat_map(|(number, group)| {
            let own = number..number + 1;
            [
                (group.descriptor.inode_bitmap(), (own.clone(), false)),
                (group.descriptor.block_bitmap(), (own, true)),
            ]
        });
        tables.chain(bitmaps).collect()
    }

    /// Refuses a journal that makes the filesystem larger: the groups it gets are not known yet.
    fn check_logged_superblock(&self, block: &[u8]) -> Result<(), FsError> {
        let at = (OFFSET % u64::from(self.geometry.block_size)) as usize;
        let mut raw = [0; SIZE];
        raw.copy_from_slice(&block[at..at + SIZE]);
        if Superblock::parse(raw).is_ok_and(|logged| logged.blocks() != self.geometry.blocks) {
            let why = "its journal holds a change of its size; boot it once or run e2fsck on it".to_owned();
            return Err(FsError::NotClean { why });
        }
        Ok(())
    }
}

/// What a journal will change.
#[derive(Default)]
struct Pending {
    /// Copies of blocks.
    blocks: usize,
    /// Groups whose records are not all in their places, so that they need not agree.
    groups: BTreeSet<u32>,
    /// What any copy of a group's bitmap shows as used.
    bitmaps: BTreeMap<u32, Bitmap>,
}

struct Survey<'a, D> {
    store: &'a Store<D>,
    /// What is in use, as first block and length, in rising order and merged.
    stretches: Vec<(u64, u64)>,
    remarks: Vec<Remark>,
}

impl<D: BlockRead> Survey<'_, D> {
    fn look_at(&mut self, group: u32, pending: &Pending) -> Result<(), FsError> {
        let bitmap = if pending.groups.contains(&group) {
            let mut bitmap = self.unchecked(group)?;
            if let Some(copies) = pending.bitmaps.get(&group) {
                bitmap.absorb(copies);
            }
            bitmap
        } else {
            let checked = self.store.inode_bitmap(group).map(drop);
            self.note(checked)?;
            match self.store.block_bitmap(group) {
                Err(FsError::Corrupt { what }) => {
                    self.remarks.push(Remark::Mismatch { what });
                    self.full(group)
                }
                checked => checked?,
            }
        };
        let first = self.store.geometry.group_start(group);
        for (start, len) in bitmap.set_runs(0) {
            self.add(first + u64::from(start), u64::from(len));
        }
        Ok(())
    }

    /// A group's bitmap as it is, with metadata of fixed place.
    fn unchecked(&self, group: u32) -> Result<Bitmap, FsError> {
        let mut bitmap = self.store.made_up_blocks(group);
        if let Some(bytes) = self.store.written_block_bitmap(group)? {
            bitmap.absorb(&Bitmap::from_bytes(&bytes, self.store.geometry.group_blocks(group)));
        }
        Ok(bitmap)
    }

    fn full(&self, group: u32) -> Bitmap {
        let (bits, block_size) = (self.store.geometry.group_blocks(group), self.store.geometry.block_size);
        let mut bitmap = Bitmap::free(bits, block_size);
        bitmap.mark(0, bits, true);
        bitmap
    }

    fn add(&mut self, start: u64, len: u64) {
        match self.stretches.last_mut() {
            Some((last, own)) if *last + *own == start => *own += len,
            _ if len > 0 => self.stretches.push((start, len)),
            _ => {}
        }
    }

    /// Keeps a contradiction; other errors go on.
    fn note(&mut self, checked: Result<(), FsError>) -> Result<(), FsError> {
        match checked {
            Err(FsError::Corrupt { what }) => {
                self.remarks.push(Remark::Mismatch { what });
                Ok(())
            }
            other => other,
        }
    }
}
