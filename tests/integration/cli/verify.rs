//! `pibake verify`: cards that hold what they should, and cards that do not.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use pibake::disk::block::FileBlocks;
use pibake::disk::partition_table;
use pibake::disk::window::Window;
use pibake::fs::ext4::{Ext4Editor, Keep};
use pibake::fs::fat::FatVolume;
use pibake::fs::metadata::Meta;
use pibake::fs::path::FsPath;
use serde_json::{Value, json};

use super::desk::{Desk, EPOCH, KEY, Ran, cluster, tree};
use super::image::{self, digest, edit_root, edit_superblock};
use super::sudo::Loop;
use crate::root::asked_as_root;

/// A desk with pi1 on `card`.
fn flashed() -> (Desk, PathBuf) {
    let desk = Desk::new(&["pi1", "pi2"]);
    let card = desk.card("card", 128);
    desk.run(&["flash", "--node", "pi1", "card", "-y"]).ends(0);
    (desk, card)
}

fn verify(desk: &Desk, more: &[&str], status: i32) -> Value {
    let args = [&["verify", "--node", "pi1", "card", "--json"], more].concat();
    desk.run(&args).ends(status).json()
}

fn open(card: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(card).unwrap()
}

fn flip(card: &Path, at: u64) {
    let file = open(card);
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x20], at).unwrap();
}

/// Where a card holds a text, behind its first MiB.
fn find(card: &Path, text: &str) -> u64 {
    let bytes = fs::read(card).unwrap();
    let text = text.as_bytes();
    let at = (1 << 20..bytes.len()).find(|at| bytes[*at..].starts_with(text));
    at.unwrap_or_else(|| panic!("the card does not hold it")) as u64
}

fn root(path: &str) -> FsPath {
    FsPath::new(path).unwrap()
}

fn put(editor: &mut Ext4Editor<Window<FileBlocks>>, path: &str, mode: u16, gid: u32, text: &str) {
    let meta = Meta { mode, uid: 0, gid };
    let size = text.len() as u64;
    editor.replace(&root(path), meta, &mut text.as_bytes(), size, Keep::Nothing).unwrap();
}

fn paths(found: &Value, expected: bool) -> Vec<&str> {
    let findings = found["findings"].as_array().unwrap().iter();
    let of = findings.filter(|finding| finding["expected"] == expected);
    of.map(|finding| finding["path"].as_str().unwrap()).collect()
}

fn receipt(desk: &Desk, node: &str) -> PathBuf {
    let mut dir = fs::read_dir(desk.state().join("receipts").join(node)).unwrap();
    dir.next().unwrap().unwrap().path()
}

#[test]
fn a_card_that_was_just_flashed_holds_what_it_should() {
    let (desk, card) = flashed();
    let (before, bytes) = (desk.everything(), digest(&card));
    let ran = desk.run(&["verify", "--node", "pi1", "card"]).ends(0);
    assert!(ran.out.contains("holds pi1 as it was baked"), "{}", ran.out);
    let found = verify(&desk, &[], 0);
    assert_eq!(
        (&found["holds"], &found["used"], &found["differing"]),
        (&true.into(), &json!([]), &json!([]))
    );
    let written: Value = serde_json::from_slice(&fs::read(receipt(&desk, "pi1")).unwrap()).unwrap();
    assert_eq!(found["bytes"], written["used"]);
    assert_eq!(desk.run(&["verify", "--node", "pi1", "card", "-q"]).ends(0).out, "");
    assert_eq!((desk.everything(), digest(&card)), (before, bytes), "nothing is written");
}

#[test]
fn a_flipped_bit_is_found_and_named() {
    let (desk, card) = flashed();
    let injected = find(&card, "Grows the root partition and its ext4");
    let stock = find(&card, "PRETTY_NAME=");
    let table = partition_table::read(&image::open(&card)).unwrap();
    let (fat, root) = (table.partition(1).unwrap().range, table.partition(2).unwrap().range);
    for (at, place) in [
        (injected, "partition 2, /usr/lib/pibake/first-boot"),
        (stock, "partition 2, /usr/lib/os-release"),
        (root.start() + 1024 + 0x30, "partition 2"),
        (root.start() + 4096 + 0x18, "partition 2"),
        (fat.start() + 2, "partition 1"),
        (600, "outside of the partitions"),
        (446, "the first sector, with the partition table"),
    ] {
        flip(&card, at);
        let found = verify(&desk, &[], 4);
        let differing = found["differing"].as_array().unwrap();
        assert_eq!((differing.len(), &found["used"]), (1, &json!([])), "{at}: {found:#}");
        let (start, len) = (differing[0]["offset"].as_u64().unwrap(), differing[0]["len"].as_u64().unwrap());
        assert!(start <= at && at < start + len, "{at}: {found:#}");
        let named = differing[0]["holds"].as_array().unwrap();
        let table = at == 446;
        assert!(
            table || named.iter().any(|name| name.as_str().unwrap().starts_with(place)),
            "{place}: {found:#}"
        );
        let ran = desk.run(&["verify", "--node", "pi1", "card"]).ends(4);
        ran.says(&[
            "does not hold what it should of pi1",
            "1 range is not what was written",
            "flash it again",
        ]);
        if at == injected {
            assert_eq!(paths(&found, false), ["/usr/lib/pibake/first-boot"]);
        }
        flip(&card, at);
    }
    verify(&desk, &[], 0);
}

#[test]
fn another_card_an_interrupted_one_and_an_empty_one_are_told() {
    let (desk, card) = flashed();
    let other = desk.card("other", 128);
    desk.run(&["flash", "--node", "pi2", "other", "-y"]).ends(0);
    fs::copy(&other, &card).unwrap();
    let found = verify(&desk, &[], 4);
    assert_eq!(found["problem"], "it holds node pi2 of cluster lab");
    desk.run(&["verify", "--node", "pi2", "other"]).ends(0);
    assert_eq!(verify(&desk, &["--fresh"], 4)["problem"], "it holds node pi2 of cluster lab");

    open(&card).write_all_at(&vec![0; 1 << 20], 0).unwrap();
    for more in [&[][..], &["--fresh"]] {
        let found = verify(&desk, more, 4);
        assert!(found["problem"].as_str().unwrap().contains("interrupted flash"), "{found:#}");
    }
    open(&card).set_len(0).unwrap();
    desk.run(&["verify", "--node", "pi1", "card"]).ends(4).says(&["holds 0 bytes"]);
    desk.card("card", 128);
    assert!(verify(&desk, &[], 4)["problem"].is_string());
}

#[test]
fn what_cannot_be_compared_is_refused_with_the_way_out() {
    let (desk, card) = flashed();
    fs::copy(&card, desk.path("copy")).unwrap();
    fs::create_dir(desk.path("dir")).unwrap();
    let state = desk.everything();
    for (args, status, says) in [
        (&["--node", "pi1", "copy"][..], 2, &["no receipt of pi1", "--fresh", "work/card"][..]),
        (&["--node", "pi2", "card"], 2, &["no receipt of pi2", "--fresh"]),
        (&["--node", "pi9", "card"], 2, &["no such node", "pi1, pi2"]),
        (&["--node", "pi1", "missing"], 3, &["does not exist"]),
        (&["--node", "pi1", "dir"], 3, &["directory"]),
        (&["--node", "pi1", "/dev/null"], 3, &["character device"]),
        (&["--node", "pi1", "card", "--state", "nowhere"], 2, &["no receipt of pi1"]),
        (&["--node", "pi1", "card", "--fresh", "--state", "nowhere"], 2, &["no identity", "--state"]),
    ] {
        let ran = desk.run(&[&["verify"], args].concat()).ends(status).says(says);
        assert_eq!(ran.out, "");
    }
    assert_eq!(desk.everything(), state);
}

#[test]
fn a_receipt_that_somebody_edited_is_told_and_nothing_of_it_believed() {
    let (desk, _) = flashed();
    let path = receipt(&desk, "pi1");
    let good: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let huge = json!(18_446_744_073_709_551_615u64);
    for (pointer, value) in [
        ("/ranges/0/len", huge.clone()),
        ("/ranges/0/len", json!(1u64 << 62)),
        ("/ranges/0/len", json!(-1)),
        ("/ranges/1/offset", json!(0)),
        ("/ranges/1/offset", huge),
        ("/ranges/1/sha256", json!("zz")),
        ("/ranges/1/gaps", json!([{ "offset": 0, "len": 1u64 << 63 }])),
        ("/ranges", json!([])),
        ("/ranges", json!("all")),
        ("/version", json!(99)),
    ] {
        let mut bad = good.clone();
        match bad.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => bad["ranges"][1]["gaps"] = value,
        }
        fs::write(&path, bad.to_string()).unwrap();
        let ran = desk.run(&["verify", "--node", "pi1", "card"]).ends(1);
        ran.says(&[path.file_name().unwrap().to_str().unwrap()]);
    }
    // A digest that is one, but another, makes it the card's word against the receipt's.
    let mut bad = good.clone();
    bad["ranges"][0]["sha256"] = json!("0".repeat(64));
    fs::write(&path, bad.to_string()).unwrap();
    assert_eq!(verify(&desk, &[], 4)["findings"], json!([]));
}

#[test]
fn a_card_that_was_booted_is_told_so_and_checked_file_by_file() {
    let (desk, card) = flashed();
    edit_root(&card, |editor| {
        put(editor, "/etc/machine-id", 0o444, 0, "0123456789abcdef0123456789abcdef\n");
        put(editor, "/var/log/pibake.log", 0o640, 4, "done: the root filesystem has 100 MiB\n");
        put(editor, "/etc/fake-hwclock.data", 0o644, 0, "2027-01-16 08:00:00\n");
        let mut more = "y".repeat(70_000);
        more.push('\n');
        let size = more.len() as u64;
        editor.create(&root("/var/log/syslog"), Meta::root(0o644), &mut more.as_bytes(), size).unwrap();
    });
    let found = verify(&desk, &[], 0);
    assert!(
        !found["used"].as_array().unwrap().is_empty() && !found["differing"].as_array().unwrap().is_empty()
    );
    assert!(paths(&found, true).contains(&"/var/log/pibake.log"), "{found:#}");
    assert_eq!(paths(&found, false), [""; 0]);
    let ran = desk.run(&["verify", "--node", "pi1", "card"]).ends(0);
    assert!(ran.out.contains("was used since it was flashed"), "{}", ran.out);
    assert!(ran.out.contains("machine id"), "{}", ran.out);
    assert_eq!(verify(&desk, &["--fresh"], 0)["used"], found["used"]);

    // What nobody deletes rightly, and what nobody changes.
    edit_root(&card, |editor| {
        editor.remove_file(&root("/usr/lib/pibake/first-boot")).unwrap();
        editor.set_mode(&root("/etc/shadow"), 0o644).unwrap();
        put(editor, "/etc/hostname", 0o644, 0, "pi3\n");
        put(editor, "/etc/ssh/ssh_host_ed25519_key", 0o644, 0, "known to all\n");
    });
    for more in [&[][..], &["--fresh"]] {
        let found = verify(&desk, more, 4);
        let wrong = paths(&found, false);
        for path in ["/etc/hostname", "/etc/ssh/ssh_host_ed25519_key", "/usr/lib/pibake/first-boot"] {
            assert!(wrong.contains(&path), "{path}: {found:#}");
        }
    }
    let ran = desk.run(&["verify", "--node", "pi1", "card"]).ends(4);
    assert!(
        ran.out.contains("WRONG") && ran.err.contains("injected paths are not what was baked"),
        "{ran:?}"
    );
}

#[test]
fn a_new_bake_finds_what_no_plan_touched() {
    let (desk, card) = flashed();
    let stock = find(&card, "PRETTY_NAME=");
    flip(&card, stock);
    let found = verify(&desk, &["--fresh"], 4);
    assert_eq!(paths(&found, false), ["/usr/lib/os-release"]);
}

#[test]
fn a_bit_flipped_underneath_the_page_cache_is_found() {
    if !asked_as_root("root", "a card changed underneath the page cache") {
        return;
    }
    let desk = Desk::new(&["pi1"]);
    let card = desk.card("card", 128);
    let device = Loop::new(&card);
    desk.run(&["flash", "--node", "pi1", &device.0, "-y"]).ends(0);
    let verify = || desk.run(&["verify", "--node", "pi1", &device.0]);
    verify().ends(0);
    let at = find(&card, "PRETTY_NAME=");
    // While somebody has it open, the kernel keeps what it read.
    let cached = File::open(&device.0).unwrap();
    let byte = || {
        let mut byte = [0];
        cached.read_exact_at(&mut byte, at).unwrap();
        byte
    };
    assert_eq!(byte(), *b"P");
    flip(&card, at);
    assert_eq!(byte(), *b"P", "the cache has the old byte");
    verify().ends(4).says(&["1 range is not what was written"]);
    assert_eq!(byte(), *b"P");
}

#[test]
fn a_new_bake_needs_no_receipt_and_no_secret() {
    let more = "[user]\nauthorized_keys = [\"KEY\"]\npassword = { env = \"PASSWORD\" }\n".replace("KEY", KEY);
    let desk = Desk::bare();
    desk.write("pibake.toml", cluster("lab", &more, &["pi1"]));
    let card = desk.card("card", 128);
    let mut flash = desk.command(&["flash", "--node", "pi1", "card", "-y"]);
    flash.env("PASSWORD", "correct horse");
    Ran::of(flash).ends(0);
    fs::remove_dir_all(desk.state().join("receipts")).unwrap();
    let before = (tree(&desk.path("")), digest(&card));
    // Another time of the day than that of the bake, and the password nowhere.
    let mut fresh = desk.command(&["verify", "--node", "pi1", "card", "--fresh", "--json"]);
    fresh.env("SOURCE_DATE_EPOCH", "1900000000");
    let found = Ran::of(fresh).ends(0).json();
    assert_eq!(
        (&found["against"], &found["findings"], &found["used"]),
        (&json!("fresh"), &json!([]), &json!([]))
    );
    assert_eq!((tree(&desk.path("")), digest(&card)), before, "nothing but the cache is written");

    let text = fs::read_to_string(desk.path("pibake.toml")).unwrap();
    desk.write("pibake.toml", text + "\n[system]\ntimezone = \"Europe/Berlin\"\n");
    let found = verify(&desk, &["--fresh"], 4);
    assert!(paths(&found, false).contains(&"/etc/localtime"), "{found:#}");
}

#[test]
fn a_card_that_was_not_unmounted_is_used_and_still_checked() {
    let (desk, card) = flashed();
    // s_feature_incompat: RECOVER, as while it is mounted.
    edit_superblock(&card, |superblock| superblock[0x60] |= 4);
    let found = verify(&desk, &[], 0);
    assert!(found["used"].to_string().contains("was not unmounted"), "{found:#}");
    edit_superblock(&card, |superblock| superblock[0x60] &= !4);
    verify(&desk, &[], 0);
    flip(&card, find(&card, "Grows the root partition and its ext4"));
    assert_eq!(verify(&desk, &[], 4)["used"], json!([]), "damage is not taken for use");
}

#[test]
fn what_a_laptop_did_to_the_firmware_partition_excuses_nothing_else() {
    let (desk, card) = flashed();
    let blocks = image::open(&card);
    let range = partition_table::read(&blocks).unwrap().partition(1).unwrap().range;
    let window = Window::new(blocks, range).unwrap();
    let mut fat = FatVolume::edit(window, EPOCH.parse::<i64>().unwrap() + 60).unwrap();
    fat.make_dir(&root("/System Volume Information")).unwrap();
    fat.finish().unwrap();
    let found = verify(&desk, &[], 0);
    assert!(found["used"].to_string().contains("System Volume Information"), "{found:#}");
    // Before the partitions, in a range that has nothing of them in it.
    let at = 5 << 20;
    flip(&card, at);
    let found = verify(&desk, &[], 4);
    let of = |expected: bool| {
        let differing = found["differing"].as_array().unwrap().iter();
        differing
            .filter(|place| place["expected"] == expected)
            .map(|place| &place["offset"])
            .collect::<Vec<_>>()
    };
    assert_eq!(of(false), [4 << 20], "{found:#}");
    assert!(!of(true).is_empty());
}
