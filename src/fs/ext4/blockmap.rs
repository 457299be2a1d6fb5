//! Block maps of ext2 and ext3, which an ext4 filesystem may still hold: twelve direct block numbers, then
//! one, two and three levels of blocks full of numbers (Documentation/filesystems/ext4/blockmap.rst).

use super::super::error::FsError;
use super::bytes::{low32, put_u32, u32_at};
use super::extent::Extent;
use super::inode::Inode;
use super::map::Piece;
use super::store::Store;
use crate::disk::block::{BlockRead, BlockWrite};

/// Direct numbers in front of the three trees.
const DIRECT: u64 = 12;

/// A place in a map: which of the 15 slots, and the index to take in each block below it.
struct Route {
    slot: usize,
    indexes: Vec<usize>,
}

/// Finds a block's place, with `fan` numbers in a block; `None` beyond what a map can hold.
fn route(logical: u64, fan: u64) -> Option<Route> {
    let Some(mut rest) = logical.checked_sub(DIRECT) else {
        return Some(Route { slot: logical as usize, indexes: Vec::new() });
    };
    for levels in 1..=3_u32 {
        let holds = fan.pow(levels);
        if rest < holds {
            let indexes = (0..levels).rev().map(|level| (rest / fan.pow(level) % fan) as usize).collect();
            return Some(Route { slot: DIRECT as usize + levels as usize - 1, indexes });
        }
        rest -= holds;
    }
    None
}

/// Joins single blocks into stretches on their way to the visitor.
struct Collector<'v> {
    visit: &'v mut dyn FnMut(Piece) -> Result<(), FsError>,
    pending: Option<Extent>,
    /// How many more blocks there can be, so that maps that lead round in circles end.
    budget: u64,
}

impl Collector<'_> {
    fn data(&mut self, logical: u64, start: u64) -> Result<(), FsError> {
        if let Some(last) = &mut self.pending {
            let (behind, next) =
                (u64::from(last.logical) + u64::from(last.len), last.start + u64::from(last.len));
            if behind == logical && next == start {
                last.len += 1;
                return Ok(());
            }
        }
        self.flush()?;
        self.pending = Some(Extent { logical: low32(logical), start, len: 1, written: true });
        Ok(())
    }

    fn flush(&mut self) -> Result<(), FsError> {
        self.pending.take().map_or(Ok(()), |extent| (self.visit)(Piece::Data(extent)))
    }
}

impl<D: BlockRead> Store<D> {
    /// Block numbers in a block.
    pub(super) fn fan(&self) -> u64 {
        u64::from(self.geometry.block_size / 4)
    }

    /// Shows every stretch and every block of the map, in the file's order.
    pub(super) fn walk_block_map(
        &self,
        inode: &Inode,
        visit: &mut dyn FnMut(Piece) -> Result<(), FsError>,
    ) -> Result<(), FsError> {
        let mut collector = Collector { visit, pending: None, budget: self.geometry.blocks };
        let mut logical = 0;
        for slot in 0..15 {
            let levels = (slot + 1_u32).saturating_sub(DIRECT as u32);
            let block = u32_at(inode.map(), slot as usize * 4);
            self.walk_below(inode, block, levels, logical, &mut collector)?;
            logical += self.fan().pow(levels);
        }
        collector.flush()
    }

    fn walk_below(
        &self,
        inode: &Inode,
        block: u32,
        levels: u32,
        logical: u64,
        collector: &mut Collector<'_>,
    ) -> Result<(), FsError> {
        if block == 0 {
            return Ok(());
        }
        let number = inode.number;
        let wrong = |what: &str| FsError::corrupt(format!("inode {number}: {what}; run e2fsck"));
        collector.budget =
            collector.budget.checked_sub(1).ok_or_else(|| wrong("it has more blocks than exist"))?;
        if levels == 0 {
            self.geometry.check_run(u64::from(block), 1, || format!("inode {number}"))?;
            if logical > u64::from(u32::MAX) {
                return Err(wrong("its block map is too long"));
            }
            return collector.data(logical, u64::from(block));
        }
        let numbers = self.read_block(u64::from(block), || format!("inode {number}"))?;
        let each = self.fan().pow(levels - 1);
        for (at, bytes) in numbers.chunks_exact(4).enumerate() {
            self.walk_below(inode, u32_at(bytes, 0), levels - 1, logical + at as u64 * each, collector)?;
        }
        collector.flush()?;
        (collector.visit)(Piece::Tree(u64::from(block)))
    }

    /// The block that holds a block of the file.
    pub(super) fn find_mapped(&self, inode: &Inode, logical: u64) -> Result<Option<u64>, FsError> {
        let Some(route) = route(logical, self.fan()) else { return Ok(None) };
        let mut block = u32_at(inode.map(), route.slot * 4);
        for index in route.indexes {
            if block == 0 {
                return Ok(None);
            }
            let numbers = self.read_block(u64::from(block), || format!("inode {}", inode.number))?;
            block = u32_at(&numbers, index * 4);
        }
        Ok((block != 0).then_some(u64::from(block)))
    }
}

impl<D: BlockWrite> Store<D> {
    /// Puts a block into a map, at a place that is empty. Says how many blocks the map itself took; writing
    /// the inode is the caller's.
    pub(super) fn append_mapped(
        &mut self,
        inode: &mut Inode,
        logical: u64,
        block: u64,
    ) -> Result<u64, FsError> {
        let full = || FsError::unsupported("block-mapped directories larger than their map");
        let route = route(logical, self.fan()).filter(|_| block <= u64::from(u32::MAX)).ok_or_else(full)?;
        let mut taken = 0;
        // The number to be written into the node above, from the data block up to where the map goes on.
        let mut parent: Option<(u64, usize)> = None;
        let mut child = u32_at(inode.map(), route.slot * 4);
        for index in &route.indexes {
            if child == 0 {
                let fresh = self.allocate_one(block)?;
                self.write_block(fresh, &vec![0; self.block_len()])?;
                taken += 1;
                self.link(inode, route.slot, parent, fresh)?;
                child = low32(fresh);
            }
            parent = Some((u64::from(child), *index));
            let numbers = self.read_block(u64::from(child), || format!("inode {}", inode.number))?;
            child = u32_at(&numbers, *index * 4);
        }
        self.link(inode, route.slot, parent, block)?;
        Ok(taken)
    }

    /// Writes a block number into the map's slot, or into a block of the map.
    fn link(
        &mut self,
        inode: &mut Inode,
        slot: usize,
        parent: Option<(u64, usize)>,
        to: u64,
    ) -> Result<(), FsError> {
        if to > u64::from(u32::MAX) {
            return Err(FsError::unsupported("block-mapped directories beyond block 2^32"));
        }
        match parent {
            None => put_u32(inode.map_mut(), slot * 4, low32(to)),
            Some((block, index)) => {
                let mut numbers = self.read_block(block, || format!("inode {}", inode.number))?;
                put_u32(&mut numbers, index * 4, low32(to));
                self.write_block(block, &numbers)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::route;

    #[test]
    fn routes_follow_the_levels() {
        let place = |logical| route(logical, 256).map(|route| (route.slot, route.indexes));
        assert_eq!(place(11), Some((11, vec![])));
        assert_eq!(place(12), Some((12, vec![0])));
        assert_eq!(place(12 + 255), Some((12, vec![255])));
        assert_eq!(place(12 + 256), Some((13, vec![0, 0])));
        assert_eq!(place(12 + 256 + 65536), Some((14, vec![0, 0, 0])));
        assert_eq!(place(12 + 256 + 65536 + 256 * 256 * 256 - 1), Some((14, vec![255, 255, 255])));
        assert_eq!(place(12 + 256 + 65536 + 256 * 256 * 256), None);
    }
}
