//! The GUID partition table (UEFI specification, section 5.3), through the `gpt` crate.
//!
//! The crate checks the checksums; what it takes on trust and would panic or allocate on (the size and
//! number of entries, where they lie) is checked here first. It renumbers partitions when it writes a whole
//! table, so resizing patches the one entry and rewrites the headers.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use gpt::disk::LogicalBlockSize;
use gpt::header::{Header, HeaderError, read_header_from_arbitrary_device};
use gpt::partition::{Partition as GptEntry, file_read_partitions};

use super::block::{BlockRead, BlockWrite};
use super::cursor::Cursor;
use super::error::DiskError;
use super::mbr::too_short;
use super::partition_table::{Partition, PartitionKind};
use super::range::ByteRange;
use super::window::Window;

/// The only size of an entry in use.
const ENTRY_LEN: u32 = 128;
/// Entries are read whole: more than the usual 128 are allowed, but not any number.
const MAX_ENTRIES: u32 = 4096;
/// Attribute bit 2: "legacy BIOS bootable".
const BOOTABLE: u64 = 1 << 2;
/// Byte offset of an entry's last sector in it.
const LAST_LBA_AT: u64 = 40;

/// A table whose header and entries were both found sound.
pub(super) struct Gpt {
    sector_size: LogicalBlockSize,
    header: Header,
    entries: BTreeMap<u32, GptEntry>,
    backup_used: Option<String>,
}

impl Gpt {
    /// Reads the primary table or, when that is damaged, the backup at the end of the disk. Sectors of
    /// 512 bytes are tried first, then of 4096.
    pub(super) fn read(disk: &dyn BlockRead) -> Result<Self, DiskError> {
        let mut problems = Vec::new();
        for sector_size in [LogicalBlockSize::Lb512, LogicalBlockSize::Lb4096] {
            let primary = match read_at(disk, sector_size, 1) {
                Ok(gpt) => return Ok(gpt),
                Err(error @ DiskError::Corrupt { .. }) => error.to_string(),
                Err(error) => return Err(error),
            };
            let last = (disk.size() / sector_size.as_u64()).saturating_sub(1);
            match read_at(disk, sector_size, last) {
                Ok(gpt) => return Ok(Self { backup_used: Some(primary), ..gpt }),
                Err(DiskError::Corrupt { what, .. }) => {
                    problems.push(format!("{primary}; its backup in sector {last}: {what}"));
                }
                Err(error) => return Err(error),
            }
        }
        // The problem of the usual sector size says more than "no header" under the other one.
        Err(DiskError::corrupt(512, problems.swap_remove(0)))
    }

    pub(super) fn sector_size(&self) -> u64 {
        self.sector_size.as_u64()
    }

    /// What was wrong with the primary table, when this is the backup.
    pub(super) fn backup_used(&self) -> Option<String> {
        self.backup_used.clone()
    }

    /// Byte offset of the entries.
    pub(super) fn entries_at(&self) -> u64 {
        self.header.part_start * self.sector_size()
    }

    /// The partitions by number.
    pub(super) fn partitions(&self, disk_size: u64) -> Result<Vec<Partition>, DiskError> {
        let used = self.entries.iter().filter(|(_, entry)| entry.is_used());
        used.map(|(number, entry)| self.partition(*number, entry, disk_size)).collect()
    }

    fn partition(&self, number: u32, entry: &GptEntry, disk_size: u64) -> Result<Partition, DiskError> {
        let range = (|| {
            let start = entry.first_lba.checked_mul(self.sector_size())?;
            let end = entry.last_lba.checked_add(1)?.checked_mul(self.sector_size())?;
            ByteRange::new(start, end).filter(|range| !range.is_empty() && end <= disk_size)
        })();
        let range = range.ok_or_else(|| {
            let (first, last) = (entry.first_lba, entry.last_lba);
            let sectors = disk_size / self.sector_size();
            let what = format!(
                "partition {number} is said to lie in sectors {first} to {last} of a disk of {sectors}"
            );
            DiskError::corrupt(self.entries_at(), what)
        })?;
        Ok(Partition {
            number,
            range,
            kind: PartitionKind::Gpt(entry.part_type_guid.guid.hyphenated().to_string()),
            name: Some(entry.name.clone()),
            bootable: entry.flags & BOOTABLE != 0,
        })
    }

    /// Makes a partition end where `to` does or before, leaving room for the backup at the end of the disk, but not
    /// before `least`, and writes both tables; returns where the partition lies then.
    pub(super) fn move_end(
        self,
        disk: &mut dyn BlockWrite,
        number: u32,
        to: ByteRange,
        least: u64,
    ) -> Result<ByteRange, DiskError> {
        if let Some(problem) = &self.backup_used {
            // Where the primary entries belong is written nowhere but in the damaged header.
            return Err(DiskError::unsupported(format!(
                "only the backup GPT is sound ({problem}): repair it first"
            )));
        }
        let sector = self.sector_size();
        let table_bytes = u64::from(self.header.num_parts) * u64::from(ENTRY_LEN);
        let table_sectors = table_bytes.div_ceil(sector);
        let last_sector = (disk.size() / sector).saturating_sub(1);
        let backup_entries = last_sector.saturating_sub(table_sectors);
        let end_sector = (to.end() / sector).min(backup_entries);
        let moved = ByteRange::new(to.start(), end_sector * sector)
            .filter(|moved| moved.end() >= least)
            .ok_or_else(|| too_short(number, to, to.end()))?;

        let mut table = vec![0; table_bytes as usize];
        disk.read_at(self.entries_at(), &mut table)?;
        let at = (u64::from(number - 1) * u64::from(ENTRY_LEN) + LAST_LBA_AT) as usize;
        table[at..at + 8].copy_from_slice(&(end_sector - 1).to_le_bytes());

        let mut primary =
            Header { backup_lba: last_sector, last_usable: backup_entries - 1, ..self.header.clone() };
        let mut backup =
            Header { current_lba: last_sector, backup_lba: 1, part_start: backup_entries, ..primary.clone() };
        disk.write_at(backup_entries * sector, &table)?;
        backup.write_backup(&mut Cursor::new(&mut *disk), self.sector_size).map_err(write_error)?;
        disk.write_at(self.entries_at(), &table)?;
        primary.write_primary(&mut Cursor::new(&mut *disk), self.sector_size).map_err(write_error)?;
        Ok(moved)
    }
}

/// Reads the table whose header is in sector `lba`.
fn read_at(disk: &dyn BlockRead, sector_size: LogicalBlockSize, lba: u64) -> Result<Gpt, DiskError> {
    let sector = sector_size.as_u64();
    let at = lba.saturating_mul(sector);
    let corrupt = |what: String| DiskError::corrupt(at, what);
    // The crate looks for a primary header in the second sector of what it is given.
    let window = ByteRange::new(at.saturating_sub(sector), disk.size())
        .ok_or_else(|| corrupt("the disk ends before the GPT header".into()))?;
    let window = Window::new(disk, window)?;
    let header = match read_header_from_arbitrary_device(&mut Cursor::new(window), sector_size) {
        Ok(header) => header,
        Err(HeaderError::Io(error)) if error.kind() != ErrorKind::UnexpectedEof => {
            return Err(error.into());
        }
        Err(error) => return Err(corrupt(format!("GPT header: {error}"))),
    };
    if header.current_lba != lba {
        let says = header.current_lba;
        return Err(corrupt(format!("the GPT header in sector {lba} says it is in sector {says}")));
    }
    if header.part_size != ENTRY_LEN {
        return Err(DiskError::unsupported(format!("GPT entries of {} bytes", header.part_size)));
    }
    if header.num_parts > MAX_ENTRIES {
        return Err(DiskError::unsupported(format!("a GPT of {} entries", header.num_parts)));
    }
    let entries_end = header
        .part_start
        .checked_mul(sector)
        .and_then(|at| at.checked_add(u64::from(header.num_parts) * u64::from(ENTRY_LEN)));
    if header.part_start < 2 || entries_end.is_none_or(|end| end > disk.size()) {
        return Err(corrupt(format!("GPT entries are said to begin in sector {}", header.part_start)));
    }
    let entries = file_read_partitions(&mut Cursor::new(disk), &header, sector_size).map_err(|error| {
        match error.kind() {
            // The crate's own findings, the checksum's above all, have no other kind.
            ErrorKind::Other => corrupt(format!("GPT entries: {error}")),
            _ => error.into(),
        }
    })?;
    Ok(Gpt { sector_size, header, entries, backup_used: None })
}

fn write_error(error: HeaderError) -> DiskError {
    match error {
        HeaderError::Io(error) => error.into(),
        error => DiskError::unsupported(format!("writing the GPT header: {error}")),
    }
}
