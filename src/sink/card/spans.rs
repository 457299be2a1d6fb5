//! What of an image goes to a card, cut into spans that a digest stands for.

use crate::disk::range::ByteRange;

use super::super::error::SinkError;
use super::{CHUNK, HEAD};

/// The parts of an image that are written, in rising order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRanges {
    image_size: u64,
    ranges: Vec<ByteRange>,
}

impl ImageRanges {
    /// The whole image.
    #[must_use]
    pub fn whole(image_size: u64) -> Self {
        Self::new(image_size, ByteRange::with_len(0, image_size))
    }

    /// The parts of an image of `image_size` bytes that `ranges` names, in whatever order and however they
    /// overlap; what lies beyond the image's end is left out. The first MiB is always one of them.
    #[must_use]
    pub fn new(image_size: u64, ranges: impl IntoIterator<Item = ByteRange>) -> Self {
        let image = ByteRange::with_len(0, image_size);
        let head = ByteRange::with_len(0, HEAD);
        let clipped = ranges.into_iter().chain(head).filter_map(|range| range.intersect(image?));
        Self { image_size, ranges: merged(clipped.collect(), 1) }
    }

    /// Size of the image in bytes.
    #[must_use]
    pub fn image_size(&self) -> u64 {
        self.image_size
    }

    /// Where the image ends on a card of such blocks.
    #[must_use]
    pub fn end(&self, block: u64) -> u64 {
        self.image_size.checked_next_multiple_of(block).unwrap_or(u64::MAX)
    }

    /// The spans on a card of such blocks and size.
    pub(super) fn spans(&self, block: u64, card_size: u64) -> Result<Vec<Span>, SinkError> {
        let needs = self.end(block);
        if needs > card_size {
            return Err(SinkError::TooSmall { needs, has: card_size });
        }
        let mut spans: Vec<Span> = Vec::new();
        for piece in merged(self.ranges.clone(), block).into_iter().flat_map(cut) {
            match spans.last_mut() {
                Some(span) if span.bytes() < CHUNK => span.pieces.push(piece),
                _ => spans.push(Span { pieces: vec![piece] }),
            }
        }
        // What is left over at the end is too short to stand alone.
        if let Some(last) = spans.pop_if(|last| last.bytes() < CHUNK) {
            match spans.last_mut() {
                Some(span) => span.pieces.extend(last.pieces),
                None => spans.push(last),
            }
        }
        Ok(spans)
    }
}

/// At least 4 MiB of what is written (or all of it), in pieces of at most that, in rising order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) pieces: Vec<ByteRange>,
}

impl Span {
    pub(super) fn bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len()).sum()
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
    pub(super) fn digest(&self, sha256: [u8; 32]) -> SpanDigest {
        let (offset, len) = (self.start(), self.end() - self.start());
        SpanDigest {
            offset,
            len,
            gaps: self.gaps().collect(),
            sha256: data_encoding::HEXLOWER.encode(&sha256),
        }
    }
}

/// A range of a card and the SHA-256 of what was written to it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SpanDigest {
    /// Where it starts, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
    /// What of it was not written and is not in the digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// SHA-256 of what was written, in rising order, as hexadecimal.
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

/// Ranges rounded outwards to blocks, sorted, and joined where they touch.
fn merged(mut ranges: Vec<ByteRange>, block: u64) -> Vec<ByteRange> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort();
    let mut merged: Vec<ByteRange> = Vec::new();
    for range in ranges {
        let start = range.start() - range.start() % block;
        let end = range.end().checked_next_multiple_of(block).unwrap_or(u64::MAX);
        let joined =
            merged.last().filter(|last| last.end() >= start).map(|last| (last.start(), last.end().max(end)));
        if joined.is_some() {
            merged.pop();
        }
        let (start, end) = joined.unwrap_or((start, end));
        merged.extend(ByteRange::new(start, end));
    }
    merged
}

/// A range cut at the head's end and at multiples of the chunk.
fn cut(range: ByteRange) -> impl Iterator<Item = ByteRange> {
    let mut at = range.start();
    std::iter::from_fn(move || {
        let limit = if at < HEAD { HEAD } else { (at / CHUNK + 1).saturating_mul(CHUNK) };
        let piece = ByteRange::new(at, limit.min(range.end())).filter(|piece| !piece.is_empty())?;
        at = piece.end();
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::{Gap, ImageRanges, Span};
    use crate::disk::range::ByteRange;
    use crate::sink::card::{CHUNK, HEAD};
    use crate::sink::error::SinkError;

    const MIB: u64 = 1 << 20;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end).unwrap()
    }

    fn pieces(spans: &[Span]) -> Vec<Vec<(u64, u64)>> {
        spans
            .iter()
            .map(|span| span.pieces.iter().map(|piece| (piece.start(), piece.end())).collect())
            .collect()
    }

    #[test]
    fn a_whole_image_is_cut_on_the_grid_with_the_head_apart() {
        let spans = ImageRanges::whole(9 * MIB).spans(512, 16 * MIB).unwrap();
        assert_eq!(
            pieces(&spans),
            [vec![(0, MIB), (MIB, 4 * MIB)], vec![(4 * MIB, 8 * MIB), (8 * MIB, 9 * MIB)],]
        );
        assert_eq!(spans[1].digest([0; 32]).gaps, []);
    }

    #[test]
    fn what_is_no_multiple_of_a_block_is_rounded_up_to_one_and_no_more() {
        let spans = ImageRanges::whole(5000).spans(512, 5120).unwrap();
        assert_eq!(pieces(&spans), [vec![(0, 5120)]]);
        let error = ImageRanges::whole(5000).spans(4096, 5120).unwrap_err();
        assert!(matches!(error, SinkError::TooSmall { needs: 8192, has: 5120 }));
        assert_eq!(ImageRanges::whole(0).spans(512, 5120).unwrap(), []);
    }

    #[test]
    fn narrowed_ranges_are_clipped_joined_and_have_the_head() {
        let ranges = ImageRanges::new(
            100 * MIB,
            [
                range(50 * MIB + 1, 50 * MIB + 2),
                range(40 * MIB, 41 * MIB),
                range(40 * MIB + 5, 46 * MIB),
                range(99 * MIB, 200 * MIB),
            ],
        );
        let spans = ranges.spans(4096, 100 * MIB).unwrap();
        // What would be a second span is less than 4 MiB.
        assert_eq!(
            pieces(&spans),
            [vec![
                (0, MIB),
                (40 * MIB, 44 * MIB),
                (44 * MIB, 46 * MIB),
                (50 * MIB, 50 * MIB + 4096),
                (99 * MIB, 100 * MIB),
            ]]
        );
        let digest = spans[0].digest([0; 32]);
        assert_eq!((digest.offset, digest.len), (0, 100 * MIB));
        assert_eq!(digest.gaps.len(), 3);
        assert_eq!(digest.gaps[0], Gap { offset: MIB, len: 39 * MIB });
    }

    #[test]
    fn random_ranges_are_covered_exactly_once_in_order() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..200 {
            let size = random.u64(1..64 * MIB);
            let block = 1 << random.u32(9..=12);
            let ranges: Vec<ByteRange> = (0..random.usize(0..40))
                .map(|_| {
                    let start = random.u64(..size);
                    range(start, start + random.u64(..3 * MIB))
                })
                .collect();
            let spans = ImageRanges::new(size, ranges.clone()).spans(block, 80 * MIB).unwrap();
            let pieces: Vec<ByteRange> = spans.iter().flat_map(|span| span.pieces.clone()).collect();
            let mut last = 0;
            for piece in &pieces {
                assert!(piece.start() >= last && !piece.is_empty() && piece.len() <= CHUNK);
                assert!(piece.start() % block == 0 && piece.end() % block == 0);
                assert!(piece.end() <= HEAD || piece.start() >= HEAD);
                last = piece.end();
            }
            let holds = |byte: u64| pieces.iter().any(|piece| piece.start() <= byte && byte < piece.end());
            for range in ranges {
                let end = range.end().min(size);
                assert!(range.is_empty() || (holds(range.start()) && holds(end - 1)));
            }
            assert!(holds(0) && holds(HEAD.min(size) - 1));
            let short = spans.iter().filter(|span| span.bytes() < CHUNK).count();
            assert!(short == 0 || spans.len() == 1);
        }
    }
}
