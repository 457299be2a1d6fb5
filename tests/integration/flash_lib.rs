//! A card that is a regular file, from its name to its receipt, through the library.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use pibake::device::authority::Own;
use pibake::device::identity::Identity;
use pibake::device::info::Kind;
use pibake::device::platform::System;
use pibake::device::policy::{ConfirmedTarget, Consent, Options, assess};
use pibake::device::refusal::{LookError, Rule};
use pibake::interrupt::Interrupt;
use pibake::progress::Silent;
use pibake::sink;
use pibake::sink::card::{CardJob, CardReport, ImageRanges};
use pibake::sink::outfile::OutFile;
use pibake::sink::receipt::{Provenance, Receipt};

const MIB: usize = 1 << 20;

/// An image of 9 MiB and a bit.
fn image() -> Vec<u8> {
    (0..9 * MIB + 700).map(|at| (at / 512 * 31 + at % 251) as u8).collect()
}

fn confirmed(path: &Path, image_size: u64) -> Result<ConfirmedTarget, Vec<Rule>> {
    let info = match System::host().describe(path) {
        Ok(info) => info,
        Err(LookError::Refused(refused)) => {
            return Err(refused.0.iter().map(|refusal| refusal.rule).collect());
        }
        Err(error) => panic!("{error}"),
    };
    let identity = Identity::take(&info, &Own);
    assess(&info, image_size, &Options::default())
        .confirm(&Consent::Yes, identity)
        .map_err(|refused| refused.0.iter().map(|refusal| refusal.rule).collect())
}

fn open_rules(target: &ConfirmedTarget) -> Vec<Rule> {
    match target.open(&System::host(), &Own) {
        Ok(_) => Vec::new(),
        Err(LookError::Refused(refused)) => refused.0.iter().map(|refusal| refusal.rule).collect(),
        Err(error) => panic!("{error}"),
    }
}

fn flash(target: &ConfirmedTarget, image: &Vec<u8>) -> CardReport {
    let interrupt = Interrupt::default();
    let job = CardJob {
        image,
        ranges: ImageRanges::whole(image.len() as u64),
        vouch: &|| Ok(()),
        rewrite: false,
        eject: false,
        place: &|_| None,
        subject: "card".into(),
        progress: &Silent,
        interrupt: &interrupt,
    };
    sink::card::flash(target, &System::host(), &Own, &job).unwrap().report
}

#[test]
fn a_file_standing_for_a_card_is_written_and_has_a_receipt() {
    let dir = tempfile::tempdir().unwrap();
    let card = dir.path().join("card");
    fs::write(&card, vec![0xa5; 12 * MIB]).unwrap();
    let link = dir.path().join("link");
    symlink(&card, &link).unwrap();
    let image = image();
    let target = confirmed(&link, image.len() as u64).unwrap();
    assert_eq!(target.info().path, fs::canonicalize(&card).unwrap());
    assert_eq!(target.info().kind, Kind::RegularFile);
    let report = flash(&target, &image);
    let held = fs::read(&card).unwrap();
    assert_eq!(held.len(), 12 * MIB);
    assert!(held[..image.len()] == image);
    assert!(held[image.len()..11 * MIB].iter().all(|byte| *byte == 0xa5));
    assert!(held[11 * MIB..].iter().all(|byte| *byte == 0));

    let from = Provenance {
        cluster: "plexi",
        node: "pi1",
        plan: [1; 32],
        base: [2; 32],
        started: SystemTime::UNIX_EPOCH,
        finished: SystemTime::now(),
    };
    let receipt = Receipt::new(&from, target.info(), &report);
    assert!(receipt.verified);
    assert_eq!((receipt.written, receipt.image_size), (image.len() as u64, image.len() as u64));
    assert!(receipt.ranges.iter().all(|range| range.len >= 4 << 20));
    assert_eq!(receipt.ranges.iter().map(|range| range.len).sum::<u64>(), image.len() as u64);
    let text = serde_json::to_string(&receipt).unwrap();
    assert!(text.contains("\"started\":\"1970-01-01T00:00:00Z\""), "{text}");
    assert_eq!(serde_json::from_str::<Receipt>(&text).unwrap(), receipt);
}

#[test]
fn a_file_as_big_as_the_image_is_big_enough_and_one_byte_less_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let card = dir.path().join("card");
    let image = image();
    fs::write(&card, vec![0xa5; image.len() - 1]).unwrap();
    assert_eq!(confirmed(&card, image.len() as u64).unwrap_err(), [Rule::TooSmall]);
    assert!(fs::read(&card).unwrap().iter().all(|byte| *byte == 0xa5));
    fs::write(&card, vec![0xa5; image.len()]).unwrap();
    flash(&confirmed(&card, image.len() as u64).unwrap(), &image);
    assert!(fs::read(&card).unwrap() == image);
}

#[test]
fn what_is_no_card_is_refused_and_a_missing_one_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("sdx");
    assert_eq!(confirmed(&missing, 1).unwrap_err(), [Rule::Missing]);
    let dangling = dir.path().join("dangling");
    symlink(&missing, &dangling).unwrap();
    assert_eq!(confirmed(&dangling, 1).unwrap_err(), [Rule::Missing]);
    assert!(!missing.exists());

    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let _listening = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    let socket = dir.path().join("socket");
    for other in [dir.path(), &pipe, &socket, Path::new("/dev/null"), Path::new("/proc/self/status")] {
        assert_eq!(confirmed(other, 1).unwrap_err(), [Rule::NotADisk], "{other:?}");
    }
}

#[test]
fn a_regular_file_where_devices_belong_is_refused() {
    let Ok(file) = tempfile::NamedTempFile::new_in("/dev/shm") else {
        eprintln!("not tried: /dev/shm cannot be written to");
        return;
    };
    file.as_file().set_len(MIB as u64).unwrap();
    assert_eq!(confirmed(file.path(), 1).unwrap_err(), [Rule::NotADisk]);
}

#[test]
fn a_card_that_changed_since_it_was_confirmed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let card = dir.path().join("card");
    let change = |what: &str, change: &dyn Fn(&Path)| {
        fs::write(&card, vec![0xa5; 4 * MIB]).unwrap();
        let target = confirmed(&card, MIB as u64).unwrap();
        change(&card);
        let before = fs::read(&card).ok();
        assert_eq!(open_rules(&target), [Rule::Changed], "{what}");
        assert_eq!(fs::read(&card).ok(), before, "{what}");
        if card.exists() {
            fs::remove_file(&card).unwrap();
        }
    };
    let poke = |path: &Path, at: u64| {
        let mut file = File::options().write(true).open(path).unwrap();
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(b"x").unwrap();
    };
    change("grown", &|path| File::options().write(true).open(path).unwrap().set_len(5 << 20).unwrap());
    change("partition table", &|path| poke(path, 446));
    change("end", &|path| poke(path, (4 << 20) - 1));
    change("gone", &|path| fs::remove_file(path).unwrap());
    change("another file", &|path| {
        let other = path.with_extension("other");
        fs::write(&other, vec![0xa5; 4 * MIB]).unwrap();
        fs::rename(&other, path).unwrap();
    });
}

#[test]
fn a_link_put_in_the_cards_place_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (card, other) = (dir.path().join("card"), dir.path().join("other"));
    fs::write(&card, vec![0; 4 * MIB]).unwrap();
    let target = confirmed(&card, MIB as u64).unwrap();
    fs::rename(&card, &other).unwrap();
    symlink(&other, &card).unwrap();
    target.open(&System::host(), &Own).unwrap_err();
    assert!(fs::read(&other).unwrap().iter().all(|byte| *byte == 0));
}

#[test]
fn a_card_is_written_by_one_run_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let card = dir.path().join("card");
    fs::write(&card, vec![0; 4 * MIB]).unwrap();
    let target = confirmed(&card, MIB as u64).unwrap();
    let open = target.open(&System::host(), &Own).unwrap();
    assert_eq!(open_rules(&target), [Rule::Busy]);
    drop(open);
    assert_eq!(open_rules(&target), []);
}

#[test]
fn a_file_that_may_not_be_written_says_how() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let card = dir.path().join("card");
    fs::write(&card, vec![0; 4 * MIB]).unwrap();
    fs::set_permissions(&card, fs::Permissions::from_mode(0o400)).unwrap();
    let target = confirmed(&card, MIB as u64).unwrap();
    // Root may write it all the same.
    if let Err(error) = target.open(&System::host(), &Own) {
        assert!(matches!(error, LookError::Denied { .. }), "{error}");
        assert!(error.way_out().contains("sudo"));
    }
}

/// What [`killed`] runs in a process of its own: `PIBAKE_TEST_CHILD` says which part, and where.
#[test]
fn child() {
    let Ok(part) = std::env::var("PIBAKE_TEST_CHILD") else { return };
    let (part, path) = part.split_once(':').unwrap();
    let path = Path::new(path);
    if part == "file" {
        let out = OutFile::create(path, true).unwrap();
        out.file().write_all(b"half of it").unwrap();
        fs::write(path.with_extension("ready"), "").unwrap();
        std::thread::sleep(Duration::from_secs(60));
    } else {
        let image = image();
        let target = confirmed(path, image.len() as u64).unwrap();
        fs::write(path.with_extension("ready"), "").unwrap();
        flash(&target, &image);
    }
}

/// Starts [`child`], waits until it says that it is ready and a little longer, and kills it.
fn killed(part: &str, path: &Path, after: Duration) {
    let ready = path.with_extension("ready");
    let _ = fs::remove_file(&ready);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "flash_lib::child"])
        .env("PIBAKE_TEST_CHILD", format!("{part}:{}", path.display()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while !ready.exists() {
        assert!(child.try_wait().unwrap().is_none(), "the child ended before it was ready");
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_file(ready).unwrap();
}

#[test]
fn a_killed_run_leaves_a_hidden_file_that_the_next_one_removes() {
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("pi1.img");
    killed("file", &dest, Duration::ZERO);
    let left: Vec<String> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let [left] = left.as_slice() else { panic!("{left:?}") };
    assert!(left.starts_with(".pi1.img."), "{left}");
    OutFile::create(&dest, true).unwrap().publish().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(fs::metadata(&dest).unwrap().len(), 0);
}

#[test]
fn a_card_whose_run_was_killed_is_untouched_blank_or_whole_and_can_be_flashed_again() {
    let dir = tempfile::tempdir().unwrap();
    let card = dir.path().join("card");
    let image = image();
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..8 {
        fs::write(&card, vec![0xa5; 12 * MIB]).unwrap();
        killed("card", &card, Duration::from_millis(random.u64(..120)));
        let held = fs::read(&card).unwrap();
        let head = &held[..MIB];
        // A write of the first MiB that is cut in two by the kill leaves what was there in its second half.
        let zeros = head.iter().take_while(|byte| **byte == 0).count();
        let blanking = head[zeros..].iter().all(|byte| *byte == 0xa5);
        let booting = head.iter().zip(&image).take_while(|(held, image)| held == image).count();
        let filling = booting > 0 && head[booting..].iter().all(|byte| *byte == 0);
        assert!(blanking || (filling && held[MIB..image.len()] == image[MIB..]));
    }
    flash(&confirmed(&card, image.len() as u64).unwrap(), &image);
    assert!(fs::read(&card).unwrap()[..image.len()] == image);
}
