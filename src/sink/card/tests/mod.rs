//! The engine on a card that records what is asked of it and fails on command.

mod fake;
mod faults;
mod order;
mod probing;
mod random;
mod updates;

use fake::FakeCard;

use super::write::write_card;
use super::{CardFailure, CardJob, CardReport, ImageRanges};
use crate::disk::block::BlockRead;
use crate::progress::Silent;

const MIB: u64 = 1 << 20;

/// A job on a card; partition 2 begins at 4 MiB.
fn run_job(
    card: &FakeCard,
    image: &dyn BlockRead,
    ranges: ImageRanges,
    rewrite: bool,
) -> Result<CardReport, CardFailure> {
    write_card(card, &CardJob { rewrite, ..job(card, image, ranges) })
}

fn job<'a>(card: &'a FakeCard, image: &'a dyn BlockRead, ranges: ImageRanges) -> CardJob<'a> {
    CardJob {
        image,
        ranges,
        vouch: &|| Ok(()),
        rewrite: false,
        eject: false,
        place: &|offset| (offset >= 4 * MIB).then(|| "partition 2".to_owned()),
        subject: "card".into(),
        progress: &Silent,
        interrupt: &card.interrupt,
    }
}

fn run_ranges(
    card: &FakeCard,
    image: &dyn BlockRead,
    ranges: ImageRanges,
) -> Result<CardReport, CardFailure> {
    run_job(card, image, ranges, false)
}

fn run_whole(card: &FakeCard, image: &Vec<u8>) -> Result<CardReport, CardFailure> {
    run_ranges(card, image, ImageRanges::whole(image.len() as u64))
}

/// Bytes that look like nothing else.
fn noise(seed: u64, len: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut noise = vec![0; len as usize];
    random.fill(&mut noise);
    noise
}
