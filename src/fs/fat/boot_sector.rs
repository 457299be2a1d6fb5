//! The boot sector: where everything on the volume lies.

use super::super::error::FsError;
use crate::disk::block::BlockRead;

/// Which width the table's entries have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FatKind {
    /// Surveyed, never opened: no Raspberry Pi boots from it.
    Fat12,
    Fat16,
    Fat32,
}

impl FatKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            FatKind::Fat12 => "fat12",
            FatKind::Fat16 => "fat16",
            FatKind::Fat32 => "fat32",
        }
    }

    /// Bits in an entry of the table.
    pub(super) fn entry_bits(self) -> u64 {
        match self {
            FatKind::Fat12 => 12,
            FatKind::Fat16 => 16,
            FatKind::Fat32 => 32,
        }
    }
}

/// The numbers of a boot sector, checked against each other and the medium. Offsets and lengths are bytes.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    pub(super) kind: FatKind,
    /// Length of the volume, which may be less than the medium's.
    pub(super) size: u64,
    pub(super) cluster_size: u64,
    /// Number of clusters; the first is cluster 2.
    pub(super) clusters: u32,
    /// The table in use, or the first of the mirrored ones.
    pub(super) table_at: u64,
    pub(super) table_len: u64,
    /// How many tables from that one on hold the same.
    pub(super) mirrors: u64,
    /// The root directory's place on FAT16.
    pub(super) root_at: u64,
    pub(super) root_len: u64,
    /// First cluster of the root directory on FAT32.
    pub(super) root_cluster: u32,
    /// Where cluster 2 lies.
    pub(super) data_at: u64,
    /// The FSInfo sector on FAT32.
    pub(super) info_at: u64,
    pub(super) volume_id: u32,
    pub(super) label: Option<String>,
    pub(super) dirty: bool,
    /// Where the byte is that says so.
    pub(super) state_at: u64,
}

/// Below this many clusters it is FAT12, whatever the boot sector says.
const MIN_FAT16: u64 = 4085;
/// From this many clusters on it is FAT32.
const MIN_FAT32: u64 = 65525;
/// The highest cluster number that is no special value.
const MAX_CLUSTERS: u64 = 0x0fff_fff5;

impl Geometry {
    /// Reads the boot sector, 512 bytes at the volume's beginning.
    pub(super) fn read(medium: &dyn BlockRead) -> Result<Self, FsError> {
        let mut sector = [0; 512];
        if medium.size() < sector.len() as u64 {
            return Err(corrupt("the volume is shorter than a sector"));
        }
        medium.read_at(0, &mut sector)?;
        Self::parse(&sector, medium.size())
    }

    fn parse(sector: &[u8; 512], size: u64) -> Result<Self, FsError> {
        let fields = Fields(sector);
        fields.check_basics()?;
        let (sector_len, reserved, tables) = (fields.u16(11), fields.u16(14), u64::from(sector[16]));
        let is_32 = fields.u16(22) == 0;
        let table_len = if is_32 { fields.u32(36) } else { fields.u16(22) } * sector_len;
        let total = if fields.u16(19) == 0 { fields.u32(32) } else { fields.u16(19) } * sector_len;
        if total > size {
            return Err(corrupt(format!("{total} bytes long in a partition of {size}")));
        }
        let root_len = (fields.u16(17) * 32).next_multiple_of(sector_len);
        if is_32 == (root_len != 0) {
            return Err(corrupt(format!("{} entries in the root directory (offset 17)", fields.u16(17))));
        }
        let root_at = reserved * sector_len + tables * table_len;
        let data_at = root_at + root_len;
        let cluster_size = u64::from(sector[13]) * sector_len;
        let clusters = total.saturating_sub(data_at) / cluster_size;
        let kind = kind_of(is_32, clusters)?;
        if ((clusters + 2) * kind.entry_bits()).div_ceil(8) > table_len {
            return Err(corrupt(format!(
                "a table of {table_len} bytes is too short for {clusters} clusters"
            )));
        }
        let extended = if is_32 { 64 } else { 36 };
        // Serial number and label are valid only behind the signature 29.
        let signed = sector[extended + 2] == 0x29;
        let mut geometry = Self {
            kind,
            size: total,
            cluster_size,
            clusters: clusters as u32,
            table_at: reserved * sector_len,
            table_len,
            mirrors: tables,
            root_at,
            root_len,
            root_cluster: 0,
            data_at,
            info_at: 0,
            volume_id: if signed { fields.u32(extended + 3) as u32 } else { 0 },
            label: signed.then(|| label(&sector[extended + 7..])).flatten(),
            // Bit 0 of the byte after the drive number, as Linux and Windows keep it.
            dirty: sector[extended + 1] & 1 != 0,
            state_at: extended as u64 + 1,
        };
        if is_32 {
            geometry.info_at = fields.info_sector()? * sector_len;
            if let Some(active) = fields.active_table()? {
                geometry.table_at += active * table_len;
                geometry.mirrors = 1;
            }
            geometry.root_cluster = fields.u32(44) as u32;
            if !geometry.has_cluster(geometry.root_cluster) {
                let root = geometry.root_cluster;
                return Err(corrupt(format!("the root directory in cluster {root} (offset 44)")));
            }
        }
        Ok(geometry)
    }

    /// Whether the volume has a cluster of this number.
    pub(super) fn has_cluster(&self, cluster: u32) -> bool {
        cluster >= 2 && cluster - 2 < self.clusters
    }

    /// Where a cluster lies.
    pub(super) fn cluster_at(&self, cluster: u32) -> u64 {
        self.data_at + u64::from(cluster - 2) * self.cluster_size
    }
}

/// The sector's little-endian numbers by offset.
struct Fields<'a>(&'a [u8; 512]);

impl Fields<'_> {
    fn u16(&self, at: usize) -> u64 {
        u64::from(u16::from_le_bytes([self.0[at], self.0[at + 1]]))
    }

    fn u32(&self, at: usize) -> u64 {
        self.u16(at) | self.u16(at + 2) << 16
    }

    fn check_basics(&self) -> Result<(), FsError> {
        if &self.0[3..11] == b"EXFAT   " {
            return Err(FsError::unsupported("exFAT"));
        }
        if self.0[510..] != [0x55, 0xaa] {
            return Err(corrupt("it does not end with 55 aa"));
        }
        let (sector_len, per_cluster) = (self.u16(11), self.0[13]);
        if !sector_len.is_power_of_two() || !(512..=4096).contains(&sector_len) {
            return Err(corrupt(format!("sectors of {sector_len} bytes (offset 11)")));
        }
        if !per_cluster.is_power_of_two() {
            return Err(corrupt(format!("clusters of {per_cluster} sectors (offset 13)")));
        }
        let (reserved, tables) = (self.u16(14), self.0[16]);
        if reserved == 0 || !(1..=4).contains(&tables) {
            return Err(corrupt(format!("{reserved} reserved sectors and {tables} tables (offset 14)")));
        }
        if (self.u16(19) == 0) == (self.u32(32) == 0) {
            return Err(corrupt("no length, or two (offsets 19 and 32)"));
        }
        Ok(())
    }

    /// FAT32: where the number of free clusters is kept.
    fn info_sector(&self) -> Result<u64, FsError> {
        let (info, backup, reserved) = (self.u16(48), self.u16(50), self.u16(14));
        if self.u16(42) != 0 {
            return Err(FsError::unsupported(format!("FAT32 version {:x} (offset 42)", self.u16(42))));
        }
        if info == 0 || info >= reserved || backup >= reserved {
            return Err(corrupt(format!("FSInfo in sector {info}, backup in sector {backup} (offset 48)")));
        }
        Ok(info)
    }

    /// FAT32: which table alone is in use. Without bit 7 all are, and hold the same.
    fn active_table(&self) -> Result<Option<u64>, FsError> {
        let (flags, tables) = (self.u16(40), u64::from(self.0[16]));
        let active = (flags & 0x80 != 0).then_some(flags & 0xf);
        match active.filter(|active| *active >= tables) {
            Some(active) => Err(corrupt(format!("table {active} in use of {tables} (offset 40)"))),
            None => Ok(active),
        }
    }
}

/// The width follows from the number of clusters; `fatfs`, like Windows, knows no exceptions.
fn kind_of(is_32: bool, clusters: u64) -> Result<FatKind, FsError> {
    match (is_32, clusters) {
        (_, 0) => Err(corrupt("no room for clusters")),
        (true, MIN_FAT32..=MAX_CLUSTERS) => Ok(FatKind::Fat32),
        (true, ..MIN_FAT32) => {
            Err(FsError::unsupported(format!("FAT32 with {clusters} clusters, too few for FAT32")))
        }
        (false, ..MIN_FAT16) => Ok(FatKind::Fat12),
        (false, MIN_FAT16..MIN_FAT32) => Ok(FatKind::Fat16),
        _ => Err(corrupt(format!("{clusters} clusters"))),
    }
}

/// A label of eleven bytes, or `None` when it is empty or the word for none.
pub(super) fn label(bytes: &[u8]) -> Option<String> {
    let shown = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '?' };
    let text: String = bytes.iter().take(11).map(shown).collect();
    let text = text.trim_end();
    (!text.is_empty() && text != "NO NAME").then(|| text.to_owned())
}

fn corrupt(what: impl std::fmt::Display) -> FsError {
    FsError::corrupt(format!("FAT boot sector: {what}"))
}
