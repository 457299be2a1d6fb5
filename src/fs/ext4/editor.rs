//! The editor.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use super::facts::{Ext4Facts, Space};
use crate::disk::block::BlockWrite;
use crate::disk::range::ByteRange;
use crate::fs::FsReader;
use crate::fs::error::FsError;
use crate::fs::metadata::{DirEntry, Meta, Stat};
use crate::fs::path::FsPath;

/// What everything new gets, so that equal edits make equal bytes.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// Seconds since 1970.
    pub time: i64,
    /// What inode generations are derived from.
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

/// Edits an ext4 filesystem offline.
pub struct Ext4Editor<D: BlockWrite> {
    facts: Ext4Facts<D>,
    device: D,
}

impl<D: BlockWrite> Ext4Editor<D> {
    /// Opens it, refusing before any change.
    ///
    /// # Errors
    /// `Unsupported`, `NotClean` or `Corrupt`.
    pub fn open(_device: D, _stamp: Stamp) -> Result<Self, FsError> {
        Err(FsError::unsupported("an operation that is still being written"))
    }

    /// Free room.
    pub fn space(&self) -> Space {
        self.facts.space()
    }

    /// Blocks a file of `size` bytes takes at worst.
    pub fn blocks_for(&self, size: u64) -> u64 {
        size.div_ceil(4096)
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

    /// As [`Ext4Facts::used_ranges`].
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

    /// Writes back what is cached.
    ///
    /// # Errors
    /// A write error.
    pub fn finish(self) -> Result<D, FsError> {
        Ok(self.device)
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// As [`FsReader::stat`], and what the name says.
    pub fn make_dir(&mut self, _path: &FsPath, _meta: Meta) -> Result<(), FsError> {
        Err(FsError::unsupported("an operation that is still being written"))
    }

    /// Makes a regular file of exactly `size` bytes.
    ///
    /// # Errors
    /// As [`FsReader::stat`], and what the name says.
    pub fn create(
        &mut self,
        _path: &FsPath,
        _meta: Meta,
        _content: &mut dyn Read,
        _size: u64,
    ) -> Result<(), FsError> {
        Err(FsError::unsupported("an operation that is still being written"))
    }

    /// Puts a new regular file where a file, link or device stands.
    ///
    /// # Errors
    /// As [`FsReader::stat`], and what the name says.
    pub fn replace(
        &mut self,
        _path: &FsPath,
        _meta: Meta,
        _content: &mut dyn Read,
        _size: u64,
        _keep: Keep,
    ) -> Result<(), FsError> {
        Err(FsError::unsupported("an operation that is still being written"))
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// As [`FsReader::stat`], and what the name says.
    pub fn symlink(&mut self, _target: &str, _path: &FsPath, _uid: u32, _gid: u32) -> Result<(), FsError> {
        Err(FsError::unsupported("an operation that is still being written"))
    }

    /// Removes a file, link or device.
    ///
    /// # Errors
    /// As [`FsReader::stat`], and what the name says.
    pub fn remove_file(&mut self, _path: &FsPath) -> Result<(), FsError> {
        Err(FsError::unsupported("an operation that is still being written"))
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// As [`FsReader::stat`], and what the name says.
    pub fn remove_dir(&mut self, _path: &FsPath) -> Result<(), FsError> {
        Err(FsError::unsupported("an operation that is still being written"))
    }

    /// Gives an entry another name in its directory.
    ///
    /// # Errors
    /// As [`FsReader::stat`], and what the name says.
    pub fn rename(&mut self, _path: &FsPath, _to: &str) -> Result<(), FsError> {
        Err(FsError::unsupported("an operation that is still being written"))
    }

    /// Sets the permission bits.
    ///
    /// # Errors
    /// As [`FsReader::stat`], and what the name says.
    pub fn set_mode(&mut self, _path: &FsPath, _mode: u16) -> Result<(), FsError> {
        Err(FsError::unsupported("an operation that is still being written"))
    }

    /// Sets the owner.
    ///
    /// # Errors
    /// As [`FsReader::stat`], and what the name says.
    pub fn set_owner(&mut self, _path: &FsPath, _uid: u32, _gid: u32) -> Result<(), FsError> {
        Err(FsError::unsupported("an operation that is still being written"))
    }

    /// Sets modification and access time, seconds since 1970.
    ///
    /// # Errors
    /// As [`FsReader::stat`], and what the name says.
    pub fn set_times(&mut self, _path: &FsPath, _time: i64) -> Result<(), FsError> {
        Err(FsError::unsupported("an operation that is still being written"))
    }

    /// Sets or clears the IMMUTABLE flag.
    ///
    /// # Errors
    /// As [`FsReader::stat`], and what the name says.
    pub fn set_immutable(&mut self, _path: &FsPath, _on: bool) -> Result<(), FsError> {
        Err(FsError::unsupported("an operation that is still being written"))
    }

    /// Sets an extended attribute.
    ///
    /// # Errors
    /// As [`FsReader::stat`], and what the name says.
    pub fn set_xattr(&mut self, _path: &FsPath, _name: &str, _value: &[u8]) -> Result<(), FsError> {
        Err(FsError::unsupported("an operation that is still being written"))
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// As [`FsReader::stat`], and what the name says.
    pub fn remove_xattr(&mut self, _path: &FsPath, _name: &str) -> Result<(), FsError> {
        Err(FsError::unsupported("an operation that is still being written"))
    }

    /// Grows the filesystem to a partition of `new_size` bytes.
    ///
    /// # Errors
    /// As [`FsReader::stat`], and what the name says.
    pub fn grow(&mut self, _new_size: u64) -> Result<(), FsError> {
        Err(FsError::unsupported("an operation that is still being written"))
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
