//! Directories: finding, adding, removing and listing names, with or without an index.

use super::super::error::FsError;
use super::bytes::{u16_at, u32_at};
use super::checksum::{is_sealed, seal};
use super::dirblock::{self, TAIL};
use super::features::COMPAT_DIR_INDEX;
use super::inode::{FLAG_INDEX, Inode};
use super::map::block_number;
use super::store::Store;
use crate::disk::block::{BlockRead, BlockWrite};

/// The longest directory without `large_dir`, in bytes.
const LONGEST: u64 = 1 << 31;

/// Where a name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The block it stands in.
    pub(super) block: u64,
    /// Where in there.
    pub(super) offset: usize,
    /// The inode it leads to.
    pub(super) inode: u32,
    /// The code of what that is.
    pub(super) kind: u8,
}

impl<D: BlockRead> Store<D> {
    /// Where the entries of a block of names end.
    pub(super) fn names_end(&self) -> usize {
        if self.sums.on_metadata() { self.block_len() - TAIL } else { self.block_len() }
    }

    /// Whether a directory's index is to be used.
    pub(super) fn is_indexed(&self, dir: &Inode) -> bool {
        dir.has(FLAG_INDEX) && self.superblock.features().has_compat(COMPAT_DIR_INDEX)
    }

    /// Number of blocks of a directory.
    pub(super) fn dir_blocks(&self, dir: &Inode) -> Result<u32, FsError> {
        let size = dir.size();
        if size == 0 || size >= LONGEST || !size.is_multiple_of(u64::from(self.geometry.block_size)) {
            return Err(FsError::corrupt(format!("directory inode {}: a size of {size} bytes", dir.number)));
        }
        Ok(block_number(size, self.geometry.block_size))
    }

    /// Reads a block of a directory, whatever it holds: its number in the filesystem, and its bytes.
    pub(super) fn read_dir_block(&self, dir: &Inode, logical: u32) -> Result<(u64, Vec<u8>), FsError> {
        let who = || format!("directory inode {}, block {logical}", dir.number);
        let hole = || FsError::corrupt(format!("{} is a hole; run e2fsck", who()));
        let block = self.block_of(dir, u64::from(logical))?.ok_or_else(hole)?;
        Ok((block, self.read_block(block, who)?))
    }

    /// Reads a block of names and checks it.
    pub(super) fn read_names(&self, dir: &Inode, logical: u32) -> Result<(u64, Vec<u8>), FsError> {
        let (block, bytes) = self.read_dir_block(dir, logical)?;
        self.check_names(dir, &bytes, logical)?;
        Ok((block, bytes))
    }

    fn check_names(&self, dir: &Inode, bytes: &[u8], logical: u32) -> Result<(), FsError> {
        if !self.sums.on_metadata() {
            return Ok(());
        }
        let (end, len) = (self.names_end(), bytes.len());
        if !dirblock::has_tail(bytes) || !is_sealed(self.inode_seed(dir), bytes, end, len - 4) {
            let number = dir.number;
            return Err(FsError::corrupt(format!(
                "directory inode {number}, block {logical}: the checksum does not match; run e2fsck"
            )));
        }
        Ok(())
    }

    /// Finds a name.
    pub(super) fn find_name(&self, dir: &Inode, name: &[u8]) -> Result<Option<Place>, FsError> {
        if self.is_indexed(dir) {
            return self.find_indexed(dir, name);
        }
        for logical in 0..self.dir_blocks(dir)? {
            let (block, bytes) = self.read_names(dir, logical)?;
            if let Some(place) = self.find_in_block(block, &bytes, name)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Finds a name in a block of names.
    pub(super) fn find_in_block(
        &self,
        block: u64,
        bytes: &[u8],
        name: &[u8],
    ) -> Result<Option<Place>, FsError> {
        let found = dirblock::find(bytes, self.names_end(), name)?;
        Ok(found.map(|entry| Place { block, offset: entry.offset, inode: entry.inode, kind: entry.kind }))
    }

    /// Shows every name but `.` and `..`, with the code of its kind and its inode, until `visit` answers `false`.
    pub(super) fn list_names(
        &self,
        dir: &Inode,
        visit: &mut dyn FnMut(&[u8], u8, u32) -> bool,
    ) -> Result<(), FsError> {
        let indexed = self.is_indexed(dir);
        for logical in 0..self.dir_blocks(dir)? {
            let (_, bytes) = self.read_dir_block(dir, logical)?;
            if indexed && (logical == 0 || is_index_node(&bytes)) {
                continue;
            }
            self.check_names(dir, &bytes, logical)?;
            for entry in dirblock::entries(&bytes, self.names_end()) {
                let entry = entry?;
                if entry.inode != 0 && !entry.is_dots() && !visit(entry.name, entry.kind, entry.inode) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Whether a block of an indexed directory holds index entries: one unused entry fills it, where the unused
/// entry of an empty block of names leaves room for a tail. (Without tails both look the same, and neither
/// has names.)
fn is_index_node(bytes: &[u8]) -> bool {
    u32_at(bytes, 0) == 0 && usize::from(u16_at(bytes, 4)) == bytes.len()
}

impl<D: BlockWrite> Store<D> {
    /// Writes a block of names with a fresh checksum.
    pub(super) fn write_names(&mut self, dir: &Inode, block: u64, bytes: &mut [u8]) -> Result<(), FsError> {
        if self.sums.on_metadata() {
            let at = bytes.len() - 4;
            seal(self.inode_seed(dir), bytes, self.names_end(), at);
        }
        self.write_block(block, bytes)
    }

    /// A block of names without a name.
    pub(super) fn blank_names(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.block_len()];
        dirblock::clear(&mut bytes, self.names_end());
        if self.sums.on_metadata() {
            dirblock::put_tail(&mut bytes);
        }
        bytes
    }

    /// Adds a name that is not there yet. The directory's inode changes and is not written.
    pub(super) fn add_name(
        &mut self,
        dir: &mut Inode,
        name: &[u8],
        inode: u32,
        kind: u8,
    ) -> Result<(), FsError> {
        if self.is_indexed(dir) {
            return self.add_indexed(dir, name, inode, kind);
        }
        // Without the feature an index is not kept up, so it must not be believed later.
        dir.set_flag(FLAG_INDEX, false);
        let blocks = self.dir_blocks(dir)?;
        for logical in 0..blocks {
            let (block, mut bytes) = self.read_names(dir, logical)?;
            let end = self.names_end();
            if dirblock::insert(&mut bytes, end, name, inode, kind)? {
                return self.write_names(dir, block, &mut bytes);
            }
        }
        if blocks == 1 && self.superblock.features().has_compat(COMPAT_DIR_INDEX) {
            self.build_index(dir)?;
            return self.add_indexed(dir, name, inode, kind);
        }
        let (_, block) = self.append_names(dir)?;
        let mut bytes = self.blank_names();
        let end = self.names_end();
        dirblock::insert(&mut bytes, end, name, inode, kind)?;
        self.write_names(dir, block, &mut bytes)
    }

    /// Adds a block to a directory: its number in the directory and in the filesystem. What it holds is the
    /// caller's to write.
    pub(super) fn append_names(&mut self, dir: &mut Inode) -> Result<(u32, u64), FsError> {
        let logical = block_number(dir.size(), self.geometry.block_size);
        if dir.size() + u64::from(self.geometry.block_size) >= LONGEST {
            return Err(FsError::unsupported("directories of 2 GiB and more (large_dir)"));
        }
        Ok((logical, self.append_block(dir, logical)?))
    }

    /// Takes a name out.
    pub(super) fn remove_name(&mut self, dir: &Inode, place: &Place) -> Result<(), FsError> {
        let end = self.names_end();
        self.change_names(dir, place, |bytes| dirblock::remove(bytes, end, place.offset))
    }

    /// Makes a name lead to another inode.
    pub(super) fn redirect_name(
        &mut self,
        dir: &Inode,
        place: &Place,
        inode: u32,
        kind: u8,
    ) -> Result<(), FsError> {
        self.change_names(dir, place, |bytes| {
            dirblock::redirect(bytes, place.offset, inode, kind);
            Ok(())
        })
    }

    fn change_names(
        &mut self,
        dir: &Inode,
        place: &Place,
        change: impl FnOnce(&mut [u8]) -> Result<(), FsError>,
    ) -> Result<(), FsError> {
        let mut bytes = self.read_block(place.block, || format!("directory inode {}", dir.number))?;
        change(&mut bytes)?;
        self.write_names(dir, place.block, &mut bytes)
    }
}
