//! Cards that claim more than they hold.

use super::fake::{FakeCard, Fault, Op};
use super::{MIB, noise, run_ranges, run_whole};
use crate::disk::range::ByteRange;
use crate::error::ExitCode;
use crate::sink::card::{CardState, ImageRanges, Mode};
use crate::sink::error::SinkError;

const CARD: u64 = 64 * MIB;

#[test]
fn cards_that_wrap_are_found_whatever_they_hold() {
    let image = noise(1, 3 * MIB);
    for real in [32 * MIB, 16 * MIB, 8 * MIB, 60 * MIB, 31 * MIB, 41 * MIB + 512, 33_333_248, 4 * MIB + 12288]
    {
        let card = FakeCard::new(CARD, Fault::Wraps(real));
        let failure = run_whole(&card, &image).unwrap_err();
        let SinkError::Wraps { claims, holds } = failure.error else { panic!("{real}: {}", failure.error) };
        assert_eq!((claims, holds), (CARD, real));
        assert_eq!(failure.error.exit_code(), ExitCode::CardMismatch);
        assert_eq!(failure.state, CardState::Blank, "{real}");
        let written: u64 = card.writes().iter().map(|write| write.len()).sum();
        assert!(written <= 5 * MIB, "{real}");
    }
}

#[test]
fn cards_that_lose_what_lies_past_their_end_are_found() {
    for real in [32 * MIB, 60 * MIB, 61 * MIB + 4096, 2 * MIB] {
        let card = FakeCard::new(CARD, Fault::Loses(real));
        let failure = run_whole(&card, &noise(1, 1500)).unwrap_err();
        let found = match &failure.error {
            SinkError::Forgetful { offset, .. } => *offset >= real,
            // The last MiB was not zeroed either.
            SinkError::Mismatch(mismatch) => mismatch.offset >= CARD - MIB,
            _ => false,
        };
        assert!(found, "{real}: {}", failure.error);
    }
}

#[test]
fn the_pattern_lies_where_nothing_is_in_use_or_is_written_over() {
    let image = noise(2, CARD);
    let gap = ImageRanges::new(
        CARD,
        [ByteRange::new(0, 20 * MIB).unwrap(), ByteRange::new(22 * MIB, CARD).unwrap()],
    );
    for (ranges, stretch) in [(gap, 21 * MIB), (ImageRanges::whole(CARD), 62 * MIB)] {
        let card = FakeCard::new(CARD, Fault::None).without_discard();
        run_ranges(&card, &image, ranges.clone()).unwrap();
        let writes = card.writes();
        assert_eq!(writes[2], ByteRange::with_len(stretch, MIB).unwrap());
        // An update finds the pattern where it must not stay.
        let card = card.again(Fault::None);
        let report = run_ranges(&card, &image, ranges.clone()).unwrap();
        assert_eq!(report.mode(), Mode::Update);
        let medium = card.medium();
        for range in [(0, 20 * MIB), (22 * MIB, CARD)] {
            let range = range.0 as usize..range.1 as usize;
            assert!(medium[range.clone()] == image[range]);
        }
    }
}

#[test]
fn the_head_stays_zero_and_one_pattern_is_not_taken_for_another() {
    let image = noise(3, 3 * MIB);
    let card = FakeCard::new(CARD, Fault::Gone(60)).without_discard();
    run_whole(&card, &image).unwrap_err();
    assert!(card.head_is_zero());
    // What an earlier run left behind is not what this one looks for.
    let old = card.medium()[62 * MIB as usize..63 * MIB as usize].to_vec();
    let card = FakeCard::new(CARD, Fault::None).holding(30 * MIB, &old);
    run_whole(&card, &image).unwrap();
}

#[test]
fn a_card_without_room_is_not_probed() {
    let card = FakeCard::new(2 * MIB, Fault::None);
    run_whole(&card, &noise(4, 2 * MIB)).unwrap();
    assert!(!card.ops().iter().any(|op| matches!(op, Op::Read(_, 4096))));
}
