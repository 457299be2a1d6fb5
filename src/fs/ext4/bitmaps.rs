//! Reading the bitmaps of a group, or making up those that were never written.

use super::super::error::FsError;
use super::bitmap::Bitmap;
use super::group::{BLOCK_UNINIT, INODE_UNINIT};
use super::store::Store;
use crate::disk::block::BlockRead;

impl<D: BlockRead> Store<D> {
    /// The block bitmap of a group as it is now, checked against descriptor and metadata.
    pub(super) fn block_bitmap(&self, number: u32) -> Result<Bitmap, FsError> {
        let group = &self.groups[number as usize];
        if let Some(bitmap) = &group.blocks {
            return Ok(bitmap.clone());
        }
        let bitmap = match self.written_block_bitmap(number)? {
            None => self.made_up_blocks(number),
            Some(bytes) => {
                let covered = (self.geometry.blocks_per_group / 8) as usize;
                let sum = self.sums.of_bitmap(&bytes[..covered]);
                if self.sums.on_metadata() && !group.descriptor.block_bitmap_sum_is(sum) {
                    return Err(damaged(number, "the block bitmap's checksum does not match"));
                }
                Bitmap::from_bytes(&bytes, self.geometry.group_blocks(number))
            }
        };
        if self.metadata_in(number).any(|(start, len)| bitmap.uniform(start, len) != Some(true)) {
            return Err(damaged(number, "the block bitmap shows metadata as free"));
        }
        let (noted, counted) = (group.descriptor.free_blocks(), bitmap.count_free());
        if noted != counted {
            let what = format!("the descriptor counts {noted} free blocks, the bitmap {counted}");
            return Err(damaged(number, &what));
        }
        Ok(bitmap)
    }

    /// The bytes of a group's block bitmap as they are on the medium; `None` when they were never written.
    pub(super) fn written_block_bitmap(&self, number: u32) -> Result<Option<Vec<u8>>, FsError> {
        let descriptor = &self.groups[number as usize].descriptor;
        if self.has_uninit_groups() && descriptor.has(BLOCK_UNINIT) {
            return Ok(None);
        }
        self.read_block(descriptor.block_bitmap(), || format!("group {number}: the block bitmap")).map(Some)
    }

    /// The inode bitmap of a group as it is now, checked against its descriptor.
    pub(super) fn inode_bitmap(&self, number: u32) -> Result<Bitmap, FsError> {
        let group = &self.groups[number as usize];
        if let Some(bitmap) = &group.inodes {
            return Ok(bitmap.clone());
        }
        let bits = self.geometry.inodes_per_group;
        let bitmap = if self.has_uninit_groups() && group.descriptor.has(INODE_UNINIT) {
            Bitmap::free(bits, self.geometry.block_size)
        } else {
            let bytes = self.read_block(group.descriptor.inode_bitmap(), || {
                format!("group {number}: the inode bitmap")
            })?;
            let sum = self.sums.of_bitmap(&bytes[..(bits / 8) as usize]);
            if self.sums.on_metadata() && !group.descriptor.inode_bitmap_sum_is(sum) {
                return Err(damaged(number, "the inode bitmap's checksum does not match"));
            }
            Bitmap::from_bytes(&bytes, bits)
        };
        let (noted, counted) = (group.descriptor.free_inodes(), bitmap.count_free());
        if noted != counted {
            let what = format!("the descriptor counts {noted} free inodes, the bitmap {counted}");
            return Err(damaged(number, &what));
        }
        Ok(bitmap)
    }

    /// The block bitmap of a group to be changed: held from now on, and no longer UNINIT.
    pub(super) fn block_bitmap_mut(&mut self, number: u32) -> Result<&mut Bitmap, FsError> {
        let bitmap = match self.groups[number as usize].blocks.take() {
            Some(bitmap) => bitmap,
            None => self.block_bitmap(number)?,
        };
        let uninit = self.has_uninit_groups();
        let group = &mut self.groups[number as usize];
        if uninit {
            group.descriptor.clear(BLOCK_UNINIT);
        }
        group.blocks_changed = true;
        group.changed = true;
        self.changed = true;
        Ok(group.blocks.insert(bitmap))
    }

    /// The inode bitmap of a group to be changed: held from now on, and no longer UNINIT.
    pub(super) fn inode_bitmap_mut(&mut self, number: u32) -> Result<&mut Bitmap, FsError> {
        let bitmap = match self.groups[number as usize].inodes.take() {
            Some(bitmap) => bitmap,
            None => self.inode_bitmap(number)?,
        };
        let uninit = self.has_uninit_groups();
        let group = &mut self.groups[number as usize];
        if uninit {
            group.descriptor.clear(INODE_UNINIT);
        }
        group.inodes_changed = true;
        group.changed = true;
        self.changed = true;
        Ok(group.inodes.insert(bitmap))
    }

    /// The bitmap of a group in which nothing but metadata is used. With `flex_bg` that can be other
    /// groups' metadata.
    pub(super) fn made_up_blocks(&self, number: u32) -> Bitmap {
        let mut bitmap = Bitmap::free(self.geometry.group_blocks(number), self.geometry.block_size);
        for (start, len) in self.metadata_in(number) {
            bitmap.mark(start, len, true);
        }
        bitmap
    }

    /// The parts of a group that hold metadata of fixed place, as bits of its bitmap.
    pub(super) fn metadata_in(&self, number: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        let start = self.geometry.group_start(number);
        let end = start + u64::from(self.geometry.group_blocks(number));
        let first = self.metadata.partition_point(|(at, len)| at + len <= start);
        self.metadata[first..].iter().take_while(move |(at, _)| *at < end).map(move |(at, len)| {
            let (from, to) = ((*at).max(start), (at + len).min(end));
            // Both lie in the group, which has at most 2^17 blocks.
            ((from - start) as u32, (to - from) as u32)
        })
    }

    /// Whether a stretch of blocks touches metadata of fixed place.
    pub(super) fn touches_metadata(&self, start: u64, len: u64) -> bool {
        let first = self.metadata.partition_point(|(at, len)| at + len <= start);
        self.metadata.get(first).is_some_and(|(at, _)| *at < start + len)
    }
}

fn damaged(group: u32, what: &str) -> FsError {
    FsError::corrupt(format!("group {group}: {what}; run e2fsck"))
}
