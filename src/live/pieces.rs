//! In which pieces a disk is read.

use crate::disk::range::ByteRange;

/// What pieces begin and end at, in bytes: the block of nearly every filesystem, and a multiple of what a disk
/// that is read past the page cache insists on.
pub(super) const BLOCK: u64 = 4096;

/// What lies between two ranges is read along up to here, in bytes: a further request costs more.
const GAP: u64 = 256 << 10;

/// The largest piece, in bytes: two of them are in the node's memory.
const PIECE: u64 = 4 << 20;

/// Pieces of a disk of `size` bytes that hold `ranges` (a set in rising order), in rising order.
pub(super) fn pieces(ranges: &[ByteRange], size: u64) -> Vec<ByteRange> {
    let mut merged: Vec<ByteRange> = Vec::new();
    for range in ranges.iter().filter_map(|range| whole_blocks(*range, size)) {
        match merged.last_mut() {
            Some(last) if range.start() <= last.end().saturating_add(GAP) => {
                *last = ByteRange::new(last.start(), range.end().max(last.end())).unwrap_or(*last);
            }
            _ => merged.push(range),
        }
    }
    merged.into_iter().flat_map(cut).collect()
}

/// A range widened to whole blocks, as far as the disk goes; `None` where there is none of it.
pub(super) fn whole_blocks(range: ByteRange, size: u64) -> Option<ByteRange> {
    let end = range.end().checked_next_multiple_of(BLOCK).unwrap_or(size).min(size);
    ByteRange::new(range.start() / BLOCK * BLOCK, end).filter(|range| !range.is_empty())
}

fn cut(range: ByteRange) -> impl Iterator<Item = ByteRange> {
    (0..range.len().div_ceil(PIECE)).filter_map(move |at| {
        let start = range.start() + at * PIECE;
        ByteRange::new(start, range.end().min(start + PIECE))
    })
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, GAP, PIECE, pieces};
    use crate::disk::range::ByteRange;
    use crate::disk::ranges;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end).unwrap()
    }

    #[test]
    fn small_gaps_are_read_along_and_large_pieces_cut() {
        let size = 64 * PIECE + 512;
        let asked = [range(1, 2), range(BLOCK + GAP, BLOCK + GAP + 1), range(PIECE, 4 * PIECE)];
        assert_eq!(
            pieces(&asked, size),
            [
                range(0, 2 * BLOCK + GAP),
                range(PIECE, 2 * PIECE),
                range(2 * PIECE, 3 * PIECE),
                range(3 * PIECE, 4 * PIECE)
            ]
        );
    }

    #[test]
    fn nothing_passes_the_end_of_the_disk() {
        let size = 10 * BLOCK + 512;
        let asked = [range(10 * BLOCK + 100, u64::MAX)];
        assert_eq!(pieces(&asked, size), [range(10 * BLOCK, size)]);
        assert_eq!(pieces(&[range(20 * BLOCK, 21 * BLOCK)], size), []);
        assert_eq!(pieces(&[], size), []);
    }

    #[test]
    fn every_byte_asked_for_is_in_one_piece() {
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..200 {
            let size = rng.u64(1..200) * (PIECE / 8) / 512 * 512 + 512;
            let asked = ranges::union((0..rng.usize(0..30)).map(|_| {
                let start = rng.u64(0..size);
                range(start, size.min(start + rng.u64(0..2 * PIECE)))
            }));
            let got = pieces(&asked, size);
            assert!(got.windows(2).all(|pair| pair[0].end() <= pair[1].start()));
            assert!(got.iter().all(|piece| piece.len() <= PIECE && piece.end() <= size));
            assert_eq!(ranges::without(&asked, &ranges::union(got)), []);
        }
    }
}
