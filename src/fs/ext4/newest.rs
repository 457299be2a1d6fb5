//! Since when a filesystem is as it is.

use super::super::error::FsError;
use super::inode::{Inode, ROOT};
use super::store::Store;
use crate::disk::block::BlockRead;

/// Inodes read at once.
const BATCH: u32 = 512;

impl<D: BlockRead> Store<D> {
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
