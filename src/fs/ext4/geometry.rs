//! The numbers of a filesystem: how blocks, groups and inodes lie. Everything here was checked against the
//! size of the medium, so that later sums cannot overflow.

use super::super::error::FsError;

/// Which groups hold a superblock and, without `meta_bg`, the descriptors; group 0 always does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copies {
    /// Every group.
    All,
    /// Groups 0, 1 and powers of 3, 5 and 7 (`sparse_super`).
    Sparse,
    /// Two groups at most, 0 standing for none (`sparse_super2`).
    Two([u32; 2]),
}

/// Sizes and counts, all of one filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    /// Bytes in a block: a power of two from 1024 to 16384.
    pub(super) block_size: u32,
    /// Blocks in the filesystem.
    pub(super) blocks: u64,
    /// The block that holds the superblock: 1 with 1 KiB blocks, else 0.
    pub(super) first_data_block: u32,
    /// Blocks in every group but the last.
    pub(super) blocks_per_group: u32,
    /// Inodes in every group.
    pub(super) inodes_per_group: u32,
    /// Bytes of an inode: a power of two from 128 to the block size.
    pub(super) inode_size: u32,
    /// The first inode number that is not reserved.
    pub(super) first_inode: u32,
    /// Bytes of a group descriptor: 32, or 64 and more with `64bit`.
    pub(super) descriptor_size: u32,
    /// Blocks set aside behind the descriptors so that their table can grow.
    pub(super) reserved_descriptor_blocks: u32,
    /// Which groups hold a superblock.
    pub(super) copies: Copies,
    /// With `meta_bg`, the first block of descriptors that lies in the groups it describes.
    pub(super) first_meta_block: Option<u32>,
    /// Groups whose bitmaps and tables lie together; 1 without `flex_bg`.
    pub(super) groups_per_flex: u32,
}

impl Geometry {
    /// Number of groups.
    pub(super) fn groups(&self) -> u32 {
        let blocks = self.blocks - u64::from(self.first_data_block);
        // Fits: validated to be below 2^32 when the superblock was read or grown.
        blocks.div_ceil(u64::from(self.blocks_per_group)) as u32
    }

    /// Number of inodes.
    pub(super) fn inodes(&self) -> u32 {
        self.groups() * self.inodes_per_group
    }

    /// First block of a group.
    pub(super) fn group_start(&self, group: u32) -> u64 {
        u64::from(self.first_data_block) + u64::from(group) * u64::from(self.blocks_per_group)
    }

    /// Blocks in a group; the last one may be shorter than the others.
    pub(super) fn group_blocks(&self, group: u32) -> u32 {
        let left = self.blocks - self.group_start(group);
        left.min(u64::from(self.blocks_per_group)) as u32
    }

    /// The group of a block and its place in there; `None` outside of every group.
    pub(super) fn locate(&self, block: u64) -> Option<(u32, u32)> {
        let within = block.checked_sub(u64::from(self.first_data_block))?;
        let per_group = u64::from(self.blocks_per_group);
        (block < self.blocks).then(|| ((within / per_group) as u32, (within % per_group) as u32))
    }

    /// Blocks an inode table takes in every group.
    pub(super) fn inode_table_blocks(&self) -> u32 {
        (u64::from(self.inodes_per_group) * u64::from(self.inode_size)).div_ceil(u64::from(self.block_size))
            as u32
    }

    /// Blocks the table of group descriptors takes.
    pub(super) fn descriptor_blocks(&self) -> u32 {
        let bytes = u64::from(self.groups()) * u64::from(self.descriptor_size);
        bytes.div_ceil(u64::from(self.block_size)) as u32
    }

    /// The first block of the table of group descriptors that `group` holds.
    pub(super) fn descriptors_at(&self, group: u32) -> u64 {
        self.group_start(group) + 1
    }

    /// Whether a group holds a superblock and descriptors (group 0 holds the real ones).
    pub(super) fn has_superblock(&self, group: u32) -> bool {
        match self.copies {
            _ if group == 0 => true,
            Copies::All => true,
            Copies::Sparse => group == 1 || [3, 5, 7].into_iter().any(|base| is_power_of(group, base)),
            Copies::Two(groups) => groups.contains(&group),
        }
    }

    /// Where a block of the table of group descriptors lies, the one that counts. As `descriptor_loc` in the
    /// kernel's `fs/ext4/super.c`.
    pub(super) fn descriptor_block(&self, index: u32) -> u64 {
        if self.first_meta_block.is_none_or(|first| index < first) {
            return self.descriptors_at(0) + u64::from(index);
        }
        let group = index * self.descriptors_per_block();
        self.group_start(group) + u64::from(self.has_superblock(group))
    }

    /// Descriptors in a block.
    pub(super) fn descriptors_per_block(&self) -> u32 {
        self.block_size / self.descriptor_size
    }

    /// Blocks at the start of a group that hold superblock, descriptors and reserved descriptor blocks.
    pub(super) fn head_blocks(&self, group: u32) -> u32 {
        let copy = u32::from(self.has_superblock(group));
        let each = self.descriptors_per_block();
        match self.first_meta_block {
            // Of the groups that a block describes, the first, the second and the last hold it.
            Some(first) if group / each >= first => {
                copy + u32::from([0, 1, each - 1].contains(&(group % each)))
            }
            Some(first) => copy * (1 + first + self.reserved_descriptor_blocks),
            None => copy * (1 + self.descriptor_blocks() + self.reserved_descriptor_blocks),
        }
    }

    /// Groups but the first that hold a superblock, in rising order.
    pub(super) fn backup_groups(&self) -> impl Iterator<Item = u32> + '_ {
        (1..self.groups()).filter(|group| self.has_superblock(*group))
    }

    /// Extents or index entries in a block of an extent tree.
    pub(super) fn extents_per_block(&self) -> u32 {
        (self.block_size - 12) / 12
    }

    /// Refuses a block number outside the filesystem, naming who points there.
    pub(super) fn check_run(
        &self,
        start: u64,
        len: u64,
        who: impl FnOnce() -> String,
    ) -> Result<(), FsError> {
        let end = start.checked_add(len);
        if start < u64::from(self.first_data_block).max(1) || end.is_none_or(|end| end > self.blocks) {
            let blocks = self.blocks;
            return Err(FsError::corrupt(format!("{} points to block {start} (+{len}) of {blocks}", who())));
        }
        Ok(())
    }
}

fn is_power_of(number: u32, base: u32) -> bool {
    let mut power = u64::from(base);
    while power < u64::from(number) {
        power *= u64::from(base);
    }
    power == u64::from(number)
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Copies, Geometry};

    /// A filesystem of `groups` full groups of 32768 blocks of 4 KiB.
    pub(in crate::fs::ext4) fn of_groups(groups: u32) -> Geometry {
        Geometry {
            block_size: 4096,
            blocks: u64::from(groups) * 32768,
            first_data_block: 0,
            blocks_per_group: 32768,
            inodes_per_group: 8192,
            inode_size: 256,
            first_inode: 11,
            descriptor_size: 32,
            reserved_descriptor_blocks: 10,
            copies: Copies::Sparse,
            first_meta_block: None,
            groups_per_flex: 16,
        }
    }

    #[test]
    fn places() {
        let mut geometry = of_groups(3);
        geometry.blocks -= 1000;
        assert_eq!(geometry.groups(), 3);
        assert_eq!(geometry.group_blocks(1), 32768);
        assert_eq!(geometry.group_blocks(2), 31768);
        assert_eq!(geometry.locate(32768 + 5), Some((1, 5)));
        assert_eq!(geometry.locate(geometry.blocks), None);
        assert_eq!(geometry.inode_table_blocks(), 512);
        assert_eq!(geometry.head_blocks(1), 12);
        assert_eq!(geometry.head_blocks(2), 0);
    }

    #[test]
    fn backups_lie_in_powers_of_3_5_7() {
        let backups: Vec<u32> = of_groups(130).backup_groups().collect();
        assert_eq!(backups, [1, 3, 5, 7, 9, 25, 27, 49, 81, 125]);
        let mut all = of_groups(4);
        all.copies = Copies::All;
        assert_eq!(all.backup_groups().collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn sparse_super2_names_its_groups() {
        let two = Geometry { copies: Copies::Two([1, 0]), ..of_groups(9) };
        assert_eq!(two.backup_groups().collect::<Vec<_>>(), [1]);
        let two = Geometry { copies: Copies::Two([4, 8]), ..of_groups(9) };
        assert_eq!(two.backup_groups().collect::<Vec<_>>(), [4, 8]);
        assert!(two.has_superblock(0));
    }

    #[test]
    fn meta_groups_hold_their_own_descriptors() {
        // 128 descriptors in a block; the first block still lies behind the superblock.
        let meta = Geometry { first_meta_block: Some(1), reserved_descriptor_blocks: 0, ..of_groups(300) };
        assert_eq!(meta.descriptor_block(0), 1);
        assert_eq!(meta.descriptor_block(1), 128 * 32768);
        assert_eq!(meta.descriptor_block(2), 256 * 32768);
        let heads: Vec<u32> =
            [0, 1, 2, 3, 128, 129, 130, 243, 255].map(|group| meta.head_blocks(group)).into();
        assert_eq!(heads, [2, 2, 0, 2, 1, 1, 0, 1, 1]);
        let all = Geometry { first_meta_block: Some(0), ..meta };
        assert_eq!((all.descriptor_block(0), all.head_blocks(0), all.head_blocks(3)), (1, 2, 1));
    }

    #[test]
    fn pointers_outside_are_corrupt() {
        let geometry = of_groups(1);
        let check = |start, len| geometry.check_run(start, len, || "inode 12".to_owned());
        assert!(check(1, 32767).is_ok());
        assert!(check(0, 1).is_err());
        assert!(check(1, 32768).unwrap_err().to_string().contains("inode 12"));
        assert!(check(u64::MAX, 2).is_err());
    }
}
