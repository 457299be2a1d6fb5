//! What a card holds before anything is written: a few samples, read-only.

use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use super::ALIGN;
use super::job::CardJob;
use super::layout::Piece;
use super::medium::CardMedium;
use super::work::Work;
use crate::disk::block::BlockRead;
use crate::disk::range::ByteRange;
use crate::sink::error::SinkError;

/// Samples of each region.
const SAMPLES: u64 = 4;

/// Bytes of a sample.
const SAMPLE: u64 = 4 * ALIGN;

/// Samples of the image that say something are looked for until so many were found and none is on the card:
/// then it is another image's, or nobody's.
const ENOUGH: usize = 8;

/// What the card held, region by region.
pub(super) struct Sampled {
    regions: Vec<Region>,
}

/// One region's samples, and whether comparing it with the card is worthwhile, once that is known.
struct Region {
    samples: Vec<Sample>,
    alike: OnceLock<bool>,
}

/// A small part of the card.
struct Sample {
    range: ByteRange,
    /// What it held; nothing is known of one that was all one byte or that could not be read.
    sha256: Option<[u8; 32]>,
}

/// How many samples the image has anything to say about, and how many of them the card holds.
#[derive(Clone, Copy, Default)]
struct Score {
    telling: usize,
    equal: usize,
}

impl<M: CardMedium> Work<'_, M> {
    /// Reads samples of where the image will lie. What cannot be read is not held.
    pub(super) fn sample(&self) -> Result<Sampled, SinkError> {
        let mut regions = Vec::new();
        for region in 0..if self.job.rewrite { 0 } else { self.layout.regions } {
            let mut samples = Vec::new();
            for range in places(self.layout.region(region)) {
                self.job.interrupt.check()?;
                let mut held = self.buffers.take(range.len());
                let read = self.medium.read_back_at(range.start(), &mut held);
                let sha256 = (read.is_ok() && !is_plain(&held)).then(|| Sha256::digest(&*held).into());
                samples.push(Sample { range, sha256 });
            }
            regions.push(Region { samples, alike: OnceLock::new() });
        }
        Ok(Sampled { regions })
    }
}

impl Sampled {
    /// Whether the card holds anything of the image. Of the image as little is read as possible: it may not be
    /// decoded yet.
    pub(super) fn knows(&self, image: &dyn BlockRead) -> bool {
        let mut telling = 0;
        for region in self.regions.iter().filter(|region| !region.is_blank()) {
            let score = region.score(image);
            telling += score.telling;
            if score.equal > 0 || telling >= ENOUGH {
                return score.equal > 0;
            }
        }
        false
    }

    /// Whether comparing a region is likely to take less time than writing it.
    pub(super) fn is_alike(&self, region: usize, job: &CardJob<'_>) -> bool {
        let Some(region) = self.regions.get(region) else { return false };
        *region.alike.get_or_init(|| {
            let Score { telling, equal } = region.score(job.image);
            // Reading is two to three times as fast as writing, and what is written is read as well: from a
            // third on, comparing first wins. Where the image is blank, the card most likely is as well.
            equal * 3 >= telling
        })
    }
}

impl Region {
    fn is_blank(&self) -> bool {
        self.samples.iter().all(|sample| sample.sha256.is_none())
    }

    fn score(&self, image: &dyn BlockRead) -> Score {
        let mut score = Score::default();
        let mut data = [0; SAMPLE as usize];
        for sample in &self.samples {
            let data = &mut data[..sample.range.len() as usize];
            // An image that cannot be read says so where it is written.
            if image.is_hole(sample.range.start(), sample.range.len())
                || image.read_at(sample.range.start(), data).is_err()
                || is_plain(data)
            {
                continue;
            }
            score.telling += 1;
            score.equal += usize::from(sample.sha256.is_some_and(|held| held == *Sha256::digest(&*data)));
        }
        score
    }
}

/// Where samples of some pieces lie: spread evenly over their bytes.
fn places(pieces: &[Piece]) -> Vec<ByteRange> {
    let total: u64 = pieces.iter().map(|piece| piece.range.len()).sum();
    let mut places: Vec<ByteRange> = Vec::new();
    for index in 0..SAMPLES {
        let mut into = total / (2 * SAMPLES) * (2 * index + 1);
        let piece = pieces.iter().find(|piece| {
            let here = into < piece.range.len();
            into -= if here { 0 } else { piece.range.len() };
            here
        });
        let place = piece.and_then(|piece| {
            let start = piece.range.start() + into - into % ALIGN;
            ByteRange::new(start, (start + SAMPLE).min(piece.range.end()))
        });
        if places.last().copied() != place {
            places.extend(place);
        }
    }
    places
}

/// Whether all bytes are the same: what an erased or zeroed card holds, and so no sign of any image.
fn is_plain(data: &[u8]) -> bool {
    data.windows(2).all(|pair| pair[0] == pair[1])
}

#[cfg(test)]
mod tests {
    use super::{SAMPLE, is_plain, places};
    use crate::disk::range::ByteRange;
    use crate::sink::card::layout::Piece;

    fn piece(start: u64, len: u64) -> Piece {
        Piece { range: ByteRange::with_len(start, len).unwrap(), span: 0, region: 0 }
    }

    #[test]
    fn samples_lie_inside_what_is_used() {
        let mut random = fastrand::Rng::with_seed(9);
        for _ in 0..500 {
            let mut at = 0;
            let pieces: Vec<Piece> = (0..random.usize(0..40))
                .map(|_| {
                    let start = at + random.u64(1..9) * 4096;
                    let len = random.u64(1..20) * 4096 + random.u64(0..2) * 512;
                    at = (start + len).next_multiple_of(4096);
                    piece(start, len)
                })
                .collect();
            let places = places(&pieces);
            assert_eq!(places.is_empty(), pieces.is_empty());
            assert!(places.windows(2).all(|pair| pair[0].start() < pair[1].start()));
            for place in places {
                assert!(pieces.iter().any(|piece| piece.range.contains(place)));
                assert!(place.len() <= SAMPLE && !place.is_empty() && place.start() % 4096 == 0);
            }
        }
    }

    #[test]
    fn one_byte_over_and_over_says_nothing() {
        assert!(is_plain(&[]) && is_plain(&[0xff; 10]));
        assert!(!is_plain(&[0, 0, 1]));
    }
}
