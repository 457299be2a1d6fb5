//! The journal: its superblock, and where its blocks lie (Documentation/filesystems/ext4/journal.rst). All its
//! numbers are big-endian. `log` knows what stands in it, `replay` brings that to its place.

use super::super::error::FsError;
use super::checksum::crc32c;
use super::features::COMPAT_HAS_JOURNAL;
use super::geometry::Geometry;
use super::inode::Inode;
use super::store::Store;
use crate::disk::block::{BlockRead, BlockWrite};

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
const ERRNO: usize = 0x20;
const COMPAT: usize = 0x24;
const INCOMPAT: usize = 0x28;
const UUID: usize = 0x30;
const CHECKSUM_TYPE: usize = 0x50;
const CHECKSUM: usize = 0xfc;
/// Bytes of the superblock; every block is at least as long.
const SUPERBLOCK: usize = 1024;

/// crc32c, the only one that goes with `csum_v2` and `csum_v3`.
const CHECKSUM_CRC32C: u8 = 4;

const COMPAT_CHECKSUM: u32 = 0x1;
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
    /// Commit blocks hold a checksum of their transaction (`checksum`).
    Commits,
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
    compat: u32,
    incompat: u32,
    /// The first block's bytes.
    head: Vec<u8>,
}

impl Journal {
    /// Takes the first block's bytes.
    fn parse(inode: Inode, head: Vec<u8>) -> Result<Self, FsError> {
        if be32(&head, 0) != MAGIC {
            return Err(FsError::corrupt("the journal has no superblock; run e2fsck"));
        }
        let feature = |at| if be32(&head, KIND) == SUPERBLOCK_V2 { be32(&head, at) } else { 0 };
        Ok(Self {
            inode,
            block_size: be32(&head, BLOCK_SIZE),
            blocks: be32(&head, BLOCKS),
            first: be32(&head, FIRST),
            sequence: be32(&head, SEQUENCE),
            start: be32(&head, START),
            compat: feature(COMPAT),
            incompat: feature(INCOMPAT),
            head,
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
        } else if self.compat & COMPAT_CHECKSUM != 0 {
            LogSums::Commits
        } else {
            LogSums::None
        }
    }

    /// Whether descriptors, revoke blocks and commit blocks hold a checksum of themselves.
    pub(super) fn has_sealed_records(&self) -> bool {
        matches!(self.sums(), LogSums::V2 | LogSums::V3)
    }

    /// What the checksums of the log start from.
    pub(super) fn seed(&self) -> u32 {
        crc32c(!0, &self.head[UUID..UUID + 16])
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

    /// Refuses a journal that cannot be replayed, or must not be.
    pub(super) fn check_replayable(&self) -> Result<(), FsError> {
        let (compat, incompat) = (self.compat, self.incompat);
        let kinds = [compat & COMPAT_CHECKSUM, incompat & INCOMPAT_CSUM_V2, incompat & INCOMPAT_CSUM_V3];
        if kinds.iter().filter(|bit| **bit != 0).count() > 1 {
            return Err(FsError::corrupt(format!(
                "the journal's superblock names two kinds of checksums, features {compat:#x} and {incompat:#x}"
            )));
        }
        if self.has_sealed_records() {
            if self.head[CHECKSUM_TYPE] != CHECKSUM_CRC32C {
                let kind = self.head[CHECKSUM_TYPE];
                return Err(FsError::unsupported(format!("checksum type {kind} in the journal")));
            }
            if be32(&self.head, CHECKSUM) != superblock_sum(&self.head) {
                return Err(FsError::corrupt("the journal superblock's checksum does not match; run e2fsck"));
            }
        }
        if self.has(INCOMPAT_ASYNC_COMMIT) {
            return Err(FsError::unsupported("journal_async_commit in a journal that was not replayed"));
        }
        if be32(&self.head, ERRNO) != 0 {
            let why = "its journal holds the note of an error; run e2fsck -f on it".to_owned();
            return Err(FsError::NotClean { why });
        }
        Ok(())
    }

    fn has(&self, bit: u32) -> bool {
        self.incompat & bit != 0
    }
}

/// The checksum of a journal's superblock, its own field taken as zero.
fn superblock_sum(head: &[u8]) -> u32 {
    let sum = crc32c(crc32c(!0, &head[..CHECKSUM]), &[0; 4]);
    crc32c(sum, &head[CHECKSUM + 4..SUPERBLOCK])
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
        Journal::parse(inode, head).map(Some)
    }

    /// Refuses a journal with something in it although the superblock says it is clean: the next mount would
    /// throw it away, e2fsck might not.
    pub(super) fn check_journal_is_empty(&self) -> Result<(), FsError> {
        if self.journal()?.is_some_and(|journal| !journal.is_empty()) {
            let why = "its journal holds transactions; boot it once or run e2fsck on it".to_owned();
            return Err(FsError::NotClean { why });
        }
        Ok(())
    }

    /// Reads a block of the journal.
    pub(super) fn journal_block(&self, journal: &Journal, at: u32) -> Result<Vec<u8>, FsError> {
        self.block_of_journal(&journal.inode, at)
    }

    /// Where the journal and its map lie, as first block and length, in rising order.
    pub(super) fn blocks_of_journal(&self, journal: &Journal) -> Result<Vec<(u64, u64)>, FsError> {
        let mut runs = Vec::new();
        self.walk_map(&journal.inode, &mut |piece| {
            runs.push(piece.run());
            Ok(())
        })?;
        runs.sort_unstable();
        Ok(runs)
    }

    fn block_of_journal(&self, inode: &Inode, at: u32) -> Result<Vec<u8>, FsError> {
        let block = self.place_in_journal(inode, at)?;
        self.read_block(block, || "the journal".to_owned())
    }

    fn place_in_journal(&self, inode: &Inode, at: u32) -> Result<u64, FsError> {
        self.block_of(inode, u64::from(at))?
            .ok_or_else(|| FsError::corrupt(format!("block {at} of the journal is missing; run e2fsck")))
    }
}

impl<D: BlockWrite> Store<D> {
    /// Leaves a journal with nothing in it, whose next transaction has the number `sequence`.
    pub(super) fn empty_journal(&mut self, journal: &Journal, sequence: u32) -> Result<(), FsError> {
        let mut head = journal.head.clone();
        for (at, value) in [(START, 0), (SEQUENCE, sequence)] {
            put_be32(&mut head, at, value);
        }
        if journal.has_sealed_records() {
            let sum = superblock_sum(&head);
            put_be32(&mut head, CHECKSUM, sum);
        }
        let block = self.place_in_journal(&journal.inode, 0)?;
        self.write_block(block, &head)
    }
}

/// The 32-bit number at `at`.
pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Stores a 32-bit number at `at`.
fn put_be32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}
