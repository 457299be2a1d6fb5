//! Cards of the test bed: real block devices with rates and faults (nbdkit, nbdfuse, a loop device).

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::root::asked_as_root;

/// Whether the tier was asked for.
pub(crate) fn card_tier() -> bool {
    asked_as_root("card", "simulated cards")
}

fn script() -> PathBuf {
    let testbed = std::env::var_os("PIBAKE_TESTBED").map(PathBuf::from);
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/testbed");
    let script = testbed.unwrap_or_else(beside).join("card");
    assert!(script.exists(), "PIBAKE_TIER=card was asked for, but there is no {}", script.display());
    script
}

/// A card that is up until it is dropped.
pub(crate) struct SimulatedCard {
    script: PathBuf,
    dir: tempfile::TempDir,
    pub(crate) path: PathBuf,
    up: bool,
}

impl SimulatedCard {
    pub(crate) fn new(size: &str, options: &[&str]) -> Self {
        Self::of(script(), tempfile::tempdir().unwrap(), size, options)
    }

    /// One that holds the requests that [`Door`] names, and lets everything else through.
    pub(crate) fn with_door(size: &str, options: &[&str]) -> Self {
        let (dir, original) = (tempfile::tempdir().unwrap(), script());
        // The script takes the plugin that lies beside it, as it was called.
        let beside = dir.path().join("card");
        symlink(&original, &beside).unwrap();
        let door = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/card-door.py");
        symlink(door, dir.path().join("card-plugin.py")).unwrap();
        symlink(original.with_file_name("card-plugin.py"), dir.path().join("original-plugin.py")).unwrap();
        Self::of(beside, dir, size, options)
    }

    fn of(script: PathBuf, dir: tempfile::TempDir, size: &str, options: &[&str]) -> Self {
        let mut card = Self { script, dir, path: PathBuf::new(), up: false };
        card.plug_in(size, options);
        card
    }

    pub(crate) fn plug_in(&mut self, size: &str, options: &[&str]) {
        let output = self.script(&[&["up", "card", size], options].concat());
        self.path = PathBuf::from(output.trim());
        self.up = true;
    }

    pub(crate) fn pull_out(&mut self) {
        if std::mem::take(&mut self.up) {
            self.script(&["down", "card"]);
        }
    }

    fn script(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(&self.script);
        let output = command.args(arguments).env("CARD_DIR", self.dir.path()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Bytes written to the card and read from it since it was put in; it is pulled out for that.
    pub(crate) fn traffic(&mut self) -> (u64, u64) {
        self.pull_out();
        let stats = self.script(&["stats", "card"]);
        let mut numbers = stats.split_whitespace().map(|number| number.parse().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap())
    }

    /// The way to hold requests of a card that has a door.
    pub(crate) fn door(&self) -> Door<'_> {
        Door(self.dir.path())
    }

    pub(crate) fn store(&self) -> File {
        File::options().read(true).write(true).open(self.dir.path().join("card.store")).unwrap()
    }

    pub(crate) fn held(&self, offset: u64, len: u64) -> Vec<u8> {
        let mut held = vec![0; usize::try_from(len).unwrap()];
        self.store().read_exact_at(&mut held, offset).unwrap();
        held
    }
}

impl Drop for SimulatedCard {
    fn drop(&mut self) {
        if std::mem::take(&mut self.up) {
            let mut command = Command::new(&self.script);
            let _ = command.args(["down", "card"]).env("CARD_DIR", self.dir.path()).output();
        }
    }
}

/// What a card was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Write { offset: u64, len: u64 },
    Read { offset: u64, len: u64 },
    Flush,
}

/// A request that can be told again in another run, whatever pieces the kernel makes of the others: so many after the
/// `nth` that is a flush, or a write that begins at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) after: usize,
    pub(crate) nth: usize,
    /// `None` for a flush.
    pub(crate) write_at: Option<u64>,
}

/// Where requests of a card are written down, and one of them is held (`card-door.py`).
pub(crate) struct Door<'a>(&'a Path);

impl Door<'_> {
    /// From now on requests are written down from the first write on, and this one is held.
    pub(crate) fn hold(&self, hold: Option<Hold>) {
        self.remove("held");
        let words = hold.map_or("0 0 -".to_owned(), |Hold { after, nth, write_at }| {
            let prefix = write_at.map_or("F".to_owned(), |offset| format!("W {offset}"));
            format!("{after} {nth} {prefix}")
        });
        // Under its name only when it can be read whole.
        fs::write(self.0.join("arm.new"), words).unwrap();
        fs::rename(self.0.join("arm.new"), self.0.join("arm")).unwrap();
    }

    /// Whether that request is there, and waits.
    pub(crate) fn is_held(&self) -> bool {
        self.0.join("held").exists()
    }

    /// Lets it go on, and holds no more.
    pub(crate) fn let_go(&self) {
        self.remove("arm");
    }

    /// The requests since [`hold`](Self::hold).
    pub(crate) fn requests(&self) -> Vec<Request> {
        let trace = fs::read_to_string(self.0.join("trace")).unwrap();
        trace
            .lines()
            .map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                let number = |at: usize| words[at].parse().unwrap();
                match words[0] {
                    "W" => Request::Write { offset: number(1), len: number(2) },
                    "R" => Request::Read { offset: number(1), len: number(2) },
                    _ => Request::Flush,
                }
            })
            .collect()
    }

    fn remove(&self, name: &str) {
        // It may be gone already.
        let _ = fs::remove_file(self.0.join(name));
    }
}
