//! Taking and giving back blocks and inodes.

use super::super::error::FsError;
use super::group::BLOCK_UNINIT;
use super::store::Store;
use crate::disk::block::{BlockRead, BlockWrite};

/// The longest stretch one extent can name.
pub(super) const LONGEST_RUN: u32 = 32768;

/// Blocks in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first block.
    pub(super) start: u64,
    /// How many.
    pub(super) len: u32,
}

impl<D: BlockRead> Store<D> {
    /// Refuses beforehand what cannot fit.
    pub(super) fn check_space(&self, blocks: u64, inodes: u64) -> Result<(), FsError> {
        let free = self.free_blocks();
        if blocks > free {
            return Err(self.no_space(blocks));
        }
        if inodes > self.free_inodes() { Err(FsError::NoInodes) } else { Ok(()) }
    }

    pub(super) fn no_space(&self, blocks: u64) -> FsError {
        let size = u64::from(self.geometry.block_size);
        FsError::NoSpace { needed: blocks.saturating_mul(size), free: self.free_blocks() * size }
    }
}

impl<D: BlockWrite> Store<D> {
    /// Takes `count` blocks in as few runs as a single pass finds, near `goal` and behind it where possible.
    pub(super) fn allocate(&mut self, goal: u64, count: u64) -> Result<Vec<Run>, FsError> {
        let mut runs = Vec::new();
        let (mut left, mut goal) = (count, goal);
        let mut size = count.min(u64::from(LONGEST_RUN)) as u32;
        while left > 0 {
            if size == 0 {
                return Err(self.no_space(left));
            }
            size = u64::from(size).min(left) as u32;
            // Looking for ever shorter runs only when no longer one is left keeps both files and the work
            // on a fragmented filesystem small: what was too short once stays too short.
            let Some(found) = self.find_free(goal, size)? else {
                size /= 2;
                continue;
            };
            let len = u64::from(found.len.min(LONGEST_RUN)).min(left) as u32;
            self.take(found.start, len)?;
            runs.push(Run { start: found.start, len });
            left -= u64::from(len);
            goal = found.start + u64::from(len);
        }
        Ok(runs)
    }

    /// Takes one block near `goal`.
    pub(super) fn allocate_one(&mut self, goal: u64) -> Result<u64, FsError> {
        let found = self.find_free(goal, 1)?.ok_or_else(|| self.no_space(1))?;
        self.take(found.start, 1)?;
        Ok(found.start)
    }

    /// Gives blocks back. Blocks that are free already, or metadata, mean that the filesystem is damaged.
    pub(super) fn release(&mut self, start: u64, len: u64) -> Result<(), FsError> {
        self.geometry.check_run(start, len, || "a file that is removed".to_owned())?;
        if self.touches_metadata(start, len) {
            return Err(FsError::corrupt(format!(
                "a file claims block {start} (+{len}), which holds metadata; run e2fsck"
            )));
        }
        let (mut at, end) = (start, start + len);
        while at < end {
            let (group, within) = self.geometry.locate(at).unwrap_or_default();
            let count = (end - at).min(u64::from(self.geometry.group_blocks(group) - within)) as u32;
            let bitmap = self.block_bitmap_mut(group)?;
            if bitmap.uniform(within, count) != Some(true) {
                return Err(FsError::corrupt(format!(
                    "blocks from {at} (+{count}) are in use and free at once; run e2fsck"
                )));
            }
            bitmap.mark(within, count, false);
            self.groups[group as usize].longest_free = u32::MAX;
            self.count_free_blocks(group, i64::from(count));
            at += u64::from(count);
        }
        Ok(())
    }

    fn take(&mut self, start: u64, len: u32) -> Result<(), FsError> {
        let (group, within) = self.geometry.locate(start).ok_or_else(|| self.no_space(u64::from(len)))?;
        self.block_bitmap_mut(group)?.mark(within, len, true);
        self.count_free_blocks(group, -i64::from(len));
        Ok(())
    }

    /// The first run of at least `size` free blocks from `goal` on, then in its group, then in the groups
    /// behind it and round from the first.
    fn find_free(&mut self, goal: u64, size: u32) -> Result<Option<Run>, FsError> {
        let (home, within) = self.geometry.locate(goal).unwrap_or_default();
        if let Some(run) = self.find_in(home, within, size)? {
            return Ok(Some(run));
        }
        let groups = self.geometry.groups();
        for group in (home..groups).chain(0..home) {
            if let Some(run) = self.find_in(group, 0, size)? {
                return Ok(Some(run));
            }
        }
        Ok(None)
    }

    fn find_in(&mut self, group: u32, from: u32, size: u32) -> Result<Option<Run>, FsError> {
        let held = &self.groups[group as usize];
        if held.longest_free < size || held.descriptor.free_blocks() < size {
            return Ok(None);
        }
        if held.blocks.is_none() {
            let bitmap = self.block_bitmap(group)?;
            self.groups[group as usize].blocks = Some(bitmap);
        }
        let mut longest = 0;
        let held = &mut self.groups[group as usize];
        if let Some(bitmap) = &held.blocks {
            for (start, len) in bitmap.free_runs(from) {
                if len >= size {
                    let start = self.geometry.group_start(group) + u64::from(start);
                    return Ok(Some(Run { start, len }));
                }
                longest = longest.max(len);
            }
        }
        if from == 0 {
            held.longest_free = longest;
        }
        Ok(None)
    }

    /// Takes an inode, in the group given or behind it.
    pub(super) fn allocate_inode(&mut self, near: u32, directory: bool) -> Result<u32, FsError> {
        let groups = self.geometry.groups();
        let free = |group: &u32| self.groups[*group as usize].descriptor.free_inodes() > 0;
        let group = (near..groups).chain(0..near.min(groups)).find(free).ok_or(FsError::NoInodes)?;
        let lowest = if group == 0 { self.geometry.first_inode - 1 } else { 0 };
        let per_group = self.geometry.inodes_per_group;
        let bitmap = self.inode_bitmap_mut(group)?;
        let index = bitmap.next_free(lowest).filter(|index| *index < per_group);
        let index = index.ok_or_else(|| {
            FsError::corrupt(format!("group {group}: a reserved inode is free; run e2fsck"))
        })?;
        bitmap.mark(index, 1, true);
        if self.has_uninit_groups() {
            self.lower_unused(group, index)?;
            if self.groups[group as usize].descriptor.has(BLOCK_UNINIT) {
                // The kernel, too, never leaves a group with inodes in use but without a block bitmap.
                self.block_bitmap_mut(group)?;
            }
        }
        self.count_free_inodes(group, -1, directory);
        Ok(group * per_group + index + 1)
    }

    /// The inode at `index` leaves the tail of the table that was never used. What lies there may be
    /// garbage, so nothing in front of `index` may be uncovered with it.
    fn lower_unused(&mut self, group: u32, index: u32) -> Result<(), FsError> {
        let per_group = self.geometry.inodes_per_group;
        let descriptor = &mut self.groups[group as usize].descriptor;
        let seen = per_group.saturating_sub(descriptor.unused_inodes());
        if index > seen {
            return Err(FsError::corrupt(format!(
                "group {group}: inodes in use beyond the {seen} noted; run e2fsck"
            )));
        }
        if index == seen {
            descriptor.set_unused_inodes(per_group - index - 1);
        }
        Ok(())
    }

    /// Gives an inode back and wipes it.
    pub(super) fn release_inode(&mut self, number: u32, directory: bool) -> Result<(), FsError> {
        if number < self.geometry.first_inode {
            return Err(FsError::corrupt(format!("a name leads to the reserved inode {number}; run e2fsck")));
        }
        let (group, index) = self.locate_inode(number);
        let bitmap = self.inode_bitmap_mut(group)?;
        if !bitmap.is_set(index) {
            return Err(FsError::corrupt(format!("inode {number} is in use and free at once; run e2fsck")));
        }
        bitmap.mark(index, 1, false);
        self.erase_inode(number)?;
        self.count_free_inodes(group, 1, directory);
        Ok(())
    }

    /// Counts blocks that became free, or used, in descriptor and superblock.
    pub(super) fn count_free_blocks(&mut self, group: u32, change: i64) {
        let descriptor = &mut self.groups[group as usize].descriptor;
        // The bitmap was compared with the descriptor, and all descriptors with the superblock.
        let free = i64::from(descriptor.free_blocks()).saturating_add(change);
        descriptor.set_free_blocks(u32::try_from(free).unwrap_or(0));
        let all = self.superblock.free_blocks().saturating_add_signed(change);
        self.superblock.set_free_blocks(all);
    }

    /// Counts inodes that became free, or used, in descriptor and superblock.
    pub(super) fn count_free_inodes(&mut self, group: u32, change: i32, directory: bool) {
        let descriptor = &mut self.groups[group as usize].descriptor;
        descriptor.set_free_inodes(descriptor.free_inodes().saturating_add_signed(change));
        if directory {
            descriptor.set_used_directories(descriptor.used_directories().saturating_add_signed(-change));
        }
        let all = self.superblock.free_inodes().saturating_add_signed(change);
        self.superblock.set_free_inodes(all);
    }
}
