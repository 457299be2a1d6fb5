//! Where two buffers differ.

use std::ops::Range;

use super::ALIGN;

/// Blocks that are the same and lie between two that differ are written along up to this many bytes: a card
/// takes longer to begin another request.
const JOIN: usize = 32 << 10;

/// The first byte that differs.
pub(super) fn first_difference(one: &[u8], other: &[u8]) -> Option<usize> {
    if one == other {
        return None;
    }
    one.iter().zip(other).position(|(one, other)| one != other)
}

/// The runs of blocks that differ, in rising order, of two buffers of one length.
pub(super) fn differing_runs(one: &[u8], other: &[u8]) -> Vec<Range<usize>> {
    let block = ALIGN as usize;
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (index, (left, right)) in one.chunks(block).zip(other.chunks(block)).enumerate() {
        if left == right {
            continue;
        }
        let (start, end) = (index * block, index * block + left.len());
        match runs.last_mut() {
            Some(run) if start - run.end <= JOIN => run.end = end,
            _ => runs.push(start..end),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::{differing_runs, first_difference};

    #[test]
    fn runs_are_of_blocks_and_close_ones_are_one() {
        let one = vec![0u8; 200_000];
        let mut other = one.clone();
        assert!(differing_runs(&one, &other).is_empty());
        for at in [0, 5000, 8192 + 32768, 199_999] {
            other[at] = 1;
        }
        assert_eq!(differing_runs(&one, &other), [0..45056, 196_608..200_000]);
        assert_eq!(first_difference(&one, &other), Some(0));
        other[0] = 0;
        assert_eq!(first_difference(&one, &other), Some(5000));
        assert_eq!(differing_runs(&one, &other)[0], 4096..45056);
    }
}
