//! Whatever goes wrong: nothing is claimed, and the card does not boot.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

use super::fake::{FakeCard, Fault, OLD, Op};
use super::order::IMAGE;
use super::{MIB, noise, run_ranges, run_whole};
use crate::disk::block::BlockRead;
use crate::sink::card::{CardFailure, CardReport, CardState, HEAD, ImageRanges, TAIL};
use crate::sink::error::{Mismatch, SinkError};

const CARD: u64 = 8 * MIB;

fn run(fault: Fault) -> (FakeCard, Result<CardReport, CardFailure>) {
    let card = FakeCard::new(CARD, fault);
    let result = run_whole(&card, &noise(1, IMAGE));
    (card, result)
}

/// The ops of a run in which nothing goes wrong, as far as threads leave them in order.
struct Script {
    ops: Vec<Op>,
    /// The first write, the read that finds both ends zeroed, and the write of the head for good.
    first: usize,
    cleared: usize,
    head: usize,
    discard: usize,
}

fn script() -> Script {
    let (card, result) = run(Fault::None);
    result.unwrap();
    let ops = card.ops();
    let at = |op| ops.iter().position(|other| *other == op).unwrap();
    let (first, cleared) = (at(Op::Write(0, HEAD)), at(Op::Read(CARD - TAIL, TAIL)));
    let head = ops.iter().rposition(|op| *op == Op::Write(0, HEAD)).unwrap();
    let discard = at(Op::Discard(HEAD, CARD - HEAD - TAIL - 4096));
    Script { ops, first, cleared, head, discard }
}

#[test]
fn whatever_fails_nothing_is_claimed_and_the_card_does_not_boot() {
    let script = script();
    for op in script.first..script.ops.len() {
        for fault in [Fault::Once(op), Fault::Gone(op)] {
            let (card, result) = run(fault);
            if fault == Fault::Once(script.discard) {
                assert!(!result.unwrap().discarded());
                continue;
            }
            let failure = result.expect_err(&format!("{fault:?}"));
            assert!(
                matches!(failure.error, SinkError::Card { .. } | SinkError::Flush(_)),
                "{fault:?}: {failure}"
            );
            let expected = match fault {
                _ if op <= script.cleared => CardState::Unclear,
                Fault::Gone(_) if op >= script.head => CardState::Unclear,
                _ => CardState::Blank,
            };
            assert_eq!(failure.state, expected, "{fault:?}");
            if failure.state == CardState::Blank {
                assert!(card.head_is_zero(), "{fault:?}");
                let tail = (CARD - TAIL) as usize;
                assert!(card.medium()[tail..].iter().all(|byte| *byte == 0), "{fault:?}");
            }
        }
    }
}

#[test]
fn the_power_may_go_at_any_moment() {
    let (script, image) = (script(), noise(1, IMAGE));
    for op in 0..script.ops.len() {
        let (card, _) = run(Fault::Gone(op));
        let (medium, pending) = (card.medium(), card.pending());
        // Of what the card has not put on its medium, any part may have arrived.
        let mut pending_head = pending.range(..HEAD).map(|(_, data)| data);
        let head = &medium[..HEAD as usize];
        if op < script.head {
            let untouched = op <= script.first + 1 && head.iter().all(|byte| *byte == OLD);
            assert!(untouched || card.head_is_zero(), "op {op}");
            assert!(pending_head.all(|data| data.iter().all(|byte| *byte == 0)), "op {op}");
        } else {
            let body = HEAD as usize..IMAGE as usize;
            assert!(medium[body.clone()] == image[body], "op {op}");
        }
    }
}

#[test]
fn asked_to_stop_it_stops_before_the_head_or_finishes() {
    let script = script();
    for op in 0..script.ops.len() {
        let (card, result) = run(Fault::Stop(op));
        match result {
            // Past the last look at the flag only the head is left, which is quicker done than undone.
            Ok(_) => assert!(op >= script.head, "op {op}"),
            Err(failure) => {
                assert!(op < script.head, "op {op}");
                assert!(matches!(failure.error, SinkError::Interrupted(_)));
                if op < script.first {
                    assert_eq!(failure.state, CardState::Untouched);
                    assert!(card.writes().is_empty());
                } else {
                    assert_eq!(failure.state, CardState::Blank);
                    assert!(card.head_is_zero());
                    assert!(failure.to_string().contains("flash it again"));
                }
            }
        }
    }
}

#[test]
fn asked_to_stop_beforehand_it_touches_nothing() {
    let card = FakeCard::new(CARD, Fault::None);
    card.interrupt.request();
    let failure = run_whole(&card, &noise(1, IMAGE)).unwrap_err();
    assert_eq!(failure.state, CardState::Untouched);
    assert!(card.ops().is_empty());
}

#[test]
fn a_bit_that_flips_each_time_is_found_where_it_is() {
    let padding = IMAGE + 1;
    for offset in [0, 446, 510, HEAD - 1, HEAD, HEAD + 4097, 4 * MIB - 1, 4 * MIB, IMAGE - 1, padding] {
        let (card, result) = run(Fault::Flip(offset));
        let failure = result.expect_err(&offset.to_string());
        let place = (offset >= 4 * MIB).then(|| "partition 2".to_owned());
        let SinkError::Mismatch(mismatch) = failure.error else { panic!("{offset}: {}", failure.error) };
        assert_eq!(mismatch, Mismatch { offset, place });
        if offset >= HEAD {
            assert_eq!(failure.state, CardState::Blank);
            assert!(card.head_is_zero());
        } else {
            // Zeros do not hold on that byte either.
            assert_eq!(failure.state, CardState::Unclear);
        }
    }
}

#[test]
fn a_bit_that_flips_once_is_mended_and_told() {
    for offset in [0, HEAD + 4097, IMAGE - 1, CARD - 5] {
        let (card, result) = run(Fault::FlipOnce(offset));
        let report = result.unwrap();
        assert!(card.medium()[..IMAGE as usize] == noise(1, IMAGE));
        let [only] = report.rewritten() else { panic!("{offset}: {:?}", report.rewritten()) };
        assert!(only.start() <= offset && offset < only.end());
        assert!(only.len() <= MIB);
    }
}

#[test]
fn what_reads_back_wrong_once_is_written_again() {
    let (card, result) = run(Fault::Misread(2 * MIB));
    let report = result.unwrap();
    assert!(!report.rewritten().is_empty());
    let writes = card.writes().into_iter().filter(|write| write.start() == 2 * MIB).count();
    assert_eq!(writes, 2);
}

#[test]
fn a_bit_wrong_in_the_tail_is_found() {
    let offset = CARD - 33 * 512;
    let failure = run(Fault::Flip(offset)).1.unwrap_err();
    assert!(matches!(failure.error, SinkError::Mismatch(Mismatch { offset: at, .. }) if at == offset));
}

#[test]
fn what_cannot_be_read_back_fails_the_card() {
    let (card, result) = run(Fault::Unreadable(3 * MIB + 7));
    let failure = result.unwrap_err();
    assert!(
        matches!(failure.error, SinkError::Card { doing: "reading back", offset, .. } if offset == 3 * MIB)
    );
    assert_eq!(failure.state, CardState::Blank);
    assert!(card.head_is_zero());
}

#[test]
fn a_card_that_keeps_nothing_is_found_before_the_long_write() {
    let (card, result) = run(Fault::Stuck);
    let failure = result.unwrap_err();
    assert!(matches!(failure.error, SinkError::Mismatch(Mismatch { offset: 0, .. })));
    assert!(card.writes().iter().all(|write| write.start() == 0));
    assert_eq!(failure.state, CardState::Unclear);
}

/// An image that is another one each time the middle of it is read.
struct Restless(AtomicU8);

impl BlockRead for Restless {
    fn size(&self) -> u64 {
        IMAGE
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        buf.fill(if offset == HEAD { self.0.fetch_add(1, Ordering::Relaxed) } else { 1 });
        Ok(())
    }
}

#[test]
fn an_image_that_changes_meanwhile_is_not_blamed_on_the_card() {
    let card = FakeCard::new(CARD, Fault::Flip(2 * MIB));
    let image = Restless(AtomicU8::new(3));
    let failure = run_ranges(&card, &image, ImageRanges::whole(IMAGE)).unwrap_err();
    assert!(matches!(failure.error, SinkError::ImageChanged { offset: HEAD, .. }), "{}", failure.error);
    assert_eq!(failure.state, CardState::Blank);
}

/// An image whose file is cut short while it is being written.
struct Truncated(Vec<u8>);

impl BlockRead for Truncated {
    fn size(&self) -> u64 {
        IMAGE
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buf)
    }
}

#[test]
fn an_image_that_cannot_be_read_leaves_a_blank_card() {
    let card = FakeCard::new(CARD, Fault::None);
    let image = Truncated(vec![1; 4 * MIB as usize]);
    let failure = run_ranges(&card, &image, ImageRanges::whole(IMAGE)).unwrap_err();
    assert!(matches!(failure.error, SinkError::Image { offset, .. } if offset == 4 * MIB));
    assert_eq!(failure.state, CardState::Blank);
    assert!(card.head_is_zero());
}
