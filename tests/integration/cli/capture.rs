//! `pibake capture` over image files, and `pibake inspect` of what it made.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pibake::backup::manifest::Manifest;
use pibake::disk::block::BlockRead;
use pibake::disk::ranges;
use pibake::fs::FsReader;
use pibake::fs::metadata::{FileType, Meta};
use pibake::fs::path::FsPath;
use pibake::seekable::SeekableZst;
use pibake::usage::used::used;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::desk::{Desk, Ran};
use super::image::{demo, edit_root, edit_superblock, open, root_range, root_reader, write_sparse};
use crate::root::asked_as_root;
use crate::tier::asked;

const FILES: [&str; 3] = ["old.img.zst", "old.img.bmap", "old.json"];

/// A desk with the demo image unpacked, in the place of a card.
fn desk() -> Desk {
    let desk = Desk::bare();
    write_sparse(&desk.path("card"), demo());
    desk
}

fn capture(desk: &Desk, more: &[&str]) -> Ran {
    desk.run(&[&["capture", "card", "-o", "old.img.zst"], more].concat())
}

fn manifest(desk: &Desk) -> Manifest {
    Manifest::read(&desk.path("old.json")).unwrap()
}

/// What `zstd -dc` gives.
fn unpacked(desk: &Desk) -> Vec<u8> {
    zstd::decode_all(File::open(desk.path("old.img.zst")).unwrap()).unwrap()
}

/// An image with zeros where nothing is in use; a filesystem's blocks are whole ones of a capture.
fn free_zeroed(image: &[u8], swap: &[&str]) -> Vec<u8> {
    let swap: Vec<FsPath> = swap.iter().map(|path| FsPath::new(path).unwrap()).collect();
    let mut zeroed = vec![0; image.len()];
    for range in used(&image.to_vec(), &swap).unwrap().ranges {
        let start = (range.start() - range.start() % 4096) as usize;
        let end = (range.end().next_multiple_of(4096) as usize).min(image.len());
        zeroed[start..end].copy_from_slice(&image[start..end]);
    }
    zeroed
}

fn none_there(desk: &Desk) {
    for name in FILES {
        assert!(!desk.path(name).exists(), "{name}");
    }
}

/// Kind, size, mode, owner and content of everything.
/// What there is of a path: kind, size, mode and owner, and of a file its content.
type Entry = (FileType, u64, Meta, Option<Vec<u8>>);

fn whole_tree(reader: &dyn FsReader) -> BTreeMap<String, Entry> {
    let mut found = BTreeMap::new();
    let mut left = vec![FsPath::root()];
    while let Some(path) = left.pop() {
        let stat = reader.stat_no_follow(&path).unwrap().unwrap();
        let content = match stat.kind {
            FileType::File => Some(Sha256::digest(reader.read(&path, 64 << 20).unwrap()).to_vec()),
            FileType::Symlink => Some(reader.read_link(&path).unwrap()),
            _ => None,
        };
        if stat.kind == FileType::Directory {
            let names = reader.read_dir(&path).unwrap().into_iter();
            left.extend(names.map(|entry| path.join(std::str::from_utf8(&entry.name).unwrap()).unwrap()));
        }
        found.insert(path.to_string(), (stat.kind, stat.size, stat.meta, content));
    }
    found
}

#[test]
fn free_space_is_left_out_and_the_rest_is_what_it_was() {
    let desk = desk();
    // What was deleted is not in use, and must not come along.
    let image = open(&desk.path("card"));
    let in_use = used(&image, &[]).unwrap().ranges;
    let all = [root_range(&image)];
    let free = ranges::without(&all, &in_use).into_iter().max_by_key(|range| range.len()).unwrap();
    let at = free.start().next_multiple_of(4096);
    image.file().write_all_at(b"deleted secrets", at).unwrap();
    let before = fs::read(desk.path("card")).unwrap();

    let ran = capture(&desk, &["--json"]).ends(0);
    assert!(fs::read(desk.path("card")).unwrap() == before, "the source was written to");
    let whole = unpacked(&desk);
    assert!(whole == free_zeroed(&before, &[]));
    fs::write(desk.path("copy"), &whole).unwrap();
    let (tree, copied) =
        (whole_tree(&root_reader(&desk.path("card"))), whole_tree(&root_reader(&desk.path("copy"))));
    assert!(tree.len() > 100 && tree == copied);
    for name in FILES {
        assert_eq!(fs::metadata(desk.path(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    let manifest = manifest(&desk);
    let said = ran.json();
    assert_eq!((&said["used"], &said["size"]), (&Value::from(manifest.used), &Value::from(before.len())));
    assert!(manifest.archive.size < manifest.used && manifest.used < manifest.image_size);
    assert!(manifest.holes.is_empty());
    let system = manifest.holds.system.as_ref().unwrap();
    assert_eq!(system.hostname.as_deref(), Some("raspberrypi"));
    let root = &manifest.holds.partitions[1];
    assert!(root.uuid.is_some() && root.left.is_some_and(|left| !left.unreplayed && !left.errors));
    let map = manifest.check_bmap(&fs::read(desk.path("old.img.bmap")).unwrap()).unwrap();
    for mapped in &map.ranges {
        let bytes = &whole[mapped.range.start() as usize..mapped.range.end() as usize];
        assert_eq!(mapped.sha256.0.as_slice(), Sha256::digest(bytes).as_slice());
    }
    let events = ran.events();
    assert!(
        events.iter().any(|event| event["event"] == "stored" && event["phase"] == "capturing"),
        "{events:?}"
    );
}

#[test]
fn no_secret_of_the_card_is_in_the_manifest_and_what_pibake_put_there_is_told() {
    let desk = Desk::new(&["pi1"]);
    desk.run(&["bake", "--all", "-y"]).ends(0);
    fs::rename(desk.path("pi1.img"), desk.path("card")).unwrap();
    capture(&desk, &[]).ends(0);
    let manifest = manifest(&desk);
    let baked = manifest.holds.system.as_ref().unwrap().manifest.as_ref().unwrap();
    assert_eq!((&baked["node"], &baked["cluster"]), (&"pi1".into(), &"lab".into()));
    assert!(baked["paths"].as_u64().unwrap() > 10);
    let text = fs::read_to_string(desk.path("old.json")).unwrap();
    assert!(!text.contains("PRIVATE KEY") && !text.contains("$6$"));
    let shown = desk.run(&["inspect", "old.img.zst"]).ends(0).out;
    assert!(shown.contains("as pi1 of cluster lab"), "{shown}");
}

#[test]
fn it_is_called_after_the_system_and_the_day() {
    let desk = desk();
    desk.run(&["capture", "card", "-q"]).ends(0);
    let names: Vec<String> = fs::read_dir(desk.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("raspberrypi-20"))
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn inspect_shows_what_a_backup_is_of_and_unpacks_nothing() {
    let desk = desk();
    let plain = desk.run(&["inspect", "card", "--json"]).ends(0).json();
    capture(&desk, &[]).ends(0);
    fs::remove_file(desk.path("card")).unwrap();
    for name in ["old.img.zst", "old.json"] {
        let shown = desk.run(&["inspect", name]).ends(0).out;
        for text in ["backup      old of the file ", "raspberrypi", "in use", "bootfs"] {
            assert!(shown.contains(text), "{name}: {text} is missing from {shown}");
        }
        let mut said = desk.run(&["inspect", name, "--json"]).ends(0).json();
        let backup = said.as_object_mut().unwrap().shift_remove("backup").unwrap();
        assert_eq!(said, plain);
        assert_eq!(backup["archive"]["file"], "old.img.zst");
        assert!(backup.get("frames").is_none());
    }
    // Without its manifest the archive speaks for itself.
    let text = fs::read_to_string(desk.path("old.json")).unwrap();
    for spoilt in [None, Some(text.replace("\"version\": 1", "\"version\": 9")), Some("{".to_owned())] {
        match &spoilt {
            Some(spoilt) => fs::write(desk.path("old.json"), spoilt).unwrap(),
            None => fs::remove_file(desk.path("old.json")).unwrap(),
        }
        let ran = desk.run(&["inspect", "old.img.zst", "--json"]).ends(0);
        assert_eq!(ran.json(), plain);
        assert_eq!(ran.err.contains("old.json is passed over"), spoilt.is_some(), "{}", ran.err);
        if spoilt.is_some() {
            desk.run(&["inspect", "old.json"]).ends(1).says(&["manifest"]);
        }
    }
    assert!(!desk.top().join("cache/pibake/images").exists(), "something was unpacked");
    fs::write(desk.path("old.json"), &text).unwrap();
    File::options().append(true).open(desk.path("old.img.zst")).unwrap().set_len(10).unwrap();
    desk.run(&["inspect", "old.img.zst"]).ends(1).says(&["another archive"]);
}

#[test]
fn what_is_there_is_not_overwritten_without_a_yes() {
    let desk = desk();
    for name in FILES {
        desk.write(name, "precious");
        capture(&desk, &[]).ends(2).says(&["there already", "--yes"]);
        assert_eq!(fs::read(desk.path(name)).unwrap(), b"precious");
        fs::remove_file(desk.path(name)).unwrap();
        none_there(&desk);
    }
    FILES.iter().for_each(|name| desk.write(name, "precious"));
    capture(&desk, &["-y"]).ends(0);
    assert!(unpacked(&desk) == free_zeroed(demo(), &[]));
    assert_eq!(manifest(&desk).name, "old");
}

#[test]
fn what_cannot_be_captured_is_refused() {
    let desk = desk();
    for (args, status, says) in [
        (&["capture", "card", "-o", "old.img"][..], 2, "NAME.img.zst"),
        (&["capture", "base.img.zst"], 2, "packed already"),
        (&["capture", "nothing"], 3, "nothing"),
        (&["capture", "."], 3, "not"),
        (&["capture", "--node", "pi1"], 2, "cannot read the cluster file"),
        (&["capture", "card", "--node", "pi1"], 2, "cannot be used with"),
        (&["capture"], 2, "required"),
        (&["capture", "card", "-o", "no/old.img.zst"], 1, "no/"),
    ] {
        let ran = desk.run(args).ends(status);
        assert!(ran.err.contains(says), "{args:?}: {}", ran.err);
        none_there(&desk);
    }
    fs::rename(desk.path("card"), desk.path("card.json")).unwrap();
    desk.run(&["capture", "card.json", "-o", "card.img.zst", "-y"]).ends(2).says(&["is what is captured"]);
    assert!(fs::read(desk.path("card.json")).unwrap() == demo());
}

#[test]
fn a_filesystem_that_contradicts_itself_is_refused_and_rescued() {
    let desk = desk();
    // The kernel met an error in it.
    edit_superblock(&desk.path("card"), |superblock| superblock[0x3a] |= 2);
    capture(&desk, &[]).ends(1).says(&["partition 2", "run e2fsck", "--rescue"]);
    none_there(&desk);
    capture(&desk, &["--rescue"]).ends(0).says(&["warning: card: partition 2"]);
    let whole = unpacked(&desk);
    let root = root_range(&demo().to_vec());
    let inside = root.start() as usize..root.end() as usize;
    assert!(whole[inside.clone()] == fs::read(desk.path("card")).unwrap()[inside]);
    assert!(!manifest(&desk).notes.is_empty());
}

#[test]
fn a_card_that_was_pulled_out_is_captured_and_it_is_told() {
    let desk = desk();
    // EXT4_FEATURE_INCOMPAT_RECOVER: as the kernel leaves it.
    edit_superblock(&desk.path("card"), |superblock| superblock[0x60] |= 4);
    capture(&desk, &[]).ends(0).says(&["not unmounted", "captured as it is"]);
    let manifest = manifest(&desk);
    assert!(manifest.holds.partitions[1].left.is_some_and(|left| left.unreplayed));
    assert!(manifest.notes.iter().any(|note| note.contains("not unmounted")), "{:?}", manifest.notes);
    let whole = unpacked(&desk);
    assert!(whole == free_zeroed(&fs::read(desk.path("card")).unwrap(), &[]));
}

#[test]
fn a_swap_file_keeps_its_header_only() {
    let desk = desk();
    let mut swap = vec![0xa5; 3 << 20];
    swap[4086..4096].copy_from_slice(b"SWAPSPACE2");
    edit_root(&desk.path("card"), |root| {
        for path in ["/var/swap", "/srv/kept"] {
            let path = FsPath::new(path).unwrap();
            root.create(&path, Meta::root(0o600), &mut swap.as_slice(), swap.len() as u64).unwrap();
        }
    });
    let image = fs::read(desk.path("card")).unwrap();
    capture(&desk, &[]).ends(0).says(&["/var/swap", "swap are left out"]);
    let whole = unpacked(&desk);
    assert!(whole == free_zeroed(&image, &["/var/swap"]) && whole != free_zeroed(&image, &[]));
    fs::write(desk.path("copy"), whole).unwrap();
    let read =
        |path: &str| root_reader(&desk.path("copy")).read(&FsPath::new(path).unwrap(), 4 << 20).unwrap();
    let held = read("/var/swap");
    assert!(held[..4096] == swap[..4096] && held[4096..].iter().all(|byte| *byte == 0));
    assert!(read("/srv/kept") == swap);
    assert!(manifest(&desk).notes.iter().any(|note| note.contains("/var/swap")));
}

#[test]
fn an_unknown_partition_and_an_image_without_a_table_are_taken_whole() {
    let desk = desk();
    let image = vec![0x5a; 3 << 20];
    desk.write("card", &image);
    capture(&desk, &[]).ends(0);
    assert!(unpacked(&desk) == image);
    assert_eq!(manifest(&desk).used, image.len() as u64);
}

#[test]
fn kill_9_at_ten_moments_leaves_no_name_or_all_three() {
    let desk = desk();
    let began = Instant::now();
    capture(&desk, &[]).ends(0);
    let takes = began.elapsed();
    let whole = unpacked(&desk);
    let mut rng = fastrand::Rng::with_seed(10);
    let mut killed = 0;
    for round in 0..10 {
        for name in FILES {
            // Of a run that was killed none may be there.
            let _ = fs::remove_file(desk.path(name));
        }
        let mut command = desk.command(&["capture", "card", "-o", "old.img.zst"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_micros(rng.u64(0..takes.as_micros().try_into().unwrap())));
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().code().is_none());
        if desk.path("old.json").exists() {
            assert!(unpacked(&desk) == whole, "round {round}: a manifest beside half an archive");
            manifest(&desk).check_bmap(&fs::read(desk.path("old.img.bmap")).unwrap()).unwrap();
        }
    }
    assert!(killed >= 3, "only {killed} runs were still at work when they were killed");
    capture(&desk, &["-y"]).ends(0);
    assert!(unpacked(&desk) == whole);
    let left: Vec<String> = fs::read_dir(desk.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".pibake-part"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {args:?}: {text}");
    text
}

fn root_alone(desk: &Desk, image: &Path) -> String {
    let blocks = open(image);
    let range = root_range(&blocks);
    let mut bytes = vec![0; range.len() as usize];
    blocks.read_at(range.start(), &mut bytes).unwrap();
    desk.write("root.ext4", bytes);
    desk.path("root.ext4").to_str().unwrap().to_owned()
}

#[test]
fn bmaptool_zstd_and_e2fsck_agree() {
    if !asked("oracles", "captures before bmaptool, zstd and e2fsck") {
        return;
    }
    let desk = desk();
    capture(&desk, &[]).ends(0);
    let text = |name: &str| desk.path(name).to_str().unwrap().to_owned();
    let (archive, bmap, plain) = (text("old.img.zst"), text("old.img.bmap"), text("plain.img"));
    run("zstd", &["-q", "-d", "-o", &plain, &archive]);
    let expected = free_zeroed(demo(), &[]);
    assert!(fs::read(&plain).unwrap() == expected);
    // From the archive, with the bmap found beside it, and from the plain image with the bmap named.
    for (name, args) in [("one", vec!["copy", &archive]), ("two", vec!["copy", "--bmap", &bmap, &plain])] {
        let to = text(name);
        let said = run("bmaptool", &[args, vec![to.as_str()]].concat());
        assert!(!said.contains("no bmap"), "{said}");
        assert!(fs::read(&to).unwrap() == expected, "{name}");
    }
    // A map of another image, or a bit that flipped, is noticed by bmaptool too.
    let mut flipped = fs::read(&plain).unwrap();
    flipped[100] ^= 1;
    fs::write(&plain, flipped).unwrap();
    let failed =
        Command::new("bmaptool").args(["copy", "--bmap", &bmap, &plain, &text("three")]).output().unwrap();
    assert!(!failed.status.success());
    run("e2fsck", &["-fn", &root_alone(&desk, &desk.path("one"))]);
}

#[test]
fn a_journal_with_transactions_is_captured_with_what_it_needs() {
    if !asked("oracles", "a dirty journal before e2fsck") {
        return;
    }
    let desk = desk();
    let root = root_alone(&desk, &desk.path("card"));
    let (script, block) = (desk.path("journal"), desk.path("block"));
    fs::write(&block, [0x77; 4096]).unwrap();
    // A block that is free now and that the journal says something of; the transaction is not replayed.
    let (image, all) = (open(&desk.path("card")), root_range(&open(&desk.path("card"))));
    let in_use = used(&image, &[]).unwrap().ranges;
    let free = ranges::without(&[all], &in_use).into_iter().max_by_key(|range| range.len()).unwrap();
    let free = (free.start() - all.start()) / 4096 + 7;
    fs::write(&script, format!("jo\njw -b {free} {}\njc\n", block.display())).unwrap();
    run("debugfs", &["-w", "-f", script.to_str().unwrap(), &root]);
    let card = open(&desk.path("card"));
    let start = root_range(&card).start();
    card.file().write_all_at(&fs::read(&root).unwrap(), start).unwrap();
    capture(&desk, &[]).ends(0).says(&["journal holds 1 blocks", "captured as it is"]);
    fs::write(desk.path("copy"), unpacked(&desk)).unwrap();
    // e2fsck replays the journal, and finds nothing else to do.
    let copy = root_alone(&desk, &desk.path("copy"));
    let said = run("e2fsck", &["-E", "journal_only", "-y", &copy]);
    assert!(said.contains("recovering journal"), "{said}");
    run("e2fsck", &["-fn", &copy]);
}

#[test]
fn a_disk_that_is_mounted_is_captured_only_when_nobody_can_write_to_it() {
    if !asked_as_root("root", "captures of mounted disks") {
        return;
    }
    let desk = desk();
    let card = desk.path("card");
    let range = root_range(&open(&card));
    let attach = |more: &[&str]| {
        let file = card.to_str().unwrap();
        run("losetup", &[more, &["-f", "--show", file]].concat()).trim().to_owned()
    };
    let device = attach(&[]);
    // A partition's device, on the same file.
    let (offset, len) = (range.start().to_string(), range.len().to_string());
    let inside = attach(&["--offset", &offset, "--sizelimit", &len]);
    let at = desk.path("mnt");
    fs::create_dir(&at).unwrap();
    let at = at.to_str().unwrap();
    let results = ["rw", "ro,noload"].map(|how| {
        run("mount", &["-t", "ext4", "-o", how, &inside, at]);
        let ran = desk.run(&["capture", &device, "-o", "old.img.zst"]);
        run("umount", &[at]);
        ran
    });
    let after = desk.run(&["capture", &device, "-o", "old.img.zst", "-y"]);
    run("losetup", &["-d", &device, &inside]);
    let [writable, read_only] = results;
    writable.ends(3).says(&["mounted"]);
    read_only.ends(0);
    after.ends(0);
    assert!(manifest(&desk).source != pibake::backup::manifest::Origin::File { path: card });
    let archive = SeekableZst::open(File::open(desk.path("old.img.zst")).unwrap()).unwrap();
    let mut first = [0; 512];
    BlockRead::read_at(&archive, 0, &mut first).unwrap();
    assert!(first == demo()[..512]);
    let mut bytes = Vec::new();
    File::open(desk.path("old.json")).unwrap().read_to_end(&mut bytes).unwrap();
    assert!(Manifest::parse(&bytes).is_ok());
}
