//! What of an image is in use, rounded to what a card works in.

use super::{ALIGN, HEAD};
use crate::disk::range::ByteRange;

/// Gaps up to this many bytes may be written along: a card takes longer to begin another request.
const JOIN: u64 = 32 << 10;

/// The most that rounding and joining may add, as a part of what is in use.
const EXTRA: u64 = 64;

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
        Self { image_size, ranges: rounded(clipped.collect(), 1, image_size) }
    }

    /// Size of the image in bytes.
    #[must_use]
    pub fn image_size(&self) -> u64 {
        self.image_size
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> u64 {
        total(&self.ranges)
    }

    /// Where the image ends on a card of such blocks.
    #[must_use]
    pub fn end(&self, block: u64) -> u64 {
        self.image_size.checked_next_multiple_of(block).unwrap_or(u64::MAX)
    }

    /// What is written to a card of such blocks: the ranges rounded outwards, and joined where a gap costs less
    /// than another request, as long as all that adds next to nothing.
    pub(super) fn requests(&self, block: u64) -> Vec<ByteRange> {
        let end = self.end(block);
        let most = self.used() + self.used() / EXTRA;
        let aligned = rounded(self.ranges.clone(), block.max(ALIGN), end);
        let exact = if total(&aligned) > most { rounded(self.ranges.clone(), block, end) } else { aligned };
        let spare = most.saturating_sub(total(&exact));
        joined(exact, spare)
    }
}

fn total(ranges: &[ByteRange]) -> u64 {
    ranges.iter().map(|range| range.len()).sum()
}

/// Ranges rounded outwards to `unit`, but not past `end`, sorted, and joined where they touch.
fn rounded(mut ranges: Vec<ByteRange>, unit: u64, end: u64) -> Vec<ByteRange> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort();
    let mut rounded: Vec<ByteRange> = Vec::new();
    for range in ranges {
        let start = range.start() - range.start() % unit;
        let stop = range.end().checked_next_multiple_of(unit).unwrap_or(u64::MAX).min(end);
        match rounded.last_mut() {
            Some(last) if last.end() >= start => extend(last, stop),
            _ => rounded.extend(ByteRange::new(start, stop)),
        }
    }
    rounded
}

/// Fills gaps, the smallest first, as long as there is something to spare.
fn joined(ranges: Vec<ByteRange>, spare: u64) -> Vec<ByteRange> {
    let gap = |pair: &[ByteRange]| pair[1].start() - pair[0].end();
    let mut gaps: Vec<u64> = ranges.windows(2).map(gap).filter(|gap| *gap <= JOIN).collect();
    gaps.sort_unstable();
    let affordable = gaps.iter().scan(0, |sum, gap| {
        *sum += gap;
        (*sum <= spare).then_some(*gap)
    });
    let Some(longest) = affordable.last() else { return ranges };
    // Of several gaps of that very length not all may be affordable.
    let mut left = spare;
    let mut joined: Vec<ByteRange> = Vec::new();
    for range in ranges {
        let between = joined.last().map(|last| range.start() - last.end());
        match (joined.last_mut(), between) {
            (Some(last), Some(gap)) if gap <= longest && gap <= left => {
                left -= gap;
                extend(last, range.end());
            }
            _ => joined.push(range),
        }
    }
    joined
}

/// Moves a range's end up.
fn extend(range: &mut ByteRange, end: u64) {
    if let Some(longer) = ByteRange::new(range.start(), end.max(range.end())) {
        *range = longer;
    }
}

#[cfg(test)]
mod tests {
    use super::{ImageRanges, total};
    use crate::disk::range::ByteRange;

    const MIB: u64 = 1 << 20;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end).unwrap()
    }

    fn ends(ranges: &[ByteRange]) -> Vec<(u64, u64)> {
        ranges.iter().map(|range| (range.start(), range.end())).collect()
    }

    #[test]
    fn what_is_no_multiple_of_a_block_is_rounded_up_to_one_and_no_more() {
        assert_eq!(ends(&ImageRanges::whole(5000).requests(512)), [(0, 5120)]);
        assert_eq!(ends(&ImageRanges::whole(5000).requests(4096)), [(0, 8192)]);
        assert_eq!(ImageRanges::whole(0).requests(512), []);
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
        assert_eq!(
            ends(&ranges.requests(512)),
            [(0, MIB), (40 * MIB, 46 * MIB), (50 * MIB, 50 * MIB + 4096), (99 * MIB, 100 * MIB),]
        );
        assert_eq!(ranges.used(), 8 * MIB + 1);
    }

    #[test]
    fn small_gaps_are_written_along_as_long_as_they_add_little() {
        // 1 MiB of head and 7 MiB: 128 KiB to spare.
        let mut parts = vec![range(10 * MIB, 17 * MIB)];
        for index in 0..30 {
            let start = 20 * MIB + index * 12288;
            parts.push(range(start, start + 4096));
        }
        let requests = ImageRanges::new(30 * MIB, parts).requests(512);
        // Each gap is 8 KiB, and the thirty parts brought a little more to spare: sixteen can be had.
        assert_eq!(requests.len(), 2 + 30 - 16);
        let far = ImageRanges::new(30 * MIB, [range(10 * MIB, 17 * MIB), range(17 * MIB + 40960, 18 * MIB)]);
        assert_eq!(far.requests(512).len(), 3);
    }

    #[test]
    fn tiny_parts_are_rounded_to_blocks_only_where_more_would_add_too_much() {
        let parts = (0..600).map(|index| range(2 * MIB + index * 131_072, 2 * MIB + index * 131_072 + 512));
        let requests = ImageRanges::new(100 * MIB, parts).requests(512);
        assert_eq!(requests[1].len(), 512);
    }

    #[test]
    fn random_ranges_are_covered_in_order_and_little_else() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..300 {
            let size = random.u64(1..64 * MIB);
            let block = 1 << random.u32(9..=12);
            let parts: Vec<ByteRange> = (0..random.usize(0..60))
                .map(|_| {
                    let start = random.u64(..size);
                    let most = 1 << random.u32(4..21);
                    range(start, start + random.u64(..most))
                })
                .collect();
            let ranges = ImageRanges::new(size, parts.clone());
            let requests = ranges.requests(block);
            for request in &requests {
                assert!(!request.is_empty() && request.end() <= ranges.end(block));
                assert!(request.start() % block == 0 && request.end() % block == 0);
            }
            assert!(requests.windows(2).all(|pair| pair[0].end() < pair[1].start()));
            for part in parts.iter().filter_map(|part| part.intersect(range(0, size))) {
                assert!(requests.iter().any(|request| request.contains(part)));
            }
            assert!(requests[0].contains(range(0, size.min(MIB))));
            let rounding = 2 * block * (1 + ranges.ranges.len() as u64);
            assert!(total(&requests) <= ranges.used() + ranges.used() / 64 + rounding);
        }
    }
}
