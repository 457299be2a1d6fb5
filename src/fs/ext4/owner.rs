//! Which file or structure a byte belongs to: structures by their places, files by the maps of all inodes in
//! use, names by a walk over the tree. Damaged inodes and directories are passed over.

use std::collections::{BTreeMap, BTreeSet};

use super::super::error::FsError;
use super::super::owner::{Owner, shown};
use super::features::Purpose;
use super::inode::{Inode, RESIZE, ROOT};
use super::map::Piece;
use super::store::Store;
use crate::disk::block::BlockRead;

/// Inodes read at once.
const BATCH: u32 = 512;
/// Names in a path that is shown; deeper ones begin with dots.
const MAX_DEPTH: usize = 64;

/// What each of `offsets` (bytes of the filesystem) belongs to. Reads every inode in use and, for names, the
/// directories, once for all offsets. What only the journal knows is not seen.
///
/// # Errors
/// `Corrupt` or `Unsupported` when nothing can be said of the filesystem, or a read error.
pub fn owners<D: BlockRead>(device: D, offsets: &[u64]) -> Result<Vec<Owner>, FsError> {
    let store = Store::open(device, Purpose::Survey)?;
    let block_size = u64::from(store.geometry.block_size);
    let blocks: BTreeSet<u64> = offsets.iter().map(|offset| offset / block_size).collect();
    let mut owners = store.structures(&blocks);
    let left: BTreeSet<u64> = blocks.into_iter().filter(|block| !owners.contains_key(block)).collect();
    if !left.is_empty() {
        let claims = store.claims(left.clone())?;
        let names = store.names(claims.values().copied().collect())?;
        for block in left {
            let owner = match claims.get(&block) {
                Some(inode) => names.get(inode).cloned().unwrap_or_else(|| store.nameless(*inode)),
                None => store.unclaimed(block)?,
            };
            owners.insert(block, owner);
        }
    }
    let found = offsets.iter().map(|offset| owners.get(&(offset / block_size)).cloned());
    Ok(found.map(|owner| owner.unwrap_or(Owner::Unknown)).collect())
}

impl<D: BlockRead> Store<D> {
    /// The blocks among `blocks` that have a fixed place.
    fn structures(&self, blocks: &BTreeSet<u64>) -> BTreeMap<u64, Owner> {
        let mut found = BTreeMap::new();
        for block in blocks {
            if *block < u64::from(self.geometry.first_data_block) {
                found.insert(*block, Owner::metadata("the boot block"));
            } else if let Some((group, place)) = self.geometry.locate(*block)
                && place < self.geometry.head_blocks(group)
            {
                found.insert(*block, self.in_head(group, place));
            }
        }
        let table_blocks = u64::from(self.geometry.inode_table_blocks());
        for (number, group) in (0_u32..).zip(&self.groups) {
            let descriptor = &group.descriptor;
            for (what, start, len) in [
                ("block bitmap", descriptor.block_bitmap(), 1),
                ("inode bitmap", descriptor.inode_bitmap(), 1),
                ("inode table", descriptor.inode_table(), table_blocks),
            ] {
                for block in blocks.range(start..start + len) {
                    found.insert(*block, Owner::metadata(format!("the {what} of group {number}")));
                }
            }
        }
        found
    }

    /// A block of the stretch that begins with a superblock or, with `meta_bg`, with descriptors.
    fn in_head(&self, group: u32, place: u32) -> Owner {
        let copy = if group == 0 { String::new() } else { format!(" (copy in group {group})") };
        let (own, descriptors) =
            (u32::from(self.geometry.has_superblock(group)), self.geometry.descriptor_blocks());
        Owner::metadata(if place < own {
            format!("the superblock{copy}")
        } else if self.geometry.first_meta_block.is_some() || place <= descriptors {
            format!("the group descriptors{copy}")
        } else {
            format!("the room for more group descriptors{copy}")
        })
    }

    /// Which inode each block belongs to.
    fn claims(&self, wanted: BTreeSet<u64>) -> Result<BTreeMap<u64, u32>, FsError> {
        // Files share no blocks, so no sound filesystem needs more; one where they do is not searched for ever.
        let mut search = Search { wanted, claims: BTreeMap::new(), budget: 2 * self.geometry.blocks };
        for group in 0..self.geometry.groups() {
            let bitmap = match self.inode_bitmap(group) {
                Err(FsError::Io(error)) => return Err(error.into()),
                Err(_) => continue,
                Ok(bitmap) => bitmap,
            };
            for (start, len) in bitmap.set_runs(0) {
                let mut at = start;
                while at < start + len && !search.is_done() {
                    let count = BATCH.min(start + len - at);
                    self.search_inodes(group * self.geometry.inodes_per_group + at + 1, count, &mut search)?;
                    at += count;
                }
            }
        }
        Ok(search.claims)
    }

    /// Looks at `count` inodes in a row, all in one group.
    fn search_inodes(&self, first: u32, count: u32, search: &mut Search) -> Result<(), FsError> {
        let size = self.geometry.inode_size as usize;
        let mut table = vec![0; count as usize * size];
        self.device.read_at(self.inode_offset(first)?, &mut table)?;
        for (number, raw) in (first..).zip(table.chunks_exact(size)) {
            let Ok(inode) = self.check_inode(Inode::new(number, raw.to_vec())) else { continue };
            search.claim(inode.xattr_block(), 1, number);
            let walked = self.walk_map(&inode, &mut |piece| match piece {
                _ if search.is_done() => Err(FsError::corrupt("enough was seen")),
                Piece::Data(extent) => {
                    search.claim(extent.start, u64::from(extent.len), number);
                    Ok(())
                }
                Piece::Tree(block) => {
                    search.claim(block, 1, number);
                    Ok(())
                }
            });
            if let Err(FsError::Io(error)) = walked {
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// The names of inodes, one of each.
    fn names(&self, mut wanted: BTreeSet<u32>) -> Result<BTreeMap<u32, Owner>, FsError> {
        let mut names = BTreeMap::new();
        if wanted.remove(&ROOT) {
            names.insert(ROOT, Owner::Directory { path: "/".to_owned() });
        }
        // Of every directory that was met: where it stands, and under which name.
        let mut parents: BTreeMap<u32, (u32, Vec<u8>)> = BTreeMap::new();
        let mut pending = vec![ROOT];
        let mut budget = self.geometry.blocks;
        while let Some(number) = pending.pop().filter(|_| !wanted.is_empty()) {
            let listed = self.entries_of(number, &mut budget);
            let entries = match listed {
                Err(FsError::Io(error)) => return Err(error.into()),
                listed => listed.unwrap_or_default(),
            };
            for (name, is_dir, inode) in entries {
                if is_dir && inode != ROOT && !parents.contains_key(&inode) {
                    parents.insert(inode, (number, name.clone()));
                    pending.push(inode);
                }
                if wanted.remove(&inode) {
                    let path = path_of(&parents, number, &name);
                    names
                        .insert(inode, if is_dir { Owner::Directory { path } } else { Owner::File { path } });
                }
            }
        }
        Ok(names)
    }

    /// A directory's names, whether each is a directory, and its inode. `budget` is how many blocks of
    /// directories there can still be.
    fn entries_of(&self, number: u32, budget: &mut u64) -> Result<Vec<(Vec<u8>, bool, u32)>, FsError> {
        let dir = self.read_inode(number)?;
        if !dir.is_dir() {
            return Ok(Vec::new());
        }
        let blocks = u64::from(self.dir_blocks(&dir)?);
        *budget = budget.checked_sub(blocks).ok_or_else(|| FsError::corrupt("directories share blocks"))?;
        let mut entries = Vec::new();
        self.list_names(&dir, &mut |name, code, inode| {
            entries.push((name.to_vec(), code, inode));
            true
        })?;
        // Without the feature `filetype` the code is always 0.
        let is_dir = |code, inode| match code {
            0 => self.read_inode(inode).is_ok_and(|inode| inode.is_dir()),
            code => code == 2,
        };
        Ok(entries.into_iter().map(|(name, code, inode)| (name, is_dir(code, inode), inode)).collect())
    }

    /// An inode that no name leads to.
    fn nameless(&self, number: u32) -> Owner {
        if number == self.superblock.journal_inode() {
            Owner::metadata("the journal")
        } else if number == RESIZE {
            Owner::metadata("the room for more group descriptors")
        } else if number < self.geometry.first_inode {
            Owner::metadata(format!("the reserved inode {number}"))
        } else {
            Owner::metadata(format!("inode {number}, which has no name"))
        }
    }

    fn unclaimed(&self, block: u64) -> Result<Owner, FsError> {
        let Some((group, place)) = self.geometry.locate(block) else { return Ok(Owner::Free) };
        match self.block_bitmap(group) {
            Ok(bitmap) if !bitmap.is_set(place) => Ok(Owner::Free),
            Err(FsError::Io(error)) => Err(error.into()),
            _ => Ok(Owner::Unknown),
        }
    }
}

/// Blocks whose inodes are looked for.
struct Search {
    wanted: BTreeSet<u64>,
    claims: BTreeMap<u64, u32>,
    /// Pieces of maps that are still looked at.
    budget: u64,
}

impl Search {
    fn claim(&mut self, start: u64, len: u64, inode: u32) {
        self.budget = self.budget.saturating_sub(1);
        let found: Vec<u64> = self.wanted.range(start..start.saturating_add(len)).copied().collect();
        for block in found {
            self.wanted.remove(&block);
            self.claims.insert(block, inode);
        }
    }

    fn is_done(&self) -> bool {
        self.wanted.is_empty() || self.budget == 0
    }
}

/// The path of a name in a directory; directories were met once each, so the way up ends.
fn path_of(parents: &BTreeMap<u32, (u32, Vec<u8>)>, dir: u32, name: &[u8]) -> String {
    let mut names = vec![shown(name)];
    let mut at = dir;
    while let Some((parent, name)) = parents.get(&at) {
        if names.len() == MAX_DEPTH {
            names.push("...".to_owned());
            break;
        }
        names.push(shown(name));
        at = *parent;
    }
    names.iter().rev().fold(String::new(), |path, name| path + "/" + name)
}
