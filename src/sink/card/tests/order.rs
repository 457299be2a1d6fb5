//! What is asked of a card when nothing goes wrong, in which order, and where.

use sha2::{Digest, Sha256};

use super::fake::{FakeCard, Fault, OLD, Op};
use super::{MIB, job, noise, run_job, run_ranges, run_whole};
use crate::disk::range::ByteRange;
use crate::sink::card::job::CardJob;
use crate::sink::card::write::write_card;
use crate::sink::card::{CardState, HEAD, ImageRanges, Mode, TAIL};
use crate::sink::error::SinkError;

const CARD: u64 = 24 * MIB;
/// Ends inside a block.
pub(super) const IMAGE: u64 = 5 * MIB + 300;
/// Where the probe's pattern goes.
const STRETCH: u64 = CARD - 2 * MIB;

/// The stages of a run, each an op or several in any order.
fn stages() -> Vec<Vec<Op>> {
    let tail = CARD - TAIL;
    let rest = (IMAGE - 5 * MIB).next_multiple_of(4096);
    let body: Vec<(u64, u64)> =
        (1..5).map(|at| (at * MIB, MIB)).chain(std::iter::once((5 * MIB, rest))).collect();
    let each = |op: fn(u64, u64) -> Op| body.iter().map(|(at, len)| op(*at, *len)).collect::<Vec<Op>>();
    let places = (0..24).map(|at| at * MIB).filter(|at| *at != STRETCH);
    vec![
        vec![Op::Write(0, HEAD)],
        vec![Op::Flush],
        vec![Op::Read(0, HEAD)],
        vec![Op::Write(tail, TAIL)],
        vec![Op::Flush],
        vec![Op::Read(tail, TAIL)],
        vec![Op::Write(STRETCH, MIB)],
        vec![Op::Write(0, HEAD)],
        vec![Op::Flush],
        vec![Op::Read(STRETCH, MIB)],
        places.map(|at| Op::Read(at, 4096)).collect(),
        vec![Op::Discard(HEAD, CARD - HEAD - TAIL - 4096)],
        each(Op::Write),
        vec![Op::Flush],
        each(Op::Read),
        vec![Op::Write(0, HEAD)],
        vec![Op::Flush],
        vec![Op::Read(0, HEAD)],
    ]
}

fn sorted(mut ops: Vec<Op>) -> Vec<Op> {
    ops.sort_by_key(|op| match op {
        Op::Write(at, _) | Op::Read(at, _) | Op::Discard(at, _) => *at,
        Op::Flush => 0,
    });
    ops
}

#[test]
fn the_order_is_samples_ends_probe_discard_body_head() {
    let card = FakeCard::new(CARD, Fault::None);
    let image = noise(1, IMAGE);
    let report = run_whole(&card, &image).unwrap();
    let ops = card.ops();
    let (samples, mut rest) = ops.split_at(4);
    assert!(samples.iter().all(|op| matches!(op, Op::Read(at, 16384) if *at >= HEAD && *at < IMAGE)));
    for stage in stages() {
        let (now, after) = rest.split_at(stage.len());
        assert_eq!(sorted(now.to_vec()), stage);
        rest = after;
    }
    assert_eq!(rest, []);

    let medium = card.medium();
    let end = IMAGE as usize;
    assert!(medium[..end] == image);
    let padded = end.next_multiple_of(4096);
    assert!(medium[end..padded].iter().all(|byte| *byte == 0));
    assert!(medium[(CARD - TAIL) as usize..].iter().all(|byte| *byte == 0));

    assert_eq!((report.mode(), report.discarded()), (Mode::Full, true));
    assert_eq!(report.image_size(), IMAGE);
    let padded = padded as u64;
    assert_eq!((report.used(), report.written(), report.read_back()), (padded, padded, padded));
    assert_eq!((report.equal(), report.rewritten().len()), (0, 0));
    let [only] = report.digests() else { panic!("{:?}", report.digests()) };
    assert_eq!((only.offset, only.len), (0, padded));
    let expected = data_encoding::HEXLOWER.encode(&Sha256::digest(&medium[..padded as usize]));
    assert_eq!(only.sha256, expected);
}

#[test]
fn writes_begin_in_rising_order_and_few_at_once() {
    let card = FakeCard::new(80 * MIB, Fault::None);
    run_job(&card, &noise(2, 64 * MIB), ImageRanges::whole(64 * MIB), true).unwrap();
    let body: Vec<u64> =
        card.writes().iter().map(|write| write.start() / MIB).filter(|at| (1..64).contains(at)).collect();
    assert_eq!(body.len(), 63);
    for (index, at) in body.iter().enumerate() {
        // Twelve pieces may be between reading and hashing.
        let late = body[index..].iter().filter(|later| *later < at).count();
        assert!(late <= 12, "{body:?}");
    }
}

#[test]
fn only_what_is_listed_is_written_beside_the_ends_and_the_probe() {
    let card = FakeCard::new(CARD, Fault::None).without_discard();
    let image = noise(3, IMAGE);
    let listed = ByteRange::new(4 * MIB, 4 * MIB + 100).unwrap();
    let report = run_ranges(&card, &image, ImageRanges::new(IMAGE, [listed])).unwrap();
    let medium = card.medium();
    let (start, end) = (4 * MIB as usize, 4 * MIB as usize + 4096);
    assert!(medium[..HEAD as usize] == image[..HEAD as usize]);
    assert!(medium[HEAD as usize..start].iter().all(|byte| *byte == OLD));
    assert!(medium[start..end] == image[start..end]);
    assert!(medium[end..STRETCH as usize].iter().all(|byte| *byte == OLD));
    assert_eq!((report.written(), report.discarded()), (HEAD + 4096, false));
    assert_eq!(report.digests()[0].gaps.len(), 1);
}

#[test]
fn an_image_that_does_not_fit_touches_nothing() {
    let card = FakeCard::new(CARD, Fault::None);
    let failure = run_whole(&card, &vec![1; CARD as usize + 1]).unwrap_err();
    assert!(matches!(failure.error, SinkError::TooSmall { needs, has: CARD } if needs == CARD + 4096));
    assert_eq!(failure.state, CardState::Untouched);
    assert!(card.ops().is_empty());
}

#[test]
fn images_as_big_as_the_card_and_reaching_into_its_last_mib() {
    for size in [CARD, CARD - MIB / 2, CARD - TAIL, CARD - TAIL - 512] {
        let card = FakeCard::new(CARD, Fault::None).with_block(512);
        let image = noise(size, size);
        run_whole(&card, &image).unwrap();
        let medium = card.medium();
        assert!(medium[..image.len()] == image, "{size}");
        let behind = (CARD - TAIL).max(size) as usize;
        assert!(medium[behind..].iter().all(|byte| *byte == 0), "{size}");
    }
}

#[test]
fn a_stale_table_behind_the_last_block_in_use_is_zeroed() {
    let card = FakeCard::new(CARD, Fault::None);
    let used = ByteRange::new(2 * MIB, 3 * MIB).unwrap();
    run_ranges(&card, &noise(4, CARD), ImageRanges::new(CARD, [used])).unwrap();
    assert!(card.medium()[(CARD - TAIL) as usize..].iter().all(|byte| *byte == 0));
}

#[test]
fn zeros_of_the_image_replace_what_was_there() {
    let card = FakeCard::new(CARD, Fault::None);
    let image = vec![0; IMAGE as usize];
    run_whole(&card, &image).unwrap();
    assert!(card.medium()[..IMAGE as usize] == image);
}

#[test]
fn images_and_cards_shorter_than_the_head() {
    for (size, card) in [(1000, CARD), (0, CARD), (HEAD, HEAD), (MIB / 2, MIB / 2), (3 * MIB, 3 * MIB)] {
        let card = FakeCard::new(card, Fault::None);
        let report = run_whole(&card, &vec![7; size as usize]).unwrap();
        let medium = card.medium();
        assert!(medium[..size as usize].iter().all(|byte| *byte == 7));
        let head = medium.len().min(HEAD as usize).max(size as usize);
        assert!(medium[size as usize..head].iter().all(|byte| *byte == 0));
        assert_eq!(report.used(), size.next_multiple_of(4096));
        assert_eq!(report.digests().len(), usize::from(size > 0));
    }
}

#[test]
fn cards_are_written_in_threads_of_their_own() {
    let image = noise(5, IMAGE);
    let cards: Vec<FakeCard> = (0..3).map(|_| FakeCard::new(CARD, Fault::None)).collect();
    let dying = FakeCard::new(CARD, Fault::Gone(50));
    let write = |card: &FakeCard| write_card(card, &job(card, &image, ImageRanges::whole(IMAGE))).is_ok();
    std::thread::scope(|scope| {
        let dying = scope.spawn(|| write(&dying));
        let others: Vec<_> = cards.iter().map(|card| scope.spawn(|| write(card))).collect();
        assert!(!dying.join().unwrap());
        assert!(others.into_iter().all(|other| other.join().unwrap()));
    });
    assert!(cards.iter().all(|card| card.medium()[..IMAGE as usize] == image));
}

/// What of an image is not read may be damaged all the same.
#[test]
fn an_image_that_nobody_vouches_for_makes_no_card_bootable() {
    let image = noise(6, IMAGE);
    let card = FakeCard::new(CARD, Fault::None);
    let vouch = || {
        assert!(card.medium()[HEAD as usize..IMAGE as usize] == image[HEAD as usize..], "asked too early");
        Err("damaged at its end".into())
    };
    let job = CardJob { vouch: &vouch, ..job(&card, &image, ImageRanges::whole(IMAGE)) };
    let failure = write_card(&card, &job).unwrap_err();
    assert!(matches!(failure.error, SinkError::Unsound(_)), "{failure:?}");
    assert_eq!(failure.state, CardState::Blank);
    assert!(card.medium()[..HEAD as usize].iter().all(|byte| *byte == 0));
}
