//! What was written, as it comes in: digests of spans, and what is still to be proved.

use sha2::{Digest, Sha256};

use super::buffers::Lent;
use super::layout::Piece;
use super::report::Tally;
use super::spans::Span;
use super::work::Work;
use crate::disk::range::ByteRange;

/// Pieces that were written, and the digest of what.
pub(super) struct Claim {
    pub(super) pieces: Vec<ByteRange>,
    pub(super) sha256: [u8; 32],
    /// What was hashed before the first piece.
    pub(super) before: Sha256,
}

/// What became of one piece.
pub(super) struct Done<'a> {
    pub(super) data: Lent<'a>,
    pub(super) index: usize,
    /// What of it had to be written; everything, where it was not compared.
    pub(super) runs: Option<Vec<ByteRange>>,
}

/// Digests of spans and what is to be proved, as pieces come in, in order.
pub(super) struct Ledger<'a> {
    spans: &'a [Span],
    pub(super) digests: Vec<[u8; 32]>,
    pub(super) claims: Vec<Claim>,
    pub(super) tally: Tally,
    hasher: Sha256,
    /// What was hashed before the first piece of the span under way.
    before: Sha256,
    /// The pieces of the span under way that were written as a whole.
    outright: Vec<ByteRange>,
    /// The span under way.
    span: usize,
}

impl<'a> Ledger<'a> {
    pub(super) fn new<M>(work: &'a Work<'_, M>, tally: Tally, head: &[u8]) -> Self {
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

    pub(super) fn enter(&mut self, piece: Piece, done: &Done<'_>) {
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

    pub(super) fn close(mut self) -> Self {
        if self.digests.len() < self.spans.len() {
            self.end_span();
        }
        self
    }
}
