//! Everything but the head is written, or found to be there.

use std::time::Instant;

use sha2::{Digest, Sha256};

use super::IN_FLIGHT;
use super::buffers::Lent;
use super::choose::Chosen;
use super::differ::differing_runs;
use super::layout::Piece;
use super::medium::CardMedium;
use super::report::{Mode, Tally};
use super::work::Work;
use crate::device::aligned::AlignedBuf;
use crate::disk::range::ByteRange;
use crate::progress::Phase;
use crate::sink::error::SinkError;
use crate::sink::in_order::in_order;

/// Everything but the head was written and flushed, or was found to be there.
pub(super) struct Written {
    pub(super) mode: Mode,
    pub(super) discarded: bool,
    /// The digest of each span.
    pub(super) digests: Vec<[u8; 32]>,
    /// What is still to be proved.
    pub(super) claims: Vec<Claim>,
    pub(super) head: AlignedBuf,
    pub(super) tally: Tally,
}

/// Pieces that were written, and the digest of what.
pub(super) struct Claim {
    pub(super) pieces: Vec<ByteRange>,
    pub(super) sha256: [u8; 32],
    /// What was hashed before the first piece.
    pub(super) before: Sha256,
}

/// What became of one piece.
struct Done<'a> {
    data: Lent<'a>,
    index: usize,
    /// What of it had to be written; everything, where it was not compared.
    runs: Option<Vec<ByteRange>>,
}

impl<M: CardMedium> Work<'_, M> {
    /// Writes what the card is not known to hold. Several pieces are under way at once, each read from the
    /// image, compared and written by one thread, in rising order as they begin; hashing goes on beside.
    pub(super) fn body(&self, chosen: Chosen) -> Result<Written, SinkError> {
        let Chosen { mode, discarded, sampled, tally } = chosen;
        let began = Instant::now();
        let head = self.head_of_image()?;
        let mut ledger = Ledger::new(self, tally, &head);
        let track = self.track(Phase::Writing, self.layout.body());
        let mut through = 0;
        in_order(
            self.layout.pieces.len(),
            IN_FLIGHT,
            || Ok(()),
            |(), index| {
                self.job.interrupt.check()?;
                let piece = self.layout.pieces[index];
                let compare = mode == Mode::Update && sampled.is_alike(piece.region, self.job);
                self.write_piece(index, compare)
            },
            |done: Done<'_>| {
                let piece = self.layout.pieces[done.index];
                ledger.enter(piece, &done);
                through += piece.range.len();
                track.advance(through);
                Ok(())
            },
        )?;
        self.flush()?;
        let Ledger { digests, claims, mut tally, .. } = ledger.close();
        tally.writing = began.elapsed();
        Ok(Written { mode, discarded, digests, claims, head, tally })
    }

    /// The image's first MiB, which is kept until the end.
    fn head_of_image(&self) -> Result<AlignedBuf, SinkError> {
        let pieces = self.layout.spans.first().map_or(&[][..], |span| &span.pieces);
        let Some(range) = pieces.first() else { return Ok(AlignedBuf::zeroed(0)) };
        let mut head = AlignedBuf::zeroed(range.len() as usize);
        head.copy_from_slice(&self.image(*range)?);
        Ok(head)
    }

    fn write_piece(&self, index: usize, compare: bool) -> Result<Done<'_>, SinkError> {
        let range = self.layout.pieces[index].range;
        let data = self.image(range)?;
        if !compare {
            self.write(range.start(), &data)?;
            return Ok(Done { data, index, runs: None });
        }
        let mut held = self.buffers.take(range.len());
        // What cannot be read is written: that may well mend it, and it is read again then.
        let runs = match self.medium.read_back_at(range.start(), &mut held) {
            Ok(()) => differing_runs(&data, &held),
            Err(_) => std::iter::once(0..data.len()).collect(),
        };
        let mut written = Vec::with_capacity(runs.len());
        for run in runs {
            let offset = range.start() + run.start as u64;
            self.write(offset, &data[run.clone()])?;
            written.extend(ByteRange::with_len(offset, run.len() as u64));
        }
        Ok(Done { data, index, runs: Some(written) })
    }
}

/// Digests of spans and what is to be proved, as pieces come in, in order.
struct Ledger<'a> {
    spans: &'a [super::spans::Span],
    digests: Vec<[u8; 32]>,
    claims: Vec<Claim>,
    tally: Tally,
    hasher: Sha256,
    /// What was hashed before the first piece of the span under way.
    before: Sha256,
    /// The pieces of the span under way that were written as a whole.
    outright: Vec<ByteRange>,
    /// The span under way.
    span: usize,
}

impl<'a> Ledger<'a> {
    fn new<M>(work: &'a Work<'_, M>, tally: Tally, head: &[u8]) -> Self {
        let hasher = Sha256::new_with_prefix(head);
        Self {
            spans: &work.layout.spans,
            digests: Vec::new(),
            claims: Vec::new(),
            tally,
            before: hasher.clone(),
            hasher,
            outright: Vec::new(),
            span: 0,
        }
    }

    fn enter(&mut self, piece: Piece, done: &Done<'_>) {
        if piece.span != self.span {
            self.end_span();
        }
        self.hasher.update(&*done.data);
        let len = piece.range.len();
        let Some(runs) = &done.runs else {
            self.tally.written += len;
            self.outright.push(piece.range);
            return;
        };
        let written: u64 = runs.iter().map(|run| run.len()).sum();
        self.tally.written += written;
        self.tally.equal += len - written;
        if !runs.is_empty() {
            let mut hasher = Sha256::new();
            for run in runs {
                let start = (run.start() - piece.range.start()) as usize;
                hasher.update(&done.data[start..start + run.len() as usize]);
            }
            let (pieces, sha256) = (runs.clone(), hasher.finalize().into());
            self.claims.push(Claim { pieces, sha256, before: Sha256::new() });
        }
    }

    /// The span's digest stands for its pieces, all of them written or none: regions are of whole spans.
    fn end_span(&mut self) {
        let sha256 = std::mem::take(&mut self.hasher).finalize().into();
        let before = std::mem::take(&mut self.before);
        self.digests.push(sha256);
        self.span += 1;
        if !self.outright.is_empty() {
            self.claims.push(Claim { pieces: std::mem::take(&mut self.outright), sha256, before });
        }
    }

    fn close(mut self) -> Self {
        if self.digests.len() < self.spans.len() {
            self.end_span();
        }
        self
    }
}
