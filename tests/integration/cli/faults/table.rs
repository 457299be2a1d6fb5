//! A card, an order to write it, and what must be true after it ended in whatever way.

use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pibake::disk::range::ByteRange;
use pibake::sink::card::{HEAD, TAIL};
use pibake::usage::used::used;
use serde_json::Value;

use super::super::desk::{Desk, Ran, cluster, tree};
use super::steps::{Step, steps};
use crate::card_bed::{Hold, SimulatedCard};

pub(super) const SIZE: u64 = 128 << 20;
const BLOCK: usize = 4096;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// A node: `pibake flash`.
    Flash,
    /// The file that the same node was baked into: `pibake restore`.
    Restore,
}

/// When the run is stopped.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    /// While the card has this request before it.
    At(Hold),
    /// So long after it began.
    After(Duration),
}

/// What is on the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// What was there before, to the last byte.
    Before,
    /// Nothing that could boot: the first MiB is zero.
    Blank,
    /// All of the image.
    Whole,
}

/// How a run ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) out: String,
    pub(super) err: String,
}

/// What the next run had left to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Again {
    /// Bytes of the image that say something, and how many of them the card held before.
    pub(super) telling: u64,
    pub(super) kept: u64,
    pub(super) used: u64,
    pub(super) written: u64,
    pub(super) equal: u64,
}

/// A simulated card that held something else, and a node with 16 MiB of noise.
pub(super) struct Table {
    pub(super) desk: Desk,
    pub(super) card: SimulatedCard,
    order: Order,
    image: Vec<u8>,
    in_use: Vec<ByteRange>,
    old: Vec<u8>,
    receipts: Cell<usize>,
}

impl Table {
    pub(super) fn new(order: Order, options: &[&str]) -> Self {
        let desk = Desk::bare();
        let overlay = "[[overlay]]\nname = \"ballast\"\n";
        desk.write("pibake.toml", cluster("lab", overlay, &["pi1"]));
        desk.write("overlays/ballast/overlay.toml", "description = \"noise\"\n");
        desk.write("overlays/ballast/root/opt/ballast", noise(1, 16 << 20));
        desk.run(&["bake", "--all", "-y"]).ends(0);
        let image = fs::read(desk.path("pi1.img")).unwrap();
        let in_use = used(&image, &[]).unwrap().ranges;
        let old = other_card(&desk);
        let card = SimulatedCard::with_door("128M", options);
        let table = Self { desk, card, order, image, in_use, old, receipts: Cell::new(0) };
        table.put_back();
        table
    }

    /// Gives the card the content that it had in the beginning: a GUID partition table, with its copy at the
    /// end, and noise.
    pub(super) fn put_back(&self) {
        let store = self.card.store();
        store.set_len(0).unwrap();
        store.set_len(SIZE).unwrap();
        let zeros = vec![0; 1 << 16];
        for (at, chunk) in self.old.chunks(zeros.len()).enumerate().filter(|(_, chunk)| **chunk != zeros) {
            store.write_all_at(chunk, (at * zeros.len()) as u64).unwrap();
        }
        self.forget();
    }

    /// Spoils a part of what the card holds.
    pub(super) fn spoil(&self, offset: u64, len: u64) {
        self.card.store().write_all_at(&noise(offset, len), offset).unwrap();
        self.forget();
    }

    /// The kernel may know what the card held.
    fn forget(&self) {
        assert!(Command::new("blockdev").arg("--flushbufs").arg(&self.card.path).status().unwrap().success());
    }

    /// The order's words.
    pub(super) fn args(&self) -> Vec<&str> {
        let device = self.card.path.to_str().unwrap();
        match self.order {
            Order::Flash => vec!["flash", "--node", "pi1", device, "-y", "--json"],
            Order::Restore => vec!["restore", "pi1.img", device, "-y", "--json"],
        }
    }

    pub(super) fn start(&self) -> Child {
        let mut command = self.desk.command(&self.args());
        command.stdout(File::create(self.desk.top().join("out")).unwrap());
        command.stderr(File::create(self.desk.top().join("err")).unwrap());
        command.spawn().unwrap()
    }

    pub(super) fn ended(&self, mut child: Child) -> Ended {
        let status = child.wait().unwrap();
        let said = |name| fs::read_to_string(self.desk.top().join(name)).unwrap();
        Ended { status, out: said("out"), err: said("err") }
    }

    /// Runs the order with the card at a request, does something then, and lets it go on.
    pub(super) fn at_request(&self, hold: Hold, act: impl FnOnce(&Child)) -> Ended {
        let door = self.card.door();
        door.hold(Some(hold));
        let mut child = self.start();
        while !door.is_held() && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        // What comes after the last step may be less than was asked for.
        assert!(hold.after > 0 || door.is_held(), "it never came to {hold:?}");
        act(&child);
        door.let_go();
        self.ended(child)
    }

    /// Runs the order and stops it.
    pub(super) fn stop(&self, when: When, signal: Signal) -> Ended {
        // One that has ended already cannot be told, and that is seen by its status.
        let tell = |child: &Child| {
            let _ = kill(Pid::from_raw(child.id().try_into().unwrap()), signal);
        };
        match when {
            When::At(hold) => self.at_request(hold, tell),
            When::After(moment) => {
                let child = self.start();
                thread::sleep(moment);
                tell(&child);
                self.ended(child)
            }
        }
    }

    pub(super) fn content(&self) -> Vec<u8> {
        self.card.held(0, SIZE)
    }

    /// What the card holds, which must be one of three things.
    #[track_caller]
    pub(super) fn held(&self, before: &[u8], what: &str) -> Held {
        let content = self.content();
        let is_whole = self.in_use.iter().all(|range| {
            let range = usize::try_from(range.start()).unwrap()..usize::try_from(range.end()).unwrap();
            content[range.clone()] == self.image[range]
        });
        if is_whole {
            Held::Whole
        } else if content == before {
            Held::Before
        } else {
            let head = &content[..HEAD as usize];
            assert!(head.iter().all(|byte| *byte == 0), "{what}: a card that is not whole could boot");
            Held::Blank
        }
    }

    /// What must be true of a run that was stopped, whenever.
    #[track_caller]
    pub(super) fn judge(&self, ended: &Ended, before: &[u8], signal: Signal, what: &str) -> Held {
        let held = self.held(before, what);
        let Ended { status, out, err } = ended;
        let said = format!("{what}: {status}, the card is {held:?}\n{out}\n{err}");
        match (status.code(), status.signal()) {
            (Some(0), None) => assert!(held == Held::Whole && is_receipt(out), "{said}"),
            (Some(130), None) => {
                assert!(signal == Signal::SIGINT && held != Held::Whole && out.is_empty(), "{said}");
                let state = match held {
                    Held::Blank => "the card has no partition table and does not boot: flash it again",
                    _ => "",
                };
                assert!(err.contains("interrupted") && err.contains(state), "{said}");
                assert!(held == Held::Before || !err.contains("nothing was written"), "{said}");
                assert!(!err.contains("bug report") && !err.contains("download the image again"), "{said}");
            }
            (None, Some(9)) => {
                assert!(signal == Signal::SIGKILL && (out.is_empty() || held == Held::Whole), "{said}");
            }
            _ => panic!("{said}"),
        }
        self.judge_receipts(ended, held, &said);
        self.judge_looks(held, &said);
        held
    }

    /// There is no receipt of a card that is not whole, and one of each that was called so.
    #[track_caller]
    pub(super) fn judge_receipts(&self, ended: &Ended, held: Held, said: &str) {
        let names = tree(&self.desk.path(""));
        let count =
            names.keys().filter(|name| name.contains("receipts/pi1/") && name.ends_with(".json")).count();
        let more = count - self.receipts.replace(count);
        let most = usize::from(self.order == Order::Flash && held == Held::Whole);
        let least = if ended.status.success() { most } else { 0 };
        assert!((least..=most).contains(&more), "{more} receipts\n{said}");
    }

    /// What this program and another one see on the card.
    #[track_caller]
    pub(super) fn judge_looks(&self, held: Held, said: &str) {
        let device = self.card.path.to_str().unwrap();
        let seen = self.desk.run(&["inspect", device, "--json"]).ends(0).json();
        assert_eq!(seen["interrupted_flash"], held == Held::Blank, "{said}\n{seen:#}");
        let table = Command::new("sfdisk").args(["--dump", device]).output().unwrap();
        assert_eq!(table.status.success(), held != Held::Blank, "a table on a blank card\n{said}");
    }

    /// Runs the order to its end, which must bring all of it, and tells what was left to do.
    #[track_caller]
    pub(super) fn again(&self, what: &str) -> Again {
        let (kept, telling) = self.kept();
        let ended = self.ended(self.start());
        assert!(ended.status.success(), "{what}: the next run failed\n{}", ended.err);
        let receipt: Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!(receipt["verified"], true);
        assert_eq!(self.held(&[], what), Held::Whole, "{what}");
        self.judge_receipts(&ended, Held::Whole, what);
        self.judge_looks(Held::Whole, what);
        let tail = self.card.held(SIZE - TAIL, TAIL);
        assert!(tail.iter().all(|byte| *byte == 0), "{what}: an old table at the end came back to life");
        let number = |name: &str| receipt[name].as_u64().unwrap();
        let (used, written, equal) = (number("used"), number("written"), number("equal"));
        assert_eq!(written + equal, used, "{what}");
        // Sampling can only be sure where most is there.
        if kept * 10 > telling * 6 {
            assert!(written + kept <= used + HEAD, "{what}: {written} written of {used}, {kept} were there");
        }
        Again { telling, kept, used, written, equal }
    }

    /// Bytes of the image that the card holds already, of those that say something.
    fn kept(&self) -> (u64, u64) {
        let content = self.content();
        let (mut kept, mut telling) = (0, 0);
        let blocks = self.image.chunks(BLOCK).zip(content.chunks(BLOCK));
        for (image, card) in blocks.skip(HEAD as usize / BLOCK) {
            // Not one byte over and over.
            if image[1..] != image[..image.len() - 1] {
                telling += image.len() as u64;
                kept += if image == card { image.len() as u64 } else { 0 };
            }
        }
        (kept, telling)
    }

    /// The steps of the order, on a card that holds something else.
    pub(super) fn steps(&self) -> Vec<Step> {
        self.put_back();
        self.card.door().hold(None);
        self.takes();
        steps(&self.card.door().requests(), SIZE)
    }

    /// How long the order takes when nobody stops it.
    pub(super) fn takes(&self) -> Duration {
        let began = Instant::now();
        let ended = self.ended(self.start());
        assert!(ended.status.success(), "{}", ended.err);
        self.judge_receipts(&ended, Held::Whole, "nobody stops it");
        began.elapsed()
    }
}

fn is_receipt(out: &str) -> bool {
    serde_json::from_str::<Value>(out).is_ok_and(|receipt| receipt["verified"] == true)
}

pub(super) fn noise(seed: u64, len: u64) -> Vec<u8> {
    let mut noise = vec![0; usize::try_from(len).unwrap()];
    fastrand::Rng::with_seed(seed).fill(&mut noise);
    noise
}

/// A card with a GUID partition table and noise in its first half.
fn other_card(desk: &Desk) -> Vec<u8> {
    let path = desk.card("old", SIZE >> 20);
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&noise(2, SIZE / 2 - (1 << 20)), 1 << 20).unwrap();
    let script = format!("echo 'label: gpt\n,48M\n,,' | sfdisk --quiet --wipe never {}", path.display());
    let made = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let old = fs::read(&path).unwrap();
    assert!(old[old.len() - 512..].starts_with(b"EFI PART"));
    fs::remove_file(path).unwrap();
    old
}

/// A run that ended by itself, as the tests of other modules see it.
impl From<Ended> for Ran {
    fn from(ended: Ended) -> Self {
        Self { status: ended.status.code(), out: ended.out, err: ended.err }
    }
}
