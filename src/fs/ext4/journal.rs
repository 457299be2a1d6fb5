//! What a journal holds that was not written to its place yet (Documentation/filesystems/ext4/journal.rst).
//! All its numbers are big-endian. Nothing is replayed here; who wants to know what will be in use after the
//! next mount looks at the copies.

use super::super::error::FsError;
use super::bytes::join;
use super::features::COMPAT_HAS_JOURNAL;
use super::inode::Inode;
use super::store::Store;
use crate::disk::block::BlockRead;

const MAGIC: u32 = 0xc03b_3998;
const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const REVOKE: u32 = 5;
/// Bytes of the header that every block of the journal but copies begins with.
const HEADER: usize = 12;

const INCOMPAT_64BIT: u32 = 0x2;
const INCOMPAT_CSUM_V2: u32 = 0x8;
const INCOMPAT_CSUM_V3: u32 = 0x10;
const INCOMPAT_FAST_COMMIT: u32 = 0x20;

const TAG_ESCAPED: u32 = 0x1;
const TAG_SAME_UUID: u32 = 0x2;
const TAG_LAST: u32 = 0x8;

/// A journal, by its own superblock.
pub(super) struct Journal {
    inode: Inode,
    block_size: u32,
    /// Blocks in the journal.
    blocks: u32,
    /// The first block of the log, which it goes on from behind its last.
    first: u32,
    sequence: u32,
    /// Where the log begins; 0 when there is nothing in it.
    start: u32,
    incompat: u32,
}

impl Journal {
    /// Whether everything is in its place.
    pub(super) fn is_empty(&self) -> bool {
        self.start == 0
    }

    fn has(&self, bit: u32) -> bool {
        self.incompat & bit != 0
    }

    /// Bytes of a tag without a UUID: `journal_tag_bytes` in the kernel's `fs/jbd2/journal.c`.
    fn tag_len(&self) -> usize {
        match (self.has(INCOMPAT_CSUM_V3), self.has(INCOMPAT_CSUM_V2), self.has(INCOMPAT_64BIT)) {
            (true, _, _) => 16,
            (false, true, true) => 14,
            (false, true, false) => 10,
            (false, false, true) => 12,
            (false, false, false) => 8,
        }
    }

    /// What a descriptor block says of the blocks that follow it.
    fn tags(&self, block: &[u8]) -> Vec<Tag> {
        let checked = self.has(INCOMPAT_CSUM_V2) || self.has(INCOMPAT_CSUM_V3);
        let end = block.len() - if checked { 4 } else { 0 };
        let (mut tags, mut at, len) = (Vec::new(), HEADER, self.tag_len());
        while at + len <= end {
            let (flags, high) = if self.has(INCOMPAT_CSUM_V3) {
                (be32(block, at + 4), be32(block, at + 8))
            } else {
                let high = if self.has(INCOMPAT_64BIT) { be32(block, at + 8) } else { 0 };
                (be32(block, at + 4) & 0xffff, high)
            };
            let target = join(be32(block, at), if self.has(INCOMPAT_64BIT) { high } else { 0 });
            tags.push(Tag { target, escaped: flags & TAG_ESCAPED != 0 });
            if flags & TAG_LAST != 0 {
                break;
            }
            at += len + if flags & TAG_SAME_UUID == 0 { 16 } else { 0 };
        }
        tags
    }

    /// The block of the log behind another.
    fn after(&self, block: u32) -> u32 {
        if block + 1 >= self.blocks { self.first } else { block + 1 }
    }
}

struct Tag {
    target: u64,
    escaped: bool,
}

/// A block's copy in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Logged {
    /// The block it belongs to.
    pub(super) target: u64,
    /// Where in the journal it is.
    at: u32,
    /// Its first four bytes are the journal's magic number, and were zeroed.
    escaped: bool,
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
        let head = self.journal_block(&inode, 0)?;
        if be32(&head, 0) != MAGIC {
            return Err(FsError::corrupt("the journal has no superblock; run e2fsck"));
        }
        let journal = Journal {
            inode,
            block_size: be32(&head, 0xc),
            blocks: be32(&head, 0x10),
            first: be32(&head, 0x14),
            sequence: be32(&head, 0x18),
            start: be32(&head, 0x1c),
            // Version 1 has no features.
            incompat: if be32(&head, 4) == 4 { be32(&head, 0x28) } else { 0 },
        };
        Ok(Some(journal))
    }

    /// Shows the copies in a journal, oldest first, those of a transaction that was cut off included.
    pub(super) fn walk_journal(
        &self,
        journal: &Journal,
        visit: &mut dyn FnMut(Logged) -> Result<(), FsError>,
    ) -> Result<(), FsError> {
        if journal.is_empty() {
            return Ok(());
        }
        if journal.has(INCOMPAT_FAST_COMMIT) {
            return Err(FsError::unsupported("fast commits in a journal that was not replayed"));
        }
        let (first, start, blocks) = (journal.first, journal.start, journal.blocks);
        let known = INCOMPAT_64BIT | INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3 | 0x1 | 0x4;
        if journal.block_size != self.geometry.block_size
            || journal.incompat & !known != 0
            || u64::from(blocks) > self.geometry.blocks
            || !(1..blocks).contains(&first)
            || !(first..blocks).contains(&start)
        {
            return Err(FsError::corrupt(format!(
                "the journal's superblock says blocks of {} bytes, {first} to {blocks}, start {start}, features {:#x}",
                journal.block_size, journal.incompat
            )));
        }
        self.walk_log(journal, visit)
    }

    /// Follows the log until something else than its next block stands there; a log that fills its place
    /// ends where it began.
    fn walk_log(
        &self,
        journal: &Journal,
        visit: &mut dyn FnMut(Logged) -> Result<(), FsError>,
    ) -> Result<(), FsError> {
        let (mut at, mut sequence, mut left) = (journal.start, journal.sequence, journal.blocks);
        while left > 0 {
            let block = self.journal_block(&journal.inode, at)?;
            if be32(&block, 0) != MAGIC || be32(&block, 8) != sequence {
                break;
            }
            (at, left) = (journal.after(at), left - 1);
            match be32(&block, 4) {
                DESCRIPTOR => {
                    for tag in journal.tags(&block) {
                        if left == 0 {
                            break;
                        }
                        visit(Logged { target: tag.target, at, escaped: tag.escaped })?;
                        (at, left) = (journal.after(at), left - 1);
                    }
                }
                COMMIT => sequence = sequence.wrapping_add(1),
                REVOKE => {}
                _ => break,
            }
        }
        Ok(())
    }

    /// The bytes of a copy.
    pub(super) fn read_logged(&self, journal: &Journal, logged: &Logged) -> Result<Vec<u8>, FsError> {
        let mut bytes = self.journal_block(&journal.inode, logged.at)?;
        if logged.escaped {
            bytes[..4].copy_from_slice(&MAGIC.to_be_bytes());
        }
        Ok(bytes)
    }

    fn journal_block(&self, inode: &Inode, at: u32) -> Result<Vec<u8>, FsError> {
        let block = self
            .block_of(inode, u64::from(at))?
            .ok_or_else(|| FsError::corrupt(format!("block {at} of the journal is missing; run e2fsck")))?;
        self.read_block(block, || "the journal".to_owned())
    }
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
