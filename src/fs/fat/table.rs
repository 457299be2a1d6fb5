//! The file allocation table: which cluster follows which.

use std::cell::RefCell;
use std::rc::Rc;

use super::super::error::FsError;
use super::boot_sector::{FatKind, Geometry};
use super::pages::Pages;
use crate::disk::block::BlockRead;

/// What an entry says of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Free,
    Bad,
    End,
    Next(u32),
}

impl Entry {
    /// Two bytes of a FAT16, four of a FAT32.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        match *bytes {
            [a, b] => Self::of(u32::from(u16::from_le_bytes([a, b])), 0xffff),
            [a, b, c, d] => Self::of(u32::from_le_bytes([a, b, c, d]) & 0x0fff_ffff, 0x0fff_ffff),
            _ => Self::Free,
        }
    }

    /// What a number says where the highest is `ones`; the special values are the nine highest.
    pub(super) fn of(value: u32, ones: u32) -> Self {
        match ones - value {
            _ if value == 0 => Self::Free,
            ..8 => Self::End,
            8 => Self::Bad,
            _ => Self::Next(value),
        }
    }
}

/// The table in use. Reads go through the cache, so they see what was written.
pub(super) struct Table<'a, D> {
    pages: &'a Rc<RefCell<Pages<D>>>,
    geometry: &'a Geometry,
}

/// Bytes of the table read at once.
const PIECE: usize = 64 << 10;
/// Offsets and signatures in the FSInfo sector.
pub(super) const INFO_LEAD: (u64, u32) = (0, 0x4161_5252);
pub(super) const INFO_STRUCT: (u64, u32) = (484, 0x6141_7272);
pub(super) const INFO_FREE_AT: u64 = 488;

impl<'a, D: BlockRead> Table<'a, D> {
    pub(super) fn new(pages: &'a Rc<RefCell<Pages<D>>>, geometry: &'a Geometry) -> Self {
        Self { pages, geometry }
    }

    /// What follows a cluster of this volume.
    pub(super) fn entry(&self, cluster: u32) -> Result<Entry, FsError> {
        let len = self.geometry.kind.entry_bits() / 8;
        let mut bytes = [0; 4];
        let at = self.geometry.table_at + u64::from(cluster) * len;
        self.pages.borrow_mut().read_at(at, &mut bytes[..len as usize])?;
        Ok(Entry::decode(&bytes[..len as usize]))
    }

    /// Number of free clusters.
    pub(super) fn count_free(&self) -> Result<u32, FsError> {
        let mut free = 0;
        self.each(|_, entry| free += u32::from(entry == Entry::Free))?;
        Ok(free)
    }

    /// Writes the true number of free clusters into the FSInfo sector of a FAT32: `fatfs` counts on from
    /// what it finds there.
    pub(super) fn repair_free_count(&self) -> Result<(), FsError> {
        if self.geometry.kind != FatKind::Fat32 {
            return Ok(());
        }
        let at = self.geometry.info_at;
        let mut pages = self.pages.borrow_mut();
        let mut word = [0; 4];
        for (offset, expected) in [INFO_LEAD, INFO_STRUCT] {
            pages.read_at(at + offset, &mut word)?;
            if u32::from_le_bytes(word) != expected {
                let what = format!("FAT: the FSInfo sector at byte {at} has no signature at offset {offset}");
                return Err(FsError::corrupt(what));
            }
        }
        pages.read_at(at + INFO_FREE_AT, &mut word)?;
        drop(pages);
        let free = self.count_free()?.to_le_bytes();
        if word != free {
            self.pages.borrow_mut().write_at(at + INFO_FREE_AT, &free)?;
        }
        Ok(())
    }

    /// Visits every cluster of the volume in order.
    fn each(&self, mut visit: impl FnMut(u32, Entry)) -> Result<(), FsError> {
        let len = (self.geometry.kind.entry_bits() / 8) as usize;
        let mut piece = vec![0; PIECE];
        let mut at = self.geometry.table_at + 2 * len as u64;
        let (mut cluster, end) = (2, self.geometry.clusters + 2);
        while cluster < end {
            let count = ((end - cluster) as usize).min(PIECE / len);
            let bytes = &mut piece[..count * len];
            self.pages.borrow_mut().read_at(at, bytes)?;
            for entry in bytes.chunks_exact(len) {
                visit(cluster, Entry::decode(entry));
                cluster += 1;
            }
            at += (count * len) as u64;
        }
        Ok(())
    }
}
