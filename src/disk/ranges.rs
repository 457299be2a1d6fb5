//! Sets of bytes, as ranges in rising order none of which touches the next.

use super::range::ByteRange;

/// All bytes that any of the ranges holds.
#[must_use]
pub fn union(ranges: impl IntoIterator<Item = ByteRange>) -> Vec<ByteRange> {
    let mut ranges: Vec<ByteRange> = ranges.into_iter().filter(|range| !range.is_empty()).collect();
    ranges.sort_unstable();
    let mut merged: Vec<ByteRange> = Vec::new();
    for range in ranges {
        let joined = merged
            .last()
            .filter(|last| range.start() <= last.end())
            .and_then(|last| ByteRange::new(last.start(), last.end().max(range.end())));
        match (joined, merged.last_mut()) {
            (Some(joined), Some(last)) => *last = joined,
            _ => merged.push(range),
        }
    }
    merged
}

/// The bytes of `ranges` that none of `holes` holds; both are sets as [`union`] makes them.
#[must_use]
pub fn without(ranges: &[ByteRange], holes: &[ByteRange]) -> Vec<ByteRange> {
    let mut left = Vec::new();
    let mut holes = holes.iter().copied().peekable();
    for range in ranges {
        let mut at = range.start();
        while let Some(hole) = holes.next_if(|hole| hole.end() <= range.end()) {
            left.extend(ByteRange::new(at, hole.start().max(at)));
            at = at.max(hole.end());
        }
        // A hole that goes on behind this range may reach into the next one.
        let end = holes.peek().map_or(range.end(), |hole| hole.start().min(range.end()));
        left.extend(ByteRange::new(at, end));
    }
    left.retain(|range| !range.is_empty());
    left
}

/// How many bytes there are.
#[must_use]
pub fn total(ranges: &[ByteRange]) -> u64 {
    ranges.iter().map(|range| range.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::{total, union, without};
    use crate::disk::range::ByteRange;

    fn random_set(random: &mut fastrand::Rng) -> (Vec<ByteRange>, Vec<bool>) {
        let mut plain = vec![false; 200];
        let ranges: Vec<ByteRange> = (0..random.usize(0..12))
            .map(|_| {
                let start = random.usize(0..200);
                let end = (start + random.usize(0..30)).min(200);
                plain[start..end].fill(true);
                ByteRange::new(start as u64, end as u64).unwrap()
            })
            .collect();
        (union(ranges), plain)
    }

    fn check(set: &[ByteRange], plain: &[bool]) {
        assert!(set.windows(2).all(|pair| pair[0].end() < pair[1].start()), "{set:?}");
        let mut got = vec![false; plain.len()];
        for range in set {
            assert!(!range.is_empty());
            got[range.start() as usize..range.end() as usize].fill(true);
        }
        assert_eq!(got, plain);
        assert_eq!(total(set), plain.iter().filter(|byte| **byte).count() as u64);
    }

    #[test]
    fn agree_with_single_bytes() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..2000 {
            let ((a, plain_a), (b, plain_b)) = (random_set(&mut random), random_set(&mut random));
            check(&a, &plain_a);
            let both: Vec<bool> = plain_a.iter().zip(&plain_b).map(|(a, b)| *a || *b).collect();
            check(&union(a.iter().chain(&b).copied()), &both);
            let left: Vec<bool> = plain_a.iter().zip(&plain_b).map(|(a, b)| *a && !*b).collect();
            check(&without(&a, &b), &left);
        }
    }
}
