//! A disk taken while it is in use, by the script that runs on nodes: the tier `root`.
//!
//! `PIBAKE_TIER=root cargo test --test integration live` as root; needs losetup, partx, sfdisk, mkfs.ext4, e2fsck,
//! fsfreeze and a kernel with tracefs. This machine plays the node: `ssh` is a shell, and only `findmnt` (which
//! says what / lies on) and `systemctl` are played.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pibake::disk::block::FileBlocks;
use pibake::disk::window::Window;
use pibake::fs::ext4::{self, Stamp};
use pibake::interrupt::Interrupt;
use pibake::live::error::LiveError;
use pibake::live::{Order, Taken, take};
use pibake::node::link::{Link, LinkError, Terms};
use pibake::node::packing::Pack;
use pibake::node::request::{Request, Unit};
use pibake::node::ssh::{To, Way};
use pibake::progress::{Event, Progress, Silent};
use pibake::usage::used::Content;

use crate::root::asked_as_root;

/// Runs the remote command here.
const SSH: &str = "for last; do :; done; exec sh -c \"$last\"";

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A mounted card, with programs of its own before those of the system.
struct Node {
    dir: tempfile::TempDir,
    disk: String,
    room: String,
    path: String,
}

impl Node {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("card.img");
        File::create(&image).unwrap().set_len(300 << 20).unwrap();
        let table = dir.path().join("table");
        fs::write(&table, "label: dos\nstart=8192, size=65536, type=c\nstart=81920, type=83\n").unwrap();
        run("sh", &["-c", &format!("sfdisk -q {} <{}", image.display(), table.display())]);
        let disk = run("losetup", &["--find", "--show", "--partscan", image.to_str().unwrap()]);
        if !Path::new(&format!("{disk}p2")).exists() {
            run("partx", &["--add", &disk]);
        }
        run("mkfs.ext4", &["-q", &format!("{disk}p2")]);
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        run("mount", &[&format!("{disk}p2"), root.to_str().unwrap()]);
        let room =
            format!("/run/pibake-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = format!("{}:{}", dir.path().join("bin").display(), std::env::var("PATH").unwrap());
        let node = Self { dir, disk, room, path };
        fs::create_dir(node.file("bin")).unwrap();
        node.plays("findmnt", &format!("mountpoint -d {}", root.display()));
        node.plays("systemctl", &format!("echo \"$*\" >>{}", node.file("units").display()));
        node
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn plays(&self, program: &str, text: &str) {
        let path = self.file("bin").join(program);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn link(&self, limit: u64) -> Link {
        self.connect(limit, &Interrupt::default()).unwrap()
    }

    fn connect(&self, limit: u64, interrupt: &Interrupt) -> Result<Link, LinkError> {
        let command = |_: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", SSH, "ssh"]).env("PATH", &self.path);
            command
        };
        let way = Way { ssh_config: None, command: &command };
        let terms = Terms { room: self.room.clone(), limit: Duration::from_secs(limit), pack: Pack::None };
        Link::open(&way, To::Host("here"), &terms, &|| unreachable!(), interrupt)
    }

    fn take(&self, progress: Arc<dyn Progress>) -> Result<Taken, LiveError> {
        self.take_by(self.link(60), progress)
    }

    fn take_by(&self, link: Link, progress: Arc<dyn Progress>) -> Result<Taken, LiveError> {
        let spool = File::options().read(true).write(true).create_new(true).open(self.file("spool")).unwrap();
        let order = Order {
            stop: &[],
            limit: Duration::from_secs(60),
            swap_files: &|_| Vec::new(),
            subject: "here",
            progress: &progress,
        };
        take(link, spool, &order)
    }

    /// Writes, which waits for as long as the filesystem is frozen.
    fn write(&self, name: &str) {
        let mut file = File::create(self.file("root").join(name)).unwrap();
        file.write_all(b"x").unwrap();
        file.sync_all().unwrap();
    }

    /// Whether a write would wait: a thaw of what is not frozen fails.
    fn thaws_by_itself(&self, within: Duration) {
        let (done, began) = (AtomicBool::new(false), Instant::now());
        thread::scope(|scope| {
            scope.spawn(|| {
                self.write("after");
                done.store(true, Ordering::SeqCst);
            });
            while !done.load(Ordering::SeqCst) && began.elapsed() < within {
                thread::sleep(Duration::from_millis(50));
            }
            let thawed = done.load(Ordering::SeqCst);
            if !thawed {
                run("fsfreeze", &["-u", self.file("root").to_str().unwrap()]);
            }
            assert!(thawed, "still frozen after {within:?}");
        });
    }

    /// Nothing is left of a capture, at the latest once its guard has noticed.
    fn is_as_before(&self) {
        let began = Instant::now();
        let name = self.room.rsplit('/').next().unwrap();
        let left = || {
            let mounts = fs::read_to_string("/proc/mounts").unwrap();
            let instance = Path::new("/sys/kernel/tracing/instances").join(name).exists();
            Path::new(&self.room).exists() || mounts.contains(&self.room) || instance
        };
        while left() {
            assert!(began.elapsed() < Duration::from_secs(60), "something of {} is left", self.room);
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn units(&self) -> Vec<String> {
        let told = fs::read_to_string(self.file("units")).unwrap_or_default();
        told.lines().map(str::to_owned).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let root = self.file("root");
        let _ = Command::new("fsfreeze").arg("-u").arg(&root).output();
        let _ = Command::new("umount").arg("-l").arg(&root).output();
        let _ = Command::new("partx").args(["--delete", &self.disk]).output();
        let _ = Command::new("losetup").args(["--detach", &self.disk]).output();
    }
}

/// Appends numbered lines to one file after the other and flushes each, makes and removes others, until told to stop.
fn keep_writing(root: &Path, stop: &AtomicBool) {
    let mut records = File::create(root.join("records")).unwrap();
    let gone = File::create(root.join("nameless")).unwrap();
    fs::remove_file(root.join("nameless")).unwrap();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        records.write_all(format!("record {number:08}\n").as_bytes()).unwrap();
        records.sync_data().unwrap();
        (&gone).write_all(&[7; 8192]).unwrap();
        let dir = root.join(format!("d{}", number % 50));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("f"), vec![number as u8; 40_000]).unwrap();
    }
}

/// The root partition out of what was taken, with what had no name let go.
fn root_of(node: &Node, taken: &Taken) -> PathBuf {
    let spool = File::options().read(true).write(true).open(node.file("spool")).unwrap();
    let root = taken.used.partitions.iter().find(|partition| partition.content == Content::Ext4).unwrap();
    let window = Window::new(FileBlocks::new(spool).unwrap(), root.range).unwrap();
    let recovered = ext4::recover(window, &Stamp { time: 1_800_000_000, generation_seed: [0; 32] }).unwrap();
    assert_eq!(recovered.transactions, 0, "the freeze has emptied the journal");
    let alone = node.file("alone");
    let skip = format!("skip={}", root.range.start() >> 20);
    let (from, to) = (format!("if={}", node.file("spool").display()), format!("of={}", alone.display()));
    run("dd", &[&from, &to, &skip, "bs=1M", "status=none"]);
    alone
}

/// Every record up to some one, and nothing else.
fn check_records(node: &Node, alone: &Path) -> usize {
    run("e2fsck", &["-fn", alone.to_str().unwrap()]);
    let text = run("debugfs", &["-R", "cat /records", alone.to_str().unwrap()]);
    for (number, line) in text.lines().enumerate() {
        assert_eq!(line, format!("record {number:08}"));
    }
    assert_eq!(fs::read_dir(node.file("root")).unwrap().filter(|entry| entry.is_err()).count(), 0);
    text.lines().count()
}

#[test]
fn a_filesystem_in_use_is_taken_as_of_one_instant() {
    if !asked_as_root("root", "a disk taken while it is in use") {
        return;
    }
    // With the kernel's list of writes, and without
    for tracing in [true, false] {
        let node = Node::new();
        fs::write(node.file("root").join("large"), vec![3; 60 << 20]).unwrap();
        if !tracing {
            node.plays("mount", "echo not here >&2; exit 1");
        }
        let stop = AtomicBool::new(false);
        let taken = thread::scope(|scope| {
            scope.spawn(|| keep_writing(&node.file("root"), &stop));
            while fs::metadata(node.file("root").join("records")).map_or(0, |file| file.len()) < 200 {
                thread::sleep(Duration::from_millis(10));
            }
            let taken = node.take(Arc::new(Silent));
            stop.store(true, Ordering::Relaxed);
            taken.unwrap()
        });
        assert_eq!(taken.hashed.is_none(), tracing, "{:?}", taken.hashed);
        assert_eq!(taken.used.mismatches().count(), 0);
        assert!(taken.used.bytes() < 220 << 20 && taken.read < 500 << 20, "{taken:?}");
        let records = check_records(&node, &root_of(&node, &taken));
        assert!(records > 10);
        eprintln!(
            "tracing {tracing}: {} passes, {} bytes read, {} of them frozen for {:?}, {records} records",
            taken.passes, taken.read, taken.read_frozen, taken.frozen
        );
        node.write("after");
        node.is_as_before();
    }
}

/// Breaks the connection off after so many events.
struct Breaks {
    left: AtomicUsize,
    interrupt: Interrupt,
}

impl Progress for Breaks {
    fn event(&self, _event: Event) {
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) == Ok(1) {
            self.interrupt.request();
        }
    }
}

#[test]
fn the_end_of_the_connection_thaws_whatever_was_going_on() {
    if !asked_as_root("root", "the end of the connection in every phase") {
        return;
    }
    let unit: Unit = "x.service".parse().unwrap();
    let steps = [
        Request::Facts,
        Request::Track,
        Request::Flush,
        Request::Stop(unit),
        Request::Freeze,
        Request::Dirty(1),
        Request::Thaw,
        Request::Start,
    ];
    for upto in 0..=steps.len() {
        let node = Node::new();
        let mut link = node.link(60);
        for request in &steps[..upto] {
            link.ask(request).unwrap();
        }
        drop(link);
        node.thaws_by_itself(Duration::from_secs(30));
        node.is_as_before();
        if upto >= 4 {
            assert!(node.units().iter().any(|line| line == "stop x.service"), "{:?}", node.units());
            assert!(node.units().last().unwrap().ends_with("start x.service"), "{:?}", node.units());
        }
    }
}

#[test]
fn an_interrupt_leaves_nothing() {
    if !asked_as_root("root", "an interrupted capture of a disk in use") {
        return;
    }
    let node = Node::new();
    let interrupt = Interrupt::default();
    let link = node.connect(60, &interrupt).unwrap();
    let error = node.take_by(link, Arc::new(Breaks { left: AtomicUsize::new(3), interrupt })).unwrap_err();
    assert!(matches!(error, LiveError::Link(LinkError::Interrupted(_))), "{error}");
    node.thaws_by_itself(Duration::from_secs(30));
    node.is_as_before();
}

#[test]
fn the_guard_thaws_when_nobody_else_does() {
    if !asked_as_root("root", "a guard that thaws") {
        return;
    }
    // The line is silent: the connection is there, and nobody asks any more
    let node = Node::new();
    let mut link = node.link(3);
    for request in [Request::Track, Request::Stop("x.service".parse().unwrap()), Request::Freeze] {
        link.ask(&request).unwrap();
    }
    node.thaws_by_itself(Duration::from_secs(30));
    assert!(node.units().last().unwrap().ends_with("start x.service"), "{:?}", node.units());
    // What is said after that is worth nothing, and no new freeze begins
    assert!(matches!(link.ask(&Request::Thaw), Err(LinkError::No(why)) if why == "late"));
    assert!(link.ask(&Request::Freeze).is_err());
    drop(link);
    node.thaws_by_itself(Duration::from_secs(30));
    node.is_as_before();

    // The script itself is killed
    let node = Node::new();
    let mut link = node.link(60);
    link.ask(&Request::Track).unwrap();
    link.ask(&Request::Freeze).unwrap();
    let pid = fs::read_to_string(format!("{}/pid", node.room)).unwrap();
    run("kill", &["-9", pid.trim()]);
    node.thaws_by_itself(Duration::from_secs(30));
    node.is_as_before();
    assert!(link.ask(&Request::Thaw).is_err());
}

#[test]
fn a_freeze_that_hangs_is_given_up() {
    if !asked_as_root("root", "a freeze that hangs") {
        return;
    }
    let node = Node::new();
    let log = node.file("freezes");
    node.plays("fsfreeze", &format!("echo \"$1\" >>{}\n[ \"$1\" = -u ] || exec sleep 600", log.display()));
    let mut link = node.link(2);
    assert!(matches!(link.ask(&Request::Freeze), Err(LinkError::No(why)) if why.starts_with("freezing")));
    let told = fs::read_to_string(&log).unwrap();
    assert!(told.starts_with("-f\n-u\n"), "{told}");
    drop(link);
    node.is_as_before();
}

#[test]
fn one_capture_at_a_time() {
    if !asked_as_root("root", "two captures at once") {
        return;
    }
    let node = Node::new();
    let first = node.link(60);
    assert!(matches!(node.connect(60, &Interrupt::default()), Err(LinkError::Busy)));
    drop(first);
    node.is_as_before();
    node.link(60).close().unwrap();
    node.is_as_before();
}
