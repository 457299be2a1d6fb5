//! An image that ends before its last bytes, where no partition is.

use std::io;
use std::sync::Arc;

use super::error::FitError;
use crate::cow::CowImage;
use crate::disk::block::BlockRead;
use crate::disk::partition_table::{self, PartitionTable, TableKind};
use crate::disk::range::ByteRange;
use crate::disk::window::Window;

/// Sectors that the backup of a GPT takes, with the usual 128 entries: 32 in sectors of 512 bytes, and a header.
const BACKUP: u64 = 33;

/// Whether everything of the image but the backup of its table lies within the first `size` bytes.
pub(super) fn can_end_at(table: &PartitionTable, size: u64) -> bool {
    let last = table.partitions.iter().map(|partition| partition.range.end()).max().unwrap_or(size);
    let backup = if table.kind == TableKind::Mbr { 0 } else { BACKUP * table.sector_size };
    last.checked_add(backup).is_some_and(|end| end <= size)
}

/// The first `size` bytes of an image, with the backup of its table at their end.
pub(super) fn cut(base: Arc<dyn BlockRead>, size: u64) -> Result<CowImage, FitError> {
    let doing = || format!("cutting the image to {size} bytes");
    let range = ByteRange::with_len(0, size).ok_or_else(|| io::ErrorKind::InvalidInput.into());
    let window = range.and_then(|range| Window::new(base, range)).map_err(FitError::io(doing()))?;
    let mut image = CowImage::new(Arc::new(window));
    partition_table::move_backup(&mut image)?;
    Ok(image)
}
