//! What the engine needs of a card.

use std::io;

use crate::disk::range::ByteRange;

/// A card, as it is written and read back, by several threads at once. Offsets and lengths are multiples of
/// its block, and buffers start where direct I/O can.
pub trait CardMedium: Sync {
    /// Size in bytes, a multiple of the block.
    fn size(&self) -> u64;

    /// The unit of reads and writes in bytes.
    fn block(&self) -> u64;

    /// Whether it is a device, whose size is what it claims and which may know how to discard; a regular file
    /// standing for one has no secrets.
    fn is_device(&self) -> bool;

    /// Writes all of `data`.
    ///
    /// # Errors
    /// What the card answers.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Returns once everything written is on the medium.
    ///
    /// # Errors
    /// What the card answers, to this or to an earlier write.
    fn flush(&self) -> io::Result<()>;

    /// Fills `buf` with what the medium holds, whatever caches hold. Only what was flushed, or not written in
    /// this run, is asked for.
    ///
    /// # Errors
    /// What the card answers.
    fn read_back_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Tells the card that a range holds nothing any more.
    ///
    /// # Errors
    /// When it does not know how.
    fn discard(&self, range: ByteRange) -> io::Result<()>;
}
