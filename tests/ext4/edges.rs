//! Sizes at which the on-disk form changes, and what hides in reused inodes. Oracle (i) among them.

use std::fs;
use std::io;

use pibake::fs::FsReader;
use pibake::fs::error::FsError;
use pibake::fs::ext4::Keep;
use pibake::fs::metadata::Meta;

use crate::support::check::{assert_same, open, view};
use crate::support::content;
use crate::support::disk::{GuardedDisk, Workspace, fixture, write_sparse};
use crate::support::kernel::{self, Mount};
use crate::support::matrix::{self, Base, Recipe};
use crate::support::op::{Content, Op, at};
use crate::support::tier::oracles_for;
use crate::support::tools::{assert_fsck_clean, run};
use crate::support::tree::{Fields, Kind};

const ALL: [&str; 10] =
    ["pigen", "64bit", "orphan", "uninit", "lazy", "plain", "1k", "16k", "blockmap", "fragmented"];

/// Links of every length, fast and slow, read back.
#[test]
fn link_lengths() {
    for name in ALL {
        let mut disk = GuardedDisk::new(&fixture(&format!("ext4-{name}")));
        let mut editor = open(disk.window());
        let longest = usize::try_from(editor.space().block_size).expect("small").min(4096) - 1;
        let lengths: Vec<usize> = (1..130).chain([255, 256, 500, 1000, longest - 1, longest]).collect();
        for length in &lengths {
            let path = at(&format!("/etc/of-{length}"));
            editor
                .symlink(&content::target(*length), &path, 7, 70_000)
                .unwrap_or_else(|error| panic!("{name}, {path}: {error}"));
            assert_eq!(editor.read_link(&path).expect("reading"), content::target(*length).into_bytes());
        }
        editor.finish().expect("finishing");
        let tree = view(disk.filesystem());
        for length in &lengths {
            let kind = tree.node(&format!("/etc/of-{length}")).map(|node| &node.kind);
            assert_eq!(kind, Some(&Kind::Symlink(content::target(*length).into_bytes())), "{name}");
        }
    }
}

/// And as the kernel reads them; it refuses a fast link of 60 bytes, for one.
#[test]
fn the_kernel_follows_links_of_every_length() {
    if !oracles_for("the_kernel_follows_links_of_every_length") {
        return;
    }
    let recipe = Recipe {
        mke2fs: &["-b", "4096", "-N", "8192", "-O", "^huge_file,^64bit"],
        mib: 64,
        ..matrix::PI_GEN
    };
    let Base { bytes, mut tree, .. } = matrix::build(&recipe);
    let mut ops = vec![Op::MakeDir { path: "/links".into(), meta: Meta::root(0o755) }];
    ops.extend((1..4096).map(|length| Op::Symlink {
        path: format!("/links/{length}"),
        target: content::target(length),
        uid: 0,
        gid: 0,
    }));
    // Removed again: a fast link's body is no list of blocks to be freed.
    ops.extend((1..4096).step_by(3).map(|length| Op::RemoveFile { path: format!("/links/{length}") }));
    let mut disk = GuardedDisk::new(&bytes);
    let mut editor = open(disk.window());
    for op in &ops {
        op.edit(&mut editor).unwrap_or_else(|error| panic!("{op:?}: {error}"));
        op.model(&mut tree);
    }
    editor.finish().expect("finishing");
    let space = Workspace::new();
    let image = space.path("image");
    write_sparse(&image, disk.filesystem());
    assert_fsck_clean(&image, "with links");
    let mount = Mount::new(&image);
    assert_same(
        &tree,
        &kernel::snapshot(mount.path()),
        Fields { attributes: true, links: true },
        "the kernel",
    );
    mount.close();
}

/// A new file has none of the attributes of the one whose inode it gets.
#[test]
fn attributes_are_not_inherited() {
    for name in ALL {
        let mut bytes = fixture(&format!("ext4-{name}"));
        let mut editor = open(&mut bytes);
        let meta = Meta::root(0o644);
        for round in 0..8 {
            let path = at("/etc/reused");
            editor.create(&path, meta, &mut &b"first"[..], 5).expect("creating");
            editor
                .set_xattr(
                    &path,
                    "security.capability",
                    &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                )
                .expect("setting");
            editor.set_xattr(&path, "user.large", &[round; 400]).expect("setting");
            editor.set_immutable(&path, true).expect("setting");
            editor.remove_file(&path).expect("removing");
            editor.create(&path, meta, &mut &b"second"[..], 6).expect("creating");
            assert!(editor.xattrs(&path).expect("reading").is_empty(), "{name}: attributes came back");
            assert_eq!(editor.flags(&path).expect("reading") & 0x10, 0, "{name}: the flag came back");
            editor.set_xattr(&path, "user.small", b"x").expect("setting");
            editor.replace(&path, meta, &mut &b"third"[..], 5, Keep::Nothing).expect("replacing");
            assert!(
                editor.xattrs(&path).expect("reading").is_empty(),
                "{name}: attributes outlived a replacement"
            );
            editor.set_xattr(&path, "user.small", b"kept").expect("setting");
            editor.replace(&path, meta, &mut &b"fourth"[..], 6, Keep::Xattrs).expect("replacing");
            assert_eq!(
                editor.xattrs(&path).expect("reading").get("user.small").map(Vec::as_slice),
                Some(&b"kept"[..]),
                "{name}"
            );
            editor.remove_file(&path).expect("removing");
            editor.make_dir(&path, meta).expect("creating");
            assert!(
                editor.xattrs(&path).expect("reading").is_empty(),
                "{name}: attributes came back in a directory"
            );
            editor.remove_dir(&path).expect("removing");
        }
    }
}

/// The inode table of a used medium holds old inodes: nothing of them shows.
#[test]
fn garbage_in_unused_inodes_stays_unseen() {
    for name in ["ext4-lazy", "ext4-uninit"] {
        let mut bytes = fixture(name);
        let mut editor = open(&mut bytes);
        for index in 0..600 {
            let path = at(&format!("/var/many/new-{index}"));
            editor
                .create(&path, Meta::root(0o640), &mut io::empty(), 0)
                .unwrap_or_else(|error| panic!("{path}: {error}"));
            assert!(
                editor.xattrs(&path).expect("reading").is_empty(),
                "{name}, {path}: attributes of a dead inode"
            );
        }
    }
}

/// Attributes move between inode and block, share and leave a block.
#[test]
fn attributes_in_inode_and_block() {
    for name in ALL {
        let mut bytes = fixture(&format!("ext4-{name}"));
        let mut editor = open(&mut bytes);
        let path = at("/etc/size-0");
        let free = editor.space().free_blocks;
        for size in [0, 1, 3, 40, 80, 100, 200, 500, 800, 500, 100, 60, 3, 0] {
            let value = content::bytes(size as u64, size);
            editor
                .set_xattr(&path, "user.value", &value)
                .unwrap_or_else(|error| panic!("{name}, {size}: {error}"));
            let read = editor.xattrs(&path).expect("reading");
            assert_eq!(read.get("user.value").map(Vec::as_slice), Some(&value[..]), "{name}, {size} bytes");
            assert_eq!(read.len(), 1, "{name}");
        }
        for index in 0..12 {
            editor.set_xattr(&path, &format!("trusted.n{index}"), &[index; 11]).expect("setting");
        }
        assert_eq!(editor.xattrs(&path).expect("reading").len(), 13, "{name}");
        for index in 0..12 {
            editor.remove_xattr(&path, &format!("trusted.n{index}")).expect("removing");
        }
        editor.remove_xattr(&path, "user.value").expect("removing");
        assert!(editor.xattrs(&path).expect("reading").is_empty(), "{name}");
        assert_eq!(editor.space().free_blocks, free, "{name}: the block came back");
    }
}

/// Times past 2038, as far as the inode has bits for them.
#[test]
fn the_kernel_reads_late_times() {
    if !oracles_for("the_kernel_reads_late_times") {
        return;
    }
    for (recipe, last) in [(&matrix::PI_GEN, 0x3_7fff_ffff), (&matrix::TWO_KIB, 0x7fff_ffff)] {
        let Base { bytes, mut tree, .. } = matrix::build(recipe);
        let mut disk = GuardedDisk::new(&bytes);
        let mut editor = open(disk.window());
        for (path, time) in [
            ("/etc/size-0", 0x7fff_ffff_i64),
            ("/etc/size-1", 0x8000_0000),
            ("/etc/size-59", 0xffff_ffff),
            ("/etc/size-60", 0x1_0000_0000),
            ("/etc/size-1023", 0x3_7fff_ffff),
            ("/etc/size-1024", -1),
        ] {
            editor.set_times(&at(path), time).unwrap_or_else(|error| panic!("{path}: {error}"));
            tree.node_mut(path).expect("there").mtime = Some(time.min(last));
        }
        editor.finish().expect("finishing");
        let space = Workspace::new();
        let image = space.path("image");
        write_sparse(&image, disk.filesystem());
        assert_fsck_clean(&image, "with late times");
        let mount = Mount::new(&image);
        assert_same(
            &tree,
            &kernel::snapshot(mount.path()),
            Fields { attributes: true, links: true },
            "the kernel",
        );
        mount.close();
    }
}

/// Paths through links in parent directories, absolute, relative, circular, and out of the root.
#[test]
fn parents_are_followed_inside_the_root() {
    let mut bytes = fixture("ext4-pigen");
    let mut editor = open(&mut bytes);
    let meta = Meta::root(0o644);
    editor.create(&at("/lib/through-a-link"), meta, &mut &b"x"[..], 1).expect("creating");
    assert!(editor.stat_no_follow(&at("/usr/lib/through-a-link")).expect("looking").is_some());
    editor.symlink("/usr/lib", &at("/etc/to-lib"), 0, 0).expect("linking");
    editor.create(&at("/etc/to-lib/absolute"), meta, &mut &b"x"[..], 1).expect("creating");
    assert!(editor.stat_no_follow(&at("/usr/lib/absolute")).expect("looking").is_some());
    editor.symlink("../../../../../../etc", &at("/etc/deep/out"), 0, 0).expect("linking");
    let escaped = editor.create(&at("/etc/deep/out/inside"), meta, &mut &b"x"[..], 1);
    assert!(matches!(escaped, Err(FsError::BadName { .. })), "{escaped:?}");
    let looped = editor.read(&at("/etc/loop-a/x"), 10);
    assert!(matches!(looped, Err(FsError::SymlinkLoop { .. })), "{looped:?}");
    assert!(matches!(editor.stat(&at("/etc/loop-a")), Err(FsError::SymlinkLoop { .. })));
    assert!(editor.stat(&at("/etc/dangling")).expect("looking").is_none());
    assert_eq!(editor.read(&at("/etc/absolute"), 100).expect("reading").len(), 60);
    assert!(matches!(
        editor.read(&at("/etc/size-60"), 59),
        Err(FsError::TooLarge { size: 60, limit: 59, .. })
    ));
}

/// Chains of links up to the kernel's forty are followed.
#[test]
fn long_chains_of_links() {
    let mut bytes = fixture("ext4-pigen");
    let mut editor = open(&mut bytes);
    editor.symlink("etc", &at("/chain-0"), 0, 0).expect("linking");
    for index in 1..60 {
        editor
            .symlink(&format!("chain-{}", index - 1), &at(&format!("/chain-{index}")), 0, 0)
            .expect("linking");
    }
    assert!(editor.stat(&at("/chain-30/size-1")).expect("looking").is_some());
    assert!(matches!(editor.stat(&at("/chain-59/size-1")), Err(FsError::SymlinkLoop { .. })));
}

/// Blocks that are allocated but were never written read as zeros, whatever the medium holds there.
#[test]
fn unwritten_blocks_are_zeros() {
    if !oracles_for("unwritten_blocks_are_zeros") {
        return;
    }
    let space = Workspace::new();
    let image = space.path("image");
    fs::write(&image, matrix::build(&matrix::LAZY).bytes).expect("writing");
    let mount = Mount::new(&image);
    matrix::reserve(&mount.path().join("reserved"));
    mount.close();
    let mut bytes = fs::read(&image).expect("reading");
    let editor = open(&mut bytes);
    let content = editor.read(&at("/reserved"), 1 << 20).expect("reading");
    assert!(content.len() == 100_000 && content.iter().all(|byte| *byte == 0));
}

/// Two names of one file: replacing one leaves the other, removing both frees the blocks.
#[test]
fn hard_links_keep_the_old_file() {
    if !oracles_for("hard_links_keep_the_old_file") {
        return;
    }
    for recipe in [&matrix::PI_GEN, &matrix::BLOCK_MAPPED] {
        let Base { bytes, mut tree, .. } = matrix::build(recipe);
        let mut disk = GuardedDisk::new(&bytes);
        let mut editor = open(disk.window());
        let fresh = Content { bytes: content::bytes(5, 9000), step: 100 };
        let ops = [
            Op::Replace {
                path: "/etc/size-4097".into(),
                meta: Meta::root(0o600),
                content: fresh,
                keep_xattrs: true,
            },
            Op::SetMode { path: "/usr/lib/second-name".into(), mode: 0o4711 },
            Op::RemoveFile { path: "/usr/lib/third-name".into() },
        ];
        for op in &ops {
            op.edit(&mut editor).unwrap_or_else(|error| panic!("{op:?}: {error}"));
            op.model(&mut tree);
        }
        editor.finish().expect("finishing");
        let space = Workspace::new();
        let image = space.path("image");
        write_sparse(&image, disk.filesystem());
        assert_fsck_clean(&image, "with hard links");
        let mount = Mount::new(&image);
        assert_same(
            &tree,
            &kernel::snapshot(mount.path()),
            Fields { attributes: true, links: true },
            "the kernel",
        );
        mount.close();
    }
}

/// A file in thousands of pieces: three levels of extents, written, read, freed.
#[test]
fn thousands_of_extents() {
    let mut disk = GuardedDisk::new(&fixture("ext4-fragmented"));
    let mut editor = open(disk.window());
    let free = editor.space().free_blocks;
    let size = (free - editor.blocks_for(free * 1024).saturating_sub(free) - 80) * 1024 - 5;
    let content = content::bytes(11, size as usize);
    editor.create(&at("/pieces"), Meta::root(0o644), &mut &content[..], size).expect("creating");
    assert!(editor.read(&at("/pieces"), size).expect("reading") == content[..]);
    editor.finish().expect("finishing");
    let tree = view(disk.filesystem());
    assert_eq!(tree.node("/pieces").map(|node| &node.kind), Some(&Kind::File(content)));
    if oracles_for("thousands_of_extents, the part with e2fsck") {
        let space = Workspace::new();
        let image = space.path("image");
        write_sparse(&image, disk.filesystem());
        assert_fsck_clean(&image, "with a file in pieces");
        let extents = run("debugfs", &[&"-R", &"dump_extents /pieces", &image]);
        assert!(extents.lines().count() > 1500, "the file lies in {} pieces only", extents.lines().count());
    }
    let mut editor = open(disk.window());
    editor.remove_file(&at("/pieces")).expect("removing");
    assert_eq!(editor.space().free_blocks, free, "all of its blocks came back");
}

/// A file larger than the memory it is written with.
#[test]
fn a_large_file_streams() {
    if !oracles_for("a_large_file_streams") {
        return;
    }
    let space = Workspace::on_disk();
    let image = space.path("image");
    fs::File::create(&image).expect("creating").set_len(3 << 30).expect("sizing");
    run("mke2fs", &[&"-q", &"-F", &"-t", &"ext4", &"-O", &"^huge_file,^64bit", &image]);
    let file = fs::OpenOptions::new().read(true).write(true).open(&image).expect("opening");
    let mut editor = open(pibake::disk::block::FileBlocks::new(file).expect("a file"));
    let size = (2 << 30) + 12_345;
    editor
        .create(&at("/large"), Meta::root(0o644), &mut io::Read::take(io::repeat(0x31), size), size)
        .expect("creating");
    editor.finish().expect("finishing");
    assert_fsck_clean(&image, "with a file over 2 GiB");
    let mount = Mount::new(&image);
    assert_eq!(fs::metadata(mount.path().join("large")).expect("there").len(), size);
    mount.close();
}
