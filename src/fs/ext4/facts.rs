//! A look at an ext4 filesystem with the editor's own eyes: files like any reader, and beyond that flags,
//! attributes, used blocks.

use std::collections::BTreeMap;
use std::io::Write;

use super::features::Purpose;
use super::inode::Inode;
use super::store::Store;
use crate::disk::block::BlockRead;
use crate::disk::range::ByteRange;
use crate::fs::FsReader;
use crate::fs::error::FsError;
use crate::fs::metadata::{DirEntry, FileType, Stat};
use crate::fs::path::FsPath;
use crate::fs::usage::Remark;

/// Free room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes in a block.
    pub block_size: u64,
    /// Free blocks, those kept for root included.
    pub free_blocks: u64,
    /// Free inodes.
    pub free_inodes: u64,
}

/// An ext4 filesystem opened for looking at it. The medium must not change while it is open.
pub struct Ext4Facts<D> {
    pub(super) store: Store<D>,
}

impl<D: BlockRead> Ext4Facts<D> {
    /// Opens the filesystem that fills `device`. Features that matter only to writers are no hindrance.
    ///
    /// # Errors
    /// `Corrupt`, `Unsupported` or `NotClean` for what cannot be trusted as it is, or a read error.
    pub fn open(device: D) -> Result<Self, FsError> {
        Self::open_for(device, Purpose::Read)
    }

    pub(super) fn open_for(device: D, purpose: Purpose) -> Result<Self, FsError> {
        let facts = Self { store: Store::open(device, purpose)? };
        facts.store.check_journal_is_empty()?;
        Ok(facts)
    }

    /// Refuses what can be looked at but not edited: features that matter only to writers.
    ///
    /// # Errors
    /// `Unsupported` names the feature.
    pub fn check_editable(&self) -> Result<(), FsError> {
        self.store.superblock.features().check(Purpose::Edit)
    }

    /// Free room.
    #[must_use]
    pub fn space(&self) -> Space {
        Space {
            block_size: u64::from(self.store.geometry.block_size),
            free_blocks: self.store.free_blocks(),
            free_inodes: self.store.free_inodes(),
        }
    }

    /// The inode flags (`FS_IOC_GETFLAGS`) of what stands at a path, a link not followed; 0x10 is IMMUTABLE.
    ///
    /// # Errors
    /// `NotFound`, or as [`FsReader::stat`].
    pub fn flags(&self, path: &FsPath) -> Result<u32, FsError> {
        Ok(self.store.resolve(path, false)?.flags())
    }

    /// The extended attributes of what stands at a path, a link not followed, by full name. Access lists come
    /// as they are stored, which is not what `getxattr` shows.
    ///
    /// # Errors
    /// `NotFound`, or as [`FsReader::stat`].
    pub fn xattrs(&self, path: &FsPath) -> Result<BTreeMap<String, Vec<u8>>, FsError> {
        let attributes = self.store.attributes(&self.store.resolve(path, false)?)?;
        Ok(attributes.into_iter().map(|attribute| (attribute.name.full(), attribute.value)).collect())
    }

    /// The bytes in use, in rising order, merged: metadata and everything allocated.
    ///
    /// # Errors
    /// `Corrupt` when bitmaps, descriptors and superblock disagree, or a read error.
    pub fn used_ranges(&self) -> Result<Vec<ByteRange>, FsError> {
        let usage = self.store.usage()?;
        match usage.remarks.into_iter().find(Remark::is_mismatch) {
            Some(remark) => Err(FsError::corrupt(remark.to_string())),
            None => Ok(usage.ranges),
        }
    }

    /// The newest modification time of all files, seconds since 1970.
    ///
    /// # Errors
    /// Corruption or a read error.
    pub fn newest_mtime(&self) -> Result<i64, FsError> {
        self.store.newest_mtime()
    }

    fn look(&self, path: &FsPath, follow_last: bool) -> Result<Option<Stat>, FsError> {
        match self.store.resolve(path, follow_last) {
            Ok(inode) => Ok(Some(stat_of(&inode)?)),
            Err(FsError::NotFound { .. } | FsError::NotADirectory { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn file_at(&self, path: &FsPath) -> Result<Inode, FsError> {
        let inode = self.store.resolve(path, true)?;
        if inode.kind() == Some(FileType::File) {
            Ok(inode)
        } else {
            Err(FsError::NotAFile { path: path.clone() })
        }
    }
}

impl<D: BlockRead> FsReader for Ext4Facts<D> {
    fn stat(&self, path: &FsPath) -> Result<Option<Stat>, FsError> {
        self.look(path, true)
    }

    fn stat_no_follow(&self, path: &FsPath) -> Result<Option<Stat>, FsError> {
        self.look(path, false)
    }

    fn read(&self, path: &FsPath, limit: u64) -> Result<Vec<u8>, FsError> {
        let inode = self.file_at(path)?;
        let size = inode.size();
        if size > limit {
            return Err(FsError::TooLarge { path: path.clone(), size, limit });
        }
        let mut content = Vec::new();
        self.store.copy_content(&inode, &mut content)?;
        Ok(content)
    }

    fn read_to(&self, path: &FsPath, sink: &mut dyn Write) -> Result<u64, FsError> {
        let inode = self.file_at(path)?;
        let limit = self.store.geometry.blocks * u64::from(self.store.geometry.block_size);
        // A size beyond the filesystem's is a hole, or a lie; nobody waits for that many zeros.
        if inode.size() > limit {
            return Err(FsError::TooLarge { path: path.clone(), size: inode.size(), limit });
        }
        self.store.copy_content(&inode, sink)
    }

    fn read_link(&self, path: &FsPath) -> Result<Vec<u8>, FsError> {
        let inode = self.store.resolve(path, false)?;
        if inode.kind() != Some(FileType::Symlink) {
            return Err(FsError::BadName { path: path.clone(), why: "it is no symbolic link".to_owned() });
        }
        self.store.link_target(&inode)
    }

    fn read_dir(&self, path: &FsPath) -> Result<Vec<DirEntry>, FsError> {
        let dir = self.store.resolve(path, true)?;
        if !dir.is_dir() {
            return Err(FsError::NotADirectory { path: path.clone() });
        }
        let mut entries = Vec::new();
        self.store.list_names(&dir, &mut |name, code, _| {
            entries.push(DirEntry { name: name.to_vec(), kind: kind_of(code) });
            true
        })?;
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(entries)
    }
}

fn stat_of(inode: &Inode) -> Result<Stat, FsError> {
    let kind =
        inode.kind().ok_or_else(|| FsError::corrupt(format!("inode {} holds no file", inode.number)))?;
    Ok(Stat { kind, size: inode.size(), meta: inode.meta(), mtime: Some(inode.mtime()) })
}

/// From the code in a directory entry.
fn kind_of(code: u8) -> FileType {
    match code {
        1 => FileType::File,
        2 => FileType::Directory,
        7 => FileType::Symlink,
        _ => FileType::Special,
    }
}
