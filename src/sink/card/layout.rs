//! Where on one card what goes: the work of a job, cut and numbered before the first byte.

use super::HEAD;
use super::ranges::ImageRanges;
use super::spans::{Span, spans};
use crate::disk::range::ByteRange;
use crate::sink::error::SinkError;

/// Bytes after which it is decided anew whether the card is likely to hold what is to be written.
const REGION: u64 = 64 << 20;

/// The spans of a card, and what is decided and done with each.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) spans: Vec<Span>,
    /// The pieces behind the head, in rising order.
    pub(super) pieces: Vec<Piece>,
    /// How many regions the pieces fall into.
    pub(super) regions: usize,
    /// Bytes of all spans.
    pub(super) used: u64,
}

/// One request's worth of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) range: ByteRange,
    /// The span it is part of; regions consist of whole ones.
    pub(super) span: usize,
    /// Which run of spans it is part of.
    pub(super) region: usize,
}

impl Layout {
    /// The layout of the image's ranges on a card of such blocks and size.
    pub(super) fn new(ranges: &ImageRanges, block: u64, card_size: u64) -> Result<Self, SinkError> {
        let needs = ranges.end(block);
        if needs > card_size {
            return Err(SinkError::TooSmall { needs, has: card_size });
        }
        let spans = spans(ranges.requests(block));
        let (mut pieces, mut region, mut filled) = (Vec::new(), 0, 0);
        for (index, span) in spans.iter().enumerate() {
            if filled >= REGION {
                (region, filled) = (region + 1, 0);
            }
            filled += span.bytes();
            pieces.extend(span.body().map(|range| Piece { range, span: index, region }));
        }
        let used = spans.iter().map(Span::bytes).sum();
        Ok(Self { spans, pieces, regions: region + 1, used })
    }

    /// Bytes of the pieces, the head left out.
    pub(super) fn body(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.range.len()).sum()
    }

    /// The pieces of a region.
    pub(super) fn region(&self, region: usize) -> &[Piece] {
        let start = self.pieces.partition_point(|piece| piece.region < region);
        let end = self.pieces.partition_point(|piece| piece.region <= region);
        &self.pieces[start..end]
    }

    /// The last stretch of `len` bytes between the head and `end` in which nothing is in use, if there is one.
    pub(super) fn last_gap(&self, len: u64, end: u64) -> Option<ByteRange> {
        let mut limit = end;
        for piece in self.pieces.iter().rev() {
            if piece.range.end().checked_add(len)? <= limit {
                break;
            }
            limit = limit.min(piece.range.start());
        }
        let start = limit.checked_sub(len).filter(|start| *start >= HEAD)?;
        ByteRange::with_len(start, len)
    }
}

#[cfg(test)]
mod tests {
    use super::{Layout, REGION};
    use crate::disk::range::ByteRange;
    use crate::sink::card::HEAD;
    use crate::sink::card::ranges::ImageRanges;
    use crate::sink::error::SinkError;

    const MIB: u64 = 1 << 20;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end).unwrap()
    }

    #[test]
    fn the_head_is_part_of_a_span_and_of_no_piece() {
        let layout = Layout::new(&ImageRanges::whole(9 * MIB), 512, 16 * MIB).unwrap();
        assert_eq!((layout.used, layout.body()), (9 * MIB, 8 * MIB));
        assert_eq!(layout.spans[0].bytes(), 4 * MIB);
        assert!(layout.pieces.iter().all(|piece| piece.range.start() >= HEAD));
        assert_eq!((layout.pieces[2].span, layout.pieces[3].span), (0, 1));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let error = Layout::new(&ImageRanges::whole(5000), 4096, 5120).unwrap_err();
        assert!(matches!(error, SinkError::TooSmall { needs: 8192, has: 5120 }));
    }

    #[test]
    fn regions_are_whole_spans_of_what_is_used() {
        let size = 3 * REGION + 5 * MIB;
        let layout = Layout::new(&ImageRanges::whole(size), 512, size).unwrap();
        assert_eq!(layout.regions, 4);
        assert_eq!(layout.region(0).last().unwrap().range.end(), REGION);
        assert_eq!(layout.region(3).len(), 5);
        assert!(layout.region(4).is_empty());
    }

    #[test]
    fn room_that_is_not_in_use_is_found_from_the_end() {
        let ranges = ImageRanges::new(90 * MIB, [range(10 * MIB, 20 * MIB), range(40 * MIB, 90 * MIB)]);
        let layout = Layout::new(&ranges, 512, 100 * MIB).unwrap();
        assert_eq!(layout.last_gap(8 * MIB, 99 * MIB), Some(range(91 * MIB, 99 * MIB)));
        assert_eq!(layout.last_gap(10 * MIB, 99 * MIB), Some(range(30 * MIB, 40 * MIB)));
        assert_eq!(layout.last_gap(20 * MIB, 99 * MIB), Some(range(20 * MIB, 40 * MIB)));
        assert_eq!(layout.last_gap(21 * MIB, 99 * MIB), None);
        assert_eq!(layout.last_gap(9 * MIB, 9 * MIB), None);
        assert_eq!(layout.last_gap(8 * MIB, 9 * MIB), Some(range(MIB, 9 * MIB)));
    }
}
