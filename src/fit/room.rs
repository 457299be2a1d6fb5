//! How much of a card the last partition may have.

use crate::disk::partition_table::{PartitionTable, TableKind};

const MIB: u64 = 1 << 20;
/// Where a DOS table's 32 bits of sectors end.
const MBR_LIMIT: u64 = u32::MAX as u64 * 512;

/// What a card has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Size of an image that fills the card, in bytes.
    pub(super) image: u64,
    /// Where its last partition ends, in bytes: at a whole MiB, as `fdisk` has it.
    pub(super) end: u64,
}

impl Room {
    /// The room on a card of `card` bytes for an image with such a table. The backup of a GPT keeps the last MiB.
    pub(super) fn on(card: u64, table: &PartitionTable) -> Self {
        let whole = |bytes: u64| bytes - bytes % MIB;
        if table.kind == TableKind::Mbr {
            let end = whole(card.min(MBR_LIMIT));
            return Self { image: end, end };
        }
        let image = card - card % table.sector_size;
        Self { image, end: whole(image.saturating_sub(MIB)) }
    }
}
