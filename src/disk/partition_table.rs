//! A disk's partitions, whichever kind of table names them.

use std::fmt;

use super::block::{BlockRead, BlockWrite};
use super::error::DiskError;
use super::gpt::Gpt;
use super::mbr::{self, Mbr};
use super::range::ByteRange;

/// Which kind of table a disk has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableKind {
    /// A DOS table in the first sector.
    Mbr,
    /// A GUID partition table behind a protective MBR (UEFI specification, chapter 5).
    Gpt,
    /// A GUID partition table some of whose partitions the MBR names too.
    Hybrid,
}

impl TableKind {
    /// `mbr`, `gpt` or `hybrid`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TableKind::Mbr => "mbr",
            TableKind::Gpt => "gpt",
            TableKind::Hybrid => "hybrid",
        }
    }
}

/// What a table says a partition is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionKind {
    /// The type byte of an MBR entry.
    Mbr(u8),
    /// The type GUID of a GPT entry, in lower case.
    Gpt(String),
}

impl fmt::Display for PartitionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PartitionKind::Mbr(kind) => write!(f, "{kind:02x}"),
            PartitionKind::Gpt(guid) => f.write_str(guid),
        }
    }
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number as Linux counts: from 1, logical partitions of an MBR from 5.
    pub number: u32,
    /// Where it lies.
    pub range: ByteRange,
    /// What it is for.
    pub kind: PartitionKind,
    /// Its name in a GPT.
    pub name: Option<String>,
    /// Whether it is marked active (MBR) or legacy BIOS bootable (GPT attribute bit 2).
    pub bootable: bool,
}

/// A disk's partition table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionTable {
    /// Which kind it is.
    pub kind: TableKind,
    /// Bytes in a sector as the table counts them: 512 or 4096.
    pub sector_size: u64,
    /// The MBR's disk signature, bytes 440 to 443.
    pub disk_id: u32,
    /// The partitions by number; the container of logical partitions is not among them.
    pub partitions: Vec<Partition>,
    /// Why the backup GPT at the end of the disk was used instead of the primary one.
    pub backup_used: Option<String>,
}

impl PartitionTable {
    /// The partition with a number.
    #[must_use]
    pub fn partition(&self, number: u32) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.number == number)
    }

    /// Whether no other partition ends after this one.
    #[must_use]
    pub fn is_last(&self, number: u32) -> bool {
        let last = self.partitions.iter().max_by_key(|partition| partition.range.end());
        last.is_some_and(|partition| partition.number == number)
    }
}

/// Reads a disk's partition table: an MBR with its logical partitions, a GPT (the backup when the primary
/// one is damaged), or both.
///
/// # Errors
/// `NoTable` when there is none, `Corrupt` when entries overlap or pass the end of the disk or both GPTs
/// are damaged, `Unsupported` for GPT entries that are not 128 bytes long, or what the medium answers.
pub fn read(disk: &dyn BlockRead) -> Result<PartitionTable, DiskError> {
    let mbr = Mbr::read(disk)?;
    if !mbr.is_protective() {
        let partitions = mbr.partitions(disk)?;
        check_overlaps(&partitions, mbr::ENTRIES_AT)?;
        return Ok(PartitionTable {
            kind: TableKind::Mbr,
            sector_size: mbr::SECTOR,
            disk_id: mbr.disk_id(),
            partitions,
            backup_used: None,
        });
    }
    let gpt = Gpt::read(disk)?;
    let partitions = gpt.partitions(disk.size())?;
    check_overlaps(&partitions, gpt.entries_at())?;
    Ok(PartitionTable {
        kind: if mbr.is_hybrid() { TableKind::Hybrid } else { TableKind::Gpt },
        sector_size: gpt.sector_size(),
        disk_id: mbr.disk_id(),
        partitions,
        backup_used: gpt.backup_used(),
    })
}

/// Writes the MBR's disk signature, from which the kernel makes the PARTUUIDs of an MBR's partitions.
///
/// # Errors
/// What the medium answers.
pub fn set_disk_id(disk: &mut dyn BlockWrite, id: u32) -> Result<(), DiskError> {
    Ok(disk.write_at(mbr::DISK_ID_AT, &id.to_le_bytes())?)
}

/// Makes the last partition end at `new_end` (bytes; rounded down to a sector), or as near as an MBR can
/// say (2 TiB) and a GPT leaves room for its backup at the end of the disk, which moves there. Returns
/// where the partition lies then. Nothing else of the table changes.
///
/// # Errors
/// `Unsupported` when another partition lies behind it, it is a logical one, or it would shrink; otherwise
/// as [`read`].
pub fn grow_last(disk: &mut dyn BlockWrite, number: u32, new_end: u64) -> Result<ByteRange, DiskError> {
    let (table, range) = last(&disk, number)?;
    let to = ByteRange::new(range.start(), new_end.min(disk.size()));
    let to = to.ok_or_else(|| mbr::too_short(number, range, new_end))?;
    move_end(disk, &table, number, to, range.end())
}

/// Makes the last partition end at `new_end` (bytes; rounded down to a sector), before where it ends now. What
/// it holds must end there already. Returns where the partition lies then.
///
/// # Errors
/// `Unsupported` when another partition lies behind it, it is a logical one, or nothing would be left of it;
/// otherwise as [`read`].
pub fn shrink_last(disk: &mut dyn BlockWrite, number: u32, new_end: u64) -> Result<ByteRange, DiskError> {
    let (table, range) = last(&disk, number)?;
    let end = new_end.min(range.end());
    let to = ByteRange::new(range.start(), end).filter(|range| range.len() >= table.sector_size);
    let to = to.ok_or_else(|| mbr::too_short(number, range, new_end))?;
    move_end(disk, &table, number, to, range.start() + table.sector_size)
}

/// Puts the backup of a GPT where the disk ends now; an MBR has none. For a disk that was cut short behind its last
/// partition.
///
/// # Errors
/// `Unsupported` when there is no room for it behind the last partition, otherwise as [`read`].
pub fn move_backup(disk: &mut dyn BlockWrite) -> Result<(), DiskError> {
    let table = read(&disk)?;
    let last = table.partitions.iter().max_by_key(|partition| partition.range.end());
    match last {
        Some(last) if table.kind != TableKind::Mbr => {
            move_end(disk, &table, last.number, last.range, last.range.end()).map(drop)
        }
        _ => Ok(()),
    }
}

/// The table, and where the partition lies that must be the last of it.
fn last(disk: &dyn BlockRead, number: u32) -> Result<(PartitionTable, ByteRange), DiskError> {
    let table = read(disk)?;
    let partition = table
        .partition(number)
        .ok_or_else(|| DiskError::unsupported(format!("there is no partition {number} to resize")))?;
    if !table.is_last(number) {
        return Err(DiskError::unsupported(format!(
            "partition {number} is not the last on the disk and cannot be resized"
        )));
    }
    let range = partition.range;
    Ok((table, range))
}

/// Makes the last partition end where `to` does, or before that, but not before `least`.
fn move_end(
    disk: &mut dyn BlockWrite,
    table: &PartitionTable,
    number: u32,
    to: ByteRange,
    least: u64,
) -> Result<ByteRange, DiskError> {
    let range = match table.kind {
        TableKind::Mbr => mbr::move_end(disk, number, to, least)?,
        TableKind::Gpt => Gpt::read(&disk)?.move_end(disk, number, to, least)?,
        TableKind::Hybrid => {
            let range = Gpt::read(&disk)?.move_end(disk, number, to, least)?;
            mbr::move_twin(disk, table.sector_size, range)?;
            range
        }
    };
    if table.kind == TableKind::Gpt {
        mbr::cover_disk(disk, table.sector_size)?;
    }
    Ok(range)
}

/// Refuses partitions that share bytes.
fn check_overlaps(partitions: &[Partition], offset: u64) -> Result<(), DiskError> {
    let mut by_start: Vec<&Partition> = partitions.iter().collect();
    by_start.sort_by_key(|partition| partition.range.start());
    for pair in by_start.windows(2) {
        if let Some(shared) = pair[0].range.intersect(pair[1].range) {
            let (a, b) = (pair[0].number, pair[1].number);
            return Err(DiskError::corrupt(offset, format!("partitions {a} and {b} share {shared}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use gpt::disk::LogicalBlockSize;
    use gpt::mbr::ProtectiveMBR;

    use super::{PartitionKind, TableKind, grow_last, move_backup, read, set_disk_id, shrink_last};
    use crate::disk::error::DiskError;
    use crate::disk::range::ByteRange;

    const MIB: u64 = 1 << 20;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end).unwrap()
    }

    /// Writes entry `index` of the table at byte `table`.
    fn entry(disk: &mut [u8], table: u64, index: usize, kind: u8, start: u64, len: u64) {
        let at = table as usize + 446 + 16 * index;
        disk[at + 4] = kind;
        disk[at + 8..at + 12].copy_from_slice(&(start as u32).to_le_bytes());
        disk[at + 12..at + 16].copy_from_slice(&(len as u32).to_le_bytes());
        disk[table as usize + 510..table as usize + 512].copy_from_slice(&[0x55, 0xaa]);
    }

    /// A disk of 16 MiB as pi-gen makes them, smaller: FAT at 4 MiB, root from 6 MiB to the end.
    fn pi_disk() -> Vec<u8> {
        let mut disk = vec![0; 16 << 20];
        disk[440..444].copy_from_slice(&[0x69, 0x24, 0xf2, 0xef]);
        entry(&mut disk, 0, 0, 0x0c, 8192, 4096);
        entry(&mut disk, 0, 1, 0x83, 12288, 20480);
        disk
    }

    /// A GPT disk of 16 MiB with partitions 1 and 3, the latter the last.
    fn gpt_disk(sector: LogicalBlockSize) -> Vec<u8> {
        let mut disk = vec![0; 16 << 20];
        let lba = |bytes: u64| bytes / sector.as_u64();
        let mbr = ProtectiveMBR::with_lb_size((lba(16 * MIB) - 1) as u32);
        disk[..512].copy_from_slice(&mbr.to_bytes());
        let mut table = gpt::GptConfig::new()
            .writable(true)
            .logical_block_size(sector)
            .create_from_device(std::io::Cursor::new(disk), Some(uuid::Uuid::from_u128(7)))
            .unwrap();
        for (number, name, start, end) in
            [(1, "boot", MIB, 2 * MIB), (2, "gone", 2 * MIB, 3 * MIB), (3, "root", 4 * MIB, 8 * MIB)]
        {
            let kind = gpt::partition_types::LINUX_FS;
            table.add_partition_at(name, number, lba(start), lba(end - start), kind, 4).unwrap();
        }
        let mut disk = table.write().unwrap().into_inner();
        // Empties slot 2, in both tables, as fdisk does it: numbers are not a matter of order.
        for (at, header) in [(2, 1), (lba(16 * MIB) - 1 - 16384 / sector.as_u64(), lba(16 * MIB) - 1)] {
            let table = (at * sector.as_u64()) as usize..(at * sector.as_u64()) as usize + 16384;
            disk[table.start + 128..table.start + 256].fill(0);
            let sum = |bytes: &[u8]| crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(bytes);
            let entries = sum(&disk[table]);
            let header = (header * sector.as_u64()) as usize;
            disk[header + 88..header + 92].copy_from_slice(&entries.to_le_bytes());
            disk[header + 16..header + 20].fill(0);
            let whole = sum(&disk[header..header + 92]);
            disk[header + 16..header + 20].copy_from_slice(&whole.to_le_bytes());
        }
        disk
    }

    fn corrupt(disk: &Vec<u8>) -> String {
        match read(disk) {
            Err(error @ DiskError::Corrupt { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_a_pi_card() {
        let table = read(&pi_disk()).unwrap();
        assert_eq!((table.kind, table.disk_id), (TableKind::Mbr, 0xeff2_2469));
        assert_eq!(table.partitions[0].kind, PartitionKind::Mbr(0x0c));
        assert_eq!(table.partitions[0].range, range(4 * MIB, 6 * MIB));
        assert_eq!(table.partition(2).unwrap().range, range(6 * MIB, 16 * MIB));
        assert!(table.is_last(2) && !table.is_last(1));
    }

    #[test]
    fn follows_logical_partitions() {
        let mut disk = pi_disk();
        entry(&mut disk, 0, 1, 0x0f, 12288, 20480);
        entry(&mut disk, 6 * MIB, 0, 0x83, 2048, 2048);
        entry(&mut disk, 6 * MIB, 1, 0x05, 8192, 4096);
        entry(&mut disk, 10 * MIB, 0, 0x82, 2048, 2048);
        let table = read(&disk).unwrap();
        let found: Vec<_> = table.partitions.iter().map(|p| (p.number, p.range)).collect();
        let expected =
            [(1, range(4 * MIB, 6 * MIB)), (5, range(7 * MIB, 8 * MIB)), (6, range(11 * MIB, 12 * MIB))];
        assert_eq!(found, expected);
        assert!(matches!(grow_last(&mut disk, 6, 16 * MIB), Err(DiskError::Unsupported { .. })));

        // A chain that leads back to its beginning.
        entry(&mut disk, 10 * MIB, 1, 0x05, 0, 4096);
        assert!(corrupt(&disk).contains("share") || corrupt(&disk).contains("more than"));
        // One that leads out of its container.
        entry(&mut disk, 10 * MIB, 1, 0x05, 20480, 4096);
        assert!(corrupt(&disk).contains("sectors") || corrupt(&disk).contains("outside"));
    }

    #[test]
    fn refuses_what_is_no_table() {
        let none = |disk: Vec<u8>| matches!(read(&disk), Err(DiskError::NoTable { .. }));
        assert!(none(Vec::new()));
        assert!(none(vec![0; 1024]));
        assert!(none(vec![b'<'; 1024]));
        let mut fat = vec![0; 1024];
        fat[440..510].fill(b'x');
        fat[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert!(none(fat.clone()));
        fat[440..510].fill(0);
        assert!(read(&fat).unwrap().partitions.is_empty(), "an empty table is one");
        fat[..3].copy_from_slice(&[0xeb, 0x3c, 0x90]);
        fat[11..13].copy_from_slice(&[0, 2]);
        assert!(none(fat));
    }

    #[test]
    fn refuses_entries_that_cannot_be() {
        let mut disk = pi_disk();
        entry(&mut disk, 0, 1, 0x83, 12288, 20481);
        assert!(corrupt(&disk).contains("sectors 12288 to 32768 of a disk of 32768"), "{}", corrupt(&disk));
        entry(&mut disk, 0, 1, 0x83, 12287, 20481);
        assert!(corrupt(&disk).contains("partitions 1 and 2 share bytes"), "{}", corrupt(&disk));
        entry(&mut disk, 0, 1, 0x83, 0, 20);
        assert!(corrupt(&disk).contains("sector 0"));
    }

    #[test]
    fn sets_the_disk_id_and_nothing_else() {
        let (mut disk, was) = (pi_disk(), pi_disk());
        set_disk_id(&mut disk, 0x1234_5678).unwrap();
        assert_eq!(read(&disk).unwrap().disk_id, 0x1234_5678);
        assert_eq!(disk[..440], was[..440]);
        assert_eq!(disk[444..], was[444..]);
    }

    #[test]
    fn grows_the_last_partition_of_an_mbr() {
        let mut disk = pi_disk();
        disk.resize(24 << 20, 0);
        assert_eq!(grow_last(&mut disk, 2, 20 * MIB + 511).unwrap(), range(6 * MIB, 20 * MIB));
        assert_eq!(read(&disk).unwrap().partition(2).unwrap().range, range(6 * MIB, 20 * MIB));
        // 40959 = (2 * 255 + 140) * 63 + 9
        assert_eq!(disk[446 + 16 + 5..446 + 16 + 8], [140, 10, 2]);
        assert_eq!(grow_last(&mut disk, 2, u64::MAX).unwrap().end(), 24 * MIB);
        for (number, end) in [(1, 24 * MIB), (2, 8 * MIB), (3, 24 * MIB)] {
            let was = disk.clone();
            assert!(matches!(grow_last(&mut disk, number, end), Err(DiskError::Unsupported { .. })));
            assert!(disk == was);
        }
    }

    #[test]
    fn reads_and_grows_a_gpt() {
        for sector in [LogicalBlockSize::Lb512, LogicalBlockSize::Lb4096] {
            let mut disk = gpt_disk(sector);
            let table = read(&disk).unwrap();
            assert_eq!((table.kind, table.sector_size), (TableKind::Gpt, sector.as_u64()));
            assert_eq!(table.backup_used, None);
            let root = table.partition(3).unwrap();
            assert_eq!((root.name.as_deref(), root.range), (Some("root"), range(4 * MIB, 8 * MIB)));
            assert_eq!(root.kind.to_string(), "0fc63daf-8483-4772-8e79-3d69d8477de4");

            disk.resize(24 << 20, 0);
            let grown = grow_last(&mut disk, 3, 24 * MIB).unwrap();
            assert_eq!(grown.end(), 24 * MIB - 16384 - sector.as_u64());
            let table = read(&disk).unwrap();
            assert_eq!(table.partition(3).unwrap().range, grown);
            assert_eq!(table.partitions.len(), 2);

            // The backup at the new end says the same.
            disk[sector.as_usize()] ^= 1;
            let backup = read(&disk).unwrap();
            assert_eq!(backup.partitions, table.partitions);
            assert!(backup.backup_used.unwrap().contains("GPT header"));
            assert!(matches!(grow_last(&mut disk, 3, 24 * MIB), Err(DiskError::Unsupported { .. })));
        }
    }

    #[test]
    fn uses_the_backup_for_damaged_entries_and_refuses_when_both_are_damaged() {
        let mut disk = gpt_disk(LogicalBlockSize::Lb512);
        disk[1024 + 60] ^= 1;
        let table = read(&disk).unwrap();
        assert!(table.backup_used.unwrap().contains("CRC"));
        assert_eq!(table.partitions.len(), 2);
        let last = disk.len() - 512;
        disk[last + 20] ^= 1;
        let error = corrupt(&disk);
        assert!(error.contains("GPT entries") && error.contains("backup in sector 32767"), "{error}");
    }

    #[test]
    fn grows_both_tables_of_a_hybrid() {
        let mut disk = gpt_disk(LogicalBlockSize::Lb512);
        entry(&mut disk, 0, 0, 0x0c, 2048, 2048);
        entry(&mut disk, 0, 1, 0x83, 8192, 8192);
        entry(&mut disk, 0, 2, 0xee, 1, 2047);
        assert_eq!(read(&disk).unwrap().kind, TableKind::Hybrid);
        let grown = grow_last(&mut disk, 3, 12 * MIB).unwrap();
        assert_eq!(grown, range(4 * MIB, 12 * MIB));
        assert_eq!(disk[446 + 16 + 12..446 + 16 + 16], (16384u32).to_le_bytes());
        assert_eq!(disk[446 + 32 + 12..446 + 32 + 16], (2047u32).to_le_bytes());
    }

    #[test]
    fn shrinks_the_last_partition_and_the_disk_behind_it() {
        let mut disk = pi_disk();
        assert_eq!(shrink_last(&mut disk, 2, 10 * MIB + 100).unwrap(), range(6 * MIB, 10 * MIB));
        disk.truncate(10 << 20);
        move_backup(&mut disk).unwrap();
        assert_eq!(read(&disk).unwrap().partition(2).unwrap().range, range(6 * MIB, 10 * MIB));
        // It does not grow that way, vanish, or leave another behind it.
        assert_eq!(shrink_last(&mut disk, 2, 90 * MIB).unwrap(), range(6 * MIB, 10 * MIB));
        for (number, end) in [(2, 6 * MIB), (2, 0), (2, 6 * MIB + 100), (1, 5 * MIB), (3, 9 * MIB)] {
            let refused = shrink_last(&mut disk, number, end);
            assert!(matches!(refused, Err(DiskError::Unsupported { .. })), "{number} {end}");
        }
        assert!(matches!(grow_last(&mut disk, 2, 9 * MIB), Err(DiskError::Unsupported { .. })));
        assert!(matches!(grow_last(&mut disk, 2, MIB), Err(DiskError::Unsupported { .. })));
    }

    #[test]
    fn the_backup_goes_where_the_disk_ends_now() {
        for sector in [LogicalBlockSize::Lb512, LogicalBlockSize::Lb4096] {
            let mut disk = gpt_disk(sector);
            let shrunk = shrink_last(&mut disk, 3, 7 * MIB).unwrap();
            assert_eq!(shrunk, range(4 * MIB, 7 * MIB));
            disk.truncate(7 << 20);
            assert!(matches!(move_backup(&mut disk), Err(DiskError::Unsupported { .. })), "no room");
            disk.resize(8 << 20, 0xff);
            move_backup(&mut disk).unwrap();
            let table = read(&disk).unwrap();
            assert_eq!((table.partition(3).unwrap().range, table.backup_used), (shrunk, None));
            disk[sector.as_usize()] ^= 1;
            let backup = read(&disk).unwrap();
            assert!(backup.backup_used.is_some());
            assert_eq!(backup.partitions, table.partitions);
        }
    }

    #[test]
    fn survives_any_bytes() {
        let (mut mbr, mut gpt) = (pi_disk(), gpt_disk(LogicalBlockSize::Lb512));
        entry(&mut mbr, 0, 2, 0x0f, 2, 8000);
        entry(&mut mbr, 1024, 0, 0x83, 1, 4);
        let mut read_well = 0;
        for seed in 0..3000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let disk = if rng.bool() { &mut mbr } else { &mut gpt };
            let was = disk[..3072].to_vec();
            for _ in 0..rng.usize(1..8) {
                let at = rng.usize(440..1536);
                disk[at] = rng.u8(..);
            }
            disk[510..512].copy_from_slice(&[0x55, 0xaa]);
            if rng.bool() {
                // A header whose checksum is right, so that its fields are looked at.
                disk[512..520].copy_from_slice(b"EFI PART");
                disk[528..532].fill(0);
                let sum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&disk[512..604]);
                disk[528..532].copy_from_slice(&sum.to_le_bytes());
            }
            if let Ok(table) = read(disk) {
                assert!(table.partitions.iter().all(|p| p.range.end() <= 16 * MIB), "seed {seed}");
                read_well += 1;
            }
            disk[..3072].copy_from_slice(&was);
        }
        assert!(read_well > 100, "hardly any table was read: {read_well}");
    }
}
