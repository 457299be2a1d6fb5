//! What filesystem begins at an offset, by its signature and label alone.

use std::io;

use serde::{Deserialize, Serialize};

use crate::disk::block::BlockRead;

/// What kind of filesystem, or what else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filesystem {
    /// FAT12, FAT16 or FAT32.
    Fat,
    /// ext2, ext3 or ext4.
    Ext4,
    /// exFAT.
    Exfat,
    /// NTFS.
    Ntfs,
    /// btrfs.
    Btrfs,
    /// XFS.
    Xfs,
    /// F2FS.
    F2fs,
    /// SquashFS.
    Squashfs,
    /// EROFS.
    Erofs,
    /// Swap space.
    Swap,
    /// An encrypted volume.
    Luks,
    /// Nothing known.
    Unknown,
}

impl Filesystem {
    /// Its usual name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Filesystem::Fat => "FAT",
            Filesystem::Ext4 => "ext4",
            Filesystem::Exfat => "exFAT",
            Filesystem::Ntfs => "NTFS",
            Filesystem::Btrfs => "btrfs",
            Filesystem::Xfs => "XFS",
            Filesystem::F2fs => "F2FS",
            Filesystem::Squashfs => "SquashFS",
            Filesystem::Erofs => "EROFS",
            Filesystem::Swap => "swap",
            Filesystem::Luks => "LUKS",
            Filesystem::Unknown => "unknown",
        }
    }
}

/// What was found at an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Which filesystem.
    pub filesystem: Filesystem,
    /// Its label, where its first sectors hold one.
    pub label: Option<String>,
    /// Its length in bytes, for FAT and ext4.
    pub length: Option<u64>,
    /// ext4's UUID; FAT's serial number as `1A2B-3C4D`.
    pub uuid: Option<String>,
    /// How ext4 says that it was left.
    pub left: Option<Left>,
}

/// What an ext4 superblock says of the state in which the filesystem was left; names as in the kernel's
/// `fs/ext4/ext4.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Its journal has to be replayed (`EXT4_FEATURE_INCOMPAT_RECOVER`).
    pub unreplayed: bool,
    /// Files that were deleted while open are still to be freed (`s_last_orphan`,
    /// `EXT4_FEATURE_RO_COMPAT_ORPHAN_PRESENT`).
    pub orphans: bool,
    /// The kernel met an error in it (`EXT4_ERROR_FS`).
    pub errors: bool,
}

/// Where each signature lies, as `libblkid` knows them. ext4's two bytes may stand in a table of FAT16, so
/// they come last.
const SIGNATURES: [(u64, &[u8], Filesystem); 12] = [
    (3, b"EXFAT   ", Filesystem::Exfat),
    (3, b"NTFS    ", Filesystem::Ntfs),
    (0x52, b"FAT32   ", Filesystem::Fat),
    (0x36, b"FAT", Filesystem::Fat),
    (0, b"XFSB", Filesystem::Xfs),
    (0, b"hsqs", Filesystem::Squashfs),
    (0, b"LUKS\xba\xbe", Filesystem::Luks),
    (0x400, &[0xe2, 0xe1, 0xf5, 0xe0], Filesystem::Erofs),
    (0x400, &[0x10, 0x20, 0xf5, 0xf2], Filesystem::F2fs),
    (0xff6, b"SWAPSPACE2", Filesystem::Swap),
    (0x10040, b"_BHRfS_M", Filesystem::Btrfs),
    (0x438, &[0x53, 0xef], Filesystem::Ext4),
];

/// Looks at what begins at `offset`.
///
/// # Errors
/// What the medium answers.
pub fn probe(medium: &dyn BlockRead, offset: u64) -> io::Result<Probe> {
    let mut head = vec![0; 4096];
    let there = medium.size().saturating_sub(offset).min(head.len() as u64) as usize;
    head.truncate(there);
    if there > 0 {
        medium.read_at(offset, &mut head)?;
    }
    let is_boot_sector = head.get(510..512) == Some(&[0x55, 0xaa]);
    let mut filesystem = Filesystem::Unknown;
    for (at, signature, kind) in SIGNATURES {
        if (kind != Filesystem::Fat || is_boot_sector) && has(medium, offset, &head, at, signature)? {
            filesystem = kind;
            break;
        }
    }
    let (label, length, uuid) = match filesystem {
        Filesystem::Ext4 => (text(head.get(0x478..0x488)), ext4_length(&head), ext4_uuid(&head)),
        Filesystem::Fat if head[0x52..].starts_with(b"FAT32   ") => {
            (text(head.get(0x47..0x52)), fat_length(&head), fat_serial(&head, 0x43))
        }
        Filesystem::Fat => (text(head.get(0x2b..0x36)), fat_length(&head), fat_serial(&head, 0x27)),
        _ => (None, None, None),
    };
    let left = if filesystem == Filesystem::Ext4 { left(&head) } else { None };
    Ok(Probe { filesystem, label, length, uuid, left })
}

fn has(medium: &dyn BlockRead, offset: u64, head: &[u8], at: u64, signature: &[u8]) -> io::Result<bool> {
    let inside = at as usize..at as usize + signature.len();
    if let Some(bytes) = head.get(inside) {
        return Ok(bytes == signature);
    }
    let mut bytes = vec![0; signature.len()];
    match offset.checked_add(at) {
        Some(at) if at.saturating_add(bytes.len() as u64) <= medium.size() => {
            medium.read_at(at, &mut bytes)?
        }
        _ => return Ok(false),
    }
    Ok(bytes == signature)
}

/// s_blocks_count_lo and _hi times the block size; reference: kernel `fs/ext4/ext4.h`.
fn ext4_length(head: &[u8]) -> Option<u64> {
    let wide = u32_at(head, 0x460)? & 0x80 != 0;
    let high = if wide { u32_at(head, 0x550)? } else { 0 };
    let shift = u32_at(head, 0x418)?;
    if shift > 6 {
        return None;
    }
    (high << 32 | u32_at(head, 0x404)?).checked_mul(1024 << shift)
}

/// s_uuid.
fn ext4_uuid(head: &[u8]) -> Option<String> {
    Some(uuid::Uuid::from_slice(head.get(0x468..0x478)?).ok()?.to_string())
}

/// s_state, s_feature_incompat, s_feature_ro_compat and s_last_orphan.
fn left(head: &[u8]) -> Option<Left> {
    Some(Left {
        unreplayed: u32_at(head, 0x460)? & 0x4 != 0,
        orphans: u32_at(head, 0x4e8)? != 0 || u32_at(head, 0x464)? & 0x1_0000 != 0,
        errors: head.get(0x43a)? & 0x2 != 0,
    })
}

/// BS_VolID, as DOS and Linux show it.
fn fat_serial(head: &[u8], at: usize) -> Option<String> {
    let serial = u32_at(head, at)?;
    Some(format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff))
}

/// BPB_TotSec16 or BPB_TotSec32 times BPB_BytsPerSec.
fn fat_length(head: &[u8]) -> Option<u64> {
    let u16_at = |at: usize| Some(u64::from(u16::from_le_bytes([*head.get(at)?, *head.get(at + 1)?])));
    let sectors = match u16_at(19)? {
        0 => u32_at(head, 32)?,
        sectors => sectors,
    };
    sectors.checked_mul(u16_at(11)?)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])))
}

/// A label padded with spaces or zeros. Labels come from strangers: what is not printable is shown as `?`.
fn text(bytes: Option<&[u8]>) -> Option<String> {
    let bytes = bytes?.split(|byte| *byte == 0).next()?;
    let text: String = String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() || c == '\u{fffd}' { '?' } else { c })
        .collect();
    let text = text.trim_end();
    (!text.is_empty() && text != "NO NAME").then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Filesystem, probe};

    fn at(offset: usize, bytes: &[u8]) -> Vec<u8> {
        let mut medium = vec![0; 70_000];
        medium[offset..offset + bytes.len()].copy_from_slice(bytes);
        medium
    }

    #[test]
    fn knows_signatures() {
        for (offset, bytes, expected) in [
            (0x10040, &b"_BHRfS_M"[..], Filesystem::Btrfs),
            (0xff6, b"SWAPSPACE2", Filesystem::Swap),
            (0, b"LUKS\xba\xbe", Filesystem::Luks),
            (0x400, &[0x10, 0x20, 0xf5, 0xf2], Filesystem::F2fs),
            (0, b"nothing", Filesystem::Unknown),
            (0x36, b"FAT16   without a boot sector's end", Filesystem::Unknown),
        ] {
            assert_eq!(probe(&at(offset, bytes), 0).unwrap().filesystem, expected);
        }
    }

    #[test]
    fn reads_label_and_length_of_ext4() {
        let mut medium = at(0x438, &[0x53, 0xef]);
        medium[0x404..0x408].copy_from_slice(&1000u32.to_le_bytes());
        medium[0x418] = 2;
        medium[0x478..0x47f].copy_from_slice(b"root\x1bfs");
        let found = probe(&medium, 0).unwrap();
        assert_eq!((found.filesystem, found.length), (Filesystem::Ext4, Some(4_096_000)));
        assert_eq!(found.label.as_deref(), Some("root?fs"));
        medium[0x418] = 200;
        assert_eq!(probe(&medium, 0).unwrap().length, None);
    }

    #[test]
    fn the_end_of_the_medium_is_no_error() {
        for offset in [0, 69_999, 70_000, u64::MAX] {
            assert_eq!(probe(&vec![0; 70_000], offset).unwrap().filesystem, Filesystem::Unknown);
        }
        assert_eq!(probe(&Vec::new(), 0).unwrap().filesystem, Filesystem::Unknown);
    }
}
