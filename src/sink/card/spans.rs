//! Pieces of a card that one digest stands for.

use super::{HEAD, REQUEST, SPAN};
use crate::disk::range::ByteRange;

/// At least 4 MiB of what is written (or all of it), in pieces of at most one request, in rising order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) pieces: Vec<ByteRange>,
}

impl Span {
    pub(super) fn bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len()).sum()
    }

    /// The pieces that are written with the rest, the head being written last.
    pub(super) fn body(&self) -> impl Iterator<Item = ByteRange> {
        self.pieces.iter().copied().filter(|piece| piece.start() >= HEAD)
    }

    pub(super) fn start(&self) -> u64 {
        self.pieces.first().map_or(0, |piece| piece.start())
    }

    pub(super) fn end(&self) -> u64 {
        self.pieces.last().map_or(0, |piece| piece.end())
    }

    /// The stretches between the pieces.
    fn gaps(&self) -> impl Iterator<Item = Gap> {
        self.pieces
            .windows(2)
            .filter(|pair| pair[0].end() < pair[1].start())
            .map(|pair| Gap { offset: pair[0].end(), len: pair[1].start() - pair[0].end() })
    }

    /// The span with the digest of its pieces' bytes.
    pub(super) fn digest(&self, sha256: &[u8; 32]) -> SpanDigest {
        let (offset, len) = (self.start(), self.end() - self.start());
        SpanDigest {
            offset,
            len,
            gaps: self.gaps().collect(),
            sha256: data_encoding::HEXLOWER.encode(sha256),
        }
    }
}

/// Spans of sorted ranges.
pub(super) fn spans(ranges: Vec<ByteRange>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for piece in ranges.into_iter().flat_map(cut) {
        match spans.last_mut() {
            Some(span) if span.bytes() < SPAN => span.pieces.push(piece),
            _ => spans.push(Span { pieces: vec![piece] }),
        }
    }
    // What is left over at the end is too short to stand alone.
    if let Some(last) = spans.pop_if(|last| last.bytes() < SPAN) {
        match spans.last_mut() {
            Some(span) => span.pieces.extend(last.pieces),
            None => spans.push(last),
        }
    }
    spans
}

/// A range cut at the head's end, which is a multiple of it, and at multiples of a request.
pub(super) fn cut(range: ByteRange) -> impl Iterator<Item = ByteRange> {
    const { assert!(HEAD.is_multiple_of(REQUEST)) };
    let mut at = range.start();
    std::iter::from_fn(move || {
        let limit = (at / REQUEST + 1).saturating_mul(REQUEST);
        let piece = ByteRange::new(at, limit.min(range.end())).filter(|piece| !piece.is_empty())?;
        at = piece.end();
        Some(piece)
    })
}

/// A range of a card and the SHA-256 of what it holds.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SpanDigest {
    /// Where it starts, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
    /// What of it was not written and is not in the digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// SHA-256 of the rest, in rising order, as hexadecimal.
    pub sha256: String,
}

/// A stretch that was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Gap {
    /// Where it starts, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
}

#[cfg(test)]
mod tests {
    use super::{Gap, Span, spans};
    use crate::disk::range::ByteRange;
    use crate::sink::card::{REQUEST, SPAN};

    const MIB: u64 = 1 << 20;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end).unwrap()
    }

    #[test]
    fn a_span_has_at_least_four_mib_whatever_lies_between() {
        let spans = spans(vec![range(0, 5 * MIB), range(40 * MIB, 44 * MIB), range(60 * MIB, 61 * MIB)]);
        let ends: Vec<(u64, u64, u64)> =
            spans.iter().map(|span| (span.start(), span.end(), span.bytes())).collect();
        assert_eq!(ends, [(0, 4 * MIB, 4 * MIB), (4 * MIB, 61 * MIB, 6 * MIB)]);
        let digest = spans[1].digest(&[0; 32]);
        assert_eq!(digest.gaps.len(), 2);
        assert_eq!(digest.gaps[0], Gap { offset: 5 * MIB, len: 35 * MIB });
        assert_eq!(digest.offset + digest.len, 61 * MIB);
    }

    #[test]
    fn random_ranges_are_cut_without_loss() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..200 {
            let mut at = 0;
            let ranges: Vec<ByteRange> = (0..random.usize(1..50))
                .map(|_| {
                    let start = at + random.u64(1..MIB);
                    at = start + random.u64(1..3 * MIB);
                    range(start, at)
                })
                .collect();
            let spans = spans(ranges.clone());
            let pieces: Vec<ByteRange> = spans.iter().flat_map(|span| span.pieces.clone()).collect();
            assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() <= REQUEST));
            assert!(pieces.iter().all(|piece| piece.start() / REQUEST == (piece.end() - 1) / REQUEST));
            let total = |ranges: &[ByteRange]| ranges.iter().map(|range| range.len()).sum::<u64>();
            assert_eq!(total(&pieces), total(&ranges));
            assert!(ranges.iter().all(|range| pieces.iter().any(|piece| piece.start() == range.start())));
            let short = |span: &Span| span.bytes() < SPAN;
            assert!(!spans.iter().any(short) || spans.len() == 1);
        }
    }
}
