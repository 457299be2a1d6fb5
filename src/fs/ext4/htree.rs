//! Directory indexes: names found by their hash through one or two levels of index blocks
//! (Documentation/filesystems/ext4/directory.rst, "Hash Tree Directories"; fs/ext4/namei.c).
//!
//! Index blocks look like blocks with one unused entry to whoever does not know them. An index entry is a
//! hash and a block of the directory; names whose hash is not below it and below the next entry's are found
//! there. The first entry's hash counts as zero, and its place holds limit and count instead.

use super::super::error::FsError;
use super::bytes::{put_u16, put_u32, u16_at, u32_at};
use super::checksum::crc32c;
use super::dir::Place;
use super::dirblock::{self, Named};
use super::hash::{HashKind, NameHash};
use super::inode::{FLAG_INDEX, Inode};
use super::store::Store;
use crate::disk::block::{BlockRead, BlockWrite};

/// Where the root's entries begin: behind `.`, `..` and the root's own 8 bytes.
const ROOT_ENTRIES: usize = 32;
/// Where a lower index block's entries begin: behind an unused directory entry.
const NODE_ENTRIES: usize = 8;
/// Bytes of an entry.
const ENTRY: usize = 8;
/// Where the root says which hash, how long its own information is, and how many levels lie below it.
const ROOT_INFO: usize = 24;
/// Levels of index blocks below the root that there can be without `large_dir`.
const MOST_LEVELS: u8 = 1;
/// In a hash of an index entry: names of the same hash continue from the block in front.
const CONTINUED: u32 = 1;

/// An index block on the way to a name.
struct IndexBlock {
    /// Its number within the directory.
    logical: u32,
    /// Its number in the filesystem.
    block: u64,
    bytes: Vec<u8>,
    /// Where its entries begin.
    start: usize,
    /// The entry taken.
    at: usize,
}

impl IndexBlock {
    fn limit(&self) -> usize {
        usize::from(u16_at(&self.bytes, self.start))
    }

    fn count(&self) -> usize {
        usize::from(u16_at(&self.bytes, self.start + 2))
    }

    fn set_counts(&mut self, limit: usize, count: usize) {
        // A block of 16 KiB has room for 2047 entries.
        put_u16(&mut self.bytes, self.start, (limit & 0xffff) as u16);
        put_u16(&mut self.bytes, self.start + 2, (count & 0xffff) as u16);
    }

    fn hash(&self, at: usize) -> u32 {
        if at == 0 { 0 } else { u32_at(&self.bytes, self.start + at * ENTRY) }
    }

    /// The block of the directory that an entry leads to; the upper four bits are reserved.
    fn child(&self, at: usize) -> u32 {
        u32_at(&self.bytes, self.start + at * ENTRY + 4) & 0x0fff_ffff
    }

    fn put(&mut self, at: usize, hash: u32, child: u32) {
        if at > 0 {
            put_u32(&mut self.bytes, self.start + at * ENTRY, hash);
        }
        put_u32(&mut self.bytes, self.start + at * ENTRY + 4, child);
    }

    /// Adds an entry behind the one taken.
    fn insert(&mut self, hash: u32, child: u32) {
        let (count, at) = (self.count(), self.at + 1);
        let (from, to) = (self.start + at * ENTRY, self.start + count * ENTRY);
        self.bytes.copy_within(from..to, from + ENTRY);
        self.set_counts(self.limit(), count + 1);
        self.put(at, hash, child);
    }

    /// Takes the last entry whose hash is not above `hash`.
    fn seek(&mut self, hash: u32) {
        let (mut low, mut high) = (1, self.count());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.hash(middle) <= hash { low = middle + 1 } else { high = middle }
        }
        self.at = low - 1;
    }
}

impl<D: BlockRead> Store<D> {
    /// How many entries an index block whose entries begin at `start` can have.
    fn index_limit(&self, start: usize) -> usize {
        let tail = if self.sums.on_metadata() { 8 } else { 0 };
        (self.block_len() - start - tail) / ENTRY
    }

    fn read_index(&self, dir: &Inode, logical: u32, start: usize) -> Result<IndexBlock, FsError> {
        let (block, bytes) = self.read_dir_block(dir, logical)?;
        let index = IndexBlock { logical, block, bytes, start, at: 0 };
        let (limit, count) = (index.limit(), index.count());
        if limit != self.index_limit(start) || count == 0 || count > limit {
            return Err(damaged(dir, logical, &format!("an index of {count} entries of {limit}")));
        }
        if self.sums.on_metadata()
            && self.index_sum(dir, &index) != u32_at(&index.bytes, start + limit * ENTRY + 4)
        {
            return Err(damaged(dir, logical, "the index block's checksum does not match"));
        }
        Ok(index)
    }

    /// Covers everything in front of the entries, the entries in use, and the tail with its sum as zero.
    fn index_sum(&self, dir: &Inode, index: &IndexBlock) -> u32 {
        let used = index.start + index.count() * ENTRY;
        let tail = index.start + index.limit() * ENTRY;
        let sum = crc32c(self.inode_seed(dir), &index.bytes[..used]);
        crc32c(crc32c(sum, &index.bytes[tail..tail + 4]), &[0; 4])
    }

    /// The function that an index root names.
    fn index_hash(&self, dir: &Inode, root: &[u8]) -> Result<NameHash, FsError> {
        let (code, info, levels, flags) =
            (root[ROOT_INFO + 4], root[ROOT_INFO + 5], root[ROOT_INFO + 6], root[ROOT_INFO + 7]);
        let kind = HashKind::from_code(code).filter(|_| info == 8 && levels <= MOST_LEVELS && flags & 1 == 0);
        let Some(kind) = kind else {
            return Err(damaged(
                dir,
                0,
                &format!("an index with hash {code}, {levels} levels and flags {flags:#x}"),
            ));
        };
        Ok(NameHash { kind, signed: self.superblock.hash_is_signed(), seed: self.superblock.hash_seed() })
    }

    /// The index blocks from the root to the one that names the leaf for a name, and the name's hash.
    fn probe(&self, dir: &Inode, name: &[u8]) -> Result<(Vec<IndexBlock>, NameHash, u32), FsError> {
        let mut root = self.read_index(dir, 0, ROOT_ENTRIES)?;
        let function = self.index_hash(dir, &root.bytes)?;
        let hash = function.of(name);
        root.seek(hash);
        let levels = root.bytes[ROOT_INFO + 6];
        let mut path = vec![root];
        for _ in 0..levels {
            let above = &path[path.len() - 1];
            let mut node = self.read_index(dir, above.child(above.at), NODE_ENTRIES)?;
            node.seek(hash);
            path.push(node);
        }
        Ok((path, function, hash))
    }

    /// Finds a name through the index.
    pub(super) fn find_indexed(&self, dir: &Inode, name: &[u8]) -> Result<Option<Place>, FsError> {
        if name == b"." || name == b".." {
            return Ok(None);
        }
        let (mut path, _, hash) = self.probe(dir, name)?;
        loop {
            let last = &path[path.len() - 1];
            let (block, bytes) = self.read_names(dir, last.child(last.at))?;
            if let Some(place) = self.find_in_block(block, &bytes, name)? {
                return Ok(Some(place));
            }
            if !self.next_leaf(dir, &mut path, hash)? {
                return Ok(None);
            }
        }
    }

    /// Goes on to the next leaf, when it continues names of the same hash.
    fn next_leaf(&self, dir: &Inode, path: &mut Vec<IndexBlock>, hash: u32) -> Result<bool, FsError> {
        let Some(level) = path.iter().rposition(|index| index.at + 1 < index.count()) else {
            return Ok(false);
        };
        path[level].at += 1;
        let next = path[level].hash(path[level].at);
        if next & CONTINUED == 0 || next & !CONTINUED != hash {
            return Ok(false);
        }
        let depth = path.len();
        path.truncate(level + 1);
        while path.len() < depth {
            let above = &path[path.len() - 1];
            path.push(self.read_index(dir, above.child(above.at), NODE_ENTRIES)?);
        }
        Ok(true)
    }
}

impl<D: BlockWrite> Store<D> {
    fn write_index(&mut self, dir: &Inode, index: &mut IndexBlock) -> Result<(), FsError> {
        if self.sums.on_metadata() {
            let tail = index.start + index.limit() * ENTRY;
            put_u32(&mut index.bytes, tail, 0);
            let sum = self.index_sum(dir, index);
            put_u32(&mut index.bytes, tail + 4, sum);
        }
        self.write_block(index.block, &index.bytes)
    }

    /// Adds a name through the index. The directory's inode changes and is not written.
    pub(super) fn add_indexed(
        &mut self,
        dir: &mut Inode,
        name: &[u8],
        inode: u32,
        kind: u8,
    ) -> Result<(), FsError> {
        // A leaf is split at most once; in front of that, each index level is split or added at most once.
        for _ in 0..8 {
            let (mut path, function, _) = self.probe(dir, name)?;
            let last = path.len() - 1;
            let (block, mut bytes) = self.read_names(dir, path[last].child(path[last].at))?;
            let end = self.names_end();
            if dirblock::insert(&mut bytes, end, name, inode, kind)? {
                return self.write_names(dir, block, &mut bytes);
            }
            if path[last].count() < path[last].limit() {
                self.split_leaf(dir, &mut path[last], &function, (block, bytes))?;
            } else if path.len() > 1 && path[0].count() < path[0].limit() {
                self.split_node(dir, &mut path)?;
            } else if path.len() == 1 {
                self.deepen_index(dir, &mut path[0])?;
            } else {
                return Err(FsError::unsupported("more names in a directory (large_dir)"));
            }
        }
        Err(damaged(dir, 0, "an index that does not get room by splitting"))
    }

    /// Moves the names with the higher hashes of a full leaf into a new one.
    fn split_leaf(
        &mut self,
        dir: &mut Inode,
        index: &mut IndexBlock,
        function: &NameHash,
        leaf: (u64, Vec<u8>),
    ) -> Result<(), FsError> {
        let (block, bytes) = leaf;
        let mut names = Vec::new();
        for entry in dirblock::entries(&bytes, self.names_end()) {
            let entry = entry?;
            if entry.inode != 0 {
                names.push((function.of(entry.name), (entry.name.to_vec(), entry.inode, entry.kind)));
            }
        }
        if names.len() < 2 {
            return Err(damaged(dir, index.logical, "a leaf that is full with fewer than two names"));
        }
        names.sort_by_key(|(hash, _)| *hash);
        let at = split_point(&names, self.block_len());
        let first = names[at].0;
        let continued = if names[at - 1].0 == first { CONTINUED } else { 0 };
        let (logical, fresh) = self.append_names(dir)?;
        let entries: Vec<_> = names.into_iter().map(|(_, entry)| entry).collect();
        for (block, half) in [(block, &entries[..at]), (fresh, &entries[at..])] {
            let mut bytes = self.blank_names();
            let end = self.names_end();
            dirblock::lay_out(&mut bytes, end, half);
            self.write_names(dir, block, &mut bytes)?;
        }
        index.insert(first | continued, logical);
        self.write_index(dir, index)
    }

    /// Moves the upper half of a full index block into a new one, which the root is told.
    fn split_node(&mut self, dir: &mut Inode, path: &mut [IndexBlock]) -> Result<(), FsError> {
        let [root, node] = path else { return Err(damaged(dir, 0, "an index of more than two levels")) };
        let (count, half) = (node.count(), node.count() / 2);
        let first = node.hash(half);
        let mut fresh = self.fresh_index(dir)?;
        for at in half..count {
            fresh.put(at - half, node.hash(at), node.child(at));
        }
        fresh.set_counts(fresh.limit(), count - half);
        node.set_counts(node.limit(), half);
        root.insert(first, fresh.logical);
        for index in [&mut fresh, node, root] {
            self.write_index(dir, index)?;
        }
        Ok(())
    }

    /// Moves all entries of a full root into a new index block below it.
    fn deepen_index(&mut self, dir: &mut Inode, root: &mut IndexBlock) -> Result<(), FsError> {
        let mut fresh = self.fresh_index(dir)?;
        for at in 0..root.count() {
            fresh.put(at, root.hash(at), root.child(at));
        }
        fresh.set_counts(fresh.limit(), root.count());
        root.set_counts(root.limit(), 1);
        root.put(0, 0, fresh.logical);
        root.bytes[ROOT_INFO + 6] += 1;
        self.write_index(dir, &mut fresh)?;
        self.write_index(dir, root)
    }

    /// A new index block without entries, at the directory's end.
    fn fresh_index(&mut self, dir: &mut Inode) -> Result<IndexBlock, FsError> {
        let (logical, block) = self.append_names(dir)?;
        let mut bytes = vec![0; self.block_len()];
        let len = bytes.len();
        dirblock::clear(&mut bytes, len);
        let mut index = IndexBlock { logical, block, bytes, start: NODE_ENTRIES, at: 0 };
        index.set_counts(self.index_limit(NODE_ENTRIES), 0);
        Ok(index)
    }

    /// Turns a directory of one full block into an indexed one: its names move to a second block, and the
    /// first becomes the root.
    pub(super) fn build_index(&mut self, dir: &mut Inode) -> Result<(), FsError> {
        let (block, old) = self.read_names(dir, 0)?;
        let mut names = Vec::new();
        for entry in dirblock::entries(&old, self.names_end()) {
            let entry = entry?;
            if entry.inode != 0 {
                names.push((entry.name.to_vec(), entry.inode, entry.kind));
            }
        }
        let (own, parent) = match &names[..] {
            [(dot, own, _), (dots, parent, _), ..] if dot == b"." && dots == b".." => (*own, *parent),
            _ => return Err(damaged(dir, 0, "it does not begin with . and ..")),
        };
        let (logical, fresh) = self.append_names(dir)?;
        let (mut leaf, end) = (self.blank_names(), self.names_end());
        dirblock::lay_out(&mut leaf, end, &names[2..]);
        self.write_names(dir, fresh, &mut leaf)?;

        let mut bytes = vec![0; self.block_len()];
        let len = bytes.len();
        dirblock::write(&mut bytes, 0, 12, b".", own, 2);
        dirblock::write(&mut bytes, 12, len - 12, b"..", parent, 2);
        bytes[ROOT_INFO + 4] = self.superblock.default_hash().code();
        bytes[ROOT_INFO + 5] = 8;
        let mut root = IndexBlock { logical: 0, block, bytes, start: ROOT_ENTRIES, at: 0 };
        root.set_counts(self.index_limit(ROOT_ENTRIES), 1);
        root.put(0, 0, logical);
        dir.set_flag(FLAG_INDEX, true);
        self.write_index(dir, &mut root)
    }
}

/// Where a leaf's names, in order of their hashes, are parted so that both halves have room for one more: the
/// upper half takes names as long as more than half of each lies within half a block.
fn split_point(names: &[(u32, Named)], block: usize) -> usize {
    let mut size = 0;
    for (at, (_, (name, _, _))) in names.iter().enumerate().rev() {
        let needs = dirblock::bytes_for(name.len());
        if size + needs / 2 > block / 2 {
            return if at > 0 { at + 1 } else { names.len() / 2 };
        }
        size += needs;
    }
    names.len() / 2
}

fn damaged(dir: &Inode, logical: u32, what: &str) -> FsError {
    FsError::corrupt(format!("directory inode {}, block {logical}: {what}; run e2fsck", dir.number))
}
