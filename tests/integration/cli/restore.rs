//! Backups onto cards of the same size, larger and smaller ones.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use pibake::disk::block::{BlockRead, FileBlocks};
use pibake::disk::partition_table;
use pibake::disk::window::Window;
use pibake::fs::FsReader;
use pibake::fs::ext4::{Ext4Facts, usage};
use pibake::fs::metadata::FileType;
use pibake::fs::path::FsPath;
use serde_json::json;

use super::backup::{back_up, desk_with_backup};
use super::desk::Desk;
use super::image::{demo, digest, edit_root, root_range, write_sparse};
use crate::tier::asked;

const MIB: u64 = 1 << 20;

fn blocks(path: &Path) -> FileBlocks {
    FileBlocks::new(fs::File::open(path).unwrap()).unwrap()
}

/// Path, what stands there with its mode, owner, size and time, its flags, attributes and content.
type Files = Vec<(String, String, u32, String, Vec<u8>)>;

/// Everything of the root filesystem of an image or a card.
fn files(path: &Path) -> Files {
    let blocks = blocks(path);
    let range = root_range(&blocks);
    let facts = Ext4Facts::open(Window::new(blocks, range).unwrap()).unwrap();
    let mut found = Vec::new();
    let mut pending = vec![FsPath::root()];
    while let Some(dir) = pending.pop() {
        for entry in facts.read_dir(&dir).unwrap() {
            let path = dir.join(std::str::from_utf8(&entry.name).unwrap()).unwrap();
            let stat = facts.stat_no_follow(&path).unwrap().unwrap();
            let content = match stat.kind {
                FileType::File => facts.read(&path, 16 << 20).unwrap(),
                FileType::Symlink => facts.read_link(&path).unwrap(),
                _ => Vec::new(),
            };
            let xattrs = format!("{:?}", facts.xattrs(&path).unwrap());
            // The size of a directory is a matter of its blocks.
            let size = if stat.kind == FileType::File { stat.size } else { 0 };
            let meta = format!("{:?} {:?} {size} {:?}", stat.kind, stat.meta, stat.mtime);
            // Whether a directory has an index is e2fsck's business, and a flag.
            let flags = facts.flags(&path).unwrap() & 0x70;
            found.push((path.to_string(), meta, flags, xattrs, content));
            if stat.kind == FileType::Directory {
                pending.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() > 100, "hardly anything was found");
    found
}

fn text(path: &str) -> FsPath {
    FsPath::new(path).unwrap()
}

/// Size in bytes of the root filesystem itself.
fn filesystem_size(path: &Path) -> u64 {
    let blocks = blocks(path);
    let range = root_range(&blocks);
    usage(Window::new(blocks, range).unwrap(), &[]).unwrap().size
}

/// Whether programs from outside find nothing wrong with a card's filesystems.
#[track_caller]
fn sound(desk: &Desk, card: &Path) {
    let table = partition_table::read(&blocks(card)).unwrap();
    for (number, program, args) in [(1, "fsck.vfat", "-n"), (2, "e2fsck", "-fn")] {
        let range = table.partition(number).unwrap().range;
        let file = desk.path("partition");
        let mut bytes = vec![0; range.len() as usize];
        blocks(card).read_at(range.start(), &mut bytes).unwrap();
        write_sparse(&file, &bytes);
        let output = Command::new(program).arg(args).arg(&file).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn a_backup_comes_back_as_it_was_and_no_more_of_it_is_written() {
    let (desk, archived) = desk_with_backup();
    let card = desk.card("card", 96);
    let ran = desk.run(&["restore", "pi3.img.zst", "card", "-y", "--json"]).ends(0).json();
    assert_eq!(ran["fitted"], json!({"how": "as_is", "why": "fits"}));
    // Rounding may add a little.
    let used = ran["used"].as_u64().unwrap();
    assert!((archived.map.mapped()..archived.map.mapped() + 2 * MIB).contains(&used), "{ran}");
    let image = zstd::decode_all(fs::read(desk.path("pi3.img.zst")).unwrap().as_slice()).unwrap();
    assert!(fs::read(&card).unwrap() == image);
    assert!(!desk.top().join("cache/pibake/images").exists(), "it was unpacked into the cache");
    // By its manifest's name too, and without its bmap, which is told.
    desk.run(&["restore", "pi3.json", "card", "-y", "--rewrite"]).ends(0);
    fs::remove_file(desk.path("pi3.img.bmap")).unwrap();
    desk.card("again", 96);
    desk.run(&["restore", "pi3.img.zst", "again", "-y"]).ends(0).says(&["bmap is not there"]);
    assert!(fs::read(desk.path("again")).unwrap() == image);
}

#[test]
fn on_a_larger_card_partition_and_filesystem_grow() {
    let (desk, _) = desk_with_backup();
    let card = desk.card("card", 300);
    let ran = desk.run(&["restore", "pi3.img.zst", "card", "-y", "--json"]).ends(0);
    ran.events();
    assert_eq!(ran.json()["fitted"], json!({"how": "grown", "from": 48 * MIB, "to": 252 * MIB}));
    assert_eq!(root_range(&blocks(&card)).end(), 300 * MIB);
    assert_eq!(filesystem_size(&card), 252 * MIB);
    assert_eq!(files(&card), files(&desk.path("booted.img")));
    // Said before it is asked, to a person.
    desk.card("shown", 300);
    desk.run(&["restore", "pi3.img.zst", "shown"]).ends(2).says(&["grown from 48.0 MiB to 252.0 MiB"]);
    // And left alone when that is wanted.
    let card = desk.card("as-is", 300);
    let ran = desk.run(&["restore", "pi3.img.zst", "as-is", "-y", "--json", "--as-is"]).ends(0).json();
    assert_eq!(ran["fitted"], json!({"how": "as_is", "why": "asked"}));
    assert_eq!(root_range(&blocks(&card)).end(), 96 * MIB);
}

#[test]
fn what_grows_by_itself_is_left_to_it_and_raw_images_grow_like_backups() {
    let (desk, _) = desk_with_backup();
    let ran = |file: &str| {
        desk.card("card", 300);
        desk.run(&["restore", file, "card", "-y", "--json"]).ends(0).json()["fitted"]["how"].clone()
    };
    assert_eq!(ran("base.img.zst"), "as_is");
    assert_eq!(ran("booted.img"), "grown");
    let packed = zstd::encode_all(fs::read(desk.path("booted.img")).unwrap().as_slice(), 1).unwrap();
    desk.write("plain.img.zst", packed);
    assert_eq!(ran("plain.img.zst"), "grown");
    desk.card("card", 300);
    desk.run(&["restore", "base.img.zst", "card", "-y"]).ends(0).says(&["the vendor's first boot grows it"]);
}

#[test]
fn a_backup_of_what_pibake_does_not_know_comes_back_too() {
    let (desk, _) = desk_with_backup();
    let bytes: Vec<u8> = (0..4 * MIB).map(|at| u8::try_from(at * 7 % 253).unwrap()).collect();
    fs::write(desk.path("foreign"), &bytes).unwrap();
    back_up(&desk.path("foreign"), &desk.path("foreign.img.zst"));
    let card = desk.card("card", 8);
    desk.run(&["restore", "foreign.img.zst", "card", "-y"]).ends(0).says(&["written as it is"]);
    assert!(fs::read(&card).unwrap()[..bytes.len()] == bytes);
    // Without its manifest nothing says that this is a disk.
    fs::remove_file(desk.path("foreign.json")).unwrap();
    desk.run(&["restore", "foreign.img.zst", "card", "-y"]).ends(1).says(&["no disk image"]);
}

#[test]
fn a_card_a_little_smaller_gets_an_image_that_ends_earlier() {
    let (desk, _) = desk_with_backup();
    let mut image = fs::read(desk.path("booted.img")).unwrap();
    image.resize(99 << 20, 0);
    write_sparse(&desk.path("longer.img"), &image);
    back_up(&desk.path("longer.img"), &desk.path("longer.img.zst"));
    let card = desk.card("card", 97);
    let ran = desk.run(&["restore", "longer.img.zst", "card", "-y", "--json"]).ends(0).json();
    assert_eq!(ran["fitted"], json!({"how": "cut", "from": 99 * MIB, "to": 97 * MIB}));
    assert_eq!(files(&card), files(&desk.path("booted.img")));
}

#[test]
fn files_that_do_not_fit_refuse_the_card_with_both_sizes() {
    let (desk, _) = desk_with_backup();
    let card = desk.card("card", 50);
    let before = digest(&card);
    let sizes = ["card", "holds 52428800 bytes", "needs", "the files of partition 2", "a card of at least"];
    desk.run(&["restore", "pi3.img.zst", "card", "-y"]).ends(3).says(&sizes);
    assert_eq!(digest(&card), before);
    desk.card("as-is", 90);
    desk.run(&["restore", "pi3.img.zst", "as-is", "-y", "--as-is"]).ends(3).says(&["as-is"]);
}

#[test]
fn smaller_cards_and_what_other_programs_say() {
    if !asked("oracles", "restored cards before e2fsprogs, zstd and bmaptool") {
        return;
    }
    let (desk, _) = desk_with_backup();
    // Something of everything that a copy may lose.
    let booted = desk.path("booted.img");
    edit_root(&booted, |root| {
        let (file, meta) =
            (text("/srv/ünusual name"), pibake::fs::metadata::Meta { mode: 0o4751, uid: 7, gid: 9 });
        root.create(&file, meta, &mut [7u8; 300_000].as_slice(), 300_000).unwrap();
        root.set_xattr(&file, "user.note", &[5; 200]).unwrap();
        root.set_xattr(
            &file,
            "security.capability",
            &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        )
        .unwrap();
        root.set_immutable(&file, true).unwrap();
    });
    back_up(&booted, &desk.path("pi3.img.zst"));
    let expected = files(&booted);
    assert!(expected.iter().any(|(path, _, flags, ..)| path == "/srv/ünusual name" && flags & 0x10 != 0));
    for (size, how) in [(96, "as_is"), (300, "grown"), (80, "shrunk")] {
        let card = desk.card("card", size);
        let ran = desk.run(&["restore", "pi3.img.zst", "card", "-y", "--json"]).ends(0).json();
        assert_eq!(ran["fitted"]["how"], how, "{ran}");
        sound(&desk, &card);
        assert_eq!(files(&card), expected, "{how}");
        assert_eq!(root_range(&blocks(&card)).end(), size * MIB);
        assert_eq!(filesystem_size(&card), (size - 48) * MIB);
        let left = desk.everything().into_keys().filter(|name| name.starts_with("cache/pibake/."));
        assert_eq!(left.count(), 0, "a copy was left behind");
    }
    // The same by other programs alone.
    let by_zstd = desk.card("by-zstd", 96);
    let unpack =
        Command::new("zstd").args(["-dcq"]).arg(desk.path("pi3.img.zst")).stdout(Stdio::piped()).spawn();
    let into = format!("of={}", by_zstd.display());
    let dd = Command::new("dd")
        .args([into.as_str(), "bs=1M", "conv=notrunc", "status=none"])
        .stdin(unpack.unwrap().stdout.take().unwrap())
        .status();
    assert!(dd.unwrap().success());
    let by_bmaptool = desk.card("by-bmaptool", 96);
    let copy = Command::new("bmaptool")
        .args(["-q", "copy", "--bmap"])
        .args([desk.path("pi3.img.bmap"), desk.path("pi3.img.zst"), by_bmaptool.clone()])
        .output()
        .unwrap();
    assert!(copy.status.success(), "{}", String::from_utf8_lossy(&copy.stderr));
    let ours = desk.card("ours", 96);
    desk.run(&["restore", "pi3.img.zst", "ours", "-y"]).ends(0);
    assert!(fs::read(&ours).unwrap() == fs::read(&by_zstd).unwrap());
    assert!(fs::read(&ours).unwrap() == fs::read(&by_bmaptool).unwrap());
}

#[test]
fn a_journal_that_holds_something_is_replayed_before_it_grows() {
    if !asked("oracles", "a dirty journal made by debugfs") {
        return;
    }
    let (desk, _) = desk_with_backup();
    let range = root_range(&demo().to_vec());
    let mut bytes = vec![0; range.len() as usize];
    blocks(&desk.path("booted.img")).read_at(range.start(), &mut bytes).unwrap();
    let root = desk.path("root.ext4");
    fs::write(&root, &bytes).unwrap();
    // The block of a file has its newest content in the journal alone.
    let debugfs = |args: &[&str]| {
        let output = Command::new("debugfs").args(args).arg(&root).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let block = debugfs(&["-R", "bmap /etc/hostname 0"]);
    let mut newest = [0; 4096];
    newest[..12].copy_from_slice(b"replayed-by\n");
    desk.write("newest", newest);
    desk.write("script", format!("jo\njw -b {} {}\njc\n", block.trim(), desk.path("newest").display()));
    debugfs(&["-w", "-f", desk.path("script").to_str().unwrap()]);
    let mut expected = files(&desk.path("booted.img"));
    let hostname = expected.iter_mut().find(|file| file.0 == "/etc/hostname").unwrap();
    assert_eq!(hostname.4.len(), 12);
    hostname.4 = b"replayed-by\n".to_vec();
    let mut image = fs::read(desk.path("booted.img")).unwrap();
    image[range.start() as usize..range.end() as usize].copy_from_slice(&fs::read(&root).unwrap());
    write_sparse(&desk.path("dirty.img"), &image);
    back_up(&desk.path("dirty.img"), &desk.path("dirty.img.zst"));
    for (size, how) in [(96, "as_is"), (300, "grown"), (80, "shrunk")] {
        let card = desk.card("card", size);
        let ran = desk.run(&["restore", "dirty.img.zst", "card", "-y", "--json"]).ends(0);
        assert_eq!(ran.json()["fitted"]["how"], how);
        if how == "grown" {
            ran.says(&["its journal is replayed"]);
        }
        if how != "as_is" {
            sound(&desk, &card);
            assert_eq!(files(&card), expected, "{how}");
        }
    }
}
