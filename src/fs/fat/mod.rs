//! FAT16 and FAT32 through `fatfs`.
//!
//! `fatfs` trusts the bytes it is given, so a volume is checked whole before it is handed over: the boot
//! sector's numbers, and every chain of clusters that a directory leads to. What 0.3.6 itself gets wrong is
//! put right where it happens (`write.rs` names each case).
//!
//! Layout: Microsoft, "FAT: General Overview of On-Disk Format", version 1.03.

mod boot_sector;
mod check;
mod clock;
mod mounted;
mod names;
mod owner;
mod pages;
mod read;
mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod usage;
mod write;

use std::cell::RefCell;
use std::rc::Rc;

use boot_sector::{FatKind, Geometry};
use fatfs::{FileSystem, FsOptions};
pub use mounted::set_unmounted;
pub use owner::owners;
use pages::{Pages, Stream, WriteAt};
use table::Table;
pub use usage::usage;

use super::error::FsError;
use crate::disk::block::{BlockRead, BlockWrite};

/// A FAT filesystem on a medium of its own, usually a window on a disk.
pub struct FatVolume<D: BlockRead> {
    /// Holds a clone of `pages`, so it must go first for the medium to be given back.
    fs: FileSystem<Stream<D>>,
    pages: Rc<RefCell<Pages<D>>>,
    geometry: Geometry,
    label: Option<String>,
    /// Seconds since 1970 that everything written is dated.
    now: i64,
}

/// Room on a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FatSpace {
    /// Bytes in a cluster.
    pub cluster_size: u64,
    /// Clusters in all.
    pub clusters: u64,
    /// Clusters free.
    pub free_clusters: u64,
}

impl<D: BlockRead> FatVolume<D> {
    /// Opens a volume for reading; the medium is never written.
    ///
    /// # Errors
    /// `Corrupt` or `Unsupported` (FAT12, exFAT) as the boot sector and the chains are, or a read error.
    pub fn open(medium: D) -> Result<Self, FsError> {
        Self::load(medium, None, 0)
    }

    fn load(medium: D, write_at: Option<WriteAt<D>>, now: i64) -> Result<Self, FsError> {
        let geometry = Geometry::read(&medium)?;
        if geometry.kind == FatKind::Fat12 {
            return Err(FsError::unsupported("FAT12"));
        }
        let editable = write_at.is_some();
        let pages = Rc::new(RefCell::new(Pages::new(medium, write_at)));
        let label = check::check(&pages, &geometry)?;
        if editable {
            Table::new(&pages, &geometry).repair_free_count()?;
        }
        let options = FsOptions::new().time_provider(&clock::CLOCK);
        let fs = FileSystem::new(Stream::new(Rc::clone(&pages)), options)
            .map_err(|error| FsError::corrupt(format!("FAT: {error}")))?;
        let label = label.or_else(|| geometry.label.clone());
        Ok(Self { fs, pages, geometry, label, now })
    }

    /// The label: the one in the root directory or, without one, the boot sector's.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// The volume's serial number.
    #[must_use]
    pub fn volume_id(&self) -> u32 {
        self.geometry.volume_id
    }

    /// `fat16` or `fat32`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.geometry.kind.name()
    }

    /// Whether it was not unmounted cleanly the last time.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.geometry.dirty
    }

    /// Counts the room.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn space(&self) -> Result<FatSpace, FsError> {
        Ok(FatSpace {
            cluster_size: self.geometry.cluster_size,
            clusters: u64::from(self.geometry.clusters),
            free_clusters: u64::from(self.table().count_free()?),
        })
    }

    fn table(&self) -> Table<'_, D> {
        Table::new(&self.pages, &self.geometry)
    }
}

impl<D: BlockWrite> FatVolume<D> {
    /// Opens a volume for writing; what is written is dated `now` (seconds since 1970, written as UTC; FAT
    /// knows the years 1980 to 2107 and no odd seconds). [`FatVolume::finish`] must be called: without it
    /// the medium holds some of the changes.
    ///
    /// # Errors
    /// As [`FatVolume::open`].
    pub fn edit(medium: D, now: i64) -> Result<Self, FsError> {
        Self::load(medium, Some(|medium, offset, data| medium.write_at(offset, data)), now)
    }

    /// Writes everything that is still in memory and gives the medium back.
    ///
    /// # Errors
    /// What the medium answers.
    pub fn finish(self) -> Result<D, FsError> {
        let Self { fs, pages, .. } = self;
        fs.unmount()?;
        // Nothing but the filesystem, gone now, ever holds a clone.
        let pages = Rc::into_inner(pages).ok_or_else(|| FsError::corrupt("FAT: still in use"))?;
        Ok(pages.into_inner().finish()?)
    }
}
