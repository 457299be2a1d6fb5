//! Archives written and read again, and what stops them.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::archive::{ArchiveJob, ArchiveWriter, Archived, Unreadable, WrittenArchive};
use super::bmap::{BLOCK, Bmap};
use super::digest::Sha256;
use super::error::{ArchiveError, BackupError};
use super::manifest::{About, Hole, Manifest, Origin};
use super::names::Names;
use crate::disk::block::{BlockRead, past_end};
use crate::disk::range::ByteRange;
use crate::disk::ranges;
use crate::interrupt::Interrupt;
use crate::inventory::survey::survey;
use crate::progress::{Event, Progress, Silent};
use crate::seekable::SeekableZst;

const MIB: u64 = 1 << 20;

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(start, end).unwrap()
}

/// An image of five frames and a bit, without a zero in it.
fn image() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(11);
    (0..5 * MIB + 1234).map(|_| random.u8(1..16)).collect()
}

/// What of it is in use: two frames whole, none of the third, and the odd end.
fn used() -> Vec<ByteRange> {
    vec![
        range(0, 2 * MIB),
        range(3 * MIB + 5, 3 * MIB + 6),
        range(4 * MIB - 10, 4 * MIB + 4097),
        range(5 * MIB + 1000, 5 * MIB + 1234),
    ]
}

/// The same in whole blocks.
fn in_blocks() -> Vec<ByteRange> {
    vec![
        range(0, 2 * MIB),
        range(3 * MIB, 3 * MIB + BLOCK),
        range(4 * MIB - BLOCK, 4 * MIB + 2 * BLOCK),
        range(5 * MIB, 5 * MIB + 1234),
    ]
}

fn zeroed_outside(image: &[u8], kept: &[ByteRange]) -> Vec<u8> {
    let mut zeroed = vec![0; image.len()];
    for range in kept {
        let inside = range.start() as usize..range.end() as usize;
        zeroed[inside.clone()].copy_from_slice(&image[inside]);
    }
    zeroed
}

/// A medium with bad blocks, that answers to nothing after so many reads, and that was asked for ranges.
struct Worn {
    bytes: Vec<u8>,
    bad: Vec<ByteRange>,
    lives: usize,
    asked: Mutex<Vec<ByteRange>>,
}

impl Worn {
    fn new(bad: &[ByteRange]) -> Self {
        Self { bytes: image(), bad: bad.to_vec(), lives: usize::MAX, asked: Mutex::default() }
    }
}

impl BlockRead for Worn {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let asked = ByteRange::with_len(offset, buf.len() as u64).unwrap();
        let mut log = self.asked.lock().unwrap();
        log.push(asked);
        if asked.end() > self.size() {
            return Err(past_end(offset, buf.len(), self.size()));
        }
        if log.len() > self.lives || self.bad.iter().any(|bad| bad.intersect(asked).is_some()) {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.bytes.read_at(offset, buf)
    }
}

fn begin(dir: &Path) -> ArchiveWriter {
    ArchiveWriter::create(Names::of(&dir.join("pi1.img.zst")).unwrap()).unwrap()
}

fn write(dir: &Path, image: &dyn BlockRead, unreadable: Unreadable) -> Result<WrittenArchive, ArchiveError> {
    let (used, interrupt) = (used(), Interrupt::default());
    let job = ArchiveJob {
        image,
        used: &used,
        unreadable,
        subject: "pi1",
        progress: &Silent,
        interrupt: &interrupt,
    };
    begin(dir).write(&job)
}

fn manifest(image: &Arc<dyn BlockRead>, archived: &Archived) -> Manifest {
    let hole = |hole: &ByteRange| Hole { start: hole.start(), len: hole.len(), holds: vec!["/a".to_owned()] };
    let about = About {
        name: "pi1".to_owned(),
        started: "2026-11-30T10:00:00Z".to_owned(),
        finished: "2026-11-30T10:01:00Z".to_owned(),
        source: Origin::File { path: "pi1.img".into() },
        holds: survey(image),
        notes: vec!["partition 2: its journal".to_owned()],
        holes: archived.holes.iter().map(hole).collect(),
    };
    Manifest::new(about, archived)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Everything that the three files say of an image.
fn check_files(dir: &Path, image: &[u8]) {
    assert_eq!(names(dir), ["pi1.img.bmap", "pi1.img.zst", "pi1.json"]);
    for name in names(dir) {
        assert_eq!(fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let kept = in_blocks();
    let expected = zeroed_outside(image, &kept);
    let packed = fs::read(dir.join("pi1.img.zst")).unwrap();
    assert!(zstd::decode_all(packed.as_slice()).unwrap() == expected);
    let archive = SeekableZst::open(fs::File::open(dir.join("pi1.img.zst")).unwrap()).unwrap();
    let mut tail = vec![0; 2000];
    archive.read_at(expected.len() as u64 - 2000, &mut tail).unwrap();
    assert!(tail == expected[expected.len() - 2000..]);

    let manifest = Manifest::read(&dir.join("pi1.json")).unwrap();
    assert_eq!((manifest.archive.size, manifest.archive.sha256), (packed.len() as u64, Sha256::of(&packed)));
    let frames: Vec<&[u8]> = expected.chunks(manifest.frames.size as usize).collect();
    for (frame, digest) in frames.iter().zip(&manifest.frames.sha256) {
        match digest {
            Some(digest) => assert_eq!(*digest, Sha256::of(frame)),
            None => assert!(frame.iter().all(|byte| *byte == 0)),
        }
    }
    assert_eq!(manifest.frames.sha256.len(), 6);
    assert_eq!(manifest.frames.sha256.iter().filter(|digest| digest.is_none()).count(), 1);

    let map = manifest.check_bmap(&fs::read(dir.join("pi1.img.bmap")).unwrap()).unwrap();
    let mapped = ranges::union(map.ranges.iter().map(|mapped| mapped.range));
    assert_eq!(mapped, kept);
    for mapped in &map.ranges {
        let bytes = &expected[mapped.range.start() as usize..mapped.range.end() as usize];
        assert_eq!(mapped.sha256, Sha256::of(bytes));
    }
    assert_eq!(manifest.used, ranges::total(&kept));
    assert_eq!(manifest.holes, []);
}

#[test]
fn three_files_hold_what_is_in_use_and_nothing_else_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let worn = Worn::new(&[]);
    let written = write(dir.path(), &worn, Unreadable::Fails).unwrap();
    assert!(names(dir.path()).iter().all(|name| name.ends_with(".pibake-part")));
    let image: Arc<dyn BlockRead> = Arc::new(image());
    let manifest = manifest(&image, written.archived());
    written.publish(&manifest).unwrap();
    check_files(dir.path(), &worn.bytes);
    let asked = ranges::union(worn.asked.lock().unwrap().iter().copied());
    assert_eq!(asked, in_blocks());
}

#[test]
fn what_cannot_be_read_ends_it_and_is_named_to_the_block() {
    let dir = tempfile::tempdir().unwrap();
    let bad = [range(MIB + 9 * BLOCK + 17, MIB + 12 * BLOCK), range(4 * MIB, 4 * MIB + 1)];
    let error = write(dir.path(), &Worn::new(&bad), Unreadable::Fails).map(drop).unwrap_err();
    assert!(
        matches!(&error, ArchiveError::Read { range: at, .. } if *at == range(MIB + 9 * BLOCK, MIB + 10 * BLOCK)),
        "{error}"
    );
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_rescue_leaves_out_what_is_bad_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    // One in free space, which nobody looks at.
    let bad = [
        range(MIB + 9 * BLOCK + 17, MIB + 12 * BLOCK),
        range(2 * MIB + 5, 2 * MIB + 6),
        range(4 * MIB, 4 * MIB + 1),
        range(5 * MIB + 1200, 5 * MIB + 1234),
    ];
    let holes = [
        range(MIB + 9 * BLOCK, MIB + 12 * BLOCK),
        range(4 * MIB, 4 * MIB + BLOCK),
        range(5 * MIB, 5 * MIB + 1234),
    ];
    let worn = Worn::new(&bad);
    let written = write(dir.path(), &worn, Unreadable::LeftOut).unwrap();
    assert_eq!(written.archived().holes, holes);
    let image: Arc<dyn BlockRead> = Arc::new(image());
    let manifest = manifest(&image, written.archived());
    written.publish(&manifest).unwrap();
    let kept = ranges::without(&in_blocks(), &holes);
    let packed = fs::read(dir.path().join("pi1.img.zst")).unwrap();
    assert!(zstd::decode_all(packed.as_slice()).unwrap() == zeroed_outside(&worn.bytes, &kept));
    let map = manifest.check_bmap(&fs::read(dir.path().join("pi1.img.bmap")).unwrap()).unwrap();
    assert_eq!(ranges::union(map.ranges.iter().map(|mapped| mapped.range)), kept);
    assert_eq!(manifest.frames.sha256[5], None, "nothing of the last frame could be read");
}

#[test]
fn a_rescue_of_a_card_that_was_pulled_out_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let gone = Worn { lives: 2, ..Worn::new(&[]) };
    let error = write(dir.path(), &gone, Unreadable::LeftOut).map(drop).unwrap_err();
    assert!(matches!(error, ArchiveError::Read { .. }), "{error}");
    assert!(names(dir.path()).is_empty());
}

#[test]
fn stopped_it_leaves_nothing_and_what_was_there_stays() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("pi1.json"), "before").unwrap();
    let interrupt = Interrupt::default();
    interrupt.request();
    let (used, image) = (used(), image());
    let job = ArchiveJob {
        image: &image,
        used: &used,
        unreadable: Unreadable::Fails,
        subject: "pi1",
        progress: &Silent,
        interrupt: &interrupt,
    };
    let error = begin(dir.path()).write(&job).map(drop).unwrap_err();
    assert!(matches!(error, ArchiveError::Interrupted(_)));
    assert_eq!(names(dir.path()), ["pi1.json"]);
    assert_eq!(fs::read(dir.path().join("pi1.json")).unwrap(), b"before");
}

#[test]
fn a_backup_takes_the_place_of_an_older_one() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["pi1.json", "pi1.img.zst", "pi1.img.bmap"] {
        fs::write(dir.path().join(name), "before").unwrap();
    }
    let bytes = image();
    let written = write(dir.path(), &bytes, Unreadable::Fails).unwrap();
    let image: Arc<dyn BlockRead> = Arc::new(image());
    let manifest = manifest(&image, written.archived());
    written.publish(&manifest).unwrap();
    check_files(dir.path(), &bytes);
}

#[test]
fn progress_is_told_in_used_bytes_and_stored_ones() {
    #[derive(Default)]
    struct Heard(Mutex<(u64, u64)>);
    impl Progress for Heard {
        fn event(&self, event: Event) {
            match event {
                Event::Start { total, .. } => {
                    let blocks = ranges::total(&in_blocks());
                    assert_eq!(total, Some(blocks));
                }
                Event::Advance { done, .. } => self.0.lock().unwrap().0 = done,
                Event::Stored { stored, .. } => self.0.lock().unwrap().1 = stored,
                _ => {}
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let (heard, used, image, interrupt) = (Heard::default(), used(), image(), Interrupt::default());
    let job = ArchiveJob {
        image: &image,
        used: &used,
        unreadable: Unreadable::Fails,
        subject: "pi1",
        progress: &heard,
        interrupt: &interrupt,
    };
    let written = begin(dir.path()).write(&job).unwrap();
    let (done, stored) = *heard.0.lock().unwrap();
    assert_eq!(done, ranges::total(&in_blocks()));
    assert!(stored > 0 && stored < written.archived().size);
}

#[test]
fn an_image_of_nothing_is_captured_too() {
    let dir = tempfile::tempdir().unwrap();
    let (nothing, interrupt) = (Vec::new(), Interrupt::default());
    let job = ArchiveJob {
        image: &nothing,
        used: &[],
        unreadable: Unreadable::Fails,
        subject: "nothing",
        progress: &Silent,
        interrupt: &interrupt,
    };
    let written = begin(dir.path()).write(&job).unwrap();
    let archived = written.archived();
    assert_eq!((archived.frames.len(), archived.map.mapped()), (0, 0));
    let image: Arc<dyn BlockRead> = Arc::new(nothing);
    let text = manifest(&image, archived).to_json();
    assert_eq!(Manifest::parse(text.as_bytes()).unwrap().image_size, 0);
}

/// A manifest and its bmap.
fn sound() -> (Manifest, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let written =
        write(dir.path(), &Worn::new(&[range(0, 1)]), Unreadable::LeftOut).map(|w| w.archived().clone());
    // The first block is what tells a card that is gone from one that is worn out, and it is the one that is bad.
    let archived = written.unwrap();
    let image: Arc<dyn BlockRead> = Arc::new(image());
    (manifest(&image, &archived), archived.map.to_xml().into_bytes())
}

#[test]
fn a_manifest_is_read_as_it_was_written() {
    let (manifest, bmap) = sound();
    let text = manifest.to_json();
    assert_eq!(Manifest::parse(text.as_bytes()).unwrap(), manifest);
    assert_eq!(manifest.holes[0].len, BLOCK);
    let map = manifest.check_bmap(&bmap).unwrap();
    let other = Bmap { image_size: map.image_size + 1, ..map.clone() };
    let error = manifest.check_bmap(other.to_xml().as_bytes()).unwrap_err().to_string();
    assert!(error.contains("another image"), "{error}");
    let mut swapped = map;
    swapped.ranges[0].sha256 = Sha256::of(b"other");
    let error = manifest.check_bmap(swapped.to_xml().as_bytes()).unwrap_err().to_string();
    assert!(error.contains("not the one"), "{error}");
}

#[test]
fn a_manifest_that_lies_is_refused() {
    let good = serde_json::to_value(sound().0).unwrap();
    let spoilt = |pointer: &str, value: serde_json::Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        Manifest::parse(bad.to_string().as_bytes()).unwrap_err()
    };
    for (pointer, value, says) in [
        ("/image_size", 1.into(), "bytes"),
        ("/image_size", u64::MAX.into(), "bytes"),
        ("/image_size", (-1).into(), "invalid value"),
        ("/holds/size", 5.into(), "described"),
        ("/frames/size", 0.into(), "frames of 0"),
        ("/frames/size", u64::MAX.into(), "frames of"),
        ("/frames/size", 4096.into(), "6 frames instead of"),
        ("/frames/sha256/0", "00".into(), "64 hexadecimal digits"),
        ("/used", u64::MAX.into(), "in use"),
        ("/holes/0/start", u64::MAX.into(), "a hole"),
        ("/holes/0/len", 0.into(), "a hole"),
        ("/archive/file", "../pi1.img.zst".into(), "no file's name"),
        ("/archive/file", "".into(), "no file's name"),
        ("/bmap/file", "/etc/shadow".into(), "no file's name"),
        ("/source", "card".into(), "invalid type"),
    ] {
        let error = spoilt(pointer, value);
        assert!(matches!(error, BackupError::Corrupt { .. }), "{pointer}: {error}");
        assert!(error.to_string().contains(says), "{pointer}: {error}");
    }
    for (pointer, value) in [("/version", 2.into()), ("/format", "tar".into())] {
        let error = spoilt(pointer, value);
        assert!(matches!(error, BackupError::Unsupported { .. }), "{pointer}: {error}");
    }
    let mut more = good.clone();
    more["extra"] = 1.into();
    assert!(Manifest::parse(more.to_string().as_bytes()).is_err());
    let text = good.to_string();
    for len in 0..text.len() {
        assert!(Manifest::parse(&text.as_bytes()[..len]).is_err(), "{len} bytes");
    }
    let deep = "[".repeat(100_000);
    assert!(Manifest::parse(deep.as_bytes()).is_err());
    assert!(matches!(Manifest::read(Path::new("/no/such")), Err(BackupError::Missing(_))));
}
