//! The DOS partition table in a disk's first sector, and the chain of tables of its logical partitions.
//!
//! Layout: UEFI specification, section 5.2.1; logical partitions as the kernel's `block/partitions/msdos.c`
//! reads them. Sectors are taken to be 512 bytes: nothing in an MBR says otherwise.

use gpt::disk::LogicalBlockSize;
use gpt::mbr::{MBRError, PartRecord, ProtectiveMBR};

use super::block::{BlockRead, BlockWrite};
use super::error::DiskError;
use super::partition_table::{Partition, PartitionKind};
use super::range::ByteRange;

/// Bytes in a sector.
pub(super) const SECTOR: u64 = 512;
/// Byte offset of the disk signature.
pub(super) const DISK_ID_AT: u64 = 440;
/// Byte offset of the first entry.
pub(super) const ENTRIES_AT: u64 = 446;

const ENTRY_LEN: u64 = 16;
/// The type of the entry that says a GPT is there.
const PROTECTIVE: u8 = 0xee;
/// Types of the container of logical partitions: CHS, LBA and Linux.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
/// How many logical partitions are followed at most: the kernel stops at 256 partitions too.
const MAX_LOGICAL: u32 = 128;

/// A table in one sector, its four entries by number from 1.
pub(super) struct Mbr(ProtectiveMBR);

impl Mbr {
    /// Reads the table of a disk.
    pub(super) fn read(disk: &dyn BlockRead) -> Result<Self, DiskError> {
        if disk.size() < SECTOR {
            return Err(DiskError::NoTable { found: format!("{} bytes are no disk", disk.size()) });
        }
        let mut sector = [0; SECTOR as usize];
        disk.read_at(0, &mut sector)?;
        if sector.iter().all(|byte| *byte == 0) {
            return Err(DiskError::NoTable { found: "the first sector is all zeros".into() });
        }
        let Some(table) = parse(&sector)? else {
            return Err(DiskError::NoTable {
                found: "the first sector does not end with the bytes 55 aa".into(),
            });
        };
        // A FAT boot sector ends with 55 aa as well: with code or nothing where the entries would be.
        let is_entry = |entry: &PartRecord| entry.boot_indicator & 0x7f == 0;
        let entries_hold = (0..4).filter_map(|index| table.partition(index)).all(|entry| is_entry(&entry));
        if !entries_hold || (used_entries(&table).next().is_none() && is_boot_sector(&sector)) {
            return Err(DiskError::NoTable {
                found: "the first sector is a filesystem's boot sector".into(),
            });
        }
        Ok(Self(table))
    }

    /// Bytes 440 to 443, little-endian.
    pub(super) fn disk_id(&self) -> u32 {
        u32::from_le_bytes(*self.0.disk_signature())
    }

    /// Whether an entry says that a GPT is there.
    pub(super) fn is_protective(&self) -> bool {
        self.entries().any(|(_, entry)| entry.os_type == PROTECTIVE)
    }

    /// Whether it names partitions beside the GPT.
    pub(super) fn is_hybrid(&self) -> bool {
        self.is_protective() && self.entries().any(|(_, entry)| entry.os_type != PROTECTIVE)
    }

    /// The partitions, logical ones included.
    pub(super) fn partitions(&self, disk: &dyn BlockRead) -> Result<Vec<Partition>, DiskError> {
        let mut found = Vec::new();
        for (number, entry) in self.entries() {
            let range = range_of(disk, &entry, 0, &format!("partition {number}"), ENTRIES_AT)?;
            if entry.lb_start == 0 {
                let what = format!("partition {number} begins at sector 0, where the table is");
                return Err(DiskError::corrupt(ENTRIES_AT, what));
            }
            if EXTENDED.contains(&entry.os_type) {
                found.extend(logical_partitions(disk, range)?);
            } else {
                found.push(partition(number, range, &entry));
            }
        }
        found.sort_by_key(|partition| partition.number);
        Ok(found)
    }

    fn entries(&self) -> impl Iterator<Item = (u32, PartRecord)> + '_ {
        used_entries(&self.0).map(|(index, entry)| (index + 1, entry))
    }
}

/// Makes a primary partition end where `to` does or before, but not before `least`; returns where it lies then.
pub(super) fn move_end(
    disk: &mut dyn BlockWrite,
    number: u32,
    to: ByteRange,
    least: u64,
) -> Result<ByteRange, DiskError> {
    if number > 4 {
        return Err(DiskError::unsupported(format!(
            "partition {number} is a logical one and cannot be resized"
        )));
    }
    // Both fields have 32 bits; the vendor's first boot clamps at the same sector.
    let end_sector = (to.end() / SECTOR).min(u64::from(u32::MAX));
    let start_sector = to.start() / SECTOR;
    let moved = ByteRange::new(to.start(), end_sector * SECTOR)
        .filter(|moved| moved.end() >= least)
        .ok_or_else(|| too_short(number, to, to.end()))?;
    let at = ENTRIES_AT + u64::from(number - 1) * ENTRY_LEN;
    write_end(disk, at, start_sector, end_sector)?;
    Ok(moved)
}

/// Makes the entry of a hybrid table that begins where `range` does end where it does.
pub(super) fn move_twin(
    disk: &mut dyn BlockWrite,
    sector_size: u64,
    range: ByteRange,
) -> Result<(), DiskError> {
    let mbr = Mbr::read(&disk)?;
    let start = range.start() / sector_size;
    let twin =
        mbr.entries().find(|(_, entry)| entry.os_type != PROTECTIVE && u64::from(entry.lb_start) == start);
    let Some((number, _)) = twin else { return Ok(()) };
    let end = (range.end() / sector_size).min(u64::from(u32::MAX));
    write_end(disk, ENTRIES_AT + u64::from(number - 1) * ENTRY_LEN, start, end)
}

/// Makes the protective entry of a GPT cover the whole disk again.
pub(super) fn cover_disk(disk: &mut dyn BlockWrite, sector_size: u64) -> Result<(), DiskError> {
    let mbr = Mbr::read(&disk)?;
    let sectors = (disk.size() / sector_size).min(u64::from(u32::MAX) + 1);
    let protective = mbr.entries().find(|(_, entry)| entry.os_type == PROTECTIVE && entry.lb_start == 1);
    let Some((number, _)) = protective else { return Ok(()) };
    write_end(disk, ENTRIES_AT + u64::from(number - 1) * ENTRY_LEN, 1, sectors)
}

/// The error for a partition that would get too short.
pub(super) fn too_short(number: u32, range: ByteRange, end: u64) -> DiskError {
    DiskError::unsupported(format!("partition {number} ({range}) cannot end at {end}"))
}

/// Writes where the entry at byte `at` ends: its length and the CHS address of its last sector.
fn write_end(disk: &mut dyn BlockWrite, at: u64, start: u64, end: u64) -> Result<(), DiskError> {
    let length = u32::try_from(end - start).unwrap_or(u32::MAX);
    disk.write_at(at + 5, &chs(end - 1))?;
    disk.write_at(at + 12, &length.to_le_bytes())?;
    Ok(())
}

/// A sector's CHS address on a disk of 255 heads and 63 sectors, as fdisk writes it; what lies beyond
/// cylinder 1023 is all ones but the head, which is 254.
fn chs(sector: u64) -> [u8; 3] {
    let (cylinder, head, in_track) = (sector / (255 * 63), sector / 63 % 255, sector % 63 + 1);
    if cylinder > 1023 {
        return [0xfe, 0xff, 0xff];
    }
    [head as u8, (in_track | cylinder >> 8 << 6) as u8, cylinder as u8]
}

/// The tables of the logical partitions: each names one partition, from its own place on, and the next
/// table, from the container's beginning on.
fn logical_partitions(disk: &dyn BlockRead, container: ByteRange) -> Result<Vec<Partition>, DiskError> {
    let mut found = Vec::new();
    let mut table_at = container.start();
    for number in 5..5 + MAX_LOGICAL {
        let mut sector = [0; SECTOR as usize];
        disk.read_at(table_at, &mut sector)?;
        let Some(table) = parse(&sector)? else {
            let what = format!("the table of logical partition {number} does not end with 55 aa");
            return Err(DiskError::corrupt(table_at, what));
        };
        let mut next = None;
        for (_, entry) in used_entries(&table) {
            let (from, name) = if EXTENDED.contains(&entry.os_type) {
                (container.start(), format!("the table after logical partition {number}"))
            } else {
                (table_at, format!("logical partition {number}"))
            };
            let range = range_of(disk, &entry, from, &name, table_at)?;
            if !container.contains(range) {
                let what = format!("{name} ({range}) lies outside its container ({container})");
                return Err(DiskError::corrupt(table_at, what));
            }
            if EXTENDED.contains(&entry.os_type) {
                next = next.or(Some(range.start()));
            } else if found.last().is_none_or(|last: &Partition| last.number != number) {
                found.push(partition(number, range, &entry));
            }
        }
        match next {
            Some(at) => table_at = at,
            None => return Ok(found),
        }
    }
    Err(DiskError::corrupt(table_at, format!("more than {MAX_LOGICAL} logical partitions")))
}

/// Whether it begins as a FAT's first sector does: with a jump, and a sector's length at offset 11.
fn is_boot_sector(sector: &[u8; SECTOR as usize]) -> bool {
    let length = u16::from_le_bytes([sector[11], sector[12]]);
    matches!(sector[0], 0xeb | 0xe9) && matches!(length, 512 | 1024 | 2048 | 4096)
}

/// `None` when the sector does not end as a table does.
fn parse(sector: &[u8; SECTOR as usize]) -> Result<Option<ProtectiveMBR>, DiskError> {
    match ProtectiveMBR::from_bytes(sector, LogicalBlockSize::Lb512) {
        Ok(table) => Ok(Some(table)),
        Err(MBRError::InvalidMBRSignature) => Ok(None),
        Err(error) => Err(DiskError::corrupt(0, error.to_string())),
    }
}

/// Entries that name a partition, by index from 0; the kernel skips those without a type or length too.
fn used_entries(table: &ProtectiveMBR) -> impl Iterator<Item = (u32, PartRecord)> + '_ {
    (0u32..4)
        .filter_map(|index| Some((index, table.partition(index as usize)?)))
        .filter(|(_, entry)| entry.os_type != 0 && entry.lb_size != 0)
}

fn range_of(
    disk: &dyn BlockRead,
    entry: &PartRecord,
    from: u64,
    name: &str,
    table_at: u64,
) -> Result<ByteRange, DiskError> {
    // Two 32-bit sector numbers and a byte offset on the disk cannot overflow 64 bits.
    let start = from + u64::from(entry.lb_start) * SECTOR;
    let len = u64::from(entry.lb_size) * SECTOR;
    ByteRange::with_len(start, len).filter(|range| range.end() <= disk.size()).ok_or_else(|| {
        let (first, last) = (start / SECTOR, (start + len) / SECTOR - 1);
        let sectors = disk.size() / SECTOR;
        let what = format!("{name} is said to lie in sectors {first} to {last} of a disk of {sectors}");
        DiskError::corrupt(table_at, what)
    })
}

fn partition(number: u32, range: ByteRange, entry: &PartRecord) -> Partition {
    Partition {
        number,
        range,
        kind: PartitionKind::Mbr(entry.os_type),
        name: None,
        bootable: entry.boot_indicator & 0x80 != 0,
    }
}
