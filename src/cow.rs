//! A base image that is never modified, and the blocks that differ from it.

use std::io;
use std::sync::Arc;

use crate::disk::block::{BlockRead, BlockWrite};
use crate::disk::range::ByteRange;

/// Size of the unit in which changes are kept, in bytes.
pub const BLOCK: u64 = 4096;

/// A copy-on-write image: reads fall through to the base, writes stay here.
pub struct CowImage {
    base: Arc<dyn BlockRead>,
}

impl CowImage {
    /// An unchanged view of `base`.
    #[must_use]
    pub fn new(base: Arc<dyn BlockRead>) -> Self {
        Self { base }
    }

    /// Makes the image longer; what is added reads as zeros.
    ///
    /// # Errors
    /// When `size` is smaller than the image is.
    pub fn grow(&mut self, _size: u64) -> io::Result<()> {
        Ok(())
    }

    /// The base it stands on.
    #[must_use]
    pub fn base(&self) -> &Arc<dyn BlockRead> {
        &self.base
    }

    /// The ranges that differ from the base, in rising order, merged, aligned to [`BLOCK`] (the last one
    /// cut at the image's end). What lies beyond the base's end and was never written is not among them.
    #[must_use]
    pub fn dirty_ranges(&self) -> Vec<ByteRange> {
        Vec::new()
    }
}

impl BlockRead for CowImage {
    fn size(&self) -> u64 {
        self.base.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.base.read_at(offset, buf)
    }
}

impl BlockWrite for CowImage {
    fn write_at(&mut self, _offset: u64, _data: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
