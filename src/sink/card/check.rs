//! A card read back against the digests of a receipt, long after it was written. Nothing is ever written.
//!
//! A receipt is a file that people can edit: no number of it is trusted before it was compared with the card.

use std::iter::once;

use sha2::{Digest, Sha256};

use super::IN_FLIGHT;
use super::buffers::Buffers;
use super::reader::CardReader;
use super::spans::{SpanDigest, cut};
use crate::disk::block::BlockRead as _;
use crate::disk::range::ByteRange;
use crate::interrupt::Interrupt;
use crate::progress::{Phase, Progress};
use crate::sink::error::SinkError;
use crate::sink::in_order::in_order;
use crate::sink::track::Track;

/// What a card is expected to hold, and who is told about it.
pub struct Expectation<'a> {
    /// The digests of a receipt, in rising order.
    pub digests: &'a [SpanDigest],
    /// Size in bytes of the card that they were made of.
    pub device_size: u64,
    /// The card's name in progress events.
    pub subject: &'a str,
    /// Hears about progress.
    pub progress: &'a dyn Progress,
    /// Looked at between any two reads.
    pub interrupt: &'a Interrupt,
}

/// What was found on a card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Bytes read and compared.
    pub bytes: u64,
    /// Spans compared.
    pub spans: usize,
    /// Those that are not what they were.
    pub differing: Vec<Differing>,
}

/// A span that holds something else than it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    /// From its first byte to its last.
    pub range: ByteRange,
    /// What of it was written, in rising order.
    pub pieces: Vec<ByteRange>,
}

/// Why a card could not be compared with a receipt.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The receipt contradicts itself.
    #[error("range {index} of the receipt is damaged: {why}")]
    Receipt {
        /// Which range, from 0.
        index: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The card is smaller than the one that was written.
    #[error("the card holds {has} bytes, and the one that was written held {had}")]
    Shrunk {
        /// Bytes of the card.
        has: u64,
        /// Bytes of the one that the receipt speaks of.
        had: u64,
    },
    /// The card could not be read, or the run was asked to stop.
    #[error(transparent)]
    Read(#[from] SinkError),
}

/// Reads everything that `expected` has a digest of from the card's medium, several requests at a time.
///
/// # Errors
/// When the digests cannot be of this card, or it cannot be read. A span that differs is no error.
pub fn check(card: &CardReader, expected: &Expectation<'_>) -> Result<Checked, CheckError> {
    let work = Work::new(expected, card.size())?;
    let mut checked = Checked { spans: work.spans.len(), ..Checked::default() };
    let total = work.pieces.iter().map(|piece| piece.len()).sum();
    let track = Track::start(expected.progress, Phase::Verifying, expected.subject, total);
    let buffers = Buffers::default();
    let (mut at, mut hasher) = (0, Sha256::new());
    in_order(
        work.pieces.len(),
        IN_FLIGHT,
        || Ok::<(), SinkError>(()),
        |(), index| {
            expected.interrupt.check()?;
            let piece = work.pieces[index];
            let around = card.around(piece);
            let mut held = buffers.take(around.len());
            card.read_medium(around.start(), &mut held).map_err(|source| SinkError::Card {
                doing: "reading back",
                offset: around.start(),
                place: None,
                source,
            })?;
            Ok((index, (piece.start() - around.start()) as usize, held))
        },
        |(index, skip, held)| {
            let len = work.pieces[index].len();
            hasher.update(&held[skip..skip + len as usize]);
            checked.bytes += len;
            track.advance(checked.bytes);
            let span = &work.spans[at];
            if index + 1 == span.end {
                if *std::mem::take(&mut hasher).finalize() != span.sha256 {
                    checked.differing.push(work.differing(at));
                }
                at += 1;
            }
            Ok(())
        },
    )?;
    Ok(checked)
}

/// The reads of a check, in rising order.
struct Work {
    pieces: Vec<ByteRange>,
    spans: Vec<Span>,
}

/// One digest.
struct Span {
    range: ByteRange,
    /// One past its last piece.
    end: usize,
    sha256: [u8; 32],
}

impl Work {
    /// Checks the digests as far as that can be done without reading. Pieces lie one behind the other within
    /// the card, so there are never more than it has room for.
    fn new(expected: &Expectation<'_>, size: u64) -> Result<Self, CheckError> {
        let mut work = Self { pieces: Vec::new(), spans: Vec::new() };
        let mut through = 0;
        for (index, digest) in expected.digests.iter().enumerate() {
            let damaged = |why| CheckError::Receipt { index, why };
            let range = ByteRange::with_len(digest.offset, digest.len)
                .filter(|range| !range.is_empty())
                .ok_or_else(|| damaged("its length cannot be"))?;
            if range.start() < through {
                return Err(damaged("it begins before the end of the one before"));
            }
            if range.end() > expected.device_size {
                return Err(damaged("it lies beyond the end of the card that was written"));
            }
            if range.end() > size {
                return Err(CheckError::Shrunk { has: size, had: expected.device_size });
            }
            let sha256 = data_encoding::HEXLOWER_PERMISSIVE.decode(digest.sha256.as_bytes()).ok();
            let sha256 = sha256.and_then(|bytes| bytes.try_into().ok());
            let sha256 = sha256.ok_or_else(|| damaged("its digest is none"))?;
            let written = between_gaps(range, digest).ok_or_else(|| damaged("its gaps cannot be"))?;
            work.pieces.extend(written.into_iter().flat_map(cut));
            work.spans.push(Span { range, end: work.pieces.len(), sha256 });
            through = range.end();
        }
        Ok(work)
    }

    fn differing(&self, at: usize) -> Differing {
        let Span { range, end, .. } = self.spans[at];
        let start = at.checked_sub(1).map_or(0, |before| self.spans[before].end);
        Differing { range, pieces: self.pieces[start..end].to_vec() }
    }
}

/// What of a span lies between its gaps, none of it empty; `None` when they do not lie in it one behind the
/// other.
fn between_gaps(range: ByteRange, digest: &SpanDigest) -> Option<Vec<ByteRange>> {
    let mut at = range.start();
    let mut written = Vec::with_capacity(digest.gaps.len() + 1);
    let gaps = digest.gaps.iter().map(|gap| ByteRange::with_len(gap.offset, gap.len));
    for gap in gaps.chain(once(ByteRange::with_len(range.end(), 0))) {
        let gap = gap.filter(|gap| gap.end() <= range.end())?;
        written.push(ByteRange::new(at, gap.start()).filter(|written| !written.is_empty())?);
        at = gap.end();
    }
    Some(written)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use sha2::{Digest, Sha256};
    use tempfile::NamedTempFile;

    use super::{CheckError, Checked, Expectation, check};
    use crate::device::authority::Own;
    use crate::device::platform::System;
    use crate::disk::range::ByteRange;
    use crate::interrupt::Interrupt;
    use crate::progress::Silent;
    use crate::sink::card::spans::spans;
    use crate::sink::card::{CardReader, Gap, SpanDigest};
    use crate::sink::error::SinkError;

    const MIB: u64 = 1 << 20;

    fn card(len: u64) -> (NamedTempFile, Vec<u8>) {
        let mut bytes = vec![0; len as usize];
        fastrand::Rng::with_seed(len).fill(&mut bytes);
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        (file, bytes)
    }

    fn flip(card: &mut NamedTempFile, bytes: &[u8], at: u64) {
        card.seek(SeekFrom::Start(at)).unwrap();
        card.write_all(&[bytes[at as usize] ^ 4]).unwrap();
    }

    fn digests(bytes: &[u8], ranges: &[(u64, u64)]) -> Vec<SpanDigest> {
        let ranges = ranges.iter().map(|(start, end)| ByteRange::new(*start, *end).unwrap()).collect();
        let digest = |span: &super::super::spans::Span| {
            let mut hasher = Sha256::new();
            for piece in &span.pieces {
                hasher.update(&bytes[piece.start() as usize..piece.end() as usize]);
            }
            span.digest(&hasher.finalize().into())
        };
        spans(ranges).iter().map(digest).collect()
    }

    fn run_on(card: &NamedTempFile, digests: &[SpanDigest], size: u64) -> Result<Checked, CheckError> {
        let info = System::host().describe(card.path()).unwrap();
        let interrupt = Interrupt::default();
        let expected = Expectation {
            digests,
            device_size: size,
            subject: "card",
            progress: &Silent,
            interrupt: &interrupt,
        };
        check(&CardReader::open(&info, &Own).unwrap(), &expected)
    }

    #[test]
    fn each_flipped_bit_is_found_in_its_span_and_none_in_a_gap() {
        // Neither the card nor the ranges are whole blocks.
        let size = 20 * MIB + 77;
        let (mut card, bytes) = card(size);
        let ranges = [(0, 3 * MIB + 5), (5 * MIB + 511, 9 * MIB), (10 * MIB, 15 * MIB), (19 * MIB, size)];
        let digests = digests(&bytes, &ranges);
        let whole = run_on(&card, &digests, size).unwrap();
        assert!(whole.differing.is_empty() && digests.len() >= 2);
        assert_eq!(whole.bytes, ranges.iter().map(|(start, end)| end - start).sum::<u64>());
        for at in [0, MIB, 3 * MIB + 4, 5 * MIB + 511, 9 * MIB - 1, 12 * MIB, size - 1] {
            flip(&mut card, &bytes, at);
            let found = run_on(&card, &digests, size).unwrap().differing;
            assert_eq!(found.len(), 1, "{at}");
            assert!(found[0].pieces.iter().any(|piece| piece.start() <= at && at < piece.end()), "{at}");
            card.seek(SeekFrom::Start(at)).unwrap();
            card.write_all(&bytes[at as usize..=at as usize]).unwrap();
        }
        for at in [3 * MIB + 5, 5 * MIB + 510, 9 * MIB, 16 * MIB] {
            flip(&mut card, &bytes, at);
        }
        assert_eq!(run_on(&card, &digests, size).unwrap(), whole);
    }

    #[test]
    fn no_number_of_a_receipt_is_trusted() {
        let size = 9 * MIB;
        let (card, bytes) = card(size);
        let good = digests(&bytes, &[(0, 4 * MIB), (5 * MIB, 9 * MIB)]);
        assert!(run_on(&card, &good, size).unwrap().differing.is_empty());
        let gap = |offset, len| vec![Gap { offset, len }];
        type Spoil = (&'static str, fn(&mut SpanDigest));
        let spoil: [Spoil; 7] = [
            ("length", |digest| digest.len = 0),
            ("length", |digest| digest.offset = u64::MAX),
            ("beyond the end", |digest| digest.len = u64::MAX / 2),
            ("begins before", |digest| digest.offset = MIB),
            ("digest", |digest| digest.sha256 = "00".to_owned()),
            ("digest", |digest| digest.sha256 = "ä".repeat(32)),
            ("digest", |digest| digest.sha256.clear()),
        ];
        for (says, spoil) in spoil {
            let mut bad = good.clone();
            spoil(&mut bad[1]);
            let error = run_on(&card, &bad, size).unwrap_err();
            assert!(matches!(error, CheckError::Receipt { index: 1, .. }), "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
        for gaps in [
            gap(5 * MIB, 1),
            gap(8 * MIB, MIB),
            gap(8 * MIB, MIB + 1),
            gap(6 * MIB, u64::MAX),
            gap(MIB, 1),
            [gap(7 * MIB, 1), gap(6 * MIB, 1)].concat(),
            [gap(6 * MIB, MIB), gap(6 * MIB, MIB)].concat(),
        ] {
            let mut bad = good.clone();
            bad[1].gaps = gaps;
            let error = run_on(&card, &bad, size).unwrap_err();
            assert!(error.to_string().contains("gaps"), "{error}");
        }
        assert!(run_on(&card, &[good.clone(), good.clone()].concat(), size).is_err());
    }

    #[test]
    fn a_card_that_is_too_small_is_told() {
        let (card, bytes) = card(5 * MIB);
        let mut digests = digests(&bytes, &[(0, 5 * MIB)]);
        digests[0].len = 6 * MIB;
        let error = run_on(&card, &digests, 6 * MIB).unwrap_err();
        assert!(matches!(error, CheckError::Shrunk { has, had } if has == 5 * MIB && had == 6 * MIB));
    }

    #[test]
    fn it_stops_when_asked_to() {
        let (card, bytes) = card(5 * MIB);
        let info = System::host().describe(card.path()).unwrap();
        let interrupt = Interrupt::default();
        interrupt.request();
        let digests = digests(&bytes, &[(0, 5 * MIB)]);
        let expected = Expectation {
            digests: &digests,
            device_size: 5 * MIB,
            subject: "card",
            progress: &Silent,
            interrupt: &interrupt,
        };
        let error = check(&CardReader::open(&info, &Own).unwrap(), &expected).unwrap_err();
        assert!(matches!(error, CheckError::Read(SinkError::Interrupted(_))), "{error}");
    }
}
