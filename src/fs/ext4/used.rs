//! What of a filesystem is in use, and since when.

use super::super::error::FsError;
use super::inode::{Inode, ROOT};
use super::store::Store;
use crate::disk::block::BlockRead;
use crate::disk::range::ByteRange;

/// Inodes read at once.
const BATCH: u32 = 512;

impl<D: BlockRead> Store<D> {
    /// The bytes in use, in rising order, merged: superblocks, tables and everything allocated. Every bitmap
    /// is compared with the counts in its descriptor, and these with the superblock's.
    pub(super) fn used_ranges(&self) -> Result<Vec<ByteRange>, FsError> {
        self.check_counts()?;
        let mut stretches: Vec<(u64, u64)> = Vec::new();
        if self.geometry.first_data_block > 0 {
            // In front of the superblock's block no bitmap says anything; a boot loader may lie there.
            stretches.push((0, u64::from(self.geometry.first_data_block)));
        }
        for group in 0..self.geometry.groups() {
            self.inode_bitmap(group)?;
            let first = self.geometry.group_start(group);
            for (start, len) in self.block_bitmap(group)?.set_runs(0) {
                let (start, len) = (first + u64::from(start), u64::from(len));
                match stretches.last_mut() {
                    Some((last, own)) if *last + *own == start => *own += len,
                    _ => stretches.push((start, len)),
                }
            }
        }
        let size = u64::from(self.geometry.block_size);
        let ranges = stretches.into_iter().map(|(start, len)| ByteRange::with_len(start * size, len * size));
        Ok(ranges.flatten().collect())
    }

    /// The newest modification time of all files, seconds since 1970.
    pub(super) fn newest_mtime(&self) -> Result<i64, FsError> {
        let mut newest = 0;
        for group in 0..self.geometry.groups() {
            for (start, len) in self.inode_bitmap(group)?.set_runs(0) {
                let mut at = start;
                while at < start + len {
                    let count = BATCH.min(start + len - at);
                    let first = group * self.geometry.inodes_per_group + at + 1;
                    newest = newest.max(self.newest_of(first, count)?);
                    at += count;
                }
            }
        }
        Ok(newest)
    }

    /// Of `count` inodes in a row, all in one group.
    fn newest_of(&self, first: u32, count: u32) -> Result<i64, FsError> {
        let size = self.geometry.inode_size as usize;
        let mut table = vec![0; count as usize * size];
        self.device.read_at(self.inode_offset(first)?, &mut table)?;
        let mut newest = 0;
        for (number, raw) in (first..).zip(table.chunks_exact(size)) {
            if number < self.geometry.first_inode && number != ROOT {
                continue;
            }
            let inode = self.check_inode(Inode::new(number, raw.to_vec()))?;
            if inode.links() > 0 {
                newest = newest.max(inode.mtime());
            }
        }
        Ok(newest)
    }
}
