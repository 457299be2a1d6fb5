//! Cutting a file to its size: what its map leads to behind that is given back, as `ext4_truncate` in the
//! kernel's `fs/ext4/inode.c` does.

use super::super::error::FsError;
use super::bytes::{put_u32, u32_at};
use super::extent::Extent;
use super::extent_append::plant;
use super::inode::{FLAG_EXTENTS, Inode};
use super::map::Piece;
use super::store::Store;
use crate::disk::block::BlockWrite;

/// What an inode holds.
#[derive(Default)]
struct Held {
    extents: Vec<Extent>,
    /// Blocks of the map itself.
    tree: Vec<u64>,
}

impl<D: BlockWrite> Store<D> {
    /// Gives back the blocks behind an inode's size and fills the rest of its last block with zeros; the inode
    /// is not written.
    pub(super) fn shorten(&mut self, inode: &mut Inode) -> Result<(), FsError> {
        let keep = inode.size().div_ceil(u64::from(self.geometry.block_size));
        let mut held = Held::default();
        self.walk_map(inode, &mut |piece| {
            match piece {
                Piece::Data(extent) => held.extents.push(extent),
                Piece::Tree(block) => held.tree.push(block),
            }
            Ok(())
        })?;
        self.clear_last_block(inode, &held.extents)?;
        let end = |extent: &Extent| u64::from(extent.logical) + u64::from(extent.len);
        let given_back = if !inode.has(FLAG_EXTENTS) {
            self.shorten_block_map(inode, keep)?
        } else if held.extents.last().is_some_and(|last| end(last) > keep) {
            self.shorten_extents(inode, held, keep)?
        } else {
            0
        };
        let size = self.geometry.block_size;
        let blocks = inode.blocks(size).checked_sub(given_back).ok_or_else(|| {
            FsError::corrupt(format!("inode {} counts fewer blocks than it has; run e2fsck", inode.number))
        })?;
        inode.set_blocks(blocks, size);
        Ok(())
    }

    /// Behind the end there may be anything, and it would come to light when the file grows.
    fn clear_last_block(&mut self, inode: &Inode, extents: &[Extent]) -> Result<(), FsError> {
        let size = u64::from(self.geometry.block_size);
        let (logical, used) = (inode.size() / size, (inode.size() % size) as usize);
        let holds = |extent: &&Extent| {
            let first = u64::from(extent.logical);
            extent.written && (first..first + u64::from(extent.len)).contains(&logical)
        };
        let Some(extent) = extents.iter().find(holds).filter(|_| used > 0) else { return Ok(()) };
        let block = extent.start + (logical - u64::from(extent.logical));
        let mut bytes = self.read_block(block, || format!("inode {}", inode.number))?;
        bytes[used..].fill(0);
        self.write_block(block, &bytes)
    }

    /// Makes the tree anew of what stays, which leaves it as flat as it can be. Says how many blocks fewer the
    /// inode has then.
    fn shorten_extents(&mut self, inode: &mut Inode, held: Held, keep: u64) -> Result<u64, FsError> {
        let mut given_back = 0;
        for block in &held.tree {
            self.release(*block, 1)?;
            given_back += 1;
        }
        let mut kept = Vec::new();
        for extent in held.extents {
            let stays = keep.saturating_sub(u64::from(extent.logical)).min(u64::from(extent.len));
            let cut = u64::from(extent.len) - stays;
            if cut > 0 {
                self.release(extent.start + stays, cut)?;
                given_back += cut;
            }
            if stays > 0 {
                // No more than the extent's own length.
                kept.push(Extent { len: stays as u32, ..extent });
            }
        }
        plant(inode);
        // The tree never takes more than it had.
        Ok(given_back - self.append_extents(inode, &kept)?)
    }

    /// Says how many blocks fewer the inode has then. The map was walked before, so this ends.
    fn shorten_block_map(&mut self, inode: &mut Inode, keep: u64) -> Result<u64, FsError> {
        let (mut given_back, mut logical) = (0, 0);
        for slot in 0..15 {
            let levels = (slot as u32 + 1).saturating_sub(12);
            let block = u32_at(inode.map(), slot * 4);
            if block != 0 && self.shorten_below(block, levels, logical, keep, &mut given_back)? {
                put_u32(inode.map_mut(), slot * 4, 0);
            }
            logical += self.fan().pow(levels);
        }
        Ok(given_back)
    }

    /// Whether nothing is left of a block and what is below it.
    fn shorten_below(
        &mut self,
        block: u32,
        levels: u32,
        logical: u64,
        keep: u64,
        given_back: &mut u64,
    ) -> Result<bool, FsError> {
        let each = self.fan().pow(levels.saturating_sub(1));
        let holds = self.fan().pow(levels);
        if logical + holds <= keep {
            return Ok(false);
        }
        let mut empty = true;
        if levels > 0 {
            let mut numbers = self.read_block(u64::from(block), || "a block map".to_owned())?;
            for at in 0..numbers.len() / 4 {
                let (child, first) = (u32_at(&numbers, at * 4), logical + at as u64 * each);
                if child == 0 {
                    continue;
                }
                if self.shorten_below(child, levels - 1, first, keep, given_back)? {
                    put_u32(&mut numbers, at * 4, 0);
                } else {
                    empty = false;
                }
            }
            if !empty {
                self.write_block(u64::from(block), &numbers)?;
            }
        }
        if empty {
            self.release(u64::from(block), 1)?;
            *given_back += 1;
        }
        Ok(empty)
    }
}
