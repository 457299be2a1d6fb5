//! The journal: its superblock, and where its blocks lie (Documentation/filesystems/ext4/journal.rst). All its
//! numbers are big-endian. `log` knows what stands in it, `replay` brings that to its place.

use super::super::error::FsError;
use super::features::COMPAT_HAS_JOURNAL;
use super::geometry::Geometry;
use super::inode::Inode;
use super::store::Store;
use crate::disk::block::BlockRead;

/// First in every block of the journal but copies.
pub(super) const MAGIC: u32 = 0xc03b_3998;

/// The second version of the superblock; the first has no features.
const SUPERBLOCK_V2: u32 = 4;

const KIND: usize = 0x4;
const BLOCK_SIZE: usize = 0xc;
const BLOCKS: usize = 0x10;
const FIRST: usize = 0x14;
const SEQUENCE: usize = 0x18;
const START: usize = 0x1c;
const INCOMPAT: usize = 0x28;

const INCOMPAT_REVOKE: u32 = 0x1;
const INCOMPAT_64BIT: u32 = 0x2;
const INCOMPAT_ASYNC_COMMIT: u32 = 0x4;
const INCOMPAT_CSUM_V2: u32 = 0x8;
const INCOMPAT_CSUM_V3: u32 = 0x10;
const INCOMPAT_FAST_COMMIT: u32 = 0x20;
const KNOWN: u32 =
    INCOMPAT_REVOKE | INCOMPAT_64BIT | INCOMPAT_ASYNC_COMMIT | INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3;

/// How the log is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogSums {
    /// Not at all.
    None,
    /// Every block but copies, and 16 bits of every copy (`csum_v2`).
    V2,
    /// Every block (`csum_v3`).
    V3,
}

/// A journal, by its own superblock.
pub(super) struct Journal {
    inode: Inode,
    block_size: u32,
    /// Blocks in the journal.
    blocks: u32,
    /// The first block of the log, which it goes on from behind its last.
    pub(super) first: u32,
    /// The number of the transaction at `start`.
    pub(super) sequence: u32,
    /// Where the log begins; 0 when there is nothing in it.
    pub(super) start: u32,
    incompat: u32,
}

impl Journal {
    /// Takes the first block's bytes.
    fn parse(inode: Inode, head: &[u8]) -> Result<Self, FsError> {
        if be32(head, 0) != MAGIC {
            return Err(FsError::corrupt("the journal has no superblock; run e2fsck"));
        }
        Ok(Self {
            inode,
            block_size: be32(head, BLOCK_SIZE),
            blocks: be32(head, BLOCKS),
            first: be32(head, FIRST),
            sequence: be32(head, SEQUENCE),
            start: be32(head, START),
            incompat: if be32(head, KIND) == SUPERBLOCK_V2 { be32(head, INCOMPAT) } else { 0 },
        })
    }

    /// Whether everything is in its place.
    pub(super) fn is_empty(&self) -> bool {
        self.start == 0
    }

    /// Whether block numbers have 64 bits.
    pub(super) fn is_wide(&self) -> bool {
        self.has(INCOMPAT_64BIT)
    }

    /// How the log is protected.
    pub(super) fn sums(&self) -> LogSums {
        if self.has(INCOMPAT_CSUM_V3) {
            LogSums::V3
        } else if self.has(INCOMPAT_CSUM_V2) {
            LogSums::V2
        } else {
            LogSums::None
        }
    }

    /// Blocks that the log can fill.
    pub(super) fn log_blocks(&self) -> u32 {
        self.blocks.saturating_sub(self.first)
    }

    /// The block of the log behind another.
    pub(super) fn after(&self, block: u32) -> u32 {
        if block + 1 >= self.blocks { self.first } else { block + 1 }
    }

    /// Refuses a log that cannot be followed.
    pub(super) fn check_log(&self, geometry: &Geometry) -> Result<(), FsError> {
        if self.has(INCOMPAT_FAST_COMMIT) {
            return Err(FsError::unsupported("fast commits in a journal that was not replayed"));
        }
        let (first, start, blocks) = (self.first, self.start, self.blocks);
        if self.block_size != geometry.block_size
            || self.incompat & !KNOWN != 0
            || u64::from(blocks) > geometry.blocks
            || !(1..blocks).contains(&first)
            || !(first..blocks).contains(&start)
        {
            return Err(FsError::corrupt(format!(
                "the journal's superblock says blocks of {} bytes, {first} to {blocks}, start {start}, features {:#x}",
                self.block_size, self.incompat
            )));
        }
        Ok(())
    }

    fn has(&self, bit: u32) -> bool {
        self.incompat & bit != 0
    }
}

impl<D: BlockRead> Store<D> {
    /// The journal; `None` when the filesystem has none.
    pub(super) fn journal(&self) -> Result<Option<Journal>, FsError> {
        if !self.superblock.features().has_compat(COMPAT_HAS_JOURNAL) {
            return Ok(None);
        }
        let number = self.superblock.journal_inode();
        if number == 0 {
            return Err(FsError::unsupported("a journal on another device"));
        }
        let inode = self.read_inode(number)?;
        let head = self.block_of_journal(&inode, 0)?;
        Journal::parse(inode, &head).map(Some)
    }

    /// Reads a block of the journal.
    pub(super) fn journal_block(&self, journal: &Journal, at: u32) -> Result<Vec<u8>, FsError> {
        self.block_of_journal(&journal.inode, at)
    }

    fn block_of_journal(&self, inode: &Inode, at: u32) -> Result<Vec<u8>, FsError> {
        let block = self
            .block_of(inode, u64::from(at))?
            .ok_or_else(|| FsError::corrupt(format!("block {at} of the journal is missing; run e2fsck")))?;
        self.read_block(block, || "the journal".to_owned())
    }
}

/// The 32-bit number at `at`.
pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
