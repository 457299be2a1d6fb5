//! The flag that says that a volume is mounted, or was not unmounted.

use super::boot_sector::Geometry;
use crate::disk::block::BlockWrite;
use crate::fs::error::FsError;

/// Takes the flag away from a copy of a mounted volume that was written out: what the volume's own system does as
/// it unmounts it (`fat_set_state` in the kernel's fs/fat/inode.c). Whether there was one.
///
/// # Errors
/// `Corrupt` or `Unsupported` as the boot sector is, or a read or write error.
pub fn set_unmounted<D: BlockWrite>(mut medium: D) -> Result<bool, FsError> {
    let geometry = Geometry::read(&medium)?;
    if !geometry.dirty {
        return Ok(false);
    }
    let mut state = [0];
    medium.read_at(geometry.state_at, &mut state)?;
    medium.write_at(geometry.state_at, &[state[0] & !1])?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use fatfs::{FatType, FormatVolumeOptions, format_volume};

    use super::set_unmounted;

    #[test]
    fn one_bit_is_taken_away() {
        for (kind, mib, at) in [(FatType::Fat16, 14, 0x25), (FatType::Fat32, 64, 0x41)] {
            let mut medium = Cursor::new(vec![0; mib << 20]);
            format_volume(&mut medium, FormatVolumeOptions::new().fat_type(kind)).unwrap();
            let clean = medium.into_inner();
            let mut mounted = clean.clone();
            mounted[at] |= 1;
            assert!(set_unmounted(&mut mounted).unwrap());
            assert!(mounted == clean);
            assert!(!set_unmounted(&mut mounted).unwrap());
        }
        assert!(set_unmounted(&mut vec![0; 4096]).is_err());
    }
}
