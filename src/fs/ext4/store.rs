//! The open filesystem below paths: its superblock, groups, blocks and inodes. Bitmaps, descriptors and
//! superblock are held in memory and written by [`Store::flush`]; everything else is written as it changes.

use std::collections::BTreeSet;

use super::super::error::FsError;
use super::checksum::{Checksums, DescriptorSum};
use super::features::Purpose;
use super::geometry::Geometry;
use super::group::{Descriptor, Group};
use super::inode::Inode;
use super::superblock::{self, Superblock};
use crate::disk::block::{BlockRead, BlockWrite};

/// An open filesystem.
pub(super) struct Store<D> {
    pub(super) device: D,
    pub(super) superblock: Superblock,
    pub(super) geometry: Geometry,
    pub(super) sums: Checksums,
    pub(super) groups: Vec<Group>,
    /// Where superblocks, descriptors, bitmaps and inode tables lie: first block and length, in order.
    pub(super) metadata: Vec<(u64, u64)>,
    /// Something held in memory differs from the disk.
    pub(super) changed: bool,
    /// Block numbers or counts changed that the copies of superblock and descriptors must know.
    pub(super) grown: bool,
}

impl<D: BlockRead> Store<D> {
    /// Opens the filesystem that fills `device`; what this room does not implement is refused by name.
    pub(super) fn open(device: D, purpose: Purpose) -> Result<Self, FsError> {
        let mut raw = [0; superblock::SIZE];
        if device.size() < superblock::OFFSET + superblock::SIZE as u64 {
            return Err(FsError::corrupt(format!(
                "{} bytes are too few for an ext4 filesystem",
                device.size()
            )));
        }
        device.read_at(superblock::OFFSET, &mut raw)?;
        let superblock = Superblock::parse(raw)?;
        superblock.features().check(purpose)?;
        match purpose {
            Purpose::Survey => {}
            Purpose::Recover => superblock.check_trust()?,
            Purpose::Read | Purpose::Edit => superblock.check_state()?,
        }
        let geometry = superblock.geometry(device.size())?;
        let sums = superblock.checksums();
        let groups = read_groups(&device, &geometry, &sums)?;
        let metadata = metadata_of(&geometry, &groups)?;
        Ok(Self { device, superblock, geometry, sums, groups, metadata, changed: false, grown: false })
    }

    /// Bytes in a block, as an index.
    pub(super) fn block_len(&self) -> usize {
        self.geometry.block_size as usize
    }

    /// Reads a block that `who` points to.
    pub(super) fn read_block(&self, block: u64, who: impl FnOnce() -> String) -> Result<Vec<u8>, FsError> {
        self.geometry.check_run(block, 1, who)?;
        let mut bytes = vec![0; self.block_len()];
        self.device.read_at(block * u64::from(self.geometry.block_size), &mut bytes)?;
        Ok(bytes)
    }

    /// Reads an inode and checks it.
    pub(super) fn read_inode(&self, number: u32) -> Result<Inode, FsError> {
        let mut raw = vec![0; self.geometry.inode_size as usize];
        self.device.read_at(self.inode_offset(number)?, &mut raw)?;
        self.check_inode(Inode::new(number, raw))
    }

    /// Checks an inode's checksum.
    pub(super) fn check_inode(&self, inode: Inode) -> Result<Inode, FsError> {
        if self.sums.on_metadata() && !inode.is_sealed(self.inode_seed(&inode)) {
            let number = inode.number;
            return Err(FsError::corrupt(format!("inode {number}: the checksum does not match; run e2fsck")));
        }
        Ok(inode)
    }

    /// What the checksums of an inode's own blocks start from.
    pub(super) fn inode_seed(&self, inode: &Inode) -> u32 {
        self.sums.of_inode(inode.number, inode.generation())
    }

    /// Where an inode begins, in bytes.
    pub(super) fn inode_offset(&self, number: u32) -> Result<u64, FsError> {
        let inodes = self.geometry.inodes();
        if number == 0 || number > inodes {
            return Err(FsError::corrupt(format!("inode number {number}, of {inodes}")));
        }
        let (group, index) = self.locate_inode(number);
        let table = self.groups[group as usize].descriptor.inode_table();
        let size = u64::from(self.geometry.inode_size);
        Ok(table * u64::from(self.geometry.block_size) + u64::from(index) * size)
    }

    /// The group of a valid inode number, and its place in the group's table.
    pub(super) fn locate_inode(&self, number: u32) -> (u32, u32) {
        let per_group = self.geometry.inodes_per_group;
        ((number - 1) / per_group, (number - 1) % per_group)
    }

    /// Whether the UNINIT flags of descriptors mean anything.
    pub(super) fn has_uninit_groups(&self) -> bool {
        self.sums.descriptors != DescriptorSum::None
    }

    /// Free blocks by the descriptors.
    pub(super) fn free_blocks(&self) -> u64 {
        self.groups.iter().map(|group| u64::from(group.descriptor.free_blocks())).sum()
    }

    /// Free inodes by the descriptors.
    pub(super) fn free_inodes(&self) -> u64 {
        self.groups.iter().map(|group| u64::from(group.descriptor.free_inodes())).sum()
    }

    /// Whether superblock and descriptors agree on what is free: edits on top of wrong counts would hide
    /// that the filesystem was damaged before.
    pub(super) fn check_counts(&self) -> Result<(), FsError> {
        for (what, noted, counted) in [
            ("blocks", self.superblock.free_blocks(), self.free_blocks()),
            ("inodes", u64::from(self.superblock.free_inodes()), self.free_inodes()),
        ] {
            if noted != counted {
                return Err(FsError::corrupt(format!(
                    "the superblock counts {noted} free {what}, the group descriptors {counted}; run e2fsck"
                )));
            }
        }
        Ok(())
    }
}

impl<D: BlockWrite> Store<D> {
    /// Writes a block.
    pub(super) fn write_block(&mut self, block: u64, bytes: &[u8]) -> Result<(), FsError> {
        self.geometry.check_run(block, 1, || "a write".to_owned())?;
        Ok(self.device.write_at(block * u64::from(self.geometry.block_size), bytes)?)
    }

    /// Writes an inode with a fresh checksum.
    pub(super) fn write_inode(&mut self, inode: &mut Inode) -> Result<(), FsError> {
        if self.sums.on_metadata() {
            let seed = self.inode_seed(inode);
            inode.seal(seed);
        }
        let offset = self.inode_offset(inode.number)?;
        self.changed = true;
        Ok(self.device.write_at(offset, inode.bytes())?)
    }

    /// Fills an inode's place with zeros.
    pub(super) fn erase_inode(&mut self, number: u32) -> Result<(), FsError> {
        let offset = self.inode_offset(number)?;
        self.changed = true;
        Ok(self.device.write_at(offset, &vec![0; self.geometry.inode_size as usize])?)
    }

    /// Counts what is free anew by the descriptors: while it is mounted, the kernel leaves the superblock behind.
    pub(super) fn recount(&mut self) {
        self.superblock.set_free_blocks(self.free_blocks());
        // There are no more than 2^32 inodes, but the counts of damaged descriptors can add up to more.
        self.superblock.set_free_inodes(u32::try_from(self.free_inodes()).unwrap_or(u32::MAX));
    }

    /// Writes bitmaps, descriptors and superblock; nothing at all when nothing changed. `time` becomes the
    /// time of last writing, in seconds since 1970.
    pub(super) fn flush(&mut self, time: i64) -> Result<(), FsError> {
        if !self.changed {
            return Ok(());
        }
        let mut tables = BTreeSet::new();
        for number in 0..self.geometry.groups() {
            self.flush_bitmaps(number)?;
            if std::mem::take(&mut self.groups[number as usize].changed) {
                let sum = self.sums.of_descriptor(number, self.groups[number as usize].descriptor.bytes());
                self.groups[number as usize].descriptor.set_checksum(sum);
                tables.insert(number / self.geometry.descriptors_per_block());
            }
        }
        for table in &tables {
            let block = self.geometry.descriptors_at(0) + u64::from(*table);
            self.write_block(block, &self.descriptor_block(*table))?;
        }
        self.superblock.set_written(time);
        self.device.write_at(superblock::OFFSET, &self.superblock.sealed())?;
        if std::mem::take(&mut self.grown) {
            self.write_backups()?;
        }
        self.changed = false;
        Ok(())
    }

    fn flush_bitmaps(&mut self, number: u32) -> Result<(), FsError> {
        let on_metadata = self.sums.on_metadata();
        let block_bytes = (self.geometry.blocks_per_group / 8) as usize;
        let inode_bytes = (self.geometry.inodes_per_group / 8) as usize;
        let group = &mut self.groups[number as usize];
        let mut writes = Vec::new();
        if let Some(bitmap) = group.blocks.as_ref().filter(|_| group.blocks_changed) {
            let bytes = bitmap.to_bytes();
            if on_metadata {
                group.descriptor.set_block_bitmap_sum(self.sums.of_bitmap(&bytes[..block_bytes]));
            }
            writes.push((group.descriptor.block_bitmap(), bytes));
        }
        if let Some(bitmap) = group.inodes.as_ref().filter(|_| group.inodes_changed) {
            let bytes = bitmap.to_bytes();
            if on_metadata {
                group.descriptor.set_inode_bitmap_sum(self.sums.of_bitmap(&bytes[..inode_bytes]));
            }
            writes.push((group.descriptor.inode_bitmap(), bytes));
        }
        group.changed |= !writes.is_empty();
        group.blocks_changed = false;
        group.inodes_changed = false;
        for (block, bytes) in writes {
            self.write_block(block, &bytes)?;
        }
        Ok(())
    }

    /// The copies of superblock and descriptors, which matter only when block numbers or counts changed: the
    /// kernel never updates the free counts in there either.
    fn write_backups(&mut self) -> Result<(), FsError> {
        let groups: Vec<u32> = self.geometry.backup_groups().collect();
        for group in groups {
            let start = self.geometry.group_start(group);
            let copy = self.superblock.sealed_backup(group);
            self.device.write_at(start * u64::from(self.geometry.block_size), &copy)?;
            for table in 0..self.geometry.descriptor_blocks() {
                let block = self.geometry.descriptors_at(group) + u64::from(table);
                self.write_block(block, &self.descriptor_block(table))?;
            }
        }
        Ok(())
    }

    /// One block of the table of descriptors.
    fn descriptor_block(&self, table: u32) -> Vec<u8> {
        let count = self.geometry.descriptors_per_block() as usize;
        let groups = self.groups.iter().skip(table as usize * count).take(count);
        let mut bytes: Vec<u8> = groups.flat_map(|group| group.descriptor.bytes().to_vec()).collect();
        bytes.resize(self.block_len(), 0);
        bytes
    }
}

fn read_groups(
    device: &impl BlockRead,
    geometry: &Geometry,
    sums: &Checksums,
) -> Result<Vec<Group>, FsError> {
    let size = geometry.descriptor_size as usize;
    let mut groups = Vec::with_capacity(geometry.groups() as usize);
    let mut table = vec![0; geometry.block_size as usize];
    let mut numbers = 0..geometry.groups();
    for index in 0..geometry.descriptor_blocks() {
        let block = geometry.descriptor_block(index);
        geometry.check_run(block, 1, || format!("block {index} of the group descriptors"))?;
        device.read_at(block * u64::from(geometry.block_size), &mut table)?;
        for (raw, number) in table.chunks_exact(size).zip(&mut numbers) {
            let descriptor = Descriptor::new(raw.to_vec());
            if sums.descriptors != DescriptorSum::None
                && descriptor.checksum() != sums.of_descriptor(number, raw)
            {
                return Err(FsError::corrupt(format!(
                    "group {number}: the descriptor's checksum does not match; run e2fsck"
                )));
            }
            groups.push(Group::new(descriptor));
        }
    }
    Ok(groups)
}

/// Where metadata of fixed place lies, checked: inside the filesystem and nothing on top of another.
pub(super) fn metadata_of(geometry: &Geometry, groups: &[Group]) -> Result<Vec<(u64, u64)>, FsError> {
    let mut spans = Vec::with_capacity(groups.len() * 3 + 16);
    for (number, group) in (0..).zip(groups) {
        let head = geometry.head_blocks(number);
        if head > 0 {
            let len = u64::from(head.min(geometry.group_blocks(number)));
            spans.push((geometry.group_start(number), len));
        }
        let descriptor = &group.descriptor;
        for (what, start, len) in [
            ("block bitmap", descriptor.block_bitmap(), 1),
            ("inode bitmap", descriptor.inode_bitmap(), 1),
            ("inode table", descriptor.inode_table(), u64::from(geometry.inode_table_blocks())),
        ] {
            geometry.check_run(start, len, || format!("group {number}: the {what}"))?;
            spans.push((start, len));
        }
    }
    spans.sort_unstable();
    match spans.windows(2).find(|pair| pair[0].0 + pair[0].1 > pair[1].0) {
        Some(pair) => Err(FsError::corrupt(format!("two structures share block {}; run e2fsck", pair[1].0))),
        None => Ok(spans),
    }
}
