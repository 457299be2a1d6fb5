//! Every directory and every chain, walked once before `fatfs` sees the volume: it would follow a chain out
//! of the volume, or round in a circle for ever.

use std::cell::RefCell;
use std::rc::Rc;

use super::super::error::FsError;
use super::boot_sector::{FatKind, Geometry, label};
use super::pages::Pages;
use super::table::{Entry, Table};
use crate::disk::block::BlockRead;

/// Bytes in a directory entry.
pub(super) const ENTRY_LEN: usize = 32;
/// A directory holds at most 65536 entries.
const MAX_DIRECTORY: u64 = 65536 * ENTRY_LEN as u64;
/// Deeper trees are no firmware partition's.
const MAX_DEPTH: usize = 64;

pub(super) const ATTR_VOLUME: u8 = 0x08;
const ATTR_DIRECTORY: u8 = 0x10;
pub(super) const ATTR_LONG_NAME: u8 = 0x0f;

/// A short-name entry of a directory.
pub(super) struct RawEntry {
    /// Name and extension, padded with spaces.
    pub(super) name: [u8; 11],
    pub(super) attributes: u8,
    /// First cluster, or 0.
    pub(super) cluster: u32,
    size: u32,
}

impl RawEntry {
    /// Takes the 32 bytes of an entry that is no part of a long name.
    pub(super) fn decode(entry: &[u8]) -> Self {
        let u16_at = |at: usize| u32::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
        let mut name = [0; 11];
        name.copy_from_slice(&entry[..11]);
        Self {
            name,
            attributes: entry[11],
            cluster: u16_at(20) << 16 | u16_at(26),
            size: u16_at(28) | u16_at(30) << 16,
        }
    }

    /// Its first cluster, or 0. The upper half of the number has another meaning before FAT32.
    pub(super) fn first_cluster(&self, kind: FatKind) -> u32 {
        if kind == FatKind::Fat32 { self.cluster } else { self.cluster & 0xffff }
    }

    pub(super) fn is_directory(&self) -> bool {
        self.attributes & ATTR_DIRECTORY != 0
    }

    pub(super) fn is_dot(&self) -> bool {
        matches!(&self.name, b".          " | b"..         ")
    }

    fn describe(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }
}

/// Checks the whole tree; returns the label in the root directory.
pub(super) fn check<D: BlockRead>(
    pages: &Rc<RefCell<Pages<D>>>,
    geometry: &Geometry,
) -> Result<Option<String>, FsError> {
    let mut walker = Walker { table: Table::new(pages, geometry), geometry, seen: Clusters::new(geometry) };
    let root = match geometry.kind {
        FatKind::Fat12 | FatKind::Fat16 => read_root16(pages, geometry)?,
        FatKind::Fat32 => {
            let chain = walker.follow(geometry.root_cluster, "the root directory")?;
            read_directory(pages, geometry, &chain)?
        }
    };
    let mut found = None;
    let mut pending = Vec::new();
    for entry in entries(&root) {
        if entry.attributes & ATTR_VOLUME == 0 {
            pending.push((entry, 1));
        } else if found.is_none() {
            found = label(&entry.name);
        }
    }
    while let Some((entry, depth)) = pending.pop() {
        let chain = walker.check_entry(&entry)?;
        if !entry.is_directory() {
            continue;
        }
        if depth == MAX_DEPTH {
            return Err(FsError::unsupported(format!("FAT directories nested deeper than {MAX_DEPTH}")));
        }
        let content = read_directory(pages, geometry, &chain)?;
        let below = entries(&content).filter(|entry| entry.attributes & ATTR_VOLUME == 0 && !entry.is_dot());
        pending.extend(below.map(|entry| (entry, depth + 1)));
    }
    Ok(found)
}

/// The clusters of a chain in a volume that was checked.
pub(super) fn chain<D: BlockRead>(
    pages: &Rc<RefCell<Pages<D>>>,
    geometry: &Geometry,
    first: u32,
) -> Result<Vec<u32>, FsError> {
    let mut walker = Walker { table: Table::new(pages, geometry), geometry, seen: Clusters::new(geometry) };
    walker.follow(first, "a chain")
}

/// A directory's bytes.
pub(super) fn read_directory<D: BlockRead>(
    pages: &Rc<RefCell<Pages<D>>>,
    geometry: &Geometry,
    chain: &[u32],
) -> Result<Vec<u8>, FsError> {
    let size = chain.len() as u64 * geometry.cluster_size;
    if size > MAX_DIRECTORY.max(geometry.cluster_size) {
        return Err(FsError::corrupt(format!("FAT: a directory of {size} bytes")));
    }
    let mut content = vec![0; size as usize];
    for (cluster, piece) in chain.iter().zip(content.chunks_mut(geometry.cluster_size as usize)) {
        pages.borrow_mut().read_at(geometry.cluster_at(*cluster), piece)?;
    }
    Ok(content)
}

/// The bytes of FAT16's root directory.
pub(super) fn read_root16<D: BlockRead>(
    pages: &Rc<RefCell<Pages<D>>>,
    geometry: &Geometry,
) -> Result<Vec<u8>, FsError> {
    // At most 65535 entries: the field has 16 bits.
    let mut content = vec![0; geometry.root_len as usize];
    pages.borrow_mut().read_at(geometry.root_at, &mut content)?;
    Ok(content)
}

/// The entries in use, long names left out.
pub(super) fn entries(directory: &[u8]) -> impl Iterator<Item = RawEntry> + '_ {
    directory
        .chunks_exact(ENTRY_LEN)
        .take_while(|entry| entry[0] != 0)
        .filter(|entry| entry[0] != 0xe5 && entry[11] & ATTR_LONG_NAME != ATTR_LONG_NAME)
        .map(RawEntry::decode)
}

struct Walker<'a, D> {
    table: Table<'a, D>,
    geometry: &'a Geometry,
    seen: Clusters,
}

impl<D: BlockRead> Walker<'_, D> {
    /// Checks an entry's chain against its size; returns the chain.
    fn check_entry(&mut self, entry: &RawEntry) -> Result<Vec<u32>, FsError> {
        let name = entry.describe();
        let first = entry.first_cluster(self.geometry.kind);
        if first == 0 && !entry.is_directory() && entry.size == 0 {
            return Ok(Vec::new());
        }
        let chain = self.follow(first, &name)?;
        let room = chain.len() as u64 * self.geometry.cluster_size;
        if !entry.is_directory() && room < u64::from(entry.size) {
            let size = entry.size;
            return Err(FsError::corrupt(format!(
                "FAT: {name:?} is {size} bytes long in clusters for {room}"
            )));
        }
        Ok(chain)
    }

    /// Follows a chain none of whose clusters may have been met before.
    fn follow(&mut self, first: u32, name: &str) -> Result<Vec<u32>, FsError> {
        let mut chain = Vec::new();
        let mut cluster = first;
        loop {
            if !self.geometry.has_cluster(cluster) {
                return Err(FsError::corrupt(format!(
                    "FAT: {name:?} leads to cluster {cluster}, which is none"
                )));
            }
            if !self.seen.insert(cluster) {
                return Err(FsError::corrupt(format!(
                    "FAT: {name:?} leads to cluster {cluster} a second time"
                )));
            }
            chain.push(cluster);
            match self.table.entry(cluster)? {
                Entry::Next(next) => cluster = next,
                Entry::End => return Ok(chain),
                Entry::Free | Entry::Bad => {
                    let what = format!("FAT: cluster {cluster} of {name:?} is marked free or bad");
                    return Err(FsError::corrupt(what));
                }
            }
        }
    }
}

/// A set of clusters, one bit each.
struct Clusters(Vec<u64>);

impl Clusters {
    fn new(geometry: &Geometry) -> Self {
        Self(vec![0; (geometry.clusters as usize + 2).div_ceil(64)])
    }

    /// `false` when it was in the set already.
    fn insert(&mut self, cluster: u32) -> bool {
        let (word, bit) = (&mut self.0[cluster as usize / 64], 1 << (cluster % 64));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}
