//! The writer on a card that records what is asked of it and fails on command.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

use sha2::{Digest, Sha256};

use super::writer::write_card;
use super::{CardFailure, CardJob, CardMedium, CardReport, CardState, HEAD, ImageRanges};
use crate::disk::block::BlockRead;
use crate::disk::range::ByteRange;
use crate::interrupt::Interrupt;
use crate::progress::Silent;
use crate::sink::error::{Mismatch, SinkError};

const MIB: u64 = 1 << 20;
const BLOCK: u64 = 4096;
/// One piece behind the head's span and one more, which ends inside a block.
const IMAGE: u64 = 5 * MIB + 300;
const CARD: u64 = 8 * MIB;
const OLD: u8 = 0xa5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Write(u64, u64),
    Flush,
    Read(u64, u64),
}

/// What goes wrong, and when: ops are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// This op fails, having half happened.
    Once(usize),
    /// The card drops off at this op.
    Gone(usize),
    /// The run is asked to stop during this op.
    Stop(usize),
    /// What is written to this byte has a bit flipped on the medium.
    Flip(u64),
    /// This op reads its first byte wrong, once.
    Flaky(usize),
    /// The card takes writes and keeps nothing.
    Stuck,
    /// The card has this many bytes and wraps.
    Counterfeit(u64),
}

struct FakeCard {
    medium: Vec<u8>,
    /// Writes the card has taken but not yet put on the medium: lost when the power goes.
    cache: BTreeMap<u64, Vec<u8>>,
    ops: Vec<Op>,
    fault: Fault,
    interrupt: Interrupt,
}

impl FakeCard {
    fn new(fault: Fault) -> Self {
        let medium = vec![OLD; CARD as usize];
        Self { medium, cache: BTreeMap::new(), ops: Vec::new(), fault, interrupt: Interrupt::default() }
    }

    /// Records an op; an error if it is the one to fail.
    fn begin(&mut self, op: Op) -> Result<(), io::Error> {
        let index = self.ops.len();
        self.ops.push(op);
        match self.fault {
            Fault::Once(at) if index == at => Err(io::Error::other("input/output error")),
            Fault::Gone(at) if index >= at => Err(io::Error::other("no such device")),
            Fault::Stop(at) if index == at => {
                self.interrupt.request();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn put(&mut self, offset: u64, data: &[u8]) {
        let start = offset as usize;
        match self.fault {
            Fault::Stuck => {}
            Fault::Counterfeit(real) => {
                for (at, byte) in (offset..).zip(data) {
                    self.medium[(at % real) as usize] = *byte;
                }
            }
            _ => self.medium[start..start + data.len()].copy_from_slice(data),
        }
        if let Fault::Flip(at) = self.fault
            && (offset..offset + data.len() as u64).contains(&at)
        {
            self.medium[at as usize] ^= 0x10;
        }
    }

    fn check(offset: u64, buf: &[u8]) {
        let len = buf.len() as u64;
        assert!(
            offset.is_multiple_of(BLOCK) && len.is_multiple_of(BLOCK) && len > 0,
            "{len} bytes at {offset}"
        );
        assert!(offset + len <= CARD, "{len} bytes at {offset}");
        assert_eq!(buf.as_ptr().align_offset(4096), 0);
    }

    fn head_is_zero(&self) -> bool {
        self.medium[..HEAD as usize].iter().all(|byte| *byte == 0)
    }
}

impl CardMedium for FakeCard {
    fn size(&self) -> u64 {
        CARD
    }

    fn block(&self) -> u64 {
        BLOCK
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        Self::check(offset, data);
        if let Err(error) = self.begin(Op::Write(offset, data.len() as u64)) {
            if matches!(self.fault, Fault::Once(_)) {
                self.put(offset, &data[..data.len() / 2]);
            }
            return Err(error);
        }
        self.cache.insert(offset, data.to_vec());
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.begin(Op::Flush);
        let cache = std::mem::take(&mut self.cache);
        if result.is_ok() {
            for (offset, data) in cache {
                self.put(offset, &data);
            }
        }
        result
    }

    fn read_back_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        Self::check(offset, buf);
        assert!(self.cache.is_empty(), "read back before flushing");
        let index = self.ops.len();
        self.begin(Op::Read(offset, buf.len() as u64))?;
        let start = offset as usize;
        match self.fault {
            Fault::Counterfeit(real) => {
                for (at, byte) in (offset..).zip(buf.iter_mut()) {
                    *byte = self.medium[(at % real) as usize];
                }
            }
            _ => buf.copy_from_slice(&self.medium[start..start + buf.len()]),
        }
        if self.fault == Fault::Flaky(index) {
            buf[0] ^= 1;
        }
        Ok(())
    }
}

fn image() -> Vec<u8> {
    (0..IMAGE).map(|at| (at / 512 + at % 7 + 1) as u8).collect()
}

fn run_ranges(
    card: &mut FakeCard,
    image: &dyn BlockRead,
    ranges: ImageRanges,
) -> Result<CardReport, CardFailure> {
    let interrupt = card.interrupt.clone();
    let place = |offset: u64| (offset >= 4 * MIB).then(|| "partition 2".to_owned());
    let job = CardJob {
        image,
        ranges,
        place: &place,
        subject: "card".into(),
        progress: &Silent,
        interrupt: &interrupt,
    };
    write_card(card, &job)
}

fn run(fault: Fault) -> (FakeCard, Result<CardReport, CardFailure>) {
    let mut card = FakeCard::new(fault);
    let result = run_ranges(&mut card, &image(), ImageRanges::whole(IMAGE));
    (card, result)
}

/// The ops of a run in which nothing goes wrong.
fn script() -> Vec<Op> {
    let tail = CARD - MIB;
    let rest = (IMAGE - 4 * MIB).next_multiple_of(BLOCK);
    vec![
        Op::Write(0, HEAD),
        Op::Write(tail, MIB),
        Op::Flush,
        Op::Read(0, HEAD),
        Op::Read(tail, MIB),
        Op::Write(HEAD, 3 * MIB),
        Op::Write(4 * MIB, rest),
        Op::Flush,
        Op::Read(HEAD, 3 * MIB),
        Op::Read(4 * MIB, rest),
        Op::Write(0, HEAD),
        Op::Flush,
        Op::Read(0, HEAD),
    ]
}

/// Ops before which the head still is not known to be zero, and the op that writes it for good.
const CLEARED: usize = 5;
const HEAD_STEP: usize = 10;

#[test]
fn the_order_is_ends_body_head_each_flushed_and_read_back() {
    let (card, result) = run(Fault::None);
    let report = result.unwrap();
    assert_eq!(card.ops, script());
    let image = image();
    let end = IMAGE as usize;
    assert!(card.medium[..end] == image);
    let padded = end.next_multiple_of(BLOCK as usize);
    assert!(card.medium[end..padded].iter().all(|byte| *byte == 0));
    let tail = (CARD - MIB) as usize;
    assert!(card.medium[padded..tail].iter().all(|byte| *byte == OLD));
    assert!(card.medium[tail..].iter().all(|byte| *byte == 0));

    assert_eq!(report.image_size(), IMAGE);
    assert_eq!(report.written(), padded as u64);
    let [only] = report.digests() else { panic!("{:?}", report.digests()) };
    assert_eq!((only.offset, only.len), (0, padded as u64));
    let expected = data_encoding::HEXLOWER.encode(&Sha256::digest(&card.medium[..padded]));
    assert_eq!(only.sha256, expected);
}

#[test]
fn whatever_fails_nothing_is_claimed_and_the_card_does_not_boot() {
    for op in 0..script().len() {
        for fault in [Fault::Once(op), Fault::Gone(op)] {
            let (card, result) = run(fault);
            let failure = result.expect_err(&format!("{fault:?}"));
            assert!(
                matches!(failure.error, SinkError::Card { .. } | SinkError::Flush(_)),
                "{fault:?}: {failure}"
            );
            let expected = match fault {
                _ if op < CLEARED => CardState::Unclear,
                Fault::Gone(_) if op >= HEAD_STEP => CardState::Unclear,
                _ => CardState::Blank,
            };
            assert_eq!(failure.state, expected, "{fault:?}");
            if failure.state == CardState::Blank {
                assert!(card.head_is_zero(), "{fault:?}");
            }
            let head_writes = card.ops.iter().filter(|op| matches!(op, Op::Write(0, _))).count();
            assert!(op >= HEAD_STEP || head_writes == 1, "{fault:?}: {head_writes} writes of the head");
        }
    }
}

#[test]
fn the_power_may_go_at_any_moment() {
    let image = image();
    for op in 0..script().len() {
        let (card, _) = run(Fault::Gone(op));
        // Of what the card has not put on its medium, any part may have arrived.
        let pending_head: Vec<&Vec<u8>> = card.cache.range(..HEAD).map(|(_, data)| data).collect();
        let head = &card.medium[..HEAD as usize];
        if op < HEAD_STEP {
            let whole_old = op <= 2 && head.iter().all(|byte| *byte == OLD);
            assert!(whole_old || card.head_is_zero(), "op {op}");
            assert!(pending_head.iter().all(|data| data.iter().all(|byte| *byte == 0)), "op {op}");
        } else {
            let body = HEAD as usize..IMAGE as usize;
            assert!(card.medium[body.clone()] == image[body], "op {op}");
        }
    }
}

#[test]
fn asked_to_stop_it_stops_before_the_head_or_finishes() {
    for op in 0..script().len() {
        let (card, result) = run(Fault::Stop(op));
        match result {
            // Past the last look at the flag only the head is left, which is quicker done than undone.
            Ok(_) => assert!(op >= HEAD_STEP - 1, "op {op}"),
            Err(failure) => {
                assert!(op < HEAD_STEP - 1, "op {op}");
                assert!(matches!(failure.error, SinkError::Interrupted(_)));
                assert_eq!(failure.state, CardState::Blank);
                assert!(card.head_is_zero());
                assert!(failure.to_string().contains("flash it again"));
            }
        }
    }
}

#[test]
fn asked_to_stop_beforehand_it_touches_nothing() {
    let mut card = FakeCard::new(Fault::None);
    card.interrupt.request();
    let failure = run_ranges(&mut card, &image(), ImageRanges::whole(IMAGE)).unwrap_err();
    assert_eq!(failure.state, CardState::Untouched);
    assert!(card.ops.is_empty());
}

#[test]
fn a_flipped_bit_is_found_where_it_is() {
    let padding = IMAGE + 1;
    for offset in [0, 446, 510, HEAD - 1, HEAD, HEAD + 4097, 4 * MIB - 1, 4 * MIB, IMAGE - 1, padding] {
        let (card, result) = run(Fault::Flip(offset));
        let failure = result.expect_err(&offset.to_string());
        let place = (offset >= 4 * MIB).then(|| "partition 2".to_owned());
        let SinkError::Mismatch(mismatch) = failure.error else { panic!("{offset}: {}", failure.error) };
        assert_eq!(mismatch, Mismatch { offset, flaky: false, place });
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
fn a_bit_wrong_in_the_tail_is_found() {
    let (_, result) = run(Fault::Flip(CARD - 33 * 512));
    let failure = result.unwrap_err();
    assert!(
        matches!(failure.error, SinkError::Mismatch(Mismatch { offset, .. }) if offset == CARD - 33 * 512)
    );
}

#[test]
fn a_read_that_is_wrong_once_is_no_success() {
    let (card, result) = run(Fault::Flaky(9));
    let failure = result.unwrap_err();
    assert!(matches!(&failure.error, SinkError::Mismatch(Mismatch { offset: HEAD, flaky: true, .. })));
    assert!(failure.error.to_string().contains("differently each time"), "{}", failure.error);
    assert!(card.head_is_zero());
}

#[test]
fn a_card_that_keeps_nothing_is_found_before_the_long_write() {
    let (card, result) = run(Fault::Stuck);
    let failure = result.unwrap_err();
    assert!(matches!(failure.error, SinkError::Mismatch(Mismatch { offset: 0, .. })));
    assert_eq!(card.ops.len(), 4);
    assert_eq!(failure.state, CardState::Unclear);
}

#[test]
fn a_card_smaller_than_it_says_is_found() {
    let (_, result) = run(Fault::Counterfeit(4 * MIB));
    assert!(matches!(result.unwrap_err().error, SinkError::Mismatch(_)));
}

#[test]
fn an_image_that_does_not_fit_touches_nothing() {
    let mut card = FakeCard::new(Fault::None);
    let image = vec![1; CARD as usize + 1];
    let failure = run_ranges(&mut card, &image, ImageRanges::whole(CARD + 1)).unwrap_err();
    assert!(matches!(failure.error, SinkError::TooSmall { needs, has: CARD } if needs == CARD + BLOCK));
    assert_eq!(failure.state, CardState::Untouched);
    assert!(card.ops.is_empty());
}

#[test]
fn an_image_as_big_as_the_card_leaves_no_tail() {
    let mut card = FakeCard::new(Fault::None);
    let image = vec![7; CARD as usize];
    run_ranges(&mut card, &image, ImageRanges::whole(CARD)).unwrap();
    assert!(card.medium == image);
}

#[test]
fn an_image_that_reaches_into_the_last_mib_is_not_zeroed_there() {
    let mut card = FakeCard::new(Fault::None);
    let image = vec![7; (CARD - MIB / 2) as usize];
    run_ranges(&mut card, &image, ImageRanges::whole(image.len() as u64)).unwrap();
    assert!(card.medium[..image.len()] == image);
    assert!(card.medium[image.len()..].iter().all(|byte| *byte == 0));
}

#[test]
fn zeros_of_the_image_replace_what_was_there() {
    let mut card = FakeCard::new(Fault::None);
    let image = vec![0; IMAGE as usize];
    run_ranges(&mut card, &image, ImageRanges::whole(IMAGE)).unwrap();
    assert!(card.medium[..IMAGE as usize] == image);
}

#[test]
fn an_image_shorter_than_the_head_is_written_with_it() {
    let mut card = FakeCard::new(Fault::None);
    run_ranges(&mut card, &vec![7; 1000], ImageRanges::whole(1000)).unwrap();
    assert!(card.medium[..1000].iter().all(|byte| *byte == 7));
    assert!(card.medium[1000..HEAD as usize].iter().all(|byte| *byte == 0));
}

#[test]
fn only_what_is_listed_is_written() {
    let mut card = FakeCard::new(Fault::None);
    let image = image();
    let listed = ByteRange::new(4 * MIB, 4 * MIB + 100).unwrap();
    let report = run_ranges(&mut card, &image, ImageRanges::new(IMAGE, [listed])).unwrap();
    let (start, end) = (4 * MIB as usize, 4 * MIB as usize + BLOCK as usize);
    assert!(card.medium[..HEAD as usize] == image[..HEAD as usize]);
    assert!(card.medium[HEAD as usize..start].iter().all(|byte| *byte == OLD));
    assert!(card.medium[start..end] == image[start..end]);
    assert!(card.medium[end..end + 4096].iter().all(|byte| *byte == OLD));
    assert_eq!(report.written(), HEAD + BLOCK);
    assert_eq!(report.digests()[0].gaps.len(), 1);
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
    let mut card = FakeCard::new(Fault::Flip(2 * MIB));
    let failure = run_ranges(&mut card, &Restless(AtomicU8::new(3)), ImageRanges::whole(IMAGE)).unwrap_err();
    assert!(matches!(failure.error, SinkError::ImageChanged { offset: 0, .. }), "{}", failure.error);
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
    let mut card = FakeCard::new(Fault::None);
    let image = Truncated(vec![1; 4 * MIB as usize]);
    let failure = run_ranges(&mut card, &image, ImageRanges::whole(IMAGE)).unwrap_err();
    assert!(matches!(failure.error, SinkError::Image { offset, .. } if offset == 4 * MIB));
    assert_eq!(failure.state, CardState::Blank);
    assert!(card.head_is_zero());
}
