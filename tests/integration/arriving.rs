//! Base images that are read while they are unpacked: the same bytes as ever, or an error, and never a wait
//! without an end.

use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use pibake::disk::block::BlockRead;
use pibake::interrupt::{Interrupt, Interrupted};
use pibake::progress::{Event, Phase, Progress};
use pibake::source::error::SourceError;
use pibake::source::{BaseImage, OpenImage, open, open_arriving};

use crate::sources::{Bench, MIB, content, disk_image, sha256, xz, xz_in_blocks};
use crate::tier::asked;

/// Lets as many chunks be unpacked as it is told, and passes on what happens.
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
    to: Arc<dyn Progress>,
}

#[derive(Default)]
struct State {
    permits: usize,
    passed: usize,
    open: bool,
}

impl Gate {
    fn new(bench: &Bench) -> Arc<Self> {
        let (state, changed) = Default::default();
        Arc::new(Self { state, changed, to: bench.events.clone() })
    }

    fn permit(&self) {
        self.state.lock().unwrap().permits += 1;
        self.changed.notify_all();
    }

    fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.changed.notify_all();
    }

    fn passed(&self) -> usize {
        self.state.lock().unwrap().passed
    }
}

impl Progress for Gate {
    fn event(&self, event: Event) {
        if matches!(event, Event::Advance { phase: Phase::Decoding, .. }) {
            let shut = |state: &mut State| !state.open && state.permits == 0;
            let mut state = self.changed.wait_while(self.state.lock().unwrap(), shut).unwrap();
            state.permits = state.permits.saturating_sub(1);
            state.passed += 1;
        }
        self.to.event(event);
    }
}

/// Opens `path` to be read while it arrives.
fn arriving(
    bench: &Bench,
    path: &Path,
    progress: Arc<dyn Progress>,
    interrupt: &Interrupt,
) -> Result<BaseImage, SourceError> {
    arriving_as(None, bench, path, progress, interrupt)
}

/// The same, of a file that is expected to have a digest.
fn arriving_as(
    expected_sha256: Option<[u8; 32]>,
    bench: &Bench,
    path: &Path,
    progress: Arc<dyn Progress>,
    interrupt: &Interrupt,
) -> Result<BaseImage, SourceError> {
    let (cache_dir, progress) = (&bench.cache(), &progress);
    open_arriving(&OpenImage { path, expected_sha256, cache_dir, progress, interrupt })
}

/// A file in many blocks, being unpacked no further than needed to give it out: at most half.
struct Stalled {
    // Dropped in this order, so that a test that fails ends.
    _opener: Opener,
    image: BaseImage,
    gate: Arc<Gate>,
    interrupt: Interrupt,
    path: PathBuf,
    disk: Vec<u8>,
    bench: Bench,
}

/// Opens the gate when dropped.
struct Opener(Arc<Gate>);

impl Drop for Opener {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// Size of the blocks of a [`Stalled`] image.
const BLOCK: u64 = 64 << 10;

impl Stalled {
    fn new() -> Self {
        Self::of(|_| {})
    }

    /// With something done to the packed bytes.
    fn of(damage: impl FnOnce(&mut Vec<u8>)) -> Self {
        let bench = Bench::new();
        let mut disk = disk_image();
        disk.resize(16 * MIB, 0);
        let mut packed = xz_in_blocks(&disk, BLOCK);
        damage(&mut packed);
        let path = bench.file("given.img.xz", &packed);
        let (gate, interrupt) = (Gate::new(&bench), Interrupt::default());
        let image = thread::scope(|scope| {
            let opening = scope.spawn(|| arriving(&bench, &path, gate.clone(), &interrupt).unwrap());
            while !opening.is_finished() {
                gate.permit();
                thread::sleep(Duration::from_millis(5));
            }
            opening.join().unwrap()
        });
        assert!(gate.passed() < 128, "{} of 256 blocks before it was given out", gate.passed());
        Self { _opener: Opener(Arc::clone(&gate)), image, gate, interrupt, path, disk, bench }
    }

    /// The last block is far from having arrived.
    fn last(&self) -> u64 {
        self.image.size - BLOCK
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0xa5; len];
        self.image.blocks.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }
}

/// The first cause of this kind.
fn cause<T: Error + 'static>(error: &io::Error) -> Option<&T> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[test]
fn it_is_given_out_before_it_is_there_and_ends_in_the_cache() {
    let given = Stalled::new();
    let Stalled { bench, path, disk, gate, image, .. } = &given;
    assert_eq!(image.size, disk.len() as u64);
    assert!(!image.file.exists(), "a name is for what is whole");
    image.still_same().unwrap();
    assert_eq!(given.read(0, 512).unwrap(), disk[..512]);
    assert!(!image.blocks.is_hole(given.last(), BLOCK), "nobody knows yet");
    assert!(image.blocks.read_at(image.size, &mut [0]).is_err(), "that does not have to be waited for");

    gate.open();
    image.whole().unwrap();
    assert!(content(image) == *disk);
    assert!(image.blocks.is_hole(given.last(), BLOCK));
    assert_eq!(fs::read(&image.file).unwrap(), *disk);
    assert_eq!(bench.images().len(), 2, "{:?}", bench.images());

    bench.phases();
    let again = bench.open(path).unwrap();
    assert_eq!((again.file.clone(), bench.phases()), (image.file.clone(), vec![]), "unpacked again");
    again.whole().unwrap();
    thread::sleep(Duration::from_millis(20));
    File::options().append(true).open(&image.file).unwrap().set_len(1).unwrap();
    assert!(matches!(image.whole(), Err(SourceError::Changed { .. })));
}

#[test]
fn what_is_read_comes_first() {
    let given = Stalled::new();
    let before = given.gate.passed();
    thread::scope(|scope| {
        let reader = scope.spawn(|| given.read(given.last() - 100, 200).unwrap());
        while !reader.is_finished() {
            given.gate.permit();
            thread::sleep(Duration::from_millis(5));
        }
        assert!(reader.join().unwrap() == vec![0; 200]);
    });
    // The two blocks, and what was under way already.
    assert!(given.gate.passed() < before + 64, "{before}, then {}", given.gate.passed());
    given.gate.open();
    given.image.whole().unwrap();
    assert!(content(&given.image) == given.disk);
}

#[test]
fn any_reader_reads_what_unpacking_it_whole_gives() {
    let disk = disk_image();
    let (first, second) = disk.split_at(3 * MIB + 17);
    for (seed, packed) in [
        xz_in_blocks(&disk, 10_000),
        xz_in_blocks(&disk, MIB as u64),
        xz_in_blocks(&disk, 3 * MIB as u64),
        xz_in_blocks(&disk, 3 * MIB as u64),
        [xz(first), xz_in_blocks(second, 70_001), vec![0; 8]].concat(),
        // Its first block says too little: nothing is given out before all is there.
        [xz(&disk[..100]), xz_in_blocks(&disk[100..], 500_000)].concat(),
        xz(&disk),
    ]
    .into_iter()
    .enumerate()
    {
        let bench = Bench::new();
        let path = bench.file("image", &packed);
        // Two ways to be right: its digest is the expected one, or its blocks' checks pass.
        let expected = (seed % 2 == 0).then(|| sha256(&packed));
        let image = arriving_as(expected, &bench, &path, bench.events.clone(), &Interrupt::default());
        let image = image.unwrap();
        let read = |seed: u64| {
            let mut random = fastrand::Rng::with_seed(seed);
            for _ in 0..80 {
                let at = random.usize(..disk.len());
                let len = random.usize(..=(disk.len() - at).min(200_000));
                let mut bytes = vec![0xa5; len];
                let hole = image.blocks.is_hole(at as u64, len as u64);
                image.blocks.read_at(at as u64, &mut bytes).unwrap();
                assert!(bytes == disk[at..at + len], "{len} bytes at {at}, seed {seed}");
                assert!(!hole || bytes.iter().all(|byte| *byte == 0), "{len} bytes at {at}, seed {seed}");
            }
        };
        thread::scope(|scope| {
            for reader in 0..4 {
                scope.spawn(move || read(seed as u64 * 4 + reader));
            }
        });
        image.whole().unwrap();
        assert_eq!(bench.phases().iter().filter(|phase| **phase == Phase::Decoding).count(), 1);
    }
}

#[test]
fn a_damaged_block_reaches_every_reader() {
    let mut at = 0;
    // In the random data of a block in the middle: those before it are long given out.
    let given = Stalled::of(|packed| {
        at = packed.len() / 2;
        packed[at] ^= 0x10;
    });
    thread::scope(|scope| {
        let readers = [3 * MIB as u64, 8 * MIB as u64, given.last()].map(|offset| {
            let given = &given;
            scope.spawn(move || (offset, given.read(offset, 4096)))
        });
        given.gate.open();
        let error = given.image.whole().unwrap_err();
        let SourceError::Corrupt { offset, .. } = error else { panic!("{error:?}") };
        assert!(offset >= at as u64, "{offset}");
        for reader in readers {
            // One may have been served before the damage was met.
            let (offset, Err(error)) = reader.join().unwrap() else { continue };
            let message = error.to_string();
            assert!(message.contains("given.img.xz") && message.contains(&offset.to_string()), "{message}");
            assert!(matches!(cause(&error), Some(SourceError::Corrupt { .. })), "{error:?}");
        }
    });
    assert!(given.read(0, 1).is_err(), "nothing more is given out");
    assert!(matches!(given.image.still_same(), Err(SourceError::Corrupt { .. })));
    assert_eq!(given.bench.images(), [] as [String; 0]);
}

#[test]
fn an_interrupt_ends_every_wait() {
    let given = Stalled::new();
    thread::scope(|scope| {
        let reader = scope.spawn(|| given.read(given.last(), 1));
        given.interrupt.request();
        given.gate.open();
        let error = reader.join().unwrap().unwrap_err();
        assert_ne!(error.kind(), io::ErrorKind::Interrupted, "which would be tried again for ever");
        assert!(matches!(cause(&error), Some(SourceError::Interrupted(Interrupted))), "{error:?}");
    });
    assert!(matches!(given.image.whole(), Err(SourceError::Interrupted(_))));
    assert_eq!(given.bench.images(), [] as [String; 0]);
    given.bench.open(&given.path).unwrap();
}

#[test]
fn what_nobody_reads_any_more_is_not_unpacked() {
    let given = Stalled::new();
    let blocks = Arc::clone(&given.image.blocks);
    drop(given.image);
    blocks.read_at(0, &mut [0]).unwrap();
    thread::scope(|scope| {
        // Whoever lets go last waits until everything is cleaned up.
        let dropping = scope.spawn(|| drop(blocks));
        while !dropping.is_finished() {
            given.gate.permit();
            thread::sleep(Duration::from_millis(5));
        }
    });
    assert!(given.gate.passed() < 256, "unpacked to its end");
    assert_eq!(given.bench.images(), [] as [String; 0]);
    given.bench.open(&given.path).unwrap();
}

#[test]
fn a_source_that_changes_underneath_is_found_out() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 3] = [
        ("cut short", |path| File::options().write(true).open(path).unwrap().set_len(100).unwrap()),
        ("written to", |path| {
            let mut bytes = fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("written again", |path| fs::write(path, fs::read(path).unwrap()).unwrap()),
    ];
    for (name, change) in changes {
        let given = Stalled::new();
        change(&given.path);
        given.gate.open();
        let error = given.image.whole().unwrap_err();
        assert!(matches!(error, SourceError::Changed { .. }), "{name}: {error:?}");
        assert!(given.read(given.last(), 1).is_err(), "{name}");
        assert_eq!(given.bench.images(), [] as [String; 0], "{name}");
    }
}

#[test]
fn another_one_waits_until_it_is_whole() {
    let given = Stalled::new();
    let Stalled { bench, path, gate, image, .. } = &given;
    thread::scope(|scope| {
        let other = scope.spawn(|| bench.open(path).unwrap());
        let patience = std::time::Instant::now() + Duration::from_secs(30);
        while !bench.notes().iter().any(|note| note.contains("waiting for another pibake")) {
            assert!(std::time::Instant::now() < patience, "it did not wait");
            thread::sleep(Duration::from_millis(5));
        }
        gate.open();
        assert_eq!(other.join().unwrap().file, image.file);
    });
    assert_eq!(bench.phases().iter().filter(|phase| **phase == Phase::Decoding).count(), 1);
}

#[test]
fn what_is_no_image_is_never_given_out() {
    let disk = disk_image();
    let mut html = b"<!DOCTYPE html><html>".to_vec();
    html.resize(4 * MIB, b' ');
    let bench = Bench::new();
    for (bytes, want) in [
        (html, "an HTML page"),
        (vec![0; 4 * MIB], "zeros"),
        (disk[..5 * MIB].to_vec(), "its partition table reaches to byte 6291456"),
        (xz(&disk).repeat(20), "itself packed (xz)"),
    ] {
        let path = bench.file("given", &xz_in_blocks(&bytes, 100_000));
        let error = arriving(&bench, &path, bench.events.clone(), &Interrupt::default()).unwrap_err();
        assert!(error.to_string().contains(want), "{want}: {error}");
        assert_eq!(bench.images(), [] as [String; 0], "{want}");
    }
    let path = bench.file("given", &xz_in_blocks(&disk, 100_000));
    bench.phases();
    let wrong = arriving_as(Some([0xab; 32]), &bench, &path, bench.events.clone(), &Interrupt::default());
    assert!(matches!(wrong, Err(SourceError::DigestMismatch { .. })));
    assert_eq!(bench.phases(), [Phase::Checking], "unpacked before it was checked");
}

#[test]
fn a_dead_decoder_is_told_not_waited_for() {
    struct Panicking;
    impl Progress for Panicking {
        fn event(&self, event: Event) {
            if matches!(event, Event::Advance { phase: Phase::Decoding, done, .. } if done > 100_000) {
                // As a panic does, without its message.
                std::panic::resume_unwind(Box::new("no reason"));
            }
        }
    }
    let bench = Bench::new();
    let path = bench.file("image", &xz_in_blocks(&disk_image(), 10_000));
    let (cache_dir, progress): (_, Arc<dyn Progress>) = (&bench.cache(), Arc::new(Panicking));
    let interrupt = &Interrupt::default();
    let opened =
        open(&OpenImage { path: &path, expected_sha256: None, cache_dir, progress: &progress, interrupt });
    assert!(matches!(opened, Err(SourceError::Io { doing: "unpacking", .. })), "{opened:?}");
    assert_eq!(bench.images(), [] as [String; 0]);
}

/// The tier `root`: a filesystem of its own size has to be mounted.
#[test]
fn a_full_cache_disk_reaches_the_readers() {
    use nix::mount::{MsFlags, mount, umount};
    if !asked("root", "a full disk") {
        return;
    }
    let bench = Bench::new();
    fs::create_dir(bench.cache()).unwrap();
    mount(Some("tmpfs"), &bench.cache(), Some("tmpfs"), MsFlags::empty(), Some("size=256k"))
        .expect("PIBAKE_TIER=root was asked for, but nothing can be mounted");
    let path = bench.file("given.img.xz", &xz_in_blocks(&disk_image(), 100_000));
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let image = arriving(&bench, &path, bench.events.clone(), &Interrupt::default()).unwrap();
        let mut all = vec![0; image.size as usize];
        let error = image.blocks.read_at(0, &mut all).unwrap_err();
        assert!(matches!(cause(&error), Some(SourceError::NoSpace { .. })), "{error:?}");
        drop(image);
        assert_eq!(bench.images(), [] as [String; 0]);
    }));
    umount(&bench.cache()).unwrap();
    outcome.unwrap();
}
