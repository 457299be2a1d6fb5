//! What a filesystem says of its own past: whether it was mounted or written since it was made.

use super::superblock::{OFFSET, SIZE, Superblock};
use crate::disk::block::BlockRead;
use crate::fs::error::FsError;

/// What the superblock remembers. Times are seconds since 1970, by the clock of whoever wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// When it was last mounted for writing; 0 when it never was.
    pub mounted: i64,
    /// When its superblock was last written.
    pub written: i64,
    /// How often it was mounted for writing since it was last checked.
    pub mounts: u16,
    /// Whether it was unmounted, its journal empty.
    pub clean: bool,
}

/// Reads the history of the filesystem that fills `device`, clean or not.
///
/// # Errors
/// `Corrupt` or `Unsupported` when there is no superblock that can be trusted, or a read error.
pub fn history(device: &dyn BlockRead) -> Result<History, FsError> {
    let mut raw = [0; SIZE];
    device.read_at(OFFSET, &mut raw)?;
    let superblock = Superblock::parse(raw)?;
    Ok(History {
        mounted: superblock.mounted(),
        written: superblock.written(),
        mounts: superblock.mounts(),
        clean: superblock.check_state().is_ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::{History, history};

    /// A superblock without a checksum.
    fn superblock(fields: &[(usize, &[u8])]) -> Vec<u8> {
        let mut device = vec![0; 2048];
        for (at, bytes) in fields {
            device[1024 + at..1024 + at + bytes.len()].copy_from_slice(bytes);
        }
        device
    }

    const FINE: [(usize, &[u8]); 3] = [(0x38, &[0x53, 0xef]), (0x3a, &[1]), (0x4c, &[1])];

    #[test]
    fn fields_are_where_the_kernel_has_them() {
        let mut fields = FINE.to_vec();
        fields.extend([
            (0x2c, &[0, 0, 0, 0x80][..]),
            (0x30, &[1, 0, 0, 0]),
            (0x34, &[7, 1]),
            (0x274, &[1]),
            (0x275, &[2]),
        ]);
        let found = history(&superblock(&fields)).unwrap();
        let expected = History { mounted: 0x2_8000_0000, written: 0x1_0000_0001, mounts: 0x107, clean: true };
        assert_eq!(found, expected);
    }

    #[test]
    fn what_was_not_unmounted_is_not_clean() {
        assert!(history(&superblock(&FINE)).unwrap().clean);
        let mounted = [(0x38, &[0x53, 0xef][..]), (0x4c, &[1]), (0x3a, &[0])];
        assert!(!history(&superblock(&mounted)).unwrap().clean);
        let mut recover = FINE.to_vec();
        recover.push((0x60, &[4]));
        assert!(!history(&superblock(&recover)).unwrap().clean);
    }

    #[test]
    fn no_superblock_is_an_error() {
        assert!(history(&vec![0; 2048]).is_err());
        assert!(history(&vec![0; 100]).is_err());
    }
}
