//! Cards that hold some of it already.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use super::fake::{FakeCard, Fault, Op};
use super::{MIB, noise, run_job, run_ranges, run_whole};
use crate::disk::block::BlockRead;
use crate::disk::range::ByteRange;
use crate::sink::card::{HEAD, ImageRanges, Mode};
use crate::sink::error::{Mismatch, SinkError};

const CARD: u64 = 160 * MIB;
const IMAGE: u64 = 140 * MIB;

/// A card on which an image was flashed before.
fn flashed(image: &Vec<u8>) -> FakeCard {
    let card = FakeCard::new(CARD, Fault::None);
    run_whole(&card, image).unwrap();
    card.again(Fault::None)
}

fn discarded(card: &FakeCard) -> bool {
    card.ops().iter().any(|op| matches!(op, Op::Discard(..)))
}

#[test]
fn another_node_on_the_same_card_is_an_update() {
    let image = noise(1, IMAGE);
    let mut other = image.clone();
    for at in [500, 3 * MIB + 5, 70 * MIB, 70 * MIB + 50_000, IMAGE - 1] {
        other[at as usize] ^= 1;
    }
    let card = flashed(&image);
    let report = run_whole(&card, &other).unwrap();
    assert!(card.medium()[..IMAGE as usize] == other);
    assert_eq!((report.mode(), report.discarded()), (Mode::Update, false));
    assert!(!discarded(&card));
    // A block here and there, and the head.
    assert_eq!(report.written(), HEAD + 4 * 4096);
    assert_eq!(report.read_back(), report.written());
    assert_eq!(report.equal() + report.written(), report.used());
    // The receipt is the one of a full flash.
    let fresh = FakeCard::new(CARD, Fault::None);
    assert_eq!(run_whole(&fresh, &other).unwrap().digests(), report.digests());
}

#[test]
fn rewriting_is_forced() {
    let image = noise(1, IMAGE);
    let card = flashed(&image);
    let report = run_job(&card, &image, ImageRanges::whole(IMAGE), true).unwrap();
    assert_eq!((report.mode(), report.discarded()), (Mode::Full, true));
    assert_eq!((report.written(), report.equal()), (IMAGE, 0));
    assert_eq!(card.ops()[0], Op::Write(0, HEAD));
}

#[test]
fn an_interrupted_flash_is_resumed() {
    let image = noise(1, IMAGE);
    let card = FakeCard::new(CARD, Fault::Stop(4 * 3 + 9 + 160 + 100));
    run_whole(&card, &image).unwrap_err();
    let card = card.again(Fault::None);
    let report = run_whole(&card, &image).unwrap();
    assert!(card.medium()[..IMAGE as usize] == image);
    assert_eq!(report.mode(), Mode::Update);
    assert!(report.equal() >= 60 * MIB, "{}", report.equal());
    // The last region, of which nothing was reached, is not compared first.
    let compared: u64 = card.ops().iter().map(|op| if let Op::Read(_, MIB) = op { MIB } else { 0 }).sum();
    assert!(compared <= 127 * MIB + report.written() + 4 * MIB, "{compared}");
}

#[test]
fn a_foreign_or_blank_card_loses_no_time() {
    let image = noise(1, IMAGE);
    for content in [noise(2, CARD), vec![0; CARD as usize], vec![0xff; CARD as usize]] {
        let card = FakeCard::new(CARD, Fault::None).holding(0, &content);
        let report = run_whole(&card, &image).unwrap();
        assert_eq!((report.mode(), report.written(), report.discarded()), (Mode::Full, IMAGE, true));
        let writes: u64 = card.writes().iter().map(|write| write.len()).sum();
        let reads: u64 = card.ops().iter().map(|op| if let Op::Read(_, len) = op { *len } else { 0 }).sum();
        assert!(writes <= IMAGE + 5 * MIB && reads <= IMAGE + 6 * MIB, "{writes} {reads}");
    }
}

#[test]
fn a_wrong_bit_on_an_updated_card_is_found() {
    let image = noise(1, IMAGE);
    let mut other = image.clone();
    other[70 * MIB as usize + 5] ^= 1;
    let card = flashed(&image);
    let at = 70 * MIB + 4000;
    let failure = run_whole(&card.again(Fault::Flip(at)), &other).unwrap_err();
    assert!(matches!(failure.error, SinkError::Mismatch(Mismatch { offset, .. }) if offset == at));
    // One that flipped while the card lay in a drawer is a difference like any other.
    let card = flashed(&image);
    let rotten = card.medium()[at as usize] ^ 2;
    let card = card.holding(at, &[rotten]);
    let report = run_whole(&card, &image).unwrap();
    assert_eq!(report.written(), HEAD + 4096);
    assert!(card.medium()[..IMAGE as usize] == image);
}

#[test]
fn what_cannot_be_read_is_written() {
    let image = noise(1, IMAGE);
    let at = 70 * MIB + 4000;
    let failure = run_whole(&flashed(&image).again(Fault::Unreadable(at)), &image).unwrap_err();
    // It cannot be read after that either.
    assert!(
        matches!(failure.error, SinkError::Card { doing: "reading back", offset, .. } if offset == 70 * MIB)
    );
}

/// An image that is decoded while it is written: how far ahead it was read.
struct Decoding {
    image: Vec<u8>,
    furthest: AtomicU64,
}

impl BlockRead for Decoding {
    fn size(&self) -> u64 {
        self.image.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.furthest.fetch_max(offset + buf.len() as u64, Ordering::SeqCst);
        self.image.read_at(offset, buf)
    }
}

#[test]
fn a_blank_card_needs_nothing_of_the_image_beforehand_and_a_foreign_one_little() {
    for (content, most) in [(vec![0; CARD as usize], 0), (noise(2, CARD), 2 * 64 * MIB)] {
        let card = FakeCard::new(CARD, Fault::Stop(4 * 3 + 9)).holding(0, &content);
        let image = Decoding { image: noise(1, IMAGE), furthest: AtomicU64::new(0) };
        run_ranges(&card, &image, ImageRanges::whole(IMAGE)).unwrap_err();
        assert!(image.furthest.load(Ordering::SeqCst) <= most);
    }
}

#[test]
fn ranges_of_an_update_are_those_in_use() {
    let image = noise(1, IMAGE);
    let used: Vec<ByteRange> =
        (0..30).map(|at| ByteRange::with_len((2 + at * 4) * MIB, 2 * MIB + 4096).unwrap()).collect();
    let ranges = ImageRanges::new(IMAGE, used.clone());
    let card = FakeCard::new(CARD, Fault::None);
    run_ranges(&card, &image, ranges.clone()).unwrap();
    let card = card.again(Fault::None);
    let mut other = image.clone();
    other[7 * MIB as usize] ^= 1;
    other[5 * MIB as usize] ^= 1;
    let report = run_ranges(&card, &other, ranges).unwrap();
    assert_eq!(report.written(), HEAD + 4096);
    let medium = card.medium();
    assert_eq!(medium[7 * MIB as usize], other[7 * MIB as usize]);
    assert_eq!(medium[5 * MIB as usize], 0xff, "discarded by the first, not touched by the second");
}
