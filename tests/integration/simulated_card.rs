//! The write engine on simulated cards, real block devices with rates and faults: the tier `card`.
//!
//! `PIBAKE_TIER=card cargo test --test integration simulated_card` as root; needs the test bed (`PIBAKE_TESTBED`,
//! `../shared/testbed` without it), nbdkit with its Python plugin, nbdfuse and losetup. Without the tier every test
//! says that it was not run.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use pibake::device::authority::Own;
use pibake::device::identity::Identity;
use pibake::device::platform::System;
use pibake::device::policy::{ConfirmedTarget, Consent, Options, assess};
use pibake::disk::range::ByteRange;
use pibake::error::ExitCode;
use pibake::interrupt::Interrupt;
use pibake::progress::{Event, Phase, Progress, Silent};
use pibake::sink::card::{CardJob, CardState, FlashError, Flashed, HEAD, ImageRanges, Mode, TAIL, flash};

use crate::card_bed::{SimulatedCard, card_tier};

const MIB: u64 = 1 << 20;

fn confirmed(path: &Path, image_size: u64) -> ConfirmedTarget {
    let info = System::host().describe(path).unwrap();
    let identity = Identity::take(&info, &Own);
    assess(&info, image_size, &Options::default()).confirm(&Consent::Yes, identity).unwrap()
}

fn write(card: &SimulatedCard, image: &Vec<u8>, ranges: ImageRanges) -> Result<Flashed, FlashError> {
    write_heard(card, image, ranges, &Silent, &Interrupt::default())
}

fn write_heard(
    card: &SimulatedCard,
    image: &Vec<u8>,
    ranges: ImageRanges,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Flashed, FlashError> {
    let job = CardJob {
        image,
        ranges,
        vouch: &|| Ok(()),
        rewrite: false,
        eject: false,
        place: &|offset| (offset >= 4 * MIB).then(|| "the root partition".to_owned()),
        subject: "card".into(),
        progress,
        interrupt,
    };
    flash(&confirmed(&card.path, image.len() as u64), &System::host(), &Own, &job)
}

fn whole(image: &[u8]) -> ImageRanges {
    ImageRanges::whole(image.len() as u64)
}

fn noise(seed: u64, len: u64) -> Vec<u8> {
    let mut noise = vec![0; usize::try_from(len).unwrap()];
    fastrand::Rng::with_seed(seed).fill(&mut noise);
    noise
}

#[test]
fn a_card_is_written_then_updated_and_little_else_moves() {
    if !card_tier() {
        return;
    }
    let mut card = SimulatedCard::new("256M", &[]);
    let image = noise(1, 48 * MIB);
    let used = ByteRange::new(8 * MIB, 40 * MIB).unwrap();
    let ranges = ImageRanges::new(48 * MIB, [used]);
    let report = write(&card, &image, ranges.clone()).unwrap().report;
    assert_eq!((report.mode(), report.written()), (Mode::Full, 33 * MIB));
    let (written, read) = card.traffic();
    // The ends twice and the probe.
    assert!((33 * MIB..=37 * MIB).contains(&written), "{written}");
    assert!(read >= written, "{read} of {written}");
    assert!(card.held(0, MIB) == image[..1 << 20]);
    assert!(card.held(8 * MIB, 32 * MIB) == image[8 << 20..40 << 20]);
    assert!(card.held(40 * MIB, 8 * MIB).iter().all(|byte| *byte == 0));

    let mut other = image;
    other[20 << 20] ^= 1;
    card.plug_in("256M", &[]);
    let report = write(&card, &other, ranges).unwrap().report;
    assert_eq!((report.mode(), report.written()), (Mode::Update, HEAD + 4096));
    let (written, _) = card.traffic();
    assert!(written <= 6 * MIB, "{written}");
    assert!(card.held(8 * MIB, 32 * MIB) == other[8 << 20..40 << 20]);
}

#[test]
fn faults_leave_a_blank_card_that_is_flashed_again() {
    if !card_tier() {
        return;
    }
    let image = noise(2, 40 * MIB);
    for (fault, words, code) in [
        ("fail_write_at=30000000", "writing the card at offset", ExitCode::Failed),
        ("fail_read_at=30000000", "reading back the card at offset", ExitCode::Failed),
        ("die_after=20000000", "the card at offset", ExitCode::Failed),
        ("flip_at=30000000", "at offset 30000000, in the root partition", ExitCode::CardMismatch),
    ] {
        let mut card = SimulatedCard::new("64M", &[fault]);
        let stale = b"EFI PART";
        card.store().write_all_at(stale, 64 * MIB - 512).unwrap();
        let Err(FlashError::Card(failure)) = write(&card, &image, whole(&image)) else { panic!("{fault}") };
        assert!(failure.error.to_string().contains(words), "{fault}: {}", failure.error);
        assert_eq!((failure.exit_code(), failure.state), (code, CardState::Blank), "{fault}");
        card.pull_out();
        assert!(card.held(0, HEAD).iter().all(|byte| *byte == 0), "{fault}");
        assert!(card.held(64 * MIB - TAIL, TAIL).iter().all(|byte| *byte == 0), "{fault}");

        card.plug_in("64M", &[]);
        let report = write(&card, &image, whole(&image)).unwrap().report;
        assert_eq!(report.mode(), Mode::Update, "{fault}");
        assert!(report.equal() > 15 * MIB, "{fault}: {}", report.equal());
        card.pull_out();
        assert!(card.held(0, 40 * MIB) == image, "{fault}");
    }
}

#[test]
fn counterfeits_are_found_before_the_long_write() {
    if !card_tier() {
        return;
    }
    let image = noise(3, 64 * MIB);
    for real in [4u64 << 30, 3 << 30, 7_948_206_080] {
        let real_size = format!("real_size={real}");
        let mut card = SimulatedCard::new("8G", &[&real_size, "write_mbps=40", "read_mbps=90"]);
        let began = Instant::now();
        let Err(FlashError::Card(failure)) = write(&card, &image, whole(&image)) else { panic!("{real}") };
        println!("a card of 8 GiB that holds {real} bytes: found in {:?}", began.elapsed());
        assert_eq!(
            failure.error.to_string(),
            format!("the card is counterfeit: it claims 8589934592 bytes and holds {real}")
        );
        assert_eq!(failure.exit_code(), ExitCode::CardMismatch);
        let (written, _) = card.traffic();
        assert!(written <= 12 * MIB, "{written}");
        assert!(card.held(0, HEAD).iter().all(|byte| *byte == 0));
    }
}

/// Flips a bit in the card's store once everything was written, underneath every cache.
struct Flipping<'a>(&'a SimulatedCard, u64);

impl Progress for Flipping<'_> {
    fn event(&self, event: Event) {
        if let Event::Start { phase: Phase::Verifying, .. } = event {
            let mut byte = [0];
            self.0.store().read_exact_at(&mut byte, self.1).unwrap();
            self.0.store().write_all_at(&[byte[0] ^ 1], self.1).unwrap();
        }
    }
}

#[test]
fn a_bit_flipped_underneath_the_page_cache_is_found_and_mended() {
    if !card_tier() {
        return;
    }
    let mut card = SimulatedCard::new("64M", &[]);
    let (image, at) = (noise(4, 32 * MIB), 17 * MIB + 77);
    let report = write_heard(&card, &image, whole(&image), &Flipping(&card, at), &Interrupt::default());
    let report = report.unwrap().report;
    assert_eq!(report.rewritten(), [ByteRange::new(17 * MIB, 18 * MIB).unwrap()]);
    card.pull_out();
    assert!(card.held(0, 32 * MIB) == image);
}

/// Asks to stop at the event of this number.
struct Stopping(Interrupt, AtomicUsize);

impl Progress for Stopping {
    fn event(&self, _event: Event) {
        if self.1.fetch_sub(1, Ordering::SeqCst) == 0 {
            self.0.request();
        }
    }
}

#[test]
fn asked_to_stop_at_any_moment_it_leaves_a_blank_card_and_the_next_flash_is_shorter() {
    if !card_tier() {
        return;
    }
    let image = noise(7, 24 * MIB);
    let mut card = SimulatedCard::new("64M", &[]);
    // Where the card held everything there are no more: nothing is read back but the head.
    for event in (0..28).step_by(3) {
        let interrupt = Interrupt::default();
        let stopping = Stopping(interrupt.clone(), AtomicUsize::new(event));
        let result = write_heard(&card, &image, whole(&image), &stopping, &interrupt);
        let Err(FlashError::Card(failure)) = result else { panic!("event {event}") };
        assert_eq!(
            (failure.exit_code(), failure.state),
            (ExitCode::Interrupted, CardState::Blank),
            "{event}"
        );
        card.pull_out();
        assert!(card.held(0, HEAD).iter().all(|byte| *byte == 0), "event {event}");
        card.plug_in("64M", &[]);
    }
    let report = write(&card, &image, whole(&image)).unwrap().report;
    assert_eq!((report.mode(), report.equal()), (Mode::Update, 23 * MIB));
    card.pull_out();
    assert!(card.held(0, 24 * MIB) == image);
}
