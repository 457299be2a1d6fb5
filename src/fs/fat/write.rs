//! Changing a volume.
//!
//! What `fatfs` 0.3.6 gets wrong, and what is done about it here:
//! - a file opened for creation keeps its old content behind the new: it is truncated first;
//! - a cluster added to FAT32's root directory is not cleared, and what it held before is taken for
//!   entries: it is cleared behind the new entry;
//! - a new directory's `.` and `..` get long names, and `..` the root's cluster number on FAT32 instead of
//!   0: both entries are written again;
//! - running out of room leaves half an entry or half a file: room is counted beforehand;
//! - a name that begins with a dot gets a short name that begins with a space: it is refused.

use std::io::{self, Read, Write};

use super::super::FsReader;
use super::super::error::FsError;
use super::super::metadata::FileType;
use super::super::path::FsPath;
use super::boot_sector::FatKind;
use super::check::{ENTRY_LEN, chain, entries, read_directory, read_root16};
use super::read::Found;
use super::{FatVolume, clock};
use crate::disk::block::BlockWrite;

/// A long name's entry holds this many UTF-16 units.
const UNITS_PER_ENTRY: usize = 13;
/// The longest name takes 20 entries and one for the short name: with the smallest clusters, two more of
/// them for its directory.
const MAX_DIRECTORY_GROWTH: u64 = 2;
/// A file's size has 32 bits.
const MAX_FILE: u64 = u32::MAX as u64;

impl<D: BlockWrite> FatVolume<D> {
    /// Makes or replaces a file; missing directories above it are made.
    ///
    /// # Errors
    /// `NotAFile` when a directory stands there, `NotADirectory`, `BadName`, `NoSpace` (before anything is
    /// written), or as [`FatVolume::open`].
    pub fn write_file(&mut self, path: &FsPath, content: &[u8]) -> Result<(), FsError> {
        self.write_stream(path, content.len() as u64, &mut &*content)
    }

    /// As [`FatVolume::write_file`], with `size` bytes from `source`.
    ///
    /// # Errors
    /// As [`FatVolume::write_file`], or when `source` does not give exactly `size` bytes.
    pub fn write_stream(&mut self, path: &FsPath, size: u64, source: &mut dyn Read) -> Result<(), FsError> {
        let (parent, name) = self.place(path)?;
        self.make_dir(&parent)?;
        let before = self.stat(path)?;
        if before.is_some_and(|stat| stat.kind != FileType::File) {
            return Err(FsError::NotAFile { path: path.clone() });
        }
        if size > MAX_FILE {
            return Err(FsError::TooLarge { path: path.clone(), size, limit: MAX_FILE });
        }
        let freed = before.map_or(0, |stat| stat.size.div_ceil(self.geometry.cluster_size));
        self.check_room(size, freed)?;
        if before.is_none() {
            self.check_root_entries(&name)?;
        }
        clock::set(self.now);
        let root_clusters = self.root_clusters()?;
        let mut file = self.dir(&parent)?.create_file(&name)?;
        self.clear_added_root_cluster(root_clusters)?;
        file.truncate()?;
        let copied = io::copy(&mut source.take(size + 1), &mut file)?;
        file.flush()?;
        if copied == size {
            return Ok(());
        }
        let what = format!("{path}: {size} bytes were expected, {copied} came");
        Err(io::Error::new(io::ErrorKind::InvalidData, what).into())
    }

    /// Makes a directory and those above it; those that are there already are left alone.
    ///
    /// # Errors
    /// `NotADirectory` when a file stands in the way, `BadName`, `NoSpace`, or as [`FatVolume::open`].
    pub fn make_dir(&mut self, path: &FsPath) -> Result<(), FsError> {
        let mut at = FsPath::root();
        for name in path.components() {
            let parent = at.clone();
            at = at.join(name).map_err(|error| bad_name(path, &error.to_string()))?;
            match self.find(&at)? {
                None => self.make_one_dir(&parent, name, &at)?,
                Some(Found::Entry(entry)) if !entry.is_dir() => {
                    return Err(FsError::NotADirectory { path: at });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Removes a file, or a directory with all it holds; `false` when nothing was there.
    ///
    /// # Errors
    /// As [`FatVolume::open`].
    pub fn remove(&mut self, path: &FsPath) -> Result<bool, FsError> {
        if self.stat(path)?.is_none() {
            return Ok(false);
        }
        clock::set(self.now);
        let mut pending = vec![path.clone()];
        while let Some(at) = pending.last().cloned() {
            let below = match self.find(&at)? {
                Some(Found::Entry(entry)) if entry.is_dir() => self.read_dir(&at)?,
                _ => Vec::new(),
            };
            if below.is_empty() {
                let (parent, name) = self.place(&at)?;
                self.dir(&parent)?.remove(&name)?;
                pending.pop();
            }
            for entry in below {
                let name = String::from_utf8_lossy(&entry.name);
                pending.push(at.join(&name).map_err(|error| bad_name(&at, &error.to_string()))?);
            }
        }
        Ok(true)
    }

    /// Gives an entry another name in its directory.
    ///
    /// # Errors
    /// `NotFound`, `Exists` when the new name is taken, `BadName`, `NoSpace`, or as [`FatVolume::open`].
    pub fn rename(&mut self, path: &FsPath, to: &str) -> Result<(), FsError> {
        let (parent, name) = self.place(path)?;
        let target = parent.join(to).map_err(|error| bad_name(path, &error.to_string()))?;
        check_name(&target, to)?;
        if self.stat(path)?.is_none() {
            return Err(FsError::NotFound { path: path.clone() });
        }
        if self.stat(&target)?.is_some() {
            return Err(FsError::Exists { path: target });
        }
        self.check_room(0, 0)?;
        self.check_root_entries(to)?;
        clock::set(self.now);
        let root_clusters = self.root_clusters()?;
        let dir = self.dir(&parent)?;
        dir.rename(&name, &dir, to)?;
        self.clear_added_root_cluster(root_clusters)
    }

    fn make_one_dir(&mut self, parent: &FsPath, name: &str, path: &FsPath) -> Result<(), FsError> {
        check_name(path, name)?;
        self.check_room(1, 0)?;
        self.check_root_entries(name)?;
        clock::set(self.now);
        let root_clusters = self.root_clusters()?;
        self.dir(parent)?.create_dir(name)?;
        self.clear_added_root_cluster(root_clusters)?;
        self.rewrite_dots(parent, path)
    }

    /// A path's directory and name.
    fn place(&self, path: &FsPath) -> Result<(FsPath, String), FsError> {
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else {
            return Err(FsError::NotAFile { path: path.clone() });
        };
        // What is there already has a name that will do.
        if self.find(path)?.is_none() {
            check_name(path, name)?;
        }
        Ok((parent, name.to_owned()))
    }

    /// Refuses what would not fit beside a directory that grows.
    fn check_room(&self, size: u64, freed_clusters: u64) -> Result<(), FsError> {
        let cluster = self.geometry.cluster_size;
        let free = u64::from(self.fs.stats()?.free_clusters()) + freed_clusters;
        let needed = size.div_ceil(cluster) + MAX_DIRECTORY_GROWTH;
        if needed > free {
            return Err(FsError::NoSpace { needed: needed * cluster, free: free * cluster });
        }
        Ok(())
    }

    /// FAT16's root directory cannot grow; refuses a name that does not fit.
    fn check_root_entries(&self, name: &str) -> Result<(), FsError> {
        if self.geometry.kind != FatKind::Fat16 {
            return Ok(());
        }
        let needed = name.encode_utf16().count().div_ceil(UNITS_PER_ENTRY) + 1;
        let root = read_root16(&self.pages, &self.geometry)?;
        let (mut run, mut longest, mut ended) = (0, 0, false);
        for entry in root.chunks_exact(ENTRY_LEN) {
            ended |= entry[0] == 0;
            run = if ended || entry[0] == 0xe5 { run + 1 } else { 0 };
            longest = longest.max(run);
        }
        if longest < needed {
            let entry_len = ENTRY_LEN as u64;
            return Err(FsError::NoSpace {
                needed: needed as u64 * entry_len,
                free: longest as u64 * entry_len,
            });
        }
        Ok(())
    }

    /// The number of clusters of FAT32's root directory; FAT16's has none.
    fn root_clusters(&self) -> Result<usize, FsError> {
        match self.geometry.kind {
            FatKind::Fat12 | FatKind::Fat16 => Ok(0),
            FatKind::Fat32 => Ok(chain(&self.pages, &self.geometry, self.geometry.root_cluster)?.len()),
        }
    }

    /// Clears what follows the entry just made, when the root directory had `before` clusters and grew.
    fn clear_added_root_cluster(&self, before: usize) -> Result<(), FsError> {
        if before == 0 {
            return Ok(());
        }
        let chain = chain(&self.pages, &self.geometry, self.geometry.root_cluster)?;
        let Some(added) = chain.get(before..).filter(|added| !added.is_empty()) else { return Ok(()) };
        let content = read_directory(&self.pages, &self.geometry, added)?;
        // The new entry's last part, its short name, is the first that is no long name's.
        let short = content.chunks_exact(ENTRY_LEN).position(|entry| entry[11] & 0x0f != 0x0f);
        let end = short.map_or(content.len(), |index| (index + 1) * ENTRY_LEN);
        let cluster_size = self.geometry.cluster_size as usize;
        for (index, cluster) in added.iter().enumerate() {
            let from = end.saturating_sub(index * cluster_size).min(cluster_size);
            let at = self.geometry.cluster_at(*cluster) + from as u64;
            self.pages.borrow_mut().write_at(at, &vec![0; cluster_size - from])?;
        }
        Ok(())
    }

    /// Writes the `.` and `..` entries of a new directory as they should be.
    fn rewrite_dots(&self, parent: &FsPath, path: &FsPath) -> Result<(), FsError> {
        let parent_cluster = if parent.is_root() { 0 } else { self.directory_cluster(parent)? };
        let own_cluster = self.directory_cluster(path)?;
        let at = self.geometry.cluster_at(own_cluster);
        let mut content = vec![0; self.geometry.cluster_size as usize];
        self.pages.borrow_mut().read_at(at, &mut content)?;
        // Long name, `.`, long name, `..`: of the first 64 bytes the dates are kept.
        let mut dot = [0; ENTRY_LEN];
        dot.copy_from_slice(&content[ENTRY_LEN..2 * ENTRY_LEN]);
        content.fill(0);
        for (index, (name, cluster)) in
            [(b".          ", own_cluster), (b"..         ", parent_cluster)].into_iter().enumerate()
        {
            dot[..11].copy_from_slice(name);
            let bytes = cluster.to_le_bytes();
            dot[26..28].copy_from_slice(&bytes[..2]);
            dot[20..22].copy_from_slice(&bytes[2..]);
            content[index * ENTRY_LEN..][..ENTRY_LEN].copy_from_slice(&dot);
        }
        Ok(self.pages.borrow_mut().write_at(at, &content)?)
    }

    /// The first cluster of a directory other than the root, which `fatfs` does not tell.
    fn directory_cluster(&self, path: &FsPath) -> Result<u32, FsError> {
        let (mut directory, mut at, mut cluster) = (self.root_content()?, FsPath::root(), 0);
        for name in path.components() {
            at = at.join(name).map_err(|error| bad_name(path, &error.to_string()))?;
            let Some(Found::Entry(found)) = self.find(&at)? else {
                return Err(FsError::NotFound { path: at });
            };
            let short = found.short_file_name_as_bytes().to_vec();
            let raw = entries(&directory).find(|raw| raw.is_directory() && display(&raw.name) == short);
            let raw = raw.ok_or_else(|| FsError::NotFound { path: at.clone() })?;
            cluster = raw.cluster;
            if self.geometry.kind == FatKind::Fat16 {
                cluster &= 0xffff;
            }
            let chain = chain(&self.pages, &self.geometry, cluster)?;
            directory = read_directory(&self.pages, &self.geometry, &chain)?;
        }
        Ok(cluster)
    }

    fn root_content(&self) -> Result<Vec<u8>, FsError> {
        match self.geometry.kind {
            FatKind::Fat12 | FatKind::Fat16 => read_root16(&self.pages, &self.geometry),
            FatKind::Fat32 => {
                let chain = chain(&self.pages, &self.geometry, self.geometry.root_cluster)?;
                read_directory(&self.pages, &self.geometry, &chain)
            }
        }
    }
}

/// A short name as `fatfs` tells it: `NAME.EXT` without the padding, a leading 05 standing for e5.
fn display(raw: &[u8; 11]) -> Vec<u8> {
    let trimmed = |part: &[u8]| {
        let len = part.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
        part[..len].to_vec()
    };
    let (mut name, extension) = (trimmed(&raw[..8]), trimmed(&raw[8..]));
    if !extension.is_empty() {
        name.push(b'.');
        name.extend(extension);
    }
    if let Some(first) = name.first_mut().filter(|first| **first == 0x05) {
        *first = 0xe5;
    }
    name
}

/// Refuses names that FAT, `fatfs` or Windows cannot hold.
fn check_name(path: &FsPath, name: &str) -> Result<(), FsError> {
    if name.encode_utf16().count() > 255 || name.len() > 255 {
        return Err(bad_name(path, "FAT names have at most 255 characters"));
    }
    if name.starts_with(['.', ' ']) || name.ends_with(['.', ' ']) {
        return Err(bad_name(path, "pibake makes no FAT names that begin or end with a dot or a space"));
    }
    let refused = |c: char| c.is_control() || "\"*/:<>?\\|".contains(c) || c > '\u{ffff}';
    match name.chars().find(|c| refused(*c)) {
        Some(c) => Err(bad_name(path, &format!("FAT names cannot hold {c:?}"))),
        None => Ok(()),
    }
}

fn bad_name(path: &FsPath, why: &str) -> FsError {
    FsError::BadName { path: path.clone(), why: why.to_owned() }
}
