//! Memory where direct reads and writes can start.

use std::ops::{Deref, DerefMut};

/// The alignment, in bytes: a page, which is enough for every device.
const ALIGN: usize = 4096;

/// A buffer of fixed size whose first byte is at a multiple of 4096.
pub struct AlignedBuf {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuf {
    /// `len` zero bytes.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let bytes = vec![0; len + ALIGN];
        // The vector is never grown, so it stays where it is; `align_offset` may decline to answer, and then
        // the kernel declines the buffer and the caller falls back.
        let start = bytes.as_ptr().align_offset(ALIGN);
        Self { start: if start < ALIGN { start } else { 0 }, bytes, len }
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::AlignedBuf;

    #[test]
    fn starts_at_a_page_and_has_its_length() {
        for len in [0, 1, 4096, 4097, 1 << 20] {
            let mut buf = AlignedBuf::zeroed(len);
            assert_eq!(buf.as_ptr().align_offset(4096), 0);
            assert_eq!(buf.len(), len);
            buf.fill(1);
            assert!(buf.iter().all(|byte| *byte == 1));
        }
    }
}
