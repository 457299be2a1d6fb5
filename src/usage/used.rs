//! The used bytes of an image, partition by partition.

use std::io;

use super::note::{Finding, Note};
use crate::disk::block::BlockRead;
use crate::disk::error::DiskError;
use crate::disk::partition_table::{self, Partition};
use crate::disk::range::ByteRange;
use crate::disk::ranges;
use crate::disk::window::Window;
use crate::fs::error::FsError;
use crate::fs::path::FsPath;
use crate::fs::usage::Usage;
use crate::fs::{ext4, fat, swap};

/// How much of a partition's end is kept behind a filesystem that ends before it. Nothing of the filesystem is
/// there, and what grows it writes before it reads; but members of a RAID have their superblock in the last
/// 128 KiB (`md` 0.90 and 1.0), and one from a card's earlier life must not come back to life.
const KEPT_END: u64 = 128 << 10;

/// What of an image is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// The bytes in use, in rising order and merged.
    pub ranges: Vec<ByteRange>,
    /// The partitions by number.
    pub partitions: Vec<PartitionUse>,
    /// What came to light.
    pub notes: Vec<Note>,
}

/// A partition, and how much of it is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionUse {
    /// Its number.
    pub number: u32,
    /// Where it lies.
    pub range: ByteRange,
    /// What is in there.
    pub content: Content,
    /// Bytes in use.
    pub used: u64,
}

/// What a partition holds, as far as its used bytes can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// ext2, ext3 or ext4.
    Ext4,
    /// FAT12, FAT16 or FAT32.
    Fat,
    /// Swap space.
    Swap,
    /// Anything else.
    Other,
}

impl Used {
    /// How many bytes are in use.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        ranges::total(&self.ranges)
    }

    /// The notes that say that something contradicts itself.
    pub fn mismatches(&self) -> impl Iterator<Item = &Note> {
        self.notes.iter().filter(|note| note.is_mismatch())
    }
}

/// Finds out what of an image is in use, reading no more than partition tables, superblocks, bitmaps and
/// tables. Of `swap_files` (paths in any ext4 partition) those that are swap files keep only their header.
///
/// # Errors
/// What the medium answers. Damage is no error: what cannot be told counts as used, and a note says so.
pub fn used(image: &dyn BlockRead, swap_files: &[FsPath]) -> io::Result<Used> {
    let all = ByteRange::with_len(0, image.size());
    let table = match partition_table::read(image) {
        Ok(table) => table,
        Err(DiskError::Io(error)) => return Err(error),
        Err(error) => {
            let why = error.to_string();
            let finding = match error {
                DiskError::Corrupt { .. } => Finding::Damaged { why },
                _ => Finding::Whole { why },
            };
            let notes = vec![Note { partition: None, finding }];
            return Ok(Used { ranges: all.into_iter().collect(), partitions: Vec::new(), notes });
        }
    };
    let mut notes = Vec::new();
    notes.extend(
        table.backup_used.clone().map(|why| Note { partition: None, finding: Finding::BackupTable { why } }),
    );
    let covered = ranges::union(table.partitions.iter().map(|partition| partition.range));
    let mut found = ranges::without(&all.into_iter().collect::<Vec<_>>(), &covered);
    let mut partitions = Vec::new();
    for partition in &table.partitions {
        let (content, used) = look_into(image, partition, swap_files, &mut notes)?;
        let bytes = ranges::total(&used);
        partitions.push(PartitionUse {
            number: partition.number,
            range: partition.range,
            content,
            used: bytes,
        });
        found.extend(used);
    }
    Ok(Used { ranges: ranges::union(found), partitions, notes })
}

/// What a partition holds, and which bytes of the image it uses.
fn look_into(
    image: &dyn BlockRead,
    partition: &Partition,
    swap_files: &[FsPath],
    notes: &mut Vec<Note>,
) -> io::Result<(Content, Vec<ByteRange>)> {
    let window = Window::new(image, partition.range)?;
    let mut note = |finding| notes.push(Note { partition: Some(partition.number), finding });
    let content = match claims(&window)?.as_slice() {
        [one] => *one,
        [] => {
            note(Finding::Whole { why: "nothing that pibake knows".to_owned() });
            Content::Other
        }
        // What one of them calls free may be what the other one lives in.
        _ => {
            note(Finding::Whole { why: "it looks like several things at once".to_owned() });
            Content::Other
        }
    };
    let whole = vec![partition.range];
    let usage = match content {
        Content::Other => return Ok((content, whole)),
        Content::Swap => {
            let page = swap::page_size(&window)?.unwrap_or(window.size());
            return Ok((content, ByteRange::with_len(partition.range.start(), page).into_iter().collect()));
        }
        Content::Ext4 => ext4::usage(&window, swap_files),
        Content::Fat => fat::usage(&window),
    };
    match usage {
        Ok(usage) => {
            let ranges = inside(partition.range, &usage);
            usage.remarks.into_iter().for_each(|remark| note(Finding::Filesystem(remark)));
            Ok((content, ranges))
        }
        Err(FsError::Io(error)) => Err(error),
        Err(error @ FsError::Unsupported { .. }) => {
            note(Finding::Whole { why: error.to_string() });
            Ok((content, whole))
        }
        Err(error) => {
            note(Finding::Damaged { why: error.to_string() });
            Ok((content, whole))
        }
    }
}

/// A filesystem's used bytes as bytes of the image.
fn inside(partition: ByteRange, usage: &Usage) -> Vec<ByteRange> {
    let behind = partition.start().saturating_add(usage.size).max(partition.end().saturating_sub(KEPT_END));
    usage
        .ranges
        .iter()
        .filter_map(|range| ByteRange::with_len(partition.start().checked_add(range.start())?, range.len()))
        .chain(ByteRange::new(behind, partition.end()))
        .filter_map(|range| range.intersect(partition))
        .collect()
}

/// Everything a partition looks like. One thing's signature may survive under another, so all of them count.
pub(super) fn claims(window: &dyn BlockRead) -> io::Result<Vec<Content>> {
    let mut head = [0; 2048];
    let there = window.size().min(head.len() as u64) as usize;
    window.read_at(0, &mut head[..there])?;
    let mut claims = Vec::new();
    if head[0x438..0x43a] == [0x53, 0xef] {
        claims.push(Content::Ext4);
    }
    let named_fat = head[0x36..].starts_with(b"FAT") || head[0x52..].starts_with(b"FAT32   ");
    if named_fat && head[510..512] == [0x55, 0xaa] {
        claims.push(Content::Fat);
    }
    if swap::page_size(window)?.is_some() {
        claims.push(Content::Swap);
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::super::note::Finding;
    use super::super::testing::{MIB, card, entry, fat as fat_image, root as root_image};
    use super::{Content, used};
    use crate::disk::range::ByteRange;
    use crate::disk::ranges;
    use crate::fs::usage::Remark;
    use crate::fs::{ext4, fat};

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end).unwrap()
    }

    #[test]
    fn gaps_count_always_and_filesystems_by_what_they_use() {
        let image = card();
        let used = used(&image, &[]).unwrap();
        assert_eq!(used.notes, []);
        let contents: Vec<Content> = used.partitions.iter().map(|part| part.content).collect();
        assert_eq!(contents, [Content::Fat, Content::Ext4, Content::Swap]);
        let fat = fat::usage(fat_image()).unwrap();
        assert_eq!(used.partitions[0].used, ranges::total(&fat.ranges) + 14 * MIB - fat.size);
        let root = ext4::usage(root_image(), &[]).unwrap();
        // The filesystem ends 2 MiB before its partition does.
        assert_eq!(used.partitions[1].used, ranges::total(&root.ranges) + (128 << 10));
        assert_eq!(used.partitions[2].used, 4096);
        let gaps = [range(0, MIB), range(27 * MIB, 28 * MIB), range(30 * MIB, 31 * MIB)];
        assert_eq!(ranges::without(&gaps, &used.ranges), []);
        assert_eq!(
            used.bytes(),
            ranges::total(&gaps) + used.partitions.iter().map(|part| part.used).sum::<u64>()
        );
        assert_eq!(used.ranges, ranges::union(used.ranges.clone()));
    }

    #[test]
    fn tables_of_logical_partitions_lie_in_gaps() {
        let mut image = card();
        // The container of a logical swap partition where the primary one was.
        entry(&mut image, 0, 2, 0x0f, 28 * 2048, 2 * 2048);
        entry(&mut image, 28 * MIB, 0, 0x82, 2048, 2048);
        let used = used(&image, &[]).unwrap();
        assert_eq!(used.partitions.iter().map(|part| part.number).collect::<Vec<_>>(), [1, 2, 5]);
        assert_eq!(ranges::without(&[range(28 * MIB, 29 * MIB)], &used.ranges), []);
    }

    #[test]
    fn what_is_not_known_counts_whole() {
        let mut image = card();
        image[28 * MIB as usize + 4086..28 * MIB as usize + 4096].copy_from_slice(b"S1SUSPEND\0");
        let unknown = used(&image, &[]).unwrap();
        assert_eq!((unknown.partitions[2].content, unknown.partitions[2].used), (Content::Other, 2 * MIB));
        assert_eq!((unknown.notes.len(), unknown.mismatches().count()), (1, 0));
        // ext4 over the remains of a swap space, or the other way round.
        let mut image = card();
        image[15 * MIB as usize + 16374..15 * MIB as usize + 16384].copy_from_slice(b"SWAPSPACE2");
        let both = used(&image, &[]).unwrap();
        assert_eq!((both.partitions[1].content, both.partitions[1].used), (Content::Other, 12 * MIB));
        assert!(both.notes[0].to_string().starts_with("partition 2: it looks like several"));
    }

    #[test]
    fn damage_counts_whole_and_is_told() {
        let mut image = card();
        image[15 * MIB as usize + 1024 + 0x68] ^= 1;
        let damaged = used(&image, &[]).unwrap();
        assert_eq!(damaged.partitions[1].used, 12 * MIB);
        assert!(
            matches!(damaged.notes[0].finding, Finding::Damaged { .. }) && damaged.mismatches().count() == 1
        );
        let mut image = card();
        image[15 * MIB as usize + 1024 + 0x3a] = 2;
        let sum = !crc32c::crc32c(&image[15 * MIB as usize + 1024..][..0x3fc]);
        image[15 * MIB as usize + 1024 + 0x3fc..][..4].copy_from_slice(&sum.to_le_bytes());
        let failed = used(&image, &[]).unwrap();
        assert!(matches!(failed.notes[0].finding, Finding::Filesystem(Remark::Mismatch { .. })));
    }

    #[test]
    fn without_a_table_the_image_counts_whole() {
        for (image, mismatch) in
            [(vec![0; 5000], false), (root_image(), false), (card()[..20 << 20].to_vec(), true)]
        {
            let used = used(&image, &[]).unwrap();
            assert_eq!(used.ranges, [range(0, image.len() as u64)]);
            assert_eq!(used.mismatches().count() == 1, mismatch);
        }
        assert_eq!(used(&Vec::new(), &[]).unwrap().bytes(), 0);
    }
}
