//! Volumes for tests, formatted in memory.

use std::io::Cursor;

use fatfs::{FatType, FormatVolumeOptions, format_volume};

/// An empty volume labelled `bootfs`.
pub(super) fn volume(kind: FatType, cluster: u32, clusters: u32) -> Vec<u8> {
    let tables = u64::from(clusters) * 8 + (64 << 10);
    let size = u64::from(cluster) * u64::from(clusters) + tables;
    let mut medium = Cursor::new(vec![0; size.next_multiple_of(512) as usize]);
    let options = FormatVolumeOptions::new()
        .fat_type(kind)
        .bytes_per_cluster(cluster)
        .volume_id(0x1234_abcd)
        .volume_label(*b"bootfs     ");
    format_volume(&mut medium, options).unwrap();
    medium.into_inner()
}

/// FAT32 with clusters of 512 bytes, the fewest there can be.
pub(super) fn fat32() -> Vec<u8> {
    volume(FatType::Fat32, 512, 66_000)
}

/// FAT16 with clusters of 2 KiB.
pub(super) fn fat16() -> Vec<u8> {
    volume(FatType::Fat16, 2048, 5000)
}
