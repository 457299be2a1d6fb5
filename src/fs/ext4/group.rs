//! Group descriptors: where a group's bitmaps and inode table lie, and how much of them is free
//! (Documentation/filesystems/ext4/group_descr.rst).

use super::bitmap::Bitmap;
use super::bytes::{high16, high32, join, low16, low32, put_u16, put_u32, u16_at, u32_at};

/// Bytes of the shorter form, without `64bit`: its high halves do not exist.
const SHORT: usize = 32;

const BLOCK_BITMAP: (usize, usize) = (0x0, 0x20);
const INODE_BITMAP: (usize, usize) = (0x4, 0x24);
const INODE_TABLE: (usize, usize) = (0x8, 0x28);
const FREE_BLOCKS: (usize, usize) = (0xc, 0x2c);
const FREE_INODES: (usize, usize) = (0xe, 0x2e);
const USED_DIRECTORIES: (usize, usize) = (0x10, 0x30);
const FLAGS: usize = 0x12;
const BLOCK_BITMAP_SUM: (usize, usize) = (0x18, 0x38);
const INODE_BITMAP_SUM: (usize, usize) = (0x1a, 0x3a);
const UNUSED_INODES: (usize, usize) = (0x1c, 0x32);
const CHECKSUM: usize = 0x1e;

/// The inode bitmap on disk is garbage: every inode is free.
pub(super) const INODE_UNINIT: u16 = 0x1;
/// The block bitmap on disk is garbage: only metadata is used.
pub(super) const BLOCK_UNINIT: u16 = 0x2;
/// The inode table was filled with zeros.
pub(super) const INODE_ZEROED: u16 = 0x4;

/// One descriptor's bytes, with names.
#[derive(Clone)]
pub(super) struct Descriptor {
    raw: Vec<u8>,
}

impl Descriptor {
    /// Takes a descriptor's bytes (at least 32).
    pub(super) fn new(raw: Vec<u8>) -> Self {
        Self { raw }
    }

    /// The bytes as they go to disk.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.raw
    }

    /// The block bitmap's block.
    pub(super) fn block_bitmap(&self) -> u64 {
        self.wide(BLOCK_BITMAP)
    }

    /// The inode bitmap's block.
    pub(super) fn inode_bitmap(&self) -> u64 {
        self.wide(INODE_BITMAP)
    }

    /// The inode table's first block.
    pub(super) fn inode_table(&self) -> u64 {
        self.wide(INODE_TABLE)
    }

    /// Puts bitmaps and table somewhere.
    pub(super) fn set_places(&mut self, block_bitmap: u64, inode_bitmap: u64, inode_table: u64) {
        for (field, block) in
            [(BLOCK_BITMAP, block_bitmap), (INODE_BITMAP, inode_bitmap), (INODE_TABLE, inode_table)]
        {
            put_u32(&mut self.raw, field.0, low32(block));
            if self.raw.len() > SHORT {
                put_u32(&mut self.raw, field.1, high32(block));
            }
        }
    }

    /// Free blocks.
    pub(super) fn free_blocks(&self) -> u32 {
        self.split(FREE_BLOCKS)
    }

    /// Records the free blocks.
    pub(super) fn set_free_blocks(&mut self, count: u32) {
        self.put_split(FREE_BLOCKS, count);
    }

    /// Free inodes.
    pub(super) fn free_inodes(&self) -> u32 {
        self.split(FREE_INODES)
    }

    /// Records the free inodes.
    pub(super) fn set_free_inodes(&mut self, count: u32) {
        self.put_split(FREE_INODES, count);
    }

    /// Inodes that are directories.
    pub(super) fn used_directories(&self) -> u32 {
        self.split(USED_DIRECTORIES)
    }

    /// Records the number of directories.
    pub(super) fn set_used_directories(&mut self, count: u32) {
        self.put_split(USED_DIRECTORIES, count);
    }

    /// Inodes at the table's end that were never used.
    pub(super) fn unused_inodes(&self) -> u32 {
        self.split(UNUSED_INODES)
    }

    /// Records the inodes never used.
    pub(super) fn set_unused_inodes(&mut self, count: u32) {
        self.put_split(UNUSED_INODES, count);
    }

    /// Whether a flag is set.
    pub(super) fn has(&self, flag: u16) -> bool {
        u16_at(&self.raw, FLAGS) & flag != 0
    }

    /// Sets flags.
    pub(super) fn set(&mut self, flags: u16) {
        let flags = u16_at(&self.raw, FLAGS) | flags;
        put_u16(&mut self.raw, FLAGS, flags);
    }

    /// Clears a flag.
    pub(super) fn clear(&mut self, flag: u16) {
        let flags = u16_at(&self.raw, FLAGS) & !flag;
        put_u16(&mut self.raw, FLAGS, flags);
    }

    /// Whether `sum` is the block bitmap's checksum, as far as the descriptor keeps it.
    pub(super) fn block_bitmap_sum_is(&self, sum: u32) -> bool {
        self.split(BLOCK_BITMAP_SUM) == self.kept(sum)
    }

    /// Records the block bitmap's checksum.
    pub(super) fn set_block_bitmap_sum(&mut self, sum: u32) {
        self.put_split(BLOCK_BITMAP_SUM, sum);
    }

    /// Whether `sum` is the inode bitmap's checksum, as far as the descriptor keeps it.
    pub(super) fn inode_bitmap_sum_is(&self, sum: u32) -> bool {
        self.split(INODE_BITMAP_SUM) == self.kept(sum)
    }

    /// Records the inode bitmap's checksum.
    pub(super) fn set_inode_bitmap_sum(&mut self, sum: u32) {
        self.put_split(INODE_BITMAP_SUM, sum);
    }

    /// The descriptor's own checksum.
    pub(super) fn checksum(&self) -> u16 {
        u16_at(&self.raw, CHECKSUM)
    }

    /// Records the descriptor's own checksum.
    pub(super) fn set_checksum(&mut self, sum: u16) {
        put_u16(&mut self.raw, CHECKSUM, sum);
    }

    fn kept(&self, sum: u32) -> u32 {
        if self.raw.len() > SHORT { sum } else { sum & 0xffff }
    }

    fn wide(&self, field: (usize, usize)) -> u64 {
        let high = if self.raw.len() > SHORT { u32_at(&self.raw, field.1) } else { 0 };
        join(u32_at(&self.raw, field.0), high)
    }

    fn split(&self, field: (usize, usize)) -> u32 {
        let high = if self.raw.len() > SHORT { u16_at(&self.raw, field.1) } else { 0 };
        u32::from(high) << 16 | u32::from(u16_at(&self.raw, field.0))
    }

    fn put_split(&mut self, field: (usize, usize), value: u32) {
        put_u16(&mut self.raw, field.0, low16(value));
        if self.raw.len() > SHORT {
            put_u16(&mut self.raw, field.1, high16(value));
        }
    }
}

/// A group as the editor holds it: bitmaps are read when first needed and written at the end.
pub(super) struct Group {
    /// The descriptor; its checksums are made when it is written.
    pub(super) descriptor: Descriptor,
    /// The block bitmap once read.
    pub(super) blocks: Option<Bitmap>,
    /// The inode bitmap once read.
    pub(super) inodes: Option<Bitmap>,
    /// The block bitmap differs from the disk's.
    pub(super) blocks_changed: bool,
    /// The inode bitmap differs from the disk's.
    pub(super) inodes_changed: bool,
    /// The descriptor differs from the disk's.
    pub(super) changed: bool,
    /// No run of free blocks is longer than this, as far as known.
    pub(super) longest_free: u32,
}

impl Group {
    /// A group of which only the descriptor is known.
    pub(super) fn new(descriptor: Descriptor) -> Self {
        Self {
            descriptor,
            blocks: None,
            inodes: None,
            blocks_changed: false,
            inodes_changed: false,
            changed: false,
            longest_free: u32::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Descriptor, INODE_UNINIT};

    #[test]
    fn high_halves_exist_in_the_long_form_only() {
        for (size, kept) in [(32, 0x5678), (64, 0x1234_5678)] {
            let mut descriptor = Descriptor::new(vec![0; size]);
            descriptor.set_free_blocks(0x1234_5678);
            descriptor.set_block_bitmap_sum(0x1234_5678);
            assert_eq!(descriptor.free_blocks(), kept);
            assert!(descriptor.block_bitmap_sum_is(0x1234_5678));
            assert!(!descriptor.block_bitmap_sum_is(0x1234_5679));
            descriptor.set_places(1, 2, 3);
            assert_eq!(
                (descriptor.block_bitmap(), descriptor.inode_bitmap(), descriptor.inode_table()),
                (1, 2, 3)
            );
        }
    }

    #[test]
    fn flags_come_and_go() {
        let mut descriptor = Descriptor::new(vec![0; 32]);
        descriptor.set(INODE_UNINIT | 4);
        descriptor.clear(INODE_UNINIT);
        assert!(!descriptor.has(INODE_UNINIT) && descriptor.has(4));
    }
}
