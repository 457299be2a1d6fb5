//! Whether a card is as large as it claims.
//!
//! Counterfeit cards claim more than they hold. What is written past their real size is lost, or lands where
//! it overwrites what was there: the address wraps. So a stretch near the end of the card is filled with a
//! pattern that no card has seen before, in which every 32 bytes name their own offset. Then it is read back,
//! which shows a loss; and one block is read at every distance from it that is a multiple of the stretch's
//! length, one of which lies in the stretch's alias wherever the card wraps: not only at powers of two.
//!
//! The stretch lies where nothing is in use, if there is such room; otherwise what it overwrites is found to
//! differ, and written, like anything else. It is no smaller than what a card or reader may keep in memory,
//! and zeros are written after it to the head, where they belong, to push out the last of it.

use std::time::Instant;

use super::clear::Cleared;
use super::layout::Layout;
use super::medium::CardMedium;
use super::report::Tally;
use super::sample::Sampled;
use super::spans::cut;
use super::work::{Work, zeros};
use super::{ALIGN, HEAD, TAIL};
use crate::disk::range::ByteRange;
use crate::progress::Phase;
use crate::sink::error::SinkError;

/// Stretch and number of reads are in balance when the stretch is this part of the card.
const PART: u64 = 1024;

/// The shortest and the longest stretch, in bytes.
const SHORTEST: u64 = 1 << 20;
const LONGEST: u64 = 64 << 20;

/// Bytes of the pattern that name their offset: a nonce, the offset, and its complement.
const RECORD: usize = 32;

/// The card is as large as it claims, as far as could be told.
pub(super) struct Probed {
    pub(super) sampled: Sampled,
    pub(super) tally: Tally,
    pub(super) began: Instant,
}

impl<M: CardMedium> Work<'_, M> {
    /// Fills the stretch, reads it back, and looks for it elsewhere. A regular file is what it is, and a card
    /// that has no room for a stretch is soon tried as a whole.
    pub(super) fn probe(&self, cleared: Cleared) -> Result<Probed, SinkError> {
        let Cleared { sampled, tally, began } = cleared;
        if self.medium.is_device()
            && let Some(stretch) = stretch(&self.layout, self.medium.size())
        {
            let pattern = Pattern::new().map_err(SinkError::Random)?;
            self.fill(stretch, &pattern)?;
            self.check(stretch, &pattern)?;
            self.search(stretch, &pattern)?;
        }
        Ok(Probed { sampled, tally, began })
    }

    fn fill(&self, stretch: ByteRange, pattern: &Pattern) -> Result<(), SinkError> {
        let track = self.track(Phase::Probing, stretch.len());
        for piece in cut(stretch) {
            self.job.interrupt.check()?;
            let mut data = self.buffers.take(piece.len());
            pattern.fill(piece.start(), &mut data);
            self.write(piece.start(), &data)?;
            track.advance(piece.end() - stretch.start());
        }
        self.write(0, &zeros(&self.buffers, HEAD.min(self.medium.size())))?;
        self.flush()
    }

    /// A stretch that is not there was written past the end.
    fn check(&self, stretch: ByteRange, pattern: &Pattern) -> Result<(), SinkError> {
        let pieces: Vec<ByteRange> = cut(stretch).collect();
        self.read_each(&pieces, |index, back| {
            let offset = pieces[index].start();
            match pattern.first_wrong(offset, back) {
                None => Ok(()),
                Some(at) => {
                    let claims = self.medium.size();
                    Err(SinkError::Forgetful { claims, offset: offset + at as u64 })
                }
            }
        })
    }

    /// Finding the stretch elsewhere tells by how much the card wraps. From the end, so that what is found
    /// first is one turn away.
    fn search(&self, stretch: ByteRange, pattern: &Pattern) -> Result<(), SinkError> {
        let places = elsewhere(stretch, self.medium.size());
        self.read_each(&places, |index, held| match pattern.find(held) {
            None => Ok(()),
            Some((at, named)) => {
                let claims = self.medium.size();
                Err(SinkError::Wraps { claims, holds: named.abs_diff(places[index].start() + at as u64) })
            }
        })
    }
}

/// Where the pattern goes on a card of this size.
pub(super) fn stretch(layout: &Layout, size: u64) -> Option<ByteRange> {
    let len = (size / PART).next_multiple_of(SHORTEST).clamp(SHORTEST, LONGEST);
    let end = size.checked_sub(TAIL).map(|end| end - end % ALIGN)?;
    let last = end.checked_sub(len).filter(|start| *start >= HEAD)?;
    layout.last_gap(len, end).or(ByteRange::with_len(last, len))
}

/// One block at every multiple of the stretch's length from it, from the end of the card to its start; and the
/// very first, which such a multiple need not reach.
fn elsewhere(stretch: ByteRange, size: u64) -> Vec<ByteRange> {
    let step = stretch.len();
    let first = stretch.start() % step;
    let count = size.saturating_sub(first).div_ceil(step);
    let mut places: Vec<u64> = (0..count).map(|index| first + index * step).rev().collect();
    if first != 0 {
        places.push(0);
    }
    places
        .into_iter()
        .filter_map(|start| ByteRange::new(start, (start + ALIGN).min(size)))
        .filter(|place| place.intersect(stretch).is_none())
        .collect()
}

/// Bytes that no card has seen before, and that say where they were written.
struct Pattern {
    nonce: [u8; 16],
}

impl Pattern {
    fn new() -> Result<Self, getrandom::Error> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)?;
        Ok(Self { nonce })
    }

    fn record(&self, offset: u64) -> [u8; RECORD] {
        let mut record = [0; RECORD];
        record[..16].copy_from_slice(&self.nonce);
        record[16..24].copy_from_slice(&offset.to_le_bytes());
        record[24..].copy_from_slice(&(!offset).to_le_bytes());
        record
    }

    fn fill(&self, offset: u64, data: &mut [u8]) {
        for (at, record) in (offset..).step_by(RECORD).zip(data.chunks_mut(RECORD)) {
            record.copy_from_slice(&self.record(at)[..record.len()]);
        }
    }

    /// The first record that is not what was written.
    fn first_wrong(&self, offset: u64, data: &[u8]) -> Option<usize> {
        let records = (offset..).step_by(RECORD).zip(data.chunks(RECORD));
        let wrong =
            records.enumerate().find(|(_, (at, record))| *record != &self.record(*at)[..record.len()]);
        wrong.map(|(index, _)| index * RECORD)
    }

    /// The first record in `data`, wherever it begins, and the offset it names.
    fn find(&self, data: &[u8]) -> Option<(usize, u64)> {
        data.windows(RECORD).enumerate().find_map(|(at, record)| {
            let named = u64::from_le_bytes(record[16..24].try_into().ok()?);
            (record[0] == self.nonce[0] && record == self.record(named)).then_some((at, named))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, elsewhere};
    use crate::disk::range::ByteRange;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_record_is_found_wherever_it_begins_and_names_its_offset() {
        let pattern = Pattern::new().unwrap();
        let mut data = vec![0; 4096];
        pattern.fill(7 * MIB, &mut data);
        assert_eq!(pattern.first_wrong(7 * MIB, &data), None);
        assert_eq!(pattern.first_wrong(6 * MIB, &data), Some(0));
        assert_eq!(pattern.find(&data), Some((0, 7 * MIB)));
        assert_eq!(pattern.find(&data[5..]), Some((27, 7 * MIB + 32)));
        assert_eq!(Pattern::new().unwrap().find(&data), None);
        data[100] ^= 1;
        assert_eq!(pattern.first_wrong(7 * MIB, &data), Some(96));
    }

    #[test]
    fn whatever_a_card_wraps_at_one_place_looks_at_the_alias() {
        let (size, len) = (1000 * MIB, MIB);
        let stretch = ByteRange::with_len(998 * MIB, len).unwrap();
        let places = elsewhere(stretch, size);
        assert!(places.len() < 1002);
        assert!(places.iter().all(|place| place.end() <= size && place.intersect(stretch).is_none()));
        let mut random = fastrand::Rng::with_seed(2);
        for _ in 0..2000 {
            let real = random.u64(2048..(stretch.end() - MIB / 2) / 512) * 512;
            let found = places.iter().any(|place| {
                // What of the stretch lands here.
                let shift = |at: u64| (0..).map(|turn| at + turn * real).find(|at| *at >= stretch.start());
                shift(place.start()).is_some_and(|at| at + 512 <= stretch.end())
            });
            assert!(found, "{real}");
        }
    }
}
