//! Where an inode's content lies, by extents or by a block map.

use super::super::error::FsError;
use super::bytes::low32;
use super::extent::Extent;
use super::inode::{FLAG_EXTENTS, Inode};
use super::store::Store;
use crate::disk::block::{BlockRead, BlockWrite};

/// What a walk over an inode's map comes across.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Blocks of the content.
    Data(Extent),
    /// A block of the map itself.
    Tree(u64),
}

impl Piece {
    /// Its first block, and how many it has.
    pub(super) fn run(self) -> (u64, u64) {
        match self {
            Self::Data(extent) => (extent.start, u64::from(extent.len)),
            Self::Tree(block) => (block, 1),
        }
    }
}

impl<D: BlockRead> Store<D> {
    /// Shows every piece of an inode's map, content in the file's order; nothing when it has none.
    pub(super) fn walk_map(
        &self,
        inode: &Inode,
        visit: &mut dyn FnMut(Piece) -> Result<(), FsError>,
    ) -> Result<(), FsError> {
        if !inode.has_content_blocks(self.geometry.block_size) {
            return Ok(());
        }
        if inode.has(FLAG_EXTENTS) {
            self.walk_extents(inode, visit)
        } else {
            self.walk_block_map(inode, visit)
        }
    }

    /// The block that holds a block of the content; `None` in a hole.
    pub(super) fn block_of(&self, inode: &Inode, logical: u64) -> Result<Option<u64>, FsError> {
        if !inode.has(FLAG_EXTENTS) {
            return self.find_mapped(inode, logical);
        }
        let Ok(logical) = u32::try_from(logical) else { return Ok(None) };
        let extent = self.find_extent(inode, logical)?;
        Ok(extent.map(|extent| extent.start + u64::from(logical - extent.logical)))
    }
}

impl<D: BlockWrite> Store<D> {
    /// Adds a block behind the last one of a directory and counts what that took; the inode is not written.
    pub(super) fn append_block(&mut self, inode: &mut Inode, logical: u32) -> Result<u64, FsError> {
        let goal = match logical.checked_sub(1) {
            Some(last) => self.block_of(inode, u64::from(last))?.map_or(0, |block| block + 1),
            None => self.goal_of(inode.number),
        };
        let block = self.allocate_one(goal)?;
        let tree = if inode.has(FLAG_EXTENTS) {
            self.append_extents(inode, &[Extent { logical, start: block, len: 1, written: true }])?
        } else {
            self.append_mapped(inode, u64::from(logical), block)?
        };
        let size = self.geometry.block_size;
        inode.set_blocks(inode.blocks(size) + 1 + tree, size);
        inode.set_size((u64::from(logical) + 1) * u64::from(size));
        Ok(block)
    }

    /// Where an inode's first blocks are looked for: at the start of its group.
    pub(super) fn goal_of(&self, number: u32) -> u64 {
        self.geometry.group_start(self.locate_inode(number).0)
    }
}

/// The number of a block within a file, from an offset in bytes that is known to be in range.
pub(super) fn block_number(offset: u64, block_size: u32) -> u32 {
    low32(offset / u64::from(block_size))
}
