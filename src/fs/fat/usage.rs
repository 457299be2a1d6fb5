//! Which bytes of a volume are in use, by its tables: everything in front of the clusters (boot sectors, FSInfo,
//! all tables, FAT16's root directory), and every cluster that a table calls neither free nor bad.

use super::super::error::FsError;
use super::super::usage::{Remark, Usage};
use super::boot_sector::{FatKind, Geometry};
use super::table::{Entry, INFO_FREE_AT, INFO_LEAD, INFO_STRUCT};
use crate::disk::block::BlockRead;
use crate::disk::range::ByteRange;

/// Clusters looked at together; even, so that FAT12's entries begin with a byte.
const PIECE: u32 = 1 << 14;
/// FSInfo's value for "not known".
const UNKNOWN: u32 = u32::MAX;

/// What of the volume that begins `medium` is in use. Where mirrored tables differ, what either uses counts.
///
/// # Errors
/// `Corrupt` or `Unsupported` (exFAT) as the boot sector is, when everything must be taken for used; or a read
/// error.
pub fn usage<D: BlockRead>(medium: D) -> Result<Usage, FsError> {
    let geometry = Geometry::read(&medium)?;
    let mut survey =
        Survey { medium: &medium, geometry: &geometry, merged: vec![(0, geometry.data_at)], free: 0 };
    let mut remarks = Vec::new();
    if geometry.dirty {
        remarks.push(Remark::NotUnmounted);
    }
    if let Some(cluster) = survey.look()? {
        let what = format!("FAT: the tables differ at cluster {cluster}; run fsck.vfat");
        remarks.push(Remark::Mismatch { what });
    }
    let counted = survey.free;
    if let Some(noted) = noted_free(&medium, &geometry)?.filter(|noted| *noted != counted) {
        remarks.push(Remark::StaleHint { noted, counted });
    }
    let ranges = survey.merged.iter().filter_map(|(start, end)| ByteRange::new(*start, *end)).collect();
    Ok(Usage { size: geometry.size, ranges, remarks })
}

/// The number of free clusters that FAT32's FSInfo sector gives, if it has one.
fn noted_free(medium: &dyn BlockRead, geometry: &Geometry) -> Result<Option<u32>, FsError> {
    if geometry.kind != FatKind::Fat32 {
        return Ok(None);
    }
    let word = |offset: u64| -> Result<u32, FsError> {
        let mut bytes = [0; 4];
        medium.read_at(geometry.info_at + offset, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    };
    for (offset, signature) in [INFO_LEAD, INFO_STRUCT] {
        if word(offset)? != signature {
            return Ok(None);
        }
    }
    Ok(Some(word(INFO_FREE_AT)?).filter(|noted| *noted != UNKNOWN))
}

struct Survey<'a> {
    medium: &'a dyn BlockRead,
    geometry: &'a Geometry,
    /// What is in use, as first byte and end.
    merged: Vec<(u64, u64)>,
    /// Free clusters by the first table.
    free: u32,
}

impl Survey<'_> {
    /// Looks at all clusters; the first of which mirrored tables say different things.
    fn look(&mut self) -> Result<Option<u32>, FsError> {
        let mut differs = None;
        let end = self.geometry.clusters + 2;
        let mut first = 0;
        while first < end {
            let count = PIECE.min(end - first);
            let tables = self.entries(first, count)?;
            for index in (2_u32.saturating_sub(first) as usize)..count as usize {
                // A piece has at most 2^14 entries.
                let cluster = first + index as u32;
                let mut said = tables.iter().map(|entries| entries[index]);
                let by_first = tables[0][index];
                self.free += u32::from(by_first == Entry::Free);
                if said.any(|entry| !matches!(entry, Entry::Free | Entry::Bad)) {
                    self.add(cluster);
                }
                if differs.is_none() && tables.iter().any(|entries| entries[index] != by_first) {
                    differs = Some(cluster);
                }
            }
            first += count;
        }
        Ok(differs)
    }

    /// What each mirrored table says of a stretch of clusters.
    fn entries(&self, first: u32, count: u32) -> Result<Vec<Vec<Entry>>, FsError> {
        let bits = self.geometry.kind.entry_bits();
        let mut bytes = vec![0; (u64::from(count) * bits).div_ceil(8) as usize];
        let mut tables = Vec::new();
        for mirror in 0..self.geometry.mirrors {
            let table = self.geometry.table_at + mirror * self.geometry.table_len;
            self.medium.read_at(table + u64::from(first) * bits / 8, &mut bytes)?;
            let entries: Vec<Entry> = if bits == 12 {
                (0..count as usize).map(|index| entry12(&bytes, index)).collect()
            } else {
                bytes.chunks_exact(bits as usize / 8).map(Entry::decode).collect()
            };
            tables.push(entries);
        }
        Ok(tables)
    }

    fn add(&mut self, cluster: u32) {
        let start = self.geometry.cluster_at(cluster);
        let end = start + self.geometry.cluster_size;
        match self.merged.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => self.merged.push((start, end)),
        }
    }
}

/// Two entries of FAT12 share three bytes.
fn entry12(bytes: &[u8], index: usize) -> Entry {
    let at = index + index / 2;
    let pair = u32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    Entry::of(if index.is_multiple_of(2) { pair & 0xfff } else { pair >> 4 }, 0xfff)
}

#[cfg(test)]
mod tests {
    use fatfs::FatType;

    use super::super::testing::{fat16, fat32, volume};
    use super::super::{FatVolume, Geometry};
    use super::usage;
    use crate::disk::range::ByteRange;
    use crate::disk::ranges;
    use crate::fs::error::FsError;
    use crate::fs::path::FsPath;
    use crate::fs::usage::Remark;

    /// 9000 bytes in a file.
    fn with_file(medium: Vec<u8>) -> Vec<u8> {
        let mut fat = FatVolume::edit(medium, 1_700_000_000).unwrap();
        fat.write_file(&FsPath::new("/file").unwrap(), &[7; 9000]).unwrap();
        fat.finish().unwrap()
    }

    #[test]
    fn counts_what_the_table_counts() {
        for medium in [fat16(), fat32()] {
            let (empty, full) = (usage(&medium).unwrap(), usage(with_file(medium.clone())).unwrap());
            let cluster = Geometry::read(&medium).unwrap().cluster_size;
            assert_eq!(empty.remarks, []);
            assert_eq!(
                ranges::total(&full.ranges) - ranges::total(&empty.ranges),
                9000_u64.next_multiple_of(cluster)
            );
            assert_eq!(full.ranges, ranges::union(full.ranges.clone()));
        }
    }

    #[test]
    fn reads_fat12() {
        let mut medium = volume(FatType::Fat12, 512, 2000);
        let geometry = Geometry::read(&medium).unwrap();
        assert_eq!(geometry.kind.name(), "fat12");
        // Clusters 3 (odd) and 6 (even) end a file, 5 is bad, 7 leads to 3.
        let sets: [(usize, [u8; 3]); 3] = [(2, [0, 0xf0, 0xff]), (4, [0, 0x70, 0xff]), (6, [0xff, 0x3f, 0])];
        for mirror in 0..geometry.mirrors {
            for (cluster, bytes) in sets {
                let at = (geometry.table_at + mirror * geometry.table_len) as usize + cluster / 2 * 3;
                medium[at..at + 3].copy_from_slice(&bytes);
            }
        }
        let range = |first: u32, end: u32| {
            ByteRange::new(geometry.cluster_at(first), geometry.cluster_at(end)).unwrap()
        };
        let head = ByteRange::new(0, geometry.data_at).unwrap();
        assert_eq!(usage(&medium).unwrap().ranges, [head, range(3, 4), range(6, 8)]);
        assert!(matches!(FatVolume::open(&medium), Err(FsError::Unsupported { .. })));
    }

    #[test]
    fn tables_that_differ_are_told_and_both_count() {
        let mut medium = with_file(fat32());
        let geometry = Geometry::read(&medium).unwrap();
        let second = (geometry.table_at + geometry.table_len) as usize;
        let before = usage(&medium).unwrap();
        medium[second + 40_000 * 4] = 0xff;
        // The four highest bits belong to nobody.
        medium[second + 300 * 4 + 3] = 0xf0;
        let usage = usage(&medium).unwrap();
        assert!(matches!(&usage.remarks[..], [Remark::Mismatch { what }] if what.contains("cluster 40000")));
        assert_eq!(ranges::total(&usage.ranges), ranges::total(&before.ranges) + geometry.cluster_size);
    }

    #[test]
    fn a_hint_is_only_a_hint() {
        let mut medium = with_file(fat32());
        let geometry = Geometry::read(&medium).unwrap();
        let at = geometry.info_at as usize;
        medium[at + 488] ^= 1;
        let remarks = usage(&medium).unwrap().remarks;
        assert!(matches!(remarks[..], [Remark::StaleHint { noted, counted }] if noted ^ 1 == counted));
        assert!(!remarks[0].is_mismatch());
        medium[at + 488..at + 492].fill(0xff);
        assert_eq!(usage(&medium).unwrap().remarks, []);
        medium[at] = 0;
        assert_eq!(usage(&medium).unwrap().remarks, []);
    }

    #[test]
    fn any_bytes_are_survived() {
        let mut random = fastrand::Rng::with_seed(2);
        let mut surveyed = 0;
        for medium in [fat16(), volume(FatType::Fat12, 512, 2000)] {
            for _ in 0..500 {
                let mut medium = medium.clone();
                for _ in 0..random.usize(1..5) {
                    let end = if random.bool() { 64 } else { 20_000 };
                    let at = random.usize(0..end);
                    medium[at] = random.u8(..);
                }
                if let Ok(usage) = usage(&medium) {
                    assert!(usage.ranges.iter().all(|range| range.end() <= medium.len() as u64));
                    surveyed += 1;
                }
            }
        }
        assert!(surveyed > 100, "hardly any was surveyed: {surveyed}");
    }
}
