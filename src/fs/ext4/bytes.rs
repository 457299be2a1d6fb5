//! Little-endian numbers at fixed places of a structure. Every caller has checked that the structure is
//! long enough for the constant offsets it uses.

/// The 16-bit number at `at`.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// The 32-bit number at `at`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Stores a 16-bit number at `at`.
pub(super) fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

/// Stores a 32-bit number at `at`.
pub(super) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Joins a number kept in two halves.
pub(super) fn join(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// The low half of a number kept in two.
pub(super) fn low32(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

/// The high half of a number kept in two.
pub(super) fn high32(value: u64) -> u32 {
    (value >> 32) as u32
}

/// The low 16 bits.
pub(super) fn low16(value: u32) -> u16 {
    (value & 0xffff) as u16
}

/// Bits 16 to 31.
pub(super) fn high16(value: u32) -> u16 {
    (value >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::{high16, high32, join, low16, low32, put_u16, put_u32, u16_at, u32_at};

    #[test]
    fn halves_and_bytes_come_back() {
        let mut bytes = [0; 8];
        put_u16(&mut bytes, 1, 0x1234);
        put_u32(&mut bytes, 4, 0x89ab_cdef);
        assert_eq!(bytes, [0, 0x34, 0x12, 0, 0xef, 0xcd, 0xab, 0x89]);
        assert_eq!((u16_at(&bytes, 1), u32_at(&bytes, 4)), (0x1234, 0x89ab_cdef));
        assert_eq!(join(low32(0x1_2345_6789), high32(0x1_2345_6789)), 0x1_2345_6789);
        assert_eq!((low16(0x1234_5678), high16(0x1234_5678)), (0x5678, 0x1234));
    }
}
