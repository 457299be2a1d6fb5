//! Damaged and hostile metadata: no panic, no hang, no unbounded memory. Oracle (k).

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use fastrand::Rng;
use pibake::fs::FsReader;
use pibake::fs::ext4::Ext4Editor;

use crate::support::check::stamp;
use crate::support::disk::fixture;
use crate::support::exercise::{exercise, walk};
use crate::support::op::at;
use crate::support::tier::oracles;

/// A case that takes longer than this hangs: the sound fixture takes a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// Damages a fixture in many ways and tries everything on each.
fn survives(name: &str, hurt: impl Fn(&mut [u8], &mut Rng)) {
    let base = fixture(name);
    let cases = if oracles() { 120 } else { 25 };
    for seed in 0..cases {
        let mut rng = Rng::with_seed(seed);
        let mut bytes = base.clone();
        hurt(&mut bytes, &mut rng);
        let (done, wait) = channel();
        let worker = std::thread::spawn(move || {
            let mut larger = bytes.clone();
            larger.resize(bytes.len() * 2, 0);
            exercise(bytes, &mut larger);
            let _ = done.send(());
        });
        match wait.recv_timeout(PATIENCE) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => panic!("{name}, seed {seed}: hangs"),
            Err(RecvTimeoutError::Disconnected) => panic!("{name}, seed {seed}: panics: {:?}", worker.join()),
        }
    }
    assert_memory_stayed_small();
}

/// The peak of this process; a length taken from the image without a check would show.
fn assert_memory_stayed_small() {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return };
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells the peak");
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(kib < 2 << 20, "{kib} KiB at the peak");
}

/// Where a fixture's metadata lies: what is not zero and not the medium's old content, first megabyte
/// above all.
fn somewhere(bytes: &[u8], rng: &mut Rng) -> usize {
    match rng.u8(..4) {
        0 => rng.usize(1024..2048),
        1 => rng.usize(2048..16_384),
        _ => rng.usize(..bytes.len() / 6),
    }
}

fn flip_bits(bytes: &mut [u8], rng: &mut Rng) {
    for _ in 0..rng.usize(1..40) {
        let at = somewhere(bytes, rng);
        bytes[at] ^= 1 << rng.u8(..8);
    }
}

/// Numbers at the edge of what fields hold.
fn plant_numbers(bytes: &mut [u8], rng: &mut Rng) {
    for _ in 0..rng.usize(1..30) {
        let at = somewhere(bytes, rng) & !3;
        let value = *rng
            .choice([0, 1, 2, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0xffff, 0x1_0000].iter())
            .expect("some");
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
}

/// Whole blocks that hold something else: noise, zeros, or another block.
fn swap_blocks(bytes: &mut [u8], rng: &mut Rng) {
    for _ in 0..rng.usize(1..6) {
        let at = somewhere(bytes, rng) & !1023;
        let from = somewhere(bytes, rng) & !1023;
        match rng.u8(..3) {
            0 => rng.fill(&mut bytes[at..at + 1024]),
            1 => bytes[at..at + 1024].fill(0),
            _ => bytes.copy_within(from..from + 1024, at),
        }
    }
}

/// The fields of the superblock, sized and aligned as they are.
fn hurt_superblock(bytes: &mut [u8], rng: &mut Rng) {
    for _ in 0..rng.usize(1..4) {
        let at = 1024 + rng.usize(..256) * 4;
        match rng.u8(..3) {
            0 => bytes[at] ^= 1 << rng.u8(..8),
            1 => bytes[at..at + 4].copy_from_slice(&rng.u32(..).to_le_bytes()),
            _ => bytes[at..at + 4].copy_from_slice(&rng.u32(..200).to_le_bytes()),
        }
    }
}

macro_rules! damage {
    ($($name:ident: $fixture:literal, $hurt:expr;)*) => {$(
        #[test]
        fn $name() {
            survives($fixture, $hurt);
        }
    )*};
}

damage! {
    plain_flipped: "ext4-plain", flip_bits;
    plain_numbers: "ext4-plain", plant_numbers;
    plain_blocks: "ext4-plain", swap_blocks;
    plain_superblock: "ext4-plain", hurt_superblock;
    uninit_flipped: "ext4-uninit", flip_bits;
    pigen_flipped: "ext4-pigen", flip_bits;
    pigen_blocks: "ext4-pigen", swap_blocks;
    fragmented_blocks: "ext4-fragmented", swap_blocks;
    blockmap_numbers: "ext4-blockmap", plant_numbers;
}

/// The walk itself is no empty exercise: on sound fixtures it reads everything without an error.
#[test]
fn the_exercise_reads_sound_fixtures() {
    for name in ["ext4-plain", "ext4-pigen"] {
        let mut bytes = fixture(name);
        let editor = Ext4Editor::open(&mut bytes, stamp()).expect("sound");
        assert!(editor.read_dir(&at("/var/many")).expect("sound").len() > 400);
        walk(&editor);
    }
}
