//! The editor: changes to an ext4 filesystem that no kernel has mounted.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use super::facts::{Ext4Facts, Space};
use super::features::Purpose;
use super::inode::{FLAG_IMMUTABLE, Inode};
use super::store::Store;
use super::xattr::Name;
use crate::disk::block::BlockWrite;
use crate::disk::range::ByteRange;
use crate::fs::FsReader;
use crate::fs::error::FsError;
use crate::fs::metadata::{DirEntry, FileType, Meta, Stat};
use crate::fs::path::FsPath;

/// What everything new gets in place of the clock and of chance, so that equal edits make equal bytes.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// Seconds since 1970.
    pub time: i64,
    /// What the generations of inodes are derived from.
    pub generation_seed: [u8; 32],
}

/// What a replaced file leaves to its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The extended attributes, when it was a regular file.
    Xattrs,
    /// Nothing.
    Nothing,
}

/// Edits an ext4 filesystem on a medium that can be thrown away: an error in the middle of a change leaves
/// it half-made, and from then on every further change and [`Ext4Editor::finish`] are refused.
///
/// Paths are followed as in [`FsReader`], but no change follows a link in the last component. IMMUTABLE
/// does not stop the editor. Free room is looked at before a change begins, as far as it is known then.
pub struct Ext4Editor<D> {
    facts: Ext4Facts<D>,
    pub(super) stamp: Stamp,
    /// Inodes made so far: no two of them get the same generation.
    pub(super) made: u64,
    half_made: bool,
}

impl<D: BlockWrite> Ext4Editor<D> {
    /// Opens the filesystem that fills `device`; nothing is written until the first change.
    ///
    /// # Errors
    /// `Unsupported` names a feature that pibake does not edit, `NotClean` a state that something else must
    /// resolve first, and how ([`super::recover`] resolves a journal that was not replayed, and orphans);
    /// `Corrupt`, or a read error.
    pub fn open(device: D, stamp: Stamp) -> Result<Self, FsError> {
        let facts = Ext4Facts::open_for(device, Purpose::Edit)?;
        facts.store.check_counts()?;
        Ok(Self { facts, stamp, made: 0, half_made: false })
    }

    /// Writes what is still held in memory, and gives the medium back. Without any change nothing is written.
    ///
    /// # Errors
    /// A write error, or `NotClean` when an earlier change failed half-way.
    pub fn finish(mut self) -> Result<D, FsError> {
        self.check_whole()?;
        let time = self.stamp.time;
        self.store_mut().flush(time)?;
        Ok(self.facts.store.device)
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// `Exists`, `NotFound` or `NotADirectory` for its parent, `NoSpace`, `NoInodes`, or as [`FsReader::stat`].
    pub fn make_dir(&mut self, path: &FsPath, meta: Meta) -> Result<(), FsError> {
        let dir = self.vacant(path)?;
        self.store().check_space(1, 1)?;
        self.change(|editor| editor.add_dir(dir, path, meta))
    }

    /// Makes a regular file of exactly `size` bytes.
    ///
    /// # Errors
    /// As [`Ext4Editor::make_dir`], or an error of the content, among them that it is shorter or longer.
    pub fn create(
        &mut self,
        path: &FsPath,
        meta: Meta,
        content: &mut dyn Read,
        size: u64,
    ) -> Result<(), FsError> {
        let dir = self.vacant(path)?;
        self.check_file(path, size)?;
        self.change(|editor| editor.add_file(dir, path, meta, content, size))
    }

    /// Puts a new regular file where a file, link or special file stands. Other names of the old one keep it.
    ///
    /// # Errors
    /// `NotFound`, `NotAFile` for a directory, or as [`Ext4Editor::create`].
    pub fn replace(
        &mut self,
        path: &FsPath,
        meta: Meta,
        content: &mut dyn Read,
        size: u64,
        keep: Keep,
    ) -> Result<(), FsError> {
        let (dir, old) = self.occupied(path)?;
        if old.is_dir() {
            return Err(FsError::NotAFile { path: path.clone() });
        }
        self.check_file(path, size)?;
        self.change(|editor| {
            let mut file = editor.new_file(&dir, meta, content, size)?;
            if keep == Keep::Xattrs && old.kind() == Some(FileType::File) {
                let attributes = editor.store().attributes(&old)?;
                editor.store_mut().set_attributes(&mut file, attributes)?;
            }
            editor.swap_in(dir, path, file, old)
        })
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// `BadName` for a target no link can hold, or as [`Ext4Editor::make_dir`].
    pub fn symlink(&mut self, target: &str, path: &FsPath, uid: u32, gid: u32) -> Result<(), FsError> {
        let dir = self.vacant(path)?;
        self.check_target(target, path)?;
        self.store().check_space(1, 1)?;
        self.change(|editor| editor.add_link(dir, path, target.as_bytes(), Meta { mode: 0o777, uid, gid }))
    }

    /// Removes a file, link or special file.
    ///
    /// # Errors
    /// `NotFound`, `NotAFile` for a directory, or as [`FsReader::stat`].
    pub fn remove_file(&mut self, path: &FsPath) -> Result<(), FsError> {
        let (dir, old) = self.occupied(path)?;
        if old.is_dir() {
            return Err(FsError::NotAFile { path: path.clone() });
        }
        self.change(|editor| {
            editor.drop_name(dir, path)?;
            editor.unlink(old)
        })
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `NotEmpty`, `BadName` for the root, or as [`FsReader::stat`].
    pub fn remove_dir(&mut self, path: &FsPath) -> Result<(), FsError> {
        let (dir, old) = self.occupied(path)?;
        if !old.is_dir() {
            return Err(FsError::NotADirectory { path: path.clone() });
        }
        let mut empty = true;
        self.store().list_names(&old, &mut |_, _, _| {
            empty = false;
            false
        })?;
        if !empty {
            return Err(FsError::NotEmpty { path: path.clone() });
        }
        self.change(|editor| editor.drop_dir(dir, path, old))
    }

    /// Gives what stands at a path another name in the same directory.
    ///
    /// # Errors
    /// `NotFound`, `Exists` when the name is taken, `BadName`, `NoSpace`, or as [`FsReader::stat`].
    pub fn rename(&mut self, path: &FsPath, to: &str) -> Result<(), FsError> {
        let (dir, inode) = self.occupied(path)?;
        let parent = path.parent().unwrap_or_else(FsPath::root);
        let new = parent
            .join(to)
            .map_err(|error| FsError::BadName { path: path.clone(), why: error.to_string() })?;
        if self.store().find_name(&dir, to.as_bytes())?.is_some() {
            return Err(FsError::Exists { path: new });
        }
        self.change(|editor| editor.move_name(dir, path, &new, inode))
    }

    /// Sets the twelve permission bits.
    ///
    /// # Errors
    /// `NotFound`, or as [`FsReader::stat`].
    pub fn set_mode(&mut self, path: &FsPath, mode: u16) -> Result<(), FsError> {
        self.touch(path, |inode| inode.set_permissions(mode))
    }

    /// Sets the owner; the permission bits stay as they are, set-user-ID included.
    ///
    /// # Errors
    /// `NotFound`, or as [`FsReader::stat`].
    pub fn set_owner(&mut self, path: &FsPath, uid: u32, gid: u32) -> Result<(), FsError> {
        self.touch(path, |inode| inode.set_owner(uid, gid))
    }

    /// Sets the times of last modification and last access, in seconds since 1970.
    ///
    /// # Errors
    /// `NotFound`, or as [`FsReader::stat`].
    pub fn set_times(&mut self, path: &FsPath, time: i64) -> Result<(), FsError> {
        self.touch(path, |inode| inode.set_times(time))
    }

    /// Sets or clears the IMMUTABLE flag.
    ///
    /// # Errors
    /// `NotFound`, or as [`FsReader::stat`].
    pub fn set_immutable(&mut self, path: &FsPath, on: bool) -> Result<(), FsError> {
        self.touch(path, |inode| inode.set_flag(FLAG_IMMUTABLE, on))
    }

    /// Sets an extended attribute by its full name.
    ///
    /// # Errors
    /// `BadName` for a name that cannot be stored or an access list, `Unsupported` when the attributes
    /// outgrow a block, `NotFound`, `NoSpace`, or as [`FsReader::stat`].
    pub fn set_xattr(&mut self, path: &FsPath, name: &str, value: &[u8]) -> Result<(), FsError> {
        self.change_xattr(path, name, Some(value))
    }

    /// Removes an extended attribute, if it is there.
    ///
    /// # Errors
    /// As [`Ext4Editor::set_xattr`].
    pub fn remove_xattr(&mut self, path: &FsPath, name: &str) -> Result<(), FsError> {
        self.change_xattr(path, name, None)
    }

    fn change_xattr(&mut self, path: &FsPath, name: &str, value: Option<&[u8]>) -> Result<(), FsError> {
        let bad = |why: &str| FsError::BadName { path: path.clone(), why: format!("{name}: {why}") };
        let name = Name::parse(name).map_err(bad)?;
        if value.is_some() && name.is_acl() {
            return Err(bad("access lists cannot be set"));
        }
        let mut inode = self.store().resolve(path, false)?;
        self.change(|editor| {
            let time = editor.stamp.time;
            editor.store_mut().change_attribute(&mut inode, &name, value)?;
            inode.set_ctime(time);
            editor.store_mut().write_inode(&mut inode)
        })
    }

    /// Grows the filesystem to a partition of `new_size` bytes, whose added bytes are on the medium already.
    /// A rest too small for a group of its own stays unused, as with resize2fs.
    ///
    /// # Errors
    /// `Unsupported` when block numbers or the table of descriptors have no room to grow, `Io` when the medium is
    /// shorter or the filesystem larger than that, `Corrupt`, or a read or write error.
    pub fn grow(&mut self, new_size: u64) -> Result<(), FsError> {
        let Some(growth) = self.store().plan_growth(new_size)? else { return Ok(()) };
        self.change(|editor| editor.store_mut().apply_growth(&growth))
    }

    /// The most blocks a file of `size` bytes can take, its extent tree included: for counting beforehand.
    #[must_use]
    pub fn blocks_for(&self, size: u64) -> u64 {
        let data = size.div_ceil(u64::from(self.store().geometry.block_size));
        let mut total = data;
        let mut entries = data;
        // Four entries fit into the inode; every level above that has one entry for each block below.
        while entries > 4 {
            entries = entries.div_ceil(u64::from(self.store().geometry.extents_per_block()));
            total += entries;
        }
        total
    }

    /// Free room.
    #[must_use]
    pub fn space(&self) -> Space {
        self.facts.space()
    }

    /// As [`Ext4Facts::flags`].
    ///
    /// # Errors
    /// As there.
    pub fn flags(&self, path: &FsPath) -> Result<u32, FsError> {
        self.facts.flags(path)
    }

    /// As [`Ext4Facts::xattrs`].
    ///
    /// # Errors
    /// As there.
    pub fn xattrs(&self, path: &FsPath) -> Result<BTreeMap<String, Vec<u8>>, FsError> {
        self.facts.xattrs(path)
    }

    /// As [`Ext4Facts::used_ranges`], changes not yet written included.
    ///
    /// # Errors
    /// As there.
    pub fn used_ranges(&self) -> Result<Vec<ByteRange>, FsError> {
        self.facts.used_ranges()
    }

    /// As [`Ext4Facts::newest_mtime`].
    ///
    /// # Errors
    /// As there.
    pub fn newest_mtime(&self) -> Result<i64, FsError> {
        self.facts.newest_mtime()
    }

    pub(super) fn store(&self) -> &Store<D> {
        &self.facts.store
    }

    pub(super) fn store_mut(&mut self) -> &mut Store<D> {
        &mut self.facts.store
    }

    fn touch(&mut self, path: &FsPath, change: impl FnOnce(&mut Inode)) -> Result<(), FsError> {
        let mut inode = self.store().resolve(path, false)?;
        self.change(|editor| {
            change(&mut inode);
            inode.set_ctime(editor.stamp.time);
            editor.store_mut().write_inode(&mut inode)
        })
    }

    /// Runs a change; if it fails, the medium counts as half-made from then on.
    fn change<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, FsError>) -> Result<T, FsError> {
        self.check_whole()?;
        self.half_made = true;
        let done = work(self)?;
        self.half_made = false;
        Ok(done)
    }

    fn check_whole(&self) -> Result<(), FsError> {
        if self.half_made {
            let why = "an earlier change failed half-way; start over from the original".to_owned();
            return Err(FsError::NotClean { why });
        }
        Ok(())
    }
}

impl<D: BlockWrite> FsReader for Ext4Editor<D> {
    fn stat(&self, path: &FsPath) -> Result<Option<Stat>, FsError> {
        self.facts.stat(path)
    }

    fn stat_no_follow(&self, path: &FsPath) -> Result<Option<Stat>, FsError> {
        self.facts.stat_no_follow(path)
    }

    fn read(&self, path: &FsPath, limit: u64) -> Result<Vec<u8>, FsError> {
        self.facts.read(path, limit)
    }

    fn read_to(&self, path: &FsPath, sink: &mut dyn Write) -> Result<u64, FsError> {
        self.facts.read_to(path, sink)
    }

    fn read_link(&self, path: &FsPath) -> Result<Vec<u8>, FsError> {
        self.facts.read_link(path)
    }

    fn read_dir(&self, path: &FsPath) -> Result<Vec<DirEntry>, FsError> {
        self.facts.read_dir(path)
    }
}
