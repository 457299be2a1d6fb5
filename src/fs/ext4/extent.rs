//! Extent trees: which blocks hold which part of a file (Documentation/filesystems/ext4/ifork.rst).

use super::super::error::FsError;
use super::alloc::LONGEST_RUN;
use super::bytes::{join, put_u16, put_u32, u16_at, u32_at};
use super::checksum::is_sealed;
use super::inode::{Inode, MAP_SIZE};
use super::map::Piece;
use super::store::Store;
use crate::disk::block::BlockRead;

const MAGIC: u16 = 0xf30a;
/// Bytes of a node's header and of every entry.
pub(super) const ENTRY: usize = 12;
/// The kernel's limit; a tree of this depth maps more than 2^32 blocks.
pub(super) const MAX_DEPTH: u16 = 5;

/// A stretch of a file's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// The first block's number within the file.
    pub(super) logical: u32,
    /// The first block's number in the filesystem.
    pub(super) start: u64,
    /// How many blocks.
    pub(super) len: u32,
    /// Whether they hold data; else they read as zeros.
    pub(super) written: bool,
}

impl Extent {
    fn decode(bytes: &[u8]) -> Self {
        let len = u32::from(u16_at(bytes, 4));
        let start = join(u32_at(bytes, 8), u32::from(u16_at(bytes, 6)));
        let written = len <= LONGEST_RUN;
        let len = if written { len } else { len - LONGEST_RUN };
        Self { logical: u32_at(bytes, 0), start, len, written }
    }

    pub(super) fn encode(&self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        let len = if self.written { self.len } else { self.len + LONGEST_RUN };
        put_u32(&mut bytes, 0, self.logical);
        put_u16(&mut bytes, 4, (len & 0xffff) as u16);
        put_place(&mut bytes, 8, 6, self.start);
        bytes
    }
}

/// An index entry: from `logical` on, look in `block`.
pub(super) fn encode_index(logical: u32, block: u64) -> [u8; ENTRY] {
    let mut bytes = [0; ENTRY];
    put_u32(&mut bytes, 0, logical);
    put_place(&mut bytes, 4, 8, block);
    bytes
}

fn decode_index(bytes: &[u8]) -> (u32, u64) {
    (u32_at(bytes, 0), join(u32_at(bytes, 4), u32::from(u16_at(bytes, 8))))
}

fn put_place(bytes: &mut [u8], low: usize, high: usize, block: u64) {
    put_u32(bytes, low, (block & 0xffff_ffff) as u32);
    put_u16(bytes, high, (block >> 32 & 0xffff) as u16);
}

/// A node's bytes: the 60 in an inode, or a block.
#[derive(Clone)]
pub(super) struct Node {
    /// The bytes.
    pub(super) bytes: Vec<u8>,
}

impl Node {
    /// A node without entries.
    pub(super) fn empty(size: usize, max: u16, depth: u16) -> Self {
        let mut bytes = vec![0; size];
        put_u16(&mut bytes, 0, MAGIC);
        put_u16(&mut bytes, 4, max);
        put_u16(&mut bytes, 6, depth);
        Self { bytes }
    }

    /// Takes a node's bytes when its header makes sense.
    fn parse(bytes: Vec<u8>, who: impl Fn() -> String) -> Result<Self, FsError> {
        let node = Self { bytes };
        let room = (node.bytes.len() - ENTRY) / ENTRY;
        if u16_at(&node.bytes, 0) != MAGIC {
            return Err(FsError::corrupt(format!("{}: an extent header's magic number is missing", who())));
        }
        if usize::from(node.max()) > room
            || node.max() == 0
            || node.count() > node.max()
            || node.depth() > MAX_DEPTH
        {
            let (count, max, depth) = (node.count(), node.max(), node.depth());
            return Err(FsError::corrupt(format!(
                "{}: an extent header says {count} entries of {max}, depth {depth}",
                who()
            )));
        }
        Ok(node)
    }

    pub(super) fn count(&self) -> u16 {
        u16_at(&self.bytes, 2)
    }

    pub(super) fn max(&self) -> u16 {
        u16_at(&self.bytes, 4)
    }

    pub(super) fn depth(&self) -> u16 {
        u16_at(&self.bytes, 6)
    }

    pub(super) fn is_full(&self) -> bool {
        self.count() >= self.max()
    }

    /// The checksum's place in a block: behind the last possible entry.
    pub(super) fn tail(&self) -> usize {
        ENTRY + usize::from(self.max()) * ENTRY
    }

    fn entry(&self, at: u16) -> &[u8] {
        let start = ENTRY + usize::from(at) * ENTRY;
        &self.bytes[start..start + ENTRY]
    }

    pub(super) fn extent(&self, at: u16) -> Extent {
        Extent::decode(self.entry(at))
    }

    pub(super) fn index(&self, at: u16) -> (u32, u64) {
        decode_index(self.entry(at))
    }

    pub(super) fn set(&mut self, at: u16, entry: &[u8; ENTRY]) {
        let start = ENTRY + usize::from(at) * ENTRY;
        self.bytes[start..start + ENTRY].copy_from_slice(entry);
    }

    pub(super) fn push(&mut self, entry: &[u8; ENTRY]) {
        let count = self.count();
        self.set(count, entry);
        put_u16(&mut self.bytes, 2, count + 1);
    }

    /// Takes over all entries of another node of the same depth, which has no more than fit.
    pub(super) fn adopt(&mut self, other: &Node) {
        for at in 0..other.count() {
            let mut entry = [0; ENTRY];
            entry.copy_from_slice(other.entry(at));
            self.push(&entry);
        }
    }

    /// Where the first entry begins in the file.
    pub(super) fn first_logical(&self) -> u32 {
        u32_at(self.entry(0), 0)
    }

    /// The last entry that begins at or before `logical`.
    fn find(&self, logical: u32) -> Option<u16> {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low + (high - low) / 2;
            if u32_at(self.entry(middle), 0) <= logical { low = middle + 1 } else { high = middle }
        }
        low.checked_sub(1)
    }
}

/// What a walk still has to hold to, so that hostile trees end.
struct Bounds {
    /// Where the next extent may begin at the earliest.
    logical: u64,
    /// How many more blocks can be mapped or be nodes.
    budget: u64,
}

impl<D: BlockRead> Store<D> {
    /// The root of an inode's tree.
    pub(super) fn extent_root(&self, inode: &Inode) -> Result<Node, FsError> {
        debug_assert_eq!(inode.map().len(), MAP_SIZE);
        Node::parse(inode.map().to_vec(), || format!("inode {}", inode.number))
    }

    /// A node in a block, which must be of the depth its parent expects.
    pub(super) fn extent_node(&self, inode: &Inode, block: u64, depth: u16) -> Result<Node, FsError> {
        let who = || format!("inode {}, extent block {block}", inode.number);
        let node = Node::parse(self.read_block(block, who)?, who)?;
        if node.depth() != depth || node.count() == 0 {
            return Err(FsError::corrupt(format!("{}: depth {} where {depth} belongs", who(), node.depth())));
        }
        let tail = node.tail();
        let fits = tail + 4 <= node.bytes.len();
        if self.sums.on_metadata() && !(fits && is_sealed(self.inode_seed(inode), &node.bytes, tail, tail)) {
            return Err(FsError::corrupt(format!("{}: the checksum does not match; run e2fsck", who())));
        }
        Ok(node)
    }

    /// Shows every extent and every block of the tree, in the file's order.
    pub(super) fn walk_extents(
        &self,
        inode: &Inode,
        visit: &mut dyn FnMut(Piece) -> Result<(), FsError>,
    ) -> Result<(), FsError> {
        let mut bounds = Bounds { logical: 0, budget: self.geometry.blocks };
        self.walk_node(inode, &self.extent_root(inode)?, 1 << 32, &mut bounds, visit)
    }

    fn walk_node(
        &self,
        inode: &Inode,
        node: &Node,
        end: u64,
        bounds: &mut Bounds,
        visit: &mut dyn FnMut(Piece) -> Result<(), FsError>,
    ) -> Result<(), FsError> {
        let wrong = |what: &str| FsError::corrupt(format!("inode {}: {what}; run e2fsck", inode.number));
        for at in 0..node.count() {
            if node.depth() == 0 {
                let extent = node.extent(at);
                let (first, len) = (u64::from(extent.logical), u64::from(extent.len));
                if first < bounds.logical || len == 0 || first + len > end {
                    return Err(wrong("its extents overlap"));
                }
                self.geometry.check_run(extent.start, len, || format!("inode {}", inode.number))?;
                bounds.logical = first + len;
                bounds.budget =
                    bounds.budget.checked_sub(len).ok_or_else(|| wrong("it has more blocks than exist"))?;
                visit(Piece::Data(extent))?;
                continue;
            }
            let (first, block) = node.index(at);
            let next = if at + 1 < node.count() { u64::from(node.index(at + 1).0) } else { end };
            if u64::from(first) < bounds.logical || u64::from(first) >= next || next > end {
                return Err(wrong("its extent index is out of order"));
            }
            bounds.logical = u64::from(first);
            bounds.budget =
                bounds.budget.checked_sub(1).ok_or_else(|| wrong("it has more blocks than exist"))?;
            let child = self.extent_node(inode, block, node.depth() - 1)?;
            self.walk_node(inode, &child, next, bounds, visit)?;
            visit(Piece::Tree(block))?;
        }
        Ok(())
    }

    /// The extent that holds a block of the file.
    pub(super) fn find_extent(&self, inode: &Inode, logical: u32) -> Result<Option<Extent>, FsError> {
        let mut node = self.extent_root(inode)?;
        while node.depth() > 0 {
            let Some(at) = node.find(logical) else { return Ok(None) };
            node = self.extent_node(inode, node.index(at).1, node.depth() - 1)?;
        }
        let Some(extent) = node.find(logical).map(|at| node.extent(at)) else { return Ok(None) };
        self.geometry.check_run(extent.start, u64::from(extent.len), || format!("inode {}", inode.number))?;
        Ok((logical - extent.logical < extent.len).then_some(extent))
    }
}

#[cfg(test)]
mod tests {
    use super::{Extent, Node, encode_index};

    #[test]
    fn entries_come_back() {
        for written in [true, false] {
            let extent = Extent { logical: 7, start: 0x1234_5678_9abc, len: 32767, written };
            assert_eq!(Extent::decode(&extent.encode()), extent);
        }
        let full = Extent { logical: 0, start: 1, len: 32768, written: true };
        assert_eq!(Extent::decode(&full.encode()), full);
        assert_eq!(super::decode_index(&encode_index(9, 0x1234_5678_9abc)), (9, 0x1234_5678_9abc));
    }

    #[test]
    fn finds_the_entry_in_front() {
        let mut node = Node::empty(60, 4, 0);
        for logical in [10, 20, 30] {
            node.push(&Extent { logical, start: 1, len: 1, written: true }.encode());
        }
        assert_eq!(
            [9, 10, 19, 20, 99].map(|logical| node.find(logical)),
            [None, Some(0), Some(0), Some(1), Some(2)]
        );
        assert!(!node.is_full());
    }

    #[test]
    fn headers_that_lie_are_refused() {
        let parse = |at: usize, value: u8| {
            let mut bytes = Node::empty(60, 4, 0).bytes;
            bytes[at] = value;
            Node::parse(bytes, || "inode 12".to_owned())
        };
        assert!(parse(0, 0x0a).is_ok());
        for (at, value) in [(0, 0), (2, 5), (4, 5), (4, 0), (6, 6)] {
            assert!(parse(at, value).is_err(), "byte {at} = {value}");
        }
    }
}
