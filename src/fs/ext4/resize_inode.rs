//! Inode 7 owns the blocks reserved for the table of group descriptors: its doubly indirect block lists those
//! behind the first table, and each of these lists its copies in the groups with a superblock
//! (Documentation/filesystems/ext4/special_inodes.rst; e2fsprogs lib/ext2fs/res_gdt.c).

use super::super::error::FsError;
use super::bytes::{low32, put_u32, u32_at};
use super::inode::RESIZE;
use super::store::Store;
use crate::disk::block::BlockWrite;

/// The doubly indirect block's slot in the block map.
const DOUBLY_INDIRECT: usize = 13 * 4;

impl<D: BlockWrite> Store<D> {
    /// Writes the lists anew for the geometry as it is now, in the places they have always had.
    pub(super) fn rebuild_resize_inode(&mut self) -> Result<(), FsError> {
        let mut inode = self.read_inode(RESIZE)?;
        let top = u64::from(u32_at(inode.map(), DOUBLY_INDIRECT));
        let geometry = self.geometry.clone();
        geometry.check_run(top, 1, || "the resize inode".to_owned())?;
        if self.touches_metadata(top, 1) {
            return Err(FsError::corrupt("the resize inode's list lies on other metadata; run e2fsck"));
        }
        let slots = geometry.block_size / 4;
        let backups: Vec<u32> = geometry.backup_groups().take(slots as usize).collect();
        let mut list = vec![0; self.block_len()];
        for number in 0..geometry.reserved_descriptor_blocks {
            let place = geometry.descriptor_blocks() + number;
            let reserved = geometry.descriptors_at(0) + u64::from(place);
            put_u32(&mut list, (place % slots) as usize * 4, low32(reserved));
            let mut copies = vec![0; self.block_len()];
            for (slot, group) in backups.iter().enumerate() {
                let copy = reserved + u64::from(*group) * u64::from(geometry.blocks_per_group);
                put_u32(&mut copies, slot * 4, low32(copy));
            }
            self.write_block(reserved, &copies)?;
        }
        self.write_block(top, &list)?;
        let owned = u64::from(geometry.reserved_descriptor_blocks) * (1 + backups.len() as u64);
        inode.set_blocks(1 + owned, geometry.block_size);
        self.write_inode(&mut inode)
    }
}
