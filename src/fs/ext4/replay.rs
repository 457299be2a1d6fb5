//! Replaying a journal, as the kernel's `fs/jbd2/recovery.c` does: find the transactions that are whole, leave
//! out copies that were revoked, write the others. Unlike the kernel, everything is checked before the first
//! write.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::super::error::FsError;
use super::checksum::crc32c;
use super::journal::{Journal, LogSums, be32};
use super::log::{Kind, Logged, Record, TAIL};
use super::store::Store;
use crate::disk::block::{BlockRead, BlockWrite};

/// Offsets in a commit block (`struct commit_header`), and its length.
const COMMIT_SUM_TYPE: usize = 12;
const COMMIT_SUM_SIZE: usize = 13;
const COMMIT_SUM: usize = 16;
const COMMIT_SECONDS: usize = 48;
const COMMIT_SIZE: usize = 60;
/// `JBD2_CRC32_CHKSUM`, and the bytes of one.
const CRC32_TYPE: u8 = 1;
const CRC32_SIZE: u8 = 4;

/// The kernel's `crc32_be(~0, …)`.
const CRC32_BE: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_MPEG_2);

/// What replaying a journal does.
pub(super) struct Replay {
    /// The newest copy of every block that has one that counts.
    pub(super) copies: BTreeMap<u64, Logged>,
    /// Whole transactions.
    pub(super) transactions: u32,
    /// Copies that no longer count.
    pub(super) revoked: u64,
    /// The number of the first transaction that is not whole.
    end: u32,
}

/// The part of a transaction that was seen.
#[derive(Default)]
struct Transaction {
    copies: Vec<Logged>,
    /// Revoke blocks: where in the journal, and of which transaction.
    revocations: Vec<(u32, u32)>,
    /// Its blocks but the commit, in order, where their checksum is to be made.
    blocks: Vec<u32>,
    /// A block whose checksum does not match: stale when no commit follows.
    damaged: Option<u32>,
}

/// The first pass: which transactions are whole.
struct Scan<'a, D> {
    store: &'a Store<D>,
    journal: &'a Journal,
    open: Transaction,
    whole: Vec<Transaction>,
    /// When the last whole transaction was committed, seconds since 1970.
    committed: u64,
}

impl<D: BlockRead> Scan<'_, D> {
    fn take(&mut self, record: Record) -> Result<ControlFlow<()>, FsError> {
        match record.kind {
            Kind::Commit => return self.commit(&record),
            Kind::Copies(ref copies) => {
                self.look_at(&record);
                if self.journal.sums() == LogSums::Commits {
                    self.open.blocks.push(record.at);
                    self.open.blocks.extend(copies.iter().map(|copy| copy.at));
                }
                self.open.copies.extend(copies);
            }
            Kind::Revocations => {
                self.look_at(&record);
                self.open.revocations.push((record.at, record.sequence));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn look_at(&mut self, record: &Record) {
        if self.journal.has_sealed_records() && !is_sealed_record(self.journal, &record.bytes) {
            self.open.damaged.get_or_insert(record.at);
        }
    }

    /// A transaction with a commit block is whole, or damaged, or older than the one before it: then its
    /// blocks were left there by an earlier journal, and the log ends.
    fn commit(&mut self, record: &Record) -> Result<ControlFlow<()>, FsError> {
        let open = std::mem::take(&mut self.open);
        let committed = u64::from(be32(&record.bytes, COMMIT_SECONDS)) << 32
            | u64::from(be32(&record.bytes, COMMIT_SECONDS + 4));
        let damaged = match open.damaged {
            None if !self.is_committed(&open, &record.bytes)? => Some(record.at),
            damaged => damaged,
        };
        if let Some(at) = damaged {
            return if committed < self.committed {
                Ok(ControlFlow::Break(()))
            } else {
                Err(mismatch(at, record.sequence))
            };
        }
        self.committed = committed;
        self.whole.push(open);
        Ok(ControlFlow::Continue(()))
    }

    /// Whether a commit block's checksum holds.
    fn is_committed(&self, transaction: &Transaction, commit: &[u8]) -> Result<bool, FsError> {
        match self.journal.sums() {
            LogSums::None => Ok(true),
            LogSums::V2 | LogSums::V3 => Ok(is_sealed_commit(self.journal, commit)),
            LogSums::Commits => {
                let noted = be32(commit, COMMIT_SUM);
                match (commit[COMMIT_SUM_TYPE], commit[COMMIT_SUM_SIZE]) {
                    (0, 0) => Ok(noted == 0),
                    (CRC32_TYPE, CRC32_SIZE) => Ok(noted == self.sum_of(&transaction.blocks)?),
                    _ => Ok(false),
                }
            }
        }
    }

    fn sum_of(&self, blocks: &[u32]) -> Result<u32, FsError> {
        let mut digest = CRC32_BE.digest();
        for at in blocks {
            digest.update(&self.store.journal_block(self.journal, *at)?);
        }
        Ok(digest.finalize())
    }

    /// The second pass: the last transaction in which each block was revoked, of those that have copies.
    fn revocations(&self) -> Result<BTreeMap<u64, u32>, FsError> {
        let copied: BTreeSet<u64> = self.copies().map(|copy| copy.target).collect();
        let mut revoked = BTreeMap::new();
        for (at, sequence) in self.whole.iter().flat_map(|transaction| &transaction.revocations) {
            let bytes = self.store.journal_block(self.journal, *at)?;
            let blocks = self.journal.revoked(*at, &bytes)?;
            revoked.extend(
                blocks.into_iter().filter(|block| copied.contains(block)).map(|block| (block, *sequence)),
            );
        }
        Ok(revoked)
    }

    fn copies(&self) -> impl Iterator<Item = &Logged> {
        self.whole.iter().flat_map(|transaction| &transaction.copies)
    }
}

impl<D: BlockRead> Store<D> {
    /// Finds out what replaying the journal does.
    pub(super) fn plan_replay(&self, journal: &Journal) -> Result<Replay, FsError> {
        let open = Transaction::default();
        let mut scan = Scan { store: self, journal, open, whole: Vec::new(), committed: 0 };
        self.walk_log(journal, &mut |record| scan.take(record))?;
        let revocations = scan.revocations()?;
        let own = self.blocks_of_journal(journal)?;
        let (mut copies, mut revoked) = (BTreeMap::new(), 0);
        for copy in scan.copies() {
            // Sequence numbers go round: the later of two is less than half of the circle ahead.
            let is_revoked =
                |by: &u32| copy.sequence == *by || copy.sequence.wrapping_sub(*by).cast_signed() < 0;
            if revocations.get(&copy.target).is_some_and(is_revoked) {
                revoked += 1;
                continue;
            }
            self.check_copy(journal, copy, &own)?;
            copies.insert(copy.target, *copy);
        }
        // There are no more transactions than blocks.
        let transactions = scan.whole.len() as u32;
        Ok(Replay { copies, transactions, revoked, end: journal.sequence.wrapping_add(transactions) })
    }

    /// Refuses a copy that is damaged, or of a block that a journal cannot change.
    fn check_copy(&self, journal: &Journal, copy: &Logged, own: &[(u64, u64)]) -> Result<(), FsError> {
        let (at, target) = (copy.at, copy.target);
        // A journal can make the filesystem larger, so only the medium is the limit.
        let blocks = self.device.size() / u64::from(self.geometry.block_size);
        if target >= blocks {
            return Err(FsError::corrupt(format!(
                "journal block {at} is a copy of block {target}, of {blocks}"
            )));
        }
        let behind = own.partition_point(|(start, _)| *start <= target);
        if own[..behind].last().is_some_and(|(start, len)| target - start < *len) {
            return Err(FsError::corrupt(format!(
                "journal block {at} is a copy of block {target}, which is the journal's own"
            )));
        }
        let bytes = self.journal_block(journal, at)?;
        let sum = crc32c(crc32c(journal.seed(), &copy.sequence.to_be_bytes()), &bytes);
        let holds = match journal.sums() {
            LogSums::V3 => copy.sum == sum,
            LogSums::V2 => copy.sum == sum & 0xffff,
            LogSums::None | LogSums::Commits => true,
        };
        if holds { Ok(()) } else { Err(mismatch(at, copy.sequence)) }
    }
}

impl<D: BlockWrite> Store<D> {
    /// The third pass: writes the copies, and empties the journal.
    pub(super) fn replay(&mut self, journal: &Journal, replay: &Replay) -> Result<(), FsError> {
        for (target, copy) in &replay.copies {
            let bytes = self.read_logged(journal, copy)?;
            self.device.write_at(target * u64::from(self.geometry.block_size), &bytes)?;
        }
        // As the kernel: what was cut off has the number `end`, and must not be taken for a new transaction.
        self.empty_journal(journal, replay.end.wrapping_add(1))
    }
}

/// Whether a descriptor's or revoke block's checksum, its last four bytes, holds.
fn is_sealed_record(journal: &Journal, bytes: &[u8]) -> bool {
    let at = bytes.len() - TAIL;
    be32(bytes, at) == crc32c(crc32c(journal.seed(), &bytes[..at]), &[0; TAIL])
}

/// Whether a commit block's checksum holds: over the block, or over its header and zeros, for what lies behind
/// the header may be lost with the sectors it stands in.
fn is_sealed_commit(journal: &Journal, bytes: &[u8]) -> bool {
    let mut block = bytes.to_vec();
    block[COMMIT_SUM..COMMIT_SUM + 4].fill(0);
    let whole = crc32c(journal.seed(), &block);
    block[COMMIT_SIZE..].fill(0);
    let header = crc32c(journal.seed(), &block);
    [whole, header].contains(&be32(bytes, COMMIT_SUM))
}

fn mismatch(at: u32, sequence: u32) -> FsError {
    FsError::corrupt(format!(
        "journal block {at}: a checksum does not match in transaction {sequence}, which was committed; run e2fsck"
    ))
}
