//! What the writer needs of a card.

use std::io;

/// A card, as it is written and read back. Offsets and lengths are multiples of its block, and buffers start
/// where direct I/O can.
pub trait CardMedium {
    /// Size in bytes, a multiple of the block.
    fn size(&self) -> u64;

    /// The unit of reads and writes in bytes.
    fn block(&self) -> u64;

    /// Writes all of `data`.
    ///
    /// # Errors
    /// What the card answers.
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Returns once everything written is on the medium.
    ///
    /// # Errors
    /// What the card answers, to this or to an earlier write.
    fn flush(&mut self) -> io::Result<()>;

    /// Fills `buf` with what the medium holds, whatever caches hold. Only what was flushed is asked for.
    ///
    /// # Errors
    /// What the card answers.
    fn read_back_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
}
