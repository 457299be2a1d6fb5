//! Large directories: their index in all its forms.

use std::fs;
use std::io;

use pibake::fs::FsReader;
use pibake::fs::metadata::Meta;

use crate::support::check::{open, room, view};
use crate::support::disk::{GuardedDisk, Workspace, fixture, write_sparse};
use crate::support::kernel::Mount;
use crate::support::op::at;
use crate::support::tier::oracles_for;
use crate::support::tools::{assert_fsck_clean, run};

/// The hash seed under which the pairs below collide.
const HASH_SEED: &str = "7c1d5e90-3b2a-4f68-8e14-90ab6cd7f321";

/// An index's hash: its name for tune2fs, whether characters are signed, and pairs of numbers whose names
/// (hexadecimal, then a hundred `é`) have the same hash, found with libext2fs.
struct Hash {
    name: &'static str,
    signed: bool,
    collisions: [(u32, u32); 12],
}

const HASHES: [Hash; 6] = [
    Hash {
        name: "legacy",
        signed: true,
        collisions: [
            (0x2b7b, 0xec9c),
            (0xb2d6, 0x136eb),
            (0x12f4, 0x14d89),
            (0x4158, 0x1b088),
            (0x11b5d, 0x1b34c),
            (0x14988, 0x1ba59),
            (0x20eb9, 0x22685),
            (0x147d7, 0x256fb),
            (0xe79e, 0x2842f),
            (0x1a8aa, 0x3082a),
            (0xacc1, 0x3c104),
            (0x33340, 0x3d036),
        ],
    },
    Hash {
        name: "half_md4",
        signed: true,
        collisions: [
            (0x286, 0x6c44),
            (0x7f30, 0x1cc68),
            (0x10ae8, 0x1e698),
            (0xfd3d, 0x1f4e3),
            (0x5330, 0x278c7),
            (0x39c1, 0x2963f),
            (0x10e63, 0x29e10),
            (0xf877, 0x2b1f6),
            (0x23b1, 0x31946),
            (0x288ac, 0x36f19),
            (0x255a6, 0x3775b),
            (0x1235f, 0x3bee0),
        ],
    },
    Hash {
        name: "tea",
        signed: true,
        collisions: [
            (0x54fb, 0x1717d),
            (0x15d0c, 0x188fa),
            (0x85f6, 0x1932b),
            (0x11e37, 0x29a9d),
            (0x2d2ed, 0x2e444),
            (0x31503, 0x351eb),
            (0x2fb68, 0x35fed),
            (0x1f3b1, 0x4025a),
            (0x3b2d5, 0x40782),
            (0x258e0, 0x417cc),
            (0x340d8, 0x43fd8),
            (0x3d03d, 0x4401f),
        ],
    },
    Hash {
        name: "legacy",
        signed: false,
        collisions: [
            (0x8ef6, 0xbee7),
            (0x10d30, 0x1751f),
            (0x154fc, 0x17949),
            (0xaff9, 0x19d9b),
            (0x1a876, 0x1b3c8),
            (0x827b, 0x25b01),
            (0x12fd9, 0x276db),
            (0x173e, 0x2a619),
            (0x11b7e, 0x2c9e4),
            (0x24f0a, 0x32fc2),
            (0x1bcda, 0x39066),
            (0x29bf2, 0x3b1de),
        ],
    },
    Hash {
        name: "half_md4",
        signed: false,
        collisions: [
            (0x11bc1, 0x18656),
            (0x1563c, 0x19a1a),
            (0xa642, 0x24dbd),
            (0x20a9b, 0x250e8),
            (0xcb80, 0x2577a),
            (0x26716, 0x2bc64),
            (0x91c6, 0x2ed3a),
            (0x2b16c, 0x340de),
            (0x12cb8, 0x39816),
            (0x15be, 0x39a1b),
            (0x24b47, 0x3ba64),
            (0x33f81, 0x40474),
        ],
    },
    Hash {
        name: "tea",
        signed: false,
        collisions: [
            (0xfcb0, 0x13ce5),
            (0xc989, 0x16709),
            (0xda5f, 0x18598),
            (0x11d9b, 0x18f5b),
            (0x8584, 0x1d1b8),
            (0x6c0c, 0x1fafe),
            (0x1c96d, 0x24a30),
            (0x90d3, 0x27617),
            (0x27600, 0x292e5),
            (0x19278, 0x2a87b),
            (0x17460, 0x2ad32),
            (0x13c2f, 0x2b16e),
        ],
    },
];

/// More names than one level of index holds, in a directory that has an index and in one that gets it.
#[test]
fn directories_fill_without_tools() {
    for name in ["ext4-pigen", "ext4-1k", "ext4-plain", "ext4-orphan"] {
        let mut disk = GuardedDisk::new(&fixture(name));
        let mut editor = open(disk.window());
        editor.make_dir(&at("/new"), Meta::root(0o755)).expect("a directory");
        let count = room(&editor).free_inodes / 2 - 1;
        for index in 0..count {
            for folder in ["/new", "/var/many"] {
                let path = at(&format!("{folder}/{index:05}-{}", "n".repeat(90)));
                editor
                    .create(&path, Meta::root(0o644), &mut io::empty(), 0)
                    .unwrap_or_else(|error| panic!("{path}: {error}"));
            }
        }
        for index in (0..count).step_by(2) {
            editor.remove_file(&at(&format!("/new/{index:05}-{}", "n".repeat(90)))).expect("removing");
        }
        let listed = editor.read_dir(&at("/new")).expect("listing").len() as u64;
        assert_eq!(listed, count / 2, "{name}");
        editor.finish().expect("finishing");
        disk.assert_guards();
        let tree = view(disk.filesystem());
        assert_eq!(
            tree.paths().filter(|path| path.starts_with("/var/many/")).count() as u64,
            count + 450,
            "{name}"
        );
    }
}

/// 21,000 names and a few that collide, under each hash; then the kernel looks each up and adds more.
fn under_every_hash(block: &str) {
    if !oracles_for(&format!("large directories, blocks of {block}")) {
        return;
    }
    std::thread::scope(|scope| {
        for hashes in HASHES.chunks(3) {
            scope.spawn(move || hashes.iter().for_each(|hash| under_hash(block, hash)));
        }
    });
}

fn under_hash(block: &str, hash: &Hash) {
    let space = Workspace::new();
    let image = space.path("image");
    fs::File::create(&image).expect("creating").set_len(64 << 20).expect("sizing");
    let seed = format!("hash_seed={HASH_SEED}");
    run(
        "mke2fs",
        &[
            &"-q", &"-F", &"-t", &"ext4", &"-b", &block, &"-N", &"24000", &"-O", &"^64bit", &"-E", &seed,
            &image,
        ],
    );
    run("tune2fs", &[&"-E", &format!("hash_alg={}", hash.name), &image]);
    run("debugfs", &[&"-w", &"-R", &format!("ssv flags {}", if hash.signed { 1 } else { 2 }), &image]);
    let names = names(hash);
    let mut disk = GuardedDisk::new(&fs::read(&image).expect("reading"));
    let mut editor = open(disk.window());
    editor.make_dir(&at("/many"), Meta::root(0o755)).expect("a directory");
    for name in &names {
        let path = at(&format!("/many/{name}"));
        editor
            .create(&path, Meta::root(0o644), &mut io::empty(), 0)
            .unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    assert_eq!(editor.read_dir(&at("/many")).expect("listing").len(), names.len());
    editor.finish().expect("finishing");
    disk.assert_guards();
    write_sparse(&image, disk.filesystem());
    let label =
        format!("{} {}, blocks of {block}", hash.name, if hash.signed { "signed" } else { "unsigned" });
    assert_fsck_clean(&image, &label);
    let mount = Mount::new(&image);
    for name in &names {
        assert!(
            fs::symlink_metadata(mount.path().join("many").join(name)).is_ok(),
            "{label}: the kernel finds no {name}"
        );
    }
    for index in 0..1000 {
        fs::write(mount.path().join(format!("many/kernel-{index}")), "").expect("the kernel adds a name");
    }
    for name in names.iter().step_by(7) {
        fs::remove_file(mount.path().join("many").join(name)).expect("the kernel removes a name");
    }
    mount.close();
    assert_fsck_clean(&image, &format!("{label}, after the kernel"));
    edit_again(&image, &names, &label);
}

/// The index as the kernel left it is edited once more.
fn edit_again(image: &std::path::Path, names: &[String], label: &str) {
    let mut disk = GuardedDisk::new(&fs::read(image).expect("reading"));
    let mut editor = open(disk.window());
    for (index, name) in names.iter().enumerate() {
        let path = at(&format!("/many/{name}"));
        match index % 7 {
            0 => editor.create(&path, Meta::root(0o644), &mut io::empty(), 0),
            1 => editor.remove_file(&path),
            _ => continue,
        }
        .unwrap_or_else(|error| panic!("{label}, {path}: {error}"));
    }
    editor.finish().expect("finishing");
    write_sparse(image, disk.filesystem());
    assert_fsck_clean(image, &format!("{label}, edited again"));
}

fn names(hash: &Hash) -> Vec<String> {
    // Long names fill a block with a few, so that pairs of equal hash come to stand at its edges.
    let ordinary =
        (0..21_000).map(|index| format!("{index:06}-{}", "é".repeat(if index % 50 == 0 { 90 } else { 3 })));
    let colliding = hash
        .collisions
        .iter()
        .flat_map(|(a, b)| [*a, *b])
        .map(|number| format!("{number:x}{}", "é".repeat(100)));
    ordinary.chain(colliding).collect()
}

#[test]
fn large_directories_4k() {
    under_every_hash("4096");
}

#[test]
fn large_directories_1k() {
    under_every_hash("1024");
}
