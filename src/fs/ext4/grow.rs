//! Growing into a larger partition, as `resize2fs` does on an unmounted filesystem: the last group is filled
//! up, new groups follow, and the descriptors' table grows into the blocks reserved behind it.

use std::io;

use super::super::error::FsError;
use super::bitmap::Bitmap;
use super::features::{COMPAT_RESIZE_INODE, INCOMPAT_64BIT};
use super::geometry::Geometry;
use super::group::{Descriptor, Group, INODE_UNINIT, INODE_ZEROED};
use super::store::{Store, metadata_of};
use crate::disk::block::{BlockRead, BlockWrite};

/// What a group must have beyond its metadata to be worth making: the number resize2fs uses.
const LEAST_USE: u32 = 50;
/// Bytes written at once when a stretch is filled with zeros.
const CHUNK: u64 = 1 << 20;

/// Where a group's bitmaps and table go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Places {
    block_bitmap: u64,
    inode_bitmap: u64,
    inode_table: u64,
}

/// A growth that can be carried out.
pub(super) struct Growth {
    geometry: Geometry,
    /// Of the new groups, in order.
    places: Vec<Places>,
}

impl<D: BlockRead> Store<D> {
    /// Plans growing to a partition of `new_size` bytes; `None` when there is nothing to gain.
    pub(super) fn plan_growth(&self, new_size: u64) -> Result<Option<Growth>, FsError> {
        if self.device.size() < new_size {
            let what = format!("growing to {new_size} bytes on a medium of {}", self.device.size());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what).into());
        }
        let mut geometry = self.geometry.clone();
        geometry.blocks = new_size / u64::from(geometry.block_size);
        self.check_target(&geometry)?;
        self.drop_tiny_group(&mut geometry);
        if geometry.blocks <= self.geometry.blocks {
            return Ok(None);
        }
        let more = geometry.descriptor_blocks() - self.geometry.descriptor_blocks();
        let reserved = geometry.reserved_descriptor_blocks.checked_sub(more).ok_or_else(|| {
            FsError::unsupported(format!(
                "a table of groups with room for {} more blocks where {more} are needed (the running system's \
                 resize2fs can move it)",
                self.geometry.reserved_descriptor_blocks
            ))
        })?;
        geometry.reserved_descriptor_blocks = reserved;
        let places = place_groups(&geometry, self.geometry.groups())?;
        Ok(Some(Growth { geometry, places }))
    }

    fn check_target(&self, target: &Geometry) -> Result<(), FsError> {
        if target.blocks < self.geometry.blocks {
            let what =
                format!("growing to {} blocks a filesystem of {}", target.blocks, self.geometry.blocks);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what).into());
        }
        // With a resize inode, too: it holds 32-bit block numbers.
        let narrow = !self.superblock.features().has_incompat(INCOMPAT_64BIT)
            || self.superblock.features().has_compat(COMPAT_RESIZE_INODE);
        let groups =
            (target.blocks - u64::from(target.first_data_block)).div_ceil(u64::from(target.blocks_per_group));
        if narrow && target.blocks > u64::from(u32::MAX) {
            return Err(FsError::unsupported("32-bit block numbers, too small for the new size"));
        }
        if groups.saturating_mul(u64::from(target.inodes_per_group)) > u64::from(u32::MAX) {
            return Err(FsError::unsupported(
                "so many inodes per group that the new size has more than 2^32",
            ));
        }
        Ok(())
    }

    /// Leaves out a last group that would be little more than its own metadata.
    fn drop_tiny_group(&self, geometry: &mut Geometry) {
        let last = geometry.groups() - 1;
        let own = geometry.head_blocks(last) + 2 + geometry.inode_table_blocks();
        if last >= self.geometry.groups() && geometry.group_blocks(last) < own + LEAST_USE {
            geometry.blocks = geometry.group_start(last);
        }
    }
}

/// Finds places for the bitmaps and tables of the groups from `first` on. Those of a flex group lie together
/// at the start of its first new group; where they do not fit like that, each group holds its own.
fn place_groups(geometry: &Geometry, first: u32) -> Result<Vec<Places>, FsError> {
    let mut places = Vec::new();
    let mut from = first;
    while from < geometry.groups() {
        let flex = geometry.groups_per_flex;
        let to = (from / flex + 1).saturating_mul(flex).min(geometry.groups());
        if let Some(together) = place_together(geometry, from, to) {
            places.extend(together);
        } else {
            for group in from..to {
                let own = place_together(geometry, group, group + 1);
                places.extend(
                    own.ok_or_else(|| FsError::unsupported("groups too small for their own tables"))?,
                );
            }
        }
        from = to;
    }
    Ok(places)
}

/// Packs bitmaps, then tables of the groups `from..to` into those groups, behind what they begin with.
fn place_together(geometry: &Geometry, from: u32, to: u32) -> Option<Vec<Places>> {
    let mut group = from;
    let mut at = geometry.group_start(group) + u64::from(geometry.head_blocks(group));
    let mut take = |len: u32| {
        while at + u64::from(len) > geometry.group_start(group) + u64::from(geometry.group_blocks(group)) {
            group += 1;
            if group >= to {
                return None;
            }
            at = geometry.group_start(group) + u64::from(geometry.head_blocks(group));
        }
        at += u64::from(len);
        Some(at - u64::from(len))
    };
    let block_bitmaps: Vec<u64> = (from..to).map(|_| take(1)).collect::<Option<_>>()?;
    let inode_bitmaps: Vec<u64> = (from..to).map(|_| take(1)).collect::<Option<_>>()?;
    let tables: Vec<u64> = (from..to).map(|_| take(geometry.inode_table_blocks())).collect::<Option<_>>()?;
    let all = block_bitmaps.into_iter().zip(inode_bitmaps).zip(tables);
    Some(
        all.map(|((block_bitmap, inode_bitmap), inode_table)| Places {
            block_bitmap,
            inode_bitmap,
            inode_table,
        })
        .collect(),
    )
}

impl<D: BlockWrite> Store<D> {
    /// Carries out a growth; descriptors, superblock and their copies follow when the store is flushed.
    pub(super) fn apply_growth(&mut self, growth: &Growth) -> Result<(), FsError> {
        let (old_groups, old_blocks) = (self.geometry.groups(), self.geometry.blocks);
        self.fill_last_group(&growth.geometry)?;
        for places in &growth.places {
            let mut descriptor = Descriptor::new(vec![0; growth.geometry.descriptor_size as usize]);
            descriptor.set_places(places.block_bitmap, places.inode_bitmap, places.inode_table);
            self.groups.push(Group::new(descriptor));
        }
        self.geometry = growth.geometry.clone();
        self.metadata = metadata_of(&self.geometry, &self.groups)?;
        for number in old_groups..self.geometry.groups() {
            self.initialise_group(number)?;
        }
        if self.superblock.features().has_compat(COMPAT_RESIZE_INODE) {
            self.rebuild_resize_inode()?;
        }
        self.superblock.set_grown(&self.geometry, old_blocks);
        self.changed = true;
        self.grown = true;
        Ok(())
    }

    fn fill_last_group(&mut self, geometry: &Geometry) -> Result<(), FsError> {
        let last = self.geometry.groups() - 1;
        let (old, new) = (self.geometry.group_blocks(last), geometry.group_blocks(last));
        if new > old {
            self.block_bitmap_mut(last)?.extend(new);
            self.groups[last as usize].longest_free = u32::MAX;
            self.count_free_blocks(last, i64::from(new - old));
        }
        Ok(())
    }

    fn initialise_group(&mut self, number: u32) -> Result<(), FsError> {
        let (start, head) = (self.geometry.group_start(number), self.geometry.head_blocks(number));
        if head > 0 {
            let reserved = self.geometry.reserved_descriptor_blocks;
            self.write_zeros(start + u64::from(head - reserved), reserved)?;
        }
        let table_blocks = self.geometry.inode_table_blocks();
        let per_group = self.geometry.inodes_per_group;
        let bitmap = self.made_up_blocks(number);
        let uninit = self.has_uninit_groups();
        let table = self.groups[number as usize].descriptor.inode_table();
        if !uninit {
            self.write_zeros(table, table_blocks)?;
        }
        let zeroed = self.is_zero(table, table_blocks);
        let group = &mut self.groups[number as usize];
        let free = bitmap.count_free();
        group.blocks = Some(bitmap);
        group.blocks_changed = true;
        group.changed = true;
        if uninit {
            // The kernel fills a table with zeros on its own some time after mounting, unless told that it
            // holds nothing else already.
            group.descriptor.set(if zeroed { INODE_UNINIT | INODE_ZEROED } else { INODE_UNINIT });
            group.descriptor.set_unused_inodes(per_group);
        } else {
            group.inodes = Some(Bitmap::free(per_group, self.geometry.block_size));
            group.inodes_changed = true;
        }
        self.count_free_blocks(number, i64::from(free));
        self.count_free_inodes(number, i32::try_from(per_group).unwrap_or(i32::MAX), false);
        Ok(())
    }

    /// Whether blocks are known to be zero.
    fn is_zero(&self, start: u64, blocks: u32) -> bool {
        let size = u64::from(self.geometry.block_size);
        self.device.is_hole(start * size, u64::from(blocks) * size)
    }

    fn write_zeros(&mut self, start: u64, blocks: u32) -> Result<(), FsError> {
        let size = u64::from(self.geometry.block_size);
        if self.is_zero(start, blocks) {
            return Ok(());
        }
        let (mut at, end) = (start * size, (start + u64::from(blocks)) * size);
        let zeros = vec![0; CHUNK.min(end - at) as usize];
        while at < end {
            let count = (end - at).min(CHUNK);
            self.device.write_at(at, &zeros[..count as usize])?;
            at += count;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::geometry::tests::of_groups;
    use super::{Places, place_groups, place_together};

    #[test]
    fn a_flex_group_lies_together() {
        let geometry = of_groups(40);
        let places = place_groups(&geometry, 20).unwrap();
        assert_eq!(places.len(), 20);
        // Group 20 begins with nothing, 25 and 27 with copies of the superblock, which are out of the way.
        let start = geometry.group_start(20);
        assert_eq!(
            places[1],
            Places { block_bitmap: start + 1, inode_bitmap: start + 13, inode_table: start + 24 + 512 }
        );
        assert_eq!(places[12].block_bitmap, geometry.group_start(32));
    }

    #[test]
    fn what_does_not_fit_together_lies_apart() {
        let mut geometry = of_groups(3);
        geometry.groups_per_flex = 1;
        let apart = place_groups(&geometry, 1).unwrap();
        assert_eq!(apart[0].block_bitmap, geometry.group_start(1) + 12);
        assert_eq!(apart[1].block_bitmap, geometry.group_start(2));
        geometry.inodes_per_group = 32768 * 16 - 16 * 2;
        assert_eq!(place_together(&geometry, 2, 3).map(|places| places[0].inode_table), Some(2 * 32768 + 2));
        geometry.inodes_per_group += 16;
        assert_eq!(place_together(&geometry, 2, 3), None);
        assert!(place_groups(&geometry, 2).is_err());
    }
}
