//! Extent trees growing at their end: the only way files are built and directories grow here.

use super::super::error::FsError;
use super::alloc::LONGEST_RUN;
use super::checksum::seal;
use super::extent::{Extent, MAX_DEPTH, Node, encode_index};
use super::inode::{FLAG_EXTENTS, Inode, MAP_SIZE};
use super::store::Store;
use crate::disk::block::BlockWrite;

/// Entries in an inode's own node.
const ROOT_ENTRIES: u16 = 4;

/// The nodes from an inode's root (first, in no block of its own) to its last leaf: only these change when
/// a file grows at its end.
struct LastPath {
    levels: Vec<(Option<u64>, Node)>,
    /// Blocks taken for the tree.
    taken: u64,
}

impl LastPath {
    fn leaf(&mut self) -> &mut Node {
        let last = self.levels.len() - 1;
        &mut self.levels[last].1
    }

    /// Makes the last extent longer, when the new one follows it in file and filesystem.
    fn merge(&mut self, extent: &Extent) -> bool {
        let leaf = self.leaf();
        let Some(at) = leaf.count().checked_sub(1) else { return false };
        let mut last = leaf.extent(at);
        let follows = u64::from(last.logical) + u64::from(last.len) == u64::from(extent.logical)
            && last.start + u64::from(last.len) == extent.start;
        if !follows || !last.written || !extent.written || last.len + extent.len > LONGEST_RUN {
            return false;
        }
        last.len += extent.len;
        leaf.set(at, &last.encode());
        true
    }
}

/// Gives an inode an empty tree.
pub(super) fn plant(inode: &mut Inode) {
    inode.set_flag(FLAG_EXTENTS, true);
    inode.map_mut().copy_from_slice(&Node::empty(MAP_SIZE, ROOT_ENTRIES, 0).bytes);
}

impl<D: BlockWrite> Store<D> {
    /// Adds extents behind all that are there, in rising order. Says how many blocks the tree took; the
    /// inode's map changes, and writing the inode is the caller's.
    pub(super) fn append_extents(&mut self, inode: &mut Inode, extents: &[Extent]) -> Result<u64, FsError> {
        let mut path = self.last_path(inode)?;
        for extent in extents {
            if path.merge(extent) {
                continue;
            }
            if path.leaf().is_full() {
                self.make_room(inode, &mut path, extent)?;
            }
            path.leaf().push(&extent.encode());
        }
        for (block, node) in &mut path.levels {
            match block {
                Some(block) => self.write_node(inode, *block, node)?,
                None => inode.map_mut().copy_from_slice(&node.bytes),
            }
        }
        Ok(path.taken)
    }

    fn last_path(&self, inode: &Inode) -> Result<LastPath, FsError> {
        let mut node = self.extent_root(inode)?;
        let mut block = None;
        let mut levels = Vec::new();
        while node.depth() > 0 {
            let Some(last) = node.count().checked_sub(1) else {
                return Err(FsError::corrupt(format!(
                    "inode {}: an extent index without entries",
                    inode.number
                )));
            };
            let child = node.index(last).1;
            let below = self.extent_node(inode, child, node.depth() - 1)?;
            levels.push((block.replace(child), std::mem::replace(&mut node, below)));
        }
        levels.push((block, node));
        Ok(LastPath { levels, taken: 0 })
    }

    /// Makes a new last leaf, to begin with `extent`, and new nodes above it as far as those are full too.
    fn make_room(&mut self, inode: &Inode, path: &mut LastPath, extent: &Extent) -> Result<(), FsError> {
        let with_room = |path: &LastPath| {
            let above = &path.levels[..path.levels.len() - 1];
            above.iter().rposition(|(_, node)| !node.is_full())
        };
        let top = match with_room(path) {
            Some(top) => top,
            None => {
                self.deepen(inode, path, extent.start)?;
                if !path.leaf().is_full() {
                    return Ok(());
                }
                with_room(path).unwrap_or(0)
            }
        };
        for level in top + 1..path.levels.len() {
            let block = self.allocate_one(extent.start)?;
            path.taken += 1;
            let fresh = self.fresh_node(path.levels[level].1.depth());
            let (old, mut full) = std::mem::replace(&mut path.levels[level], (Some(block), fresh));
            if let Some(old) = old {
                self.write_node(inode, old, &mut full)?;
            }
            path.levels[level - 1].1.push(&encode_index(extent.logical, block));
        }
        Ok(())
    }

    /// Moves the root's entries into a block of their own, below a root that points to it.
    fn deepen(&mut self, inode: &Inode, path: &mut LastPath, goal: u64) -> Result<(), FsError> {
        let root = path.levels[0].1.clone();
        if root.depth() >= MAX_DEPTH {
            return Err(FsError::corrupt(format!("inode {}: its extent tree is too deep", inode.number)));
        }
        let block = self.allocate_one(goal)?;
        path.taken += 1;
        let mut moved = self.fresh_node(root.depth());
        moved.adopt(&root);
        let mut top = Node::empty(MAP_SIZE, ROOT_ENTRIES, root.depth() + 1);
        top.push(&encode_index(root.first_logical(), block));
        path.levels[0].1 = top;
        path.levels.insert(1, (Some(block), moved));
        Ok(())
    }

    fn fresh_node(&self, depth: u16) -> Node {
        // At most 1364 entries, with blocks of 16 KiB.
        Node::empty(self.block_len(), (self.geometry.extents_per_block() & 0xffff) as u16, depth)
    }

    fn write_node(&mut self, inode: &Inode, block: u64, node: &mut Node) -> Result<(), FsError> {
        if self.sums.on_metadata() {
            let tail = node.tail();
            seal(self.inode_seed(inode), &mut node.bytes, tail, tail);
        }
        self.write_block(block, &node.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::extent::Extent;
    use super::super::inode::Inode;
    use super::super::map::Piece;
    use super::super::tests::{LEGACY, SMALL, open, unpack};
    use super::plant;

    /// A root of 4 and blocks of 84 entries: past 336 extents there are two levels of blocks.
    #[test]
    fn trees_grow_to_every_depth_and_keep_their_order() {
        for fixture in [SMALL, LEGACY] {
            for (count, depth, blocks) in
                [(4, 0, 0), (5, 1, 1), (85, 1, 2), (336, 1, 4), (337, 2, 6), (500, 2, 7)]
            {
                let mut editor = open(unpack(fixture));
                let store = editor.store_mut();
                let mut inode = Inode::blank(100, 128, 0);
                plant(&mut inode);
                let piece = |at: u32| Extent {
                    logical: at * 2,
                    start: 40 + u64::from(at % 2),
                    len: 1,
                    written: true,
                };
                let extents: Vec<Extent> = (0..count).map(piece).collect();
                let (first, second) = extents.split_at(count as usize / 2);
                let taken = store.append_extents(&mut inode, first).unwrap()
                    + store.append_extents(&mut inode, second).unwrap();
                assert_eq!((store.extent_root(&inode).unwrap().depth(), taken), (depth, blocks), "{count}");
                let (mut seen, mut nodes) = (Vec::new(), 0);
                store
                    .walk_extents(&inode, &mut |piece| {
                        match piece {
                            Piece::Data(extent) => seen.push(extent),
                            Piece::Tree(_) => nodes += 1,
                        }
                        Ok(())
                    })
                    .unwrap();
                assert_eq!((seen, nodes), (extents.clone(), blocks));
                for extent in extents {
                    assert_eq!(store.find_extent(&inode, extent.logical).unwrap(), Some(extent));
                    assert_eq!(store.find_extent(&inode, extent.logical + 1).unwrap(), None);
                }
            }
        }
    }

    #[test]
    fn neighbours_become_one() {
        let mut editor = open(unpack(SMALL));
        let store = editor.store_mut();
        let mut inode = Inode::blank(100, 256, 32);
        plant(&mut inode);
        for at in 0..100 {
            let next = Extent { logical: at, start: 40 + u64::from(at), len: 1, written: true };
            store.append_extents(&mut inode, &[next]).unwrap();
        }
        let whole = Extent { logical: 0, start: 40, len: 100, written: true };
        assert_eq!(store.find_extent(&inode, 57).unwrap(), Some(whole));
        assert_eq!(store.extent_root(&inode).unwrap().count(), 1);
    }
}
