//! Random ranges, contents, cards and faults.

use super::fake::{FakeCard, Fault};
use super::{MIB, noise, run_job};
use crate::disk::range::ByteRange;
use crate::sink::card::layout::Layout;
use crate::sink::card::probe::stretch;
use crate::sink::card::{CardState, HEAD, ImageRanges, TAIL};

/// Bytes of the medium that a run may change: those requested, the ends and the probe's stretch.
fn touched(ranges: &ImageRanges, block: u64, size: u64) -> Vec<ByteRange> {
    let mut touched = ranges.requests(block);
    touched.extend(ByteRange::new(0, HEAD.min(size)));
    touched.extend(ByteRange::new(size.saturating_sub(TAIL), size));
    touched.extend(stretch(&Layout::new(ranges, block, size).unwrap(), size));
    touched
}

#[test]
fn whatever_the_ranges_and_faults_a_success_is_one_and_nothing_else_is_touched() {
    let mut random = fastrand::Rng::with_seed(7);
    let (mut done, mut failed) = (0, 0);
    for round in 0..120 {
        let size = random.u64(1..12) * MIB + random.u64(0..2) * 512 * 3;
        let image_size = random.u64(0..=size);
        let block = if size.is_multiple_of(4096) && random.bool() { 4096 } else { 512 };
        let image_size = image_size.min(size - size % block);
        let image = noise(round, image_size);
        let parts: Vec<ByteRange> = (0..random.usize(0..30))
            .map(|_| {
                let start = random.u64(0..=image_size);
                let most = 1 << random.u32(6..21);
                ByteRange::with_len(start, random.u64(0..most)).unwrap()
            })
            .collect();
        let ranges = ImageRanges::new(image_size, parts.clone());
        let card = FakeCard::new(size, fault(&mut random, size)).with_block(block).without_discard();
        let card = if random.bool() { card.holding(0, &image) } else { card };
        let before = card.medium();
        let result = run_job(&card, &image, ranges.clone(), random.bool());
        let (after, touched) = (card.medium(), touched(&ranges, block, size));
        let mut elsewhere = after.clone();
        for range in &touched {
            let range = range.start() as usize..range.end() as usize;
            elsewhere[range.clone()].copy_from_slice(&before[range]);
        }
        assert!(elsewhere == before, "round {round}");
        match result {
            Ok(report) => {
                done += 1;
                for part in parts.iter().map(|part| part.start()..part.end().min(image_size)) {
                    let part = part.start.min(part.end) as usize..part.end as usize;
                    assert!(after[part.clone()] == image[part]);
                }
                let head = HEAD.min(image_size) as usize;
                assert!(after[..head] == image[..head]);
                assert_eq!(report.used(), report.written() + report.equal());
                assert_eq!(report.read_back(), report.written());
            }
            Err(failure) => {
                failed += 1;
                let zero = after[..HEAD.min(size) as usize].iter().all(|byte| *byte == 0);
                assert!(failure.state != CardState::Blank || zero, "{failure:?}");
                assert!(failure.state != CardState::Untouched || before == after, "{failure:?}");
            }
        }
    }
    assert!(done > 20 && failed > 20, "{done} {failed}");
}

fn fault(random: &mut fastrand::Rng, size: u64) -> Fault {
    let (op, at) = (random.usize(0..60), random.u64(0..size));
    match random.u8(0..10) {
        0 => Fault::Once(op),
        1 => Fault::Gone(op),
        2 => Fault::Stop(op),
        3 => Fault::Flip(at),
        4 => Fault::FlipOnce(at),
        5 => Fault::Unreadable(at),
        _ => Fault::None,
    }
}
