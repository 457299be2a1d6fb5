//! A card for tests: FAT16, ext4 in a partition that is 2 MiB too long, and swap.

use std::io::Cursor;

use fatfs::{FatType, FormatVolumeOptions, format_volume};

pub(crate) const MIB: u64 = 1 << 20;
/// Where the partitions and the image end or begin, in MiB.
const FAT: (u64, u64) = (1, 15);
const ROOT: (u64, u64) = (15, 27);
const SWAP: (u64, u64) = (28, 30);
const END: u64 = 31;

/// The ext4 filesystem, 10 MiB.
pub(super) fn root() -> Vec<u8> {
    let packed: &[u8] = include_bytes!("../../tests/fixtures/ext4/pi.img.zst");
    zstd::decode_all(packed).unwrap()
}

/// The FAT filesystem.
pub(super) fn fat() -> Vec<u8> {
    let mut medium = Cursor::new(vec![0; ((FAT.1 - FAT.0) * MIB) as usize]);
    let options = FormatVolumeOptions::new().fat_type(FatType::Fat16).bytes_per_cluster(2048);
    format_volume(&mut medium, options).unwrap();
    medium.into_inner()
}

/// Writes entry `index` of the table at byte `table`; places are sectors.
pub(super) fn entry(disk: &mut [u8], table: u64, index: usize, kind: u8, start: u64, len: u64) {
    let at = table as usize + 446 + 16 * index;
    disk[at + 4] = kind;
    disk[at + 8..at + 12].copy_from_slice(&(start as u32).to_le_bytes());
    disk[at + 12..at + 16].copy_from_slice(&(len as u32).to_le_bytes());
    disk[table as usize + 510..table as usize + 512].copy_from_slice(&[0x55, 0xaa]);
}

/// The whole card.
pub(crate) fn card() -> Vec<u8> {
    let mut disk = vec![0; (END * MIB) as usize];
    for (index, kind, (start, end)) in [(0, 0x0c, FAT), (1, 0x83, ROOT), (2, 0x82, SWAP)] {
        entry(&mut disk, 0, index, kind, start * 2048, (end - start) * 2048);
    }
    for (at, bytes) in [(FAT.0, fat()), (ROOT.0, root())] {
        disk[(at * MIB) as usize..][..bytes.len()].copy_from_slice(&bytes);
    }
    disk[(SWAP.0 * MIB) as usize + 4086..][..10].copy_from_slice(b"SWAPSPACE2");
    disk
}
