//! Damaged and hostile metadata: no panic, no hang, no unbounded memory. Oracle (k).

use std::io::{self, Write};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use fastrand::Rng;
use pibake::fs::FsReader;
use pibake::fs::ext4::{Ext4Editor, Ext4Reader, Keep};
use pibake::fs::metadata::{FileType, Meta};
use pibake::fs::path::FsPath;

use crate::support::check::stamp;
use crate::support::disk::fixture;
use crate::support::op::at;
use crate::support::tier::oracles;

/// A case that takes longer than this hangs: the sound fixture takes a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of one file that are read before the reader is let off.
const ENOUGH: usize = 8 << 20;
/// Names that are looked at before the walk is let off.
const MANY: usize = 3000;

/// Damages a fixture in many ways and tries everything on each.
fn survives(name: &str, hurt: impl Fn(&mut [u8], &mut Rng)) {
    let base = fixture(name);
    let cases = if oracles() { 300 } else { 25 };
    for seed in 0..cases {
        let mut rng = Rng::with_seed(seed);
        let mut bytes = base.clone();
        hurt(&mut bytes, &mut rng);
        let (done, wait) = channel();
        let worker = std::thread::spawn(move || {
            exercise(bytes);
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

/// Everything there is to do with a filesystem; errors are welcome.
fn exercise(mut bytes: Vec<u8>) {
    if let Ok(reader) = Ext4Reader::open(bytes.clone()) {
        walk(&reader);
    }
    let size = bytes.len() as u64;
    bytes.resize(bytes.len() * 2, 0);
    let Ok(mut editor) = Ext4Editor::open(&mut bytes, stamp()) else { return };
    walk(&editor);
    let _ = editor.used_ranges();
    let _ = editor.newest_mtime();
    let paths = ["/etc", "/etc/size-70000", "/etc/size-1", "/var/many", "/etc/sparse"].map(at);
    for path in &paths {
        let _ = editor.xattrs(path);
        let _ = editor.flags(path);
    }
    let meta = Meta::root(0o644);
    let content = [7; 30_000];
    let _ = editor.create(&at("/var/many/new"), meta, &mut &content[..], 30_000);
    let _ = editor.replace(&at("/etc/size-70000"), meta, &mut &content[..], 30_000, Keep::Xattrs);
    let _ = editor.replace(&at("/etc/sparse"), meta, &mut io::empty(), 0, Keep::Nothing);
    let _ = editor.make_dir(&at("/etc/new"), meta);
    let _ = editor.symlink(&"t".repeat(300), &at("/etc/new/link"), 0, 0);
    let _ = editor.set_xattr(&at("/etc/size-4095"), "user.new", &[1; 300]);
    let _ = editor.set_xattr(&at("/etc/size-1"), "user.new", b"value");
    let _ = editor.remove_xattr(&at("/etc/size-4095"), "user.large");
    let _ = editor.remove_file(&at("/etc/size-4097"));
    let _ = editor.remove_file(&at("/var/many/entry-100-in-a-directory-with-an-index"));
    let _ = editor.remove_dir(&at("/empty"));
    let _ = editor.rename(&at("/etc/size-59"), "renamed");
    let _ = editor.set_immutable(&at("/etc/size-60"), true);
    let _ = editor.grow(size * 2);
    let _ = editor.finish();
}

/// Reads whatever can be reached, up to a measure.
fn walk(reader: &dyn FsReader) {
    let mut todo = vec![FsPath::root()];
    let mut seen = 0;
    while let Some(folder) = todo.pop() {
        for entry in reader.read_dir(&folder).unwrap_or_default() {
            seen += 1;
            let path = String::from_utf8(entry.name).ok().and_then(|name| folder.join(&name).ok());
            let Some(path) = path.filter(|_| seen < MANY) else { continue };
            let _ = reader.stat(&path);
            match entry.kind {
                // Directories that contain each other would go on for ever.
                FileType::Directory if path.components().count() < 12 => todo.push(path),
                FileType::File => {
                    let _ = reader.read(&path, ENOUGH as u64);
                    let _ = reader.read_to(&path, &mut Enough(0));
                }
                FileType::Symlink => drop(reader.read_link(&path)),
                FileType::Directory | FileType::Special => {}
            }
        }
    }
}

/// Takes so much and then no more.
struct Enough(usize);

impl Write for Enough {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0 += buf.len();
        if self.0 > ENOUGH { Err(io::ErrorKind::StorageFull.into()) } else { Ok(buf.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
