//! The rules on real loop devices, mounts and swap: the tier `root`.
//!
//! `PIBAKE_TIER=root cargo test --test integration device_policy` as root; needs losetup, partx, mkfs.ext4, mkswap.
//! Without it every test says that it was not run.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use pibake::device::authority::Own;
use pibake::device::identity::Identity;
use pibake::device::info::{DeviceInfo, Kind};
use pibake::device::platform::System;
use pibake::device::policy::{ConfirmedTarget, Consent, Options, assess, named_twice};
use pibake::device::refusal::{LookError, Rule};
use pibake::interrupt::Interrupt;
use pibake::progress::Silent;
use pibake::sink::card::{CardJob, CardMedium, ImageRanges, TargetMedium, flash};

use crate::tier::asked;

const MIB: u64 = 1 << 20;

/// Whether the tier was asked for.
///
/// # Panics
/// When it was, and cannot run here.
fn root_tier() -> bool {
    if !asked("root", "real devices") {
        return false;
    }
    let able = Command::new("losetup").arg("--find").output().is_ok_and(|output| output.status.success());
    assert!(able, "PIBAKE_TIER=root was asked for, but loop devices cannot be made here");
    true
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A loop device, detached when dropped.
struct Loop {
    dir: tempfile::TempDir,
    path: PathBuf,
    /// Whether the kernel found the partition itself: it may have been built without partition tables.
    scanned: bool,
}

impl Loop {
    /// On a file of this size with one partition from 2 MiB on.
    fn new(size: u64) -> Self {
        let mut card = Self::with(size, &["--partscan"]);
        card.scanned = Path::new(&card.partition()).exists();
        if !card.scanned {
            run("partx", &["--add", card.path.to_str().unwrap()]);
        }
        card
    }

    fn with(size: u64, options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("medium");
        fs::write(&file, vec![0xa5; usize::try_from(size).unwrap()]).unwrap();
        File::options().write(true).open(&file).unwrap().write_all_at(&table(size), 0).unwrap();
        let path = attach(options, file.to_str().unwrap());
        Self { dir, path, scanned: false }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("medium")
    }

    fn partition(&self) -> String {
        format!("{}p1", self.path.display())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        detach(&self.path);
    }
}

fn attach(options: &[&str], file: &str) -> PathBuf {
    let mut arguments = vec!["--find", "--show"];
    arguments.extend(options);
    arguments.push(file);
    PathBuf::from(run("losetup", &arguments))
}

fn detach(path: &Path) {
    let _ = Command::new("losetup").arg("--detach").arg(path).status();
}

/// An MBR with one Linux partition from 2 MiB to the end.
fn table(size: u64) -> Vec<u8> {
    let mut sector = vec![0; 512];
    sector[450] = 0x83;
    sector[454..458].copy_from_slice(&4096u32.to_le_bytes());
    sector[458..462].copy_from_slice(&u32::try_from(size / 512 - 4096).unwrap().to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

fn image(size: u64) -> Vec<u8> {
    let mut image: Vec<u8> = (0..size).map(|at| (at / 512 * 31 + at % 251) as u8).collect();
    image[..512].copy_from_slice(&table(size));
    image
}

fn describe(path: impl AsRef<Path>) -> DeviceInfo {
    System::host().describe(path.as_ref()).unwrap()
}

fn rules(path: impl AsRef<Path>) -> Vec<Rule> {
    let assessment = assess(&describe(path), 4 * MIB, &Options::default());
    assessment.refusals().iter().map(|refusal| refusal.rule).collect()
}

fn confirmed(path: &Path, options: &Options) -> ConfirmedTarget {
    let info = describe(path);
    let identity = Identity::take(&info, &Own);
    assert!(identity.has_edges());
    assess(&info, 4 * MIB, options).confirm(&Consent::Yes, identity).unwrap()
}

fn open_rules(target: &ConfirmedTarget) -> Vec<Rule> {
    match target.open(&System::host(), &Own) {
        Ok(_) => Vec::new(),
        Err(LookError::Refused(refused)) => refused.0.iter().map(|refusal| refusal.rule).collect(),
        Err(error) => panic!("{error}"),
    }
}

/// A mounted filesystem, unmounted when dropped.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(device: &str) -> Self {
        run("mkfs.ext4", &["-qF", device]);
        let dir = tempfile::tempdir().unwrap();
        run("mount", &[device, dir.path().to_str().unwrap()]);
        Self(dir)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-q").arg(self.0.path()).status();
    }
}

#[test]
fn a_loop_device_is_written_and_its_table_read_again() {
    if !root_tier() {
        return;
    }
    let card = Loop::new(24 * MIB);
    let image = image(13 * MIB + 512);
    let target = confirmed(&card.path, &Options::default());
    assert!(target.open(&System::host(), &Own).unwrap().is_direct());
    let interrupt = Interrupt::default();
    let job = CardJob {
        image: &image,
        ranges: ImageRanges::whole(image.len() as u64),
        vouch: &|| Ok(()),
        rewrite: false,
        // No reader: it says so, and the card is let go of as ever.
        eject: true,
        place: &|_| None,
        subject: "card".into(),
        progress: &Silent,
        interrupt: &interrupt,
    };
    assert!(!flash(&target, &System::host(), &Own, &job).unwrap().ejected);
    let held = fs::read(card.file()).unwrap();
    assert!(held[..image.len()] == image);
    assert!(held[23 << 20..].iter().all(|byte| *byte == 0));
    let info = describe(&card.path);
    assert!(matches!(info.kind, Kind::Loop(Some(_))));
    if !card.scanned {
        assert_eq!(info.partitions, []);
        eprintln!("NOT RUN: this kernel reads no DOS partition tables, so none can be read again");
        return;
    }
    assert_eq!(info.partitions.len(), 1);
    assert_eq!(info.partitions[0].start + info.partitions[0].size, 13 * MIB + 512);
}

#[test]
fn what_is_read_back_is_what_lies_on_the_medium() {
    if !root_tier() {
        return;
    }
    for direct in [true, false] {
        let card = Loop::new(8 * MIB);
        let open = confirmed(&card.path, &Options::default()).open(&System::host(), &Own).unwrap();
        if !direct {
            open.clear_direct().unwrap();
        }
        let medium = TargetMedium::new(open, &Own);
        let mut buffer = pibake::device::aligned::AlignedBuf::zeroed(8192);
        buffer.fill(0x11);
        medium.write_at(4096, &buffer).unwrap();
        medium.flush().unwrap();
        medium.read_back_at(4096, &mut buffer).unwrap();
        assert!(buffer.iter().all(|byte| *byte == 0x11));
        // Underneath the device's page cache.
        File::options().write(true).open(card.file()).unwrap().write_all_at(&[0x10], 5000).unwrap();
        medium.read_back_at(4096, &mut buffer).unwrap();
        assert_eq!(buffer[5000 - 4096], 0x10, "direct: {direct}");
    }
}

#[test]
fn a_mounted_partition_is_refused_and_unmounted_only_when_allowed() {
    if !root_tier() {
        return;
    }
    let card = Loop::new(24 * MIB);
    let mounted = Mounted::new(&card.partition());
    assert_eq!(rules(&card.path), [Rule::Mounted]);
    let unmounting = Options { unmount: true, ..Options::default() };
    let target = confirmed(&card.path, &unmounting);
    let held = File::create(mounted.0.path().join("open")).unwrap();
    assert!(matches!(target.open(&System::host(), &Own), Err(LookError::Unmount { .. })));
    drop(held);
    // What unmounting writes, up to the end of the disk, makes it no other disk.
    fs::write(mounted.0.path().join("full"), vec![1; 18 << 20]).unwrap();
    let open = target.open(&System::host(), &Own).unwrap();
    assert_eq!(open.info().usage, []);
}

#[test]
fn a_mount_after_confirming_is_refused() {
    if !root_tier() {
        return;
    }
    let card = Loop::new(24 * MIB);
    run("mkfs.ext4", &["-qF", &card.partition()]);
    let target = confirmed(&card.path, &Options::default());
    let dir = tempfile::tempdir().unwrap();
    run("mount", &["-o", "ro", &card.partition(), dir.path().to_str().unwrap()]);
    let rules = open_rules(&target);
    run("umount", &[dir.path().to_str().unwrap()]);
    assert_eq!(rules, [Rule::Busy]);
}

#[test]
fn while_it_is_open_nobody_can_mount_it() {
    if !root_tier() {
        return;
    }
    let card = Loop::new(24 * MIB);
    run("mkfs.ext4", &["-qF", &card.partition()]);
    let open = confirmed(&card.path, &Options::default()).open(&System::host(), &Own).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let status = Command::new("mount").arg(card.partition()).arg(dir.path()).output().unwrap().status;
    if status.success() {
        run("umount", &[dir.path().to_str().unwrap()]);
    }
    assert!(!status.success());
    let second = confirmed(&card.path, &Options::default());
    assert_eq!(open_rules(&second), [Rule::Busy]);
    drop(open);
    assert_eq!(open_rules(&second), []);
}

#[test]
fn swap_makes_a_disk_the_systems() {
    if !root_tier() {
        return;
    }
    let card = Loop::new(24 * MIB);
    run("mkswap", &[&card.partition()]);
    run("swapon", &[&card.partition()]);
    let rules = rules(&card.path);
    run("swapoff", &[&card.partition()]);
    assert_eq!(rules, [Rule::SystemDisk]);
}

#[test]
fn a_partition_and_what_holds_one() {
    if !root_tier() {
        return;
    }
    let card = Loop::new(24 * MIB);
    assert_eq!(rules(card.partition()), [Rule::Partition]);
    let holder = attach(&[], &card.partition());
    let (below, above) = (rules(&card.path), rules(&holder));
    detach(&holder);
    assert_eq!((below, above), (vec![Rule::Held], vec![Rule::NotADisk]));
}

#[test]
fn read_only_too_small_and_the_file_behind_a_loop_device() {
    if !root_tier() {
        return;
    }
    let card = Loop::with(8 * MIB, &["--read-only"]);
    assert_eq!(rules(&card.path), [Rule::ReadOnly]);
    assert_eq!(rules(card.file()), [Rule::Held]);
    let small = Loop::with(2 * MIB, &[]);
    assert_eq!(rules(&small.path), [Rule::TooSmall]);
}

#[test]
fn names_are_resolved_and_two_of_one_disk_recognised() {
    if !root_tier() {
        return;
    }
    let card = Loop::new(8 * MIB);
    let link = card.dir.path().join("by-id");
    symlink(&card.path, &link).unwrap();
    let (one, other) = (describe(&card.path), describe(&link));
    assert_eq!(other.path, card.path);
    assert!(one.is_same_disk(&other));
    let twice =
        |infos: &[&DeviceInfo]| named_twice(infos).iter().map(|refusal| refusal.rule).collect::<Vec<_>>();
    assert_eq!(twice(&[&one, &other]), [Rule::Twice]);
    // Another loop device on the same file, and another card.
    let again = attach(&[], card.file().to_str().unwrap());
    let same = twice(&[&one, &describe(&again)]);
    detach(&again);
    assert_eq!(same, [Rule::Twice]);
    assert_eq!(twice(&[&one, &describe(&Loop::new(8 * MIB).path)]), []);
}

#[test]
fn what_a_link_led_to_when_it_was_shown_is_what_is_opened() {
    if !root_tier() {
        return;
    }
    let (card, other) = (Loop::new(8 * MIB), Loop::new(8 * MIB));
    let link = card.dir.path().join("by-id");
    symlink(&card.path, &link).unwrap();
    let target = confirmed(&link, &Options::default());
    fs::remove_file(&link).unwrap();
    symlink(&other.path, &link).unwrap();
    assert_eq!(target.open(&System::host(), &Own).unwrap().info().path, card.path);
}

#[test]
fn a_table_that_is_written_after_confirming_is_refused() {
    if !root_tier() {
        return;
    }
    let card = Loop::new(8 * MIB);
    let target = confirmed(&card.path, &Options::default());
    File::options().write(true).open(&card.path).unwrap().write_all_at(&[0x0c], 450).unwrap();
    assert_eq!(open_rules(&target), [Rule::Changed]);
}

#[test]
fn another_medium_under_the_same_name_is_refused() {
    if !root_tier() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    for file in [&one, &other] {
        fs::write(file, vec![0; 8 << 20]).unwrap();
    }
    // A number that nobody who asks for a free device gets while it is detached.
    let path = PathBuf::from(format!("/dev/loop{}", 1000 + std::process::id() % 100_000));
    run("losetup", &[path.to_str().unwrap(), one.to_str().unwrap()]);
    let target = confirmed(&path, &Options::default());
    detach(&path);
    run("losetup", &[path.to_str().unwrap(), other.to_str().unwrap()]);
    let rules = open_rules(&target);
    detach(&path);
    assert_eq!(rules, [Rule::Changed]);
}

#[test]
fn the_disk_of_this_system_is_refused() {
    if !root_tier() {
        return;
    }
    let everything = Options { unmount: true, allow_fixed: true, sources: Vec::new() };
    let system: Vec<DeviceInfo> = pibake::device::list()
        .unwrap()
        .into_iter()
        .filter(|info| {
            let assessment = assess(info, 0, &everything);
            assessment.refusals().iter().any(|refusal| refusal.rule == Rule::SystemDisk)
        })
        .collect();
    let root = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let on_disk = root.lines().any(|line| line.contains(" / / ") && line.contains("- ext4 /dev/"));
    assert!(!on_disk || !system.is_empty());
}
