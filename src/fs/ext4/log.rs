//! The log in a journal: transactions in a row, each of descriptors with the copies they describe, revoke
//! blocks, and a commit block at its end (Documentation/filesystems/ext4/journal.rst). Nothing is judged here,
//! and a transaction that was cut off is shown like any other.

use std::ops::ControlFlow;

use super::super::error::FsError;
use super::bytes::join;
use super::journal::{Journal, LogSums, MAGIC, be32};
use super::store::Store;
use crate::disk::block::BlockRead;

const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const REVOKE: u32 = 5;
/// Bytes of the header that every block of the journal but copies begins with.
const HEADER: usize = 12;
/// Bytes of the checksum at the end of descriptors and revoke blocks.
pub(super) const TAIL: usize = 4;

const TAG_ESCAPED: u32 = 0x1;
const TAG_SAME_UUID: u32 = 0x2;
const TAG_LAST: u32 = 0x8;

/// A block's copy in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Logged {
    /// The block it belongs to.
    pub(super) target: u64,
    /// Where in the journal it is.
    pub(super) at: u32,
    /// Its transaction.
    pub(super) sequence: u32,
    /// Its checksum as its descriptor has it, where there is one.
    pub(super) sum: u32,
    /// Its first four bytes are the journal's magic number, and were zeroed.
    escaped: bool,
}

/// A block of the log that is no copy.
pub(super) struct Record {
    /// Where in the journal it is.
    pub(super) at: u32,
    /// Its transaction.
    pub(super) sequence: u32,
    /// The whole block.
    pub(super) bytes: Vec<u8>,
    /// What it is.
    pub(super) kind: Kind,
}

/// What a record says.
pub(super) enum Kind {
    /// These copies follow it.
    Copies(Vec<Logged>),
    /// The transaction is whole.
    Commit,
    /// Blocks whose older copies no longer count.
    Revocations,
}

/// What a descriptor block says of one copy.
struct Tag {
    target: u64,
    sum: u32,
    escaped: bool,
}

impl Journal {
    /// Bytes of a tag without a UUID: `journal_tag_bytes` in the kernel's `fs/jbd2/journal.c`.
    fn tag_len(&self) -> usize {
        match (self.sums(), self.is_wide()) {
            (LogSums::V3, _) => 16,
            (LogSums::V2, true) => 14,
            (LogSums::V2, false) => 10,
            (LogSums::None | LogSums::Commits, true) => 12,
            (LogSums::None | LogSums::Commits, false) => 8,
        }
    }

    /// What a descriptor block says of the blocks that follow it.
    fn tags(&self, block: &[u8]) -> Vec<Tag> {
        let end = block.len() - if self.has_sealed_records() { TAIL } else { 0 };
        let (mut tags, mut at, len) = (Vec::new(), HEADER, self.tag_len());
        while at + len <= end {
            // 16 bits are enough for every flag there is; in front of them an older form has a checksum.
            let flags = be32(block, at + 4) & 0xffff;
            let sum = match self.sums() {
                LogSums::V3 => be32(block, at + 12),
                LogSums::V2 => be32(block, at + 4) >> 16,
                LogSums::None | LogSums::Commits => 0,
            };
            let high = if self.is_wide() { be32(block, at + 8) } else { 0 };
            tags.push(Tag { target: join(be32(block, at), high), sum, escaped: flags & TAG_ESCAPED != 0 });
            if flags & TAG_LAST != 0 {
                break;
            }
            at += len + if flags & TAG_SAME_UUID == 0 { 16 } else { 0 };
        }
        tags
    }

    /// The blocks that a revoke block names.
    pub(super) fn revoked(&self, at: u32, block: &[u8]) -> Result<Vec<u64>, FsError> {
        let end = be32(block, HEADER) as usize;
        if end > block.len() - if self.has_sealed_records() { TAIL } else { 0 } {
            return Err(FsError::corrupt(format!(
                "journal block {at}: {end} bytes of revoked blocks; run e2fsck"
            )));
        }
        let numbers = block.get(HEADER + 4..end).unwrap_or_default();
        Ok(if self.is_wide() {
            numbers.chunks_exact(8).map(|number| join(be32(number, 4), be32(number, 0))).collect()
        } else {
            numbers.chunks_exact(4).map(|number| u64::from(be32(number, 0))).collect()
        })
    }
}

impl<D: BlockRead> Store<D> {
    /// Shows the records of a journal, oldest first, until something else than the log's next block stands
    /// there, the log has filled its place, or `visit` breaks off.
    pub(super) fn walk_log(
        &self,
        journal: &Journal,
        visit: &mut dyn FnMut(Record) -> Result<ControlFlow<()>, FsError>,
    ) -> Result<(), FsError> {
        if journal.is_empty() {
            return Ok(());
        }
        journal.check_log(&self.geometry)?;
        let (mut at, mut sequence, mut left) = (journal.start, journal.sequence, journal.log_blocks());
        while left > 0 {
            let bytes = self.journal_block(journal, at)?;
            if be32(&bytes, 0) != MAGIC || be32(&bytes, 8) != sequence {
                break;
            }
            let (place, number) = (at, sequence);
            (at, left) = (journal.after(at), left - 1);
            let kind = match be32(&bytes, 4) {
                DESCRIPTOR => {
                    let mut copies = Vec::new();
                    for tag in journal.tags(&bytes) {
                        if left == 0 {
                            break;
                        }
                        let Tag { target, sum, escaped } = tag;
                        copies.push(Logged { target, at, sequence, sum, escaped });
                        (at, left) = (journal.after(at), left - 1);
                    }
                    Kind::Copies(copies)
                }
                COMMIT => {
                    sequence = sequence.wrapping_add(1);
                    Kind::Commit
                }
                REVOKE => Kind::Revocations,
                _ => break,
            };
            if visit(Record { at: place, sequence: number, bytes, kind })?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The bytes of a copy.
    pub(super) fn read_logged(&self, journal: &Journal, logged: &Logged) -> Result<Vec<u8>, FsError> {
        let mut bytes = self.journal_block(journal, logged.at)?;
        if logged.escaped {
            bytes[..4].copy_from_slice(&MAGIC.to_be_bytes());
        }
        Ok(bytes)
    }
}
