//! Checksums of metadata: crc32c with `metadata_csum`, crc16 over group descriptors with `gdt_csum`
//! (Documentation/filesystems/ext4/checksums.rst).

use super::bytes::{put_u32, u32_at};

/// The kernel's crc32c: `seed` goes in as it is and nothing is inverted at the end.
pub(super) fn crc32c(seed: u32, data: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, data)
}

/// `crc16(~0, …)` of the kernel, which is the CRC that catalogues list as MODBUS.
const CRC16: crc::Crc<u16> = crc::Crc::<u16>::new(&crc::CRC_16_MODBUS);

/// How group descriptors are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DescriptorSum {
    /// Not at all; the UNINIT flags have no meaning then.
    None,
    /// `gdt_csum` (uninit_bg).
    Crc16,
    /// `metadata_csum`.
    Crc32c,
}

/// What the checksums of one filesystem start from.
#[derive(Clone, Debug)]
pub(super) struct Checksums {
    /// How group descriptors are protected.
    pub(super) descriptors: DescriptorSum,
    seed: u32,
    uuid: [u8; 16],
}

impl Checksums {
    /// `seed` is `s_checksum_seed`, or `None` where the seed is made from the UUID.
    pub(super) fn new(descriptors: DescriptorSum, uuid: [u8; 16], seed: Option<u32>) -> Self {
        Self { descriptors, seed: seed.unwrap_or_else(|| crc32c(!0, &uuid)), uuid }
    }

    /// Whether every metadata block carries a checksum.
    pub(super) fn on_metadata(&self) -> bool {
        self.descriptors == DescriptorSum::Crc32c
    }

    /// What the checksums of an inode and of its blocks start from.
    pub(super) fn of_inode(&self, number: u32, generation: u32) -> u32 {
        crc32c(crc32c(self.seed, &number.to_le_bytes()), &generation.to_le_bytes())
    }

    /// Of the bytes of a bitmap that describe something.
    pub(super) fn of_bitmap(&self, bytes: &[u8]) -> u32 {
        crc32c(self.seed, bytes)
    }

    /// Of an extended attribute block, its own checksum field (at 16) taken as zero.
    pub(super) fn of_xattr_block(&self, number: u64, block: &[u8]) -> u32 {
        let sum = crc32c(crc32c(self.seed, &number.to_le_bytes()), &block[..16]);
        crc32c(crc32c(sum, &[0; 4]), &block[20..])
    }

    /// Of a group descriptor, its own checksum field (at 0x1e) left out (crc16) or taken as zero (crc32c).
    pub(super) fn of_descriptor(&self, group: u32, descriptor: &[u8]) -> u16 {
        let number = group.to_le_bytes();
        match self.descriptors {
            DescriptorSum::None => 0,
            DescriptorSum::Crc16 => {
                let mut digest = CRC16.digest();
                for part in [&self.uuid[..], &number, &descriptor[..0x1e], &descriptor[0x20..]] {
                    digest.update(part);
                }
                digest.finalize()
            }
            DescriptorSum::Crc32c => {
                let sum = crc32c(crc32c(self.seed, &number), &descriptor[..0x1e]);
                (crc32c(crc32c(sum, &[0; 2]), &descriptor[0x20..]) & 0xffff) as u16
            }
        }
    }
}

/// Of the entries of a block of the orphan file; `seed` is that of the file's inode.
pub(super) fn of_orphan_block(seed: u32, number: u64, entries: &[u8]) -> u32 {
    crc32c(crc32c(seed, &number.to_le_bytes()), entries)
}

/// Puts the checksum of `block[..at]` at `at`: tails of extent blocks (4 bytes).
pub(super) fn seal(seed: u32, block: &mut [u8], covered: usize, at: usize) {
    let sum = crc32c(seed, &block[..covered]);
    put_u32(block, at, sum);
}

/// Whether the checksum at `at` is that of `block[..covered]`.
pub(super) fn is_sealed(seed: u32, block: &[u8], covered: usize, at: usize) -> bool {
    u32_at(block, at) == crc32c(seed, &block[..covered])
}

#[cfg(test)]
mod tests {
    use super::{CRC16, Checksums, DescriptorSum, crc32c, is_sealed, seal};

    #[test]
    fn known_values() {
        // The check values of both algorithms in the usual catalogue; crc32c's is inverted at the end there.
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        assert_eq!(CRC16.checksum(b"123456789"), 0x4b37);
        assert_eq!(crc32c(crc32c(7, b"1234"), b"56789"), crc32c(7, b"123456789"));
    }

    #[test]
    fn a_descriptor_does_not_cover_its_own_checksum() {
        for kind in [DescriptorSum::Crc16, DescriptorSum::Crc32c] {
            let sums = Checksums::new(kind, [7; 16], None);
            let mut descriptor = [3; 64];
            let sum = sums.of_descriptor(1, &descriptor);
            descriptor[0x1e] = 9;
            assert_eq!(sums.of_descriptor(1, &descriptor), sum);
            assert_ne!(sums.of_descriptor(2, &descriptor), sum);
            descriptor[0x20] = 9;
            assert_ne!(sums.of_descriptor(1, &descriptor), sum);
        }
    }

    #[test]
    fn a_seal_breaks() {
        let mut block = [5; 32];
        seal(1, &mut block, 20, 28);
        assert!(is_sealed(1, &block, 20, 28));
        assert!(!is_sealed(2, &block, 20, 28));
        block[19] ^= 1;
        assert!(!is_sealed(1, &block, 20, 28));
    }
}
