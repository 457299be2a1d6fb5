//! Orphans: inodes that lost their last name or were being cut while they were in use. The kernel's
//! `fs/ext4/orphan.c` releases them at the next mount. They stand in a chain that begins in the superblock, and
//! in a file (Documentation/filesystems/ext4/orphan.rst).

use std::collections::BTreeSet;

use super::super::error::FsError;
use super::bytes::{put_u32, u32_at};
use super::checksum::of_orphan_block;
use super::features::COMPAT_ORPHAN_FILE;
use super::inode::Inode;
use super::recover::Recovered;
use super::store::Store;
use crate::disk::block::{BlockRead, BlockWrite};

/// `EXT4_ORPHAN_BLOCK_MAGIC`, at the end of every block of the orphan file; the checksum stands behind it.
const MAGIC: u32 = 0x0b10_ca04;
const TAIL: usize = 8;

/// Who is orphaned.
#[derive(Default)]
struct Orphans {
    /// In the order in which they are released.
    numbers: Vec<u32>,
    seen: BTreeSet<u32>,
    /// Blocks of the orphan file that name any.
    blocks: Vec<u64>,
}

impl Orphans {
    fn add(&mut self, number: u32) -> Result<(), FsError> {
        if !self.seen.insert(number) {
            return Err(FsError::corrupt(format!("inode {number} is orphaned twice; run e2fsck")));
        }
        self.numbers.push(number);
        Ok(())
    }
}

impl<D: BlockRead> Store<D> {
    fn orphans(&self) -> Result<Orphans, FsError> {
        let mut orphans = Orphans::default();
        let mut next = self.superblock.last_orphan();
        while next != 0 {
            orphans.add(next)?;
            next = self.read_orphan(next)?.next_orphan();
        }
        if self.superblock.lists_orphans_in_file() {
            self.list_orphan_file(&mut orphans)?;
        }
        Ok(orphans)
    }

    fn list_orphan_file(&self, orphans: &mut Orphans) -> Result<(), FsError> {
        let file = self.orphan_file()?;
        let blocks = file.size() / u64::from(self.geometry.block_size);
        if blocks > self.geometry.blocks {
            return Err(FsError::corrupt(format!(
                "the orphan file is {} bytes long; run e2fsck",
                file.size()
            )));
        }
        for logical in 0..blocks {
            let hole =
                || FsError::corrupt(format!("block {logical} of the orphan file is missing; run e2fsck"));
            let block = self.block_of(&file, logical)?.ok_or_else(hole)?;
            let bytes = self.read_block(block, || "the orphan file".to_owned())?;
            let (entries, tail) = bytes.split_at(bytes.len() - TAIL);
            let sum = of_orphan_block(self.inode_seed(&file), block, entries);
            if u32_at(tail, 0) != MAGIC || (self.sums.on_metadata() && u32_at(tail, 4) != sum) {
                return Err(FsError::corrupt(format!(
                    "block {logical} of the orphan file: the magic number or the checksum does not match; run e2fsck"
                )));
            }
            let before = orphans.numbers.len();
            for number in entries.chunks_exact(4).map(|entry| u32_at(entry, 0)).filter(|number| *number != 0)
            {
                self.read_orphan(number)?;
                orphans.add(number)?;
            }
            if orphans.numbers.len() > before {
                orphans.blocks.push(block);
            }
        }
        Ok(())
    }

    fn orphan_file(&self) -> Result<Inode, FsError> {
        if !self.superblock.features().has_compat(COMPAT_ORPHAN_FILE) {
            return Err(FsError::corrupt("orphans are listed in a file that it does not have; run e2fsck"));
        }
        self.read_inode(self.superblock.orphan_file())
    }

    /// Reads an inode that is said to be orphaned, when it can be.
    fn read_orphan(&self, number: u32) -> Result<Inode, FsError> {
        let wrong = |what: &str| FsError::corrupt(format!("orphaned inode {number}: {what}; run e2fsck"));
        if number < self.geometry.first_inode {
            return Err(wrong("it is a reserved one"));
        }
        self.inode_offset(number)?;
        let (group, index) = self.locate_inode(number);
        if !self.inode_bitmap(group)?.is_set(index) {
            return Err(wrong("it is free"));
        }
        let inode = self.read_inode(number)?;
        if inode.kind().is_none() {
            return Err(wrong("it holds no file"));
        }
        if inode.links() > 0 && !inode.has_content_blocks(self.geometry.block_size) {
            return Err(wrong("it has a name, and nothing that could be cut"));
        }
        Ok(inode)
    }
}

impl<D: BlockWrite> Store<D> {
    /// Ends orphans without a name, cuts the others to their size, and empties the lists.
    pub(super) fn release_orphans(&mut self, time: i64, recovered: &mut Recovered) -> Result<(), FsError> {
        let orphans = self.orphans()?;
        for number in &orphans.numbers {
            let mut inode = self.read_orphan(*number)?;
            if inode.links() == 0 {
                self.destroy(inode)?;
                recovered.orphans_removed += 1;
                continue;
            }
            self.shorten(&mut inode)?;
            inode.set_next_orphan(0);
            inode.set_mtime(time);
            inode.set_ctime(time);
            self.write_inode(&mut inode)?;
            recovered.orphans_truncated += 1;
        }
        for block in &orphans.blocks {
            self.clear_orphan_block(*block)?;
        }
        self.superblock.clear_orphans();
        self.changed = true;
        Ok(())
    }

    fn clear_orphan_block(&mut self, block: u64) -> Result<(), FsError> {
        let mut bytes = vec![0; self.block_len()];
        let end = bytes.len() - TAIL;
        put_u32(&mut bytes, end, MAGIC);
        if self.sums.on_metadata() {
            let sum = of_orphan_block(self.inode_seed(&self.orphan_file()?), block, &bytes[..end]);
            put_u32(&mut bytes, end + 4, sum);
        }
        self.write_block(block, &bytes)
    }
}
