//! Growing a filesystem, and what resize2fs and the kernel make of it afterwards.

use std::fs::{File, OpenOptions};
use std::path::Path;

use pibake::disk::block::FileBlocks;
use pibake::disk::range::ByteRange;
use pibake::disk::window::Window;
use pibake::fs::error::FsError;
use pibake::fs::ext4::Ext4Editor;
use pibake::fs::metadata::Meta;

use crate::support::check::{assert_same, editor_snapshot, open, room, stamp, view};
use crate::support::content;
use crate::support::disk::{GuardedDisk, Workspace, fixture, write_sparse};
use crate::support::kernel::{self, Mount};
use crate::support::matrix::{self, Recipe};
use crate::support::op::{NOW, Op, at};
use crate::support::tier::{oracles, oracles_for};
use crate::support::tools::{assert_fsck_clean, run};
use crate::support::tree::{Fields, Kind, Tree};

const MIB: u64 = 1 << 20;

/// A filesystem grows in memory, and what was in it is still there.
#[test]
fn fixtures_grow() {
    for name in ["pigen", "64bit", "orphan", "uninit", "lazy", "plain", "1k", "blockmap", "fragmented"] {
        for size in [24 * MIB, 37 * MIB + 5 * 1024, 64 * MIB] {
            let mut bytes = fixture(&format!("ext4-{name}"));
            let before = view(&bytes);
            bytes.resize(size as usize, 0xa5);
            let mut disk = GuardedDisk::new(&bytes);
            let mut editor = open(disk.window());
            let free = room(&editor).free_blocks;
            editor.grow(size).unwrap_or_else(|error| panic!("{name} to {size}: {error}"));
            assert!(room(&editor).free_blocks > free, "{name} to {size}: nothing was gained");
            fill(&mut editor);
            assert!(editor_snapshot(&editor).node("/grown/0").is_some());
            editor.finish().expect("finishing");
            disk.assert_guards();
            let mut after = view(disk.filesystem());
            forget(&mut after, "/grown");
            after.node_mut("/").expect("a root").mtime = before.node("/").and_then(|node| node.mtime);
            assert_same(
                &before,
                &after,
                Fields { attributes: false, links: false },
                &format!("{name} after growing"),
            );
            if oracles() {
                let space = Workspace::new();
                let image = space.path("image");
                write_sparse(&image, disk.filesystem());
                assert_fsck_clean(&image, &format!("{name}, after growing to {size}"));
            }
        }
    }
}

/// Puts files into what was gained.
fn fill<D: pibake::disk::block::BlockWrite>(editor: &mut Ext4Editor<D>) {
    editor.make_dir(&at("/grown"), Meta::root(0o755)).expect("a directory");
    for index in 0..6u64 {
        let content = content::bytes(index, 400_000);
        let path = at(&format!("/grown/{index}"));
        editor
            .create(&path, Meta::root(0o644), &mut &content[..], 400_000)
            .unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

fn forget(tree: &mut Tree, below: &str) {
    let paths: Vec<String> = tree.paths().filter(|path| path.starts_with(below)).map(str::to_owned).collect();
    for path in paths {
        tree.remove(&path);
    }
}

/// Grown twice is grown.
#[test]
fn growing_to_the_same_size_changes_no_file() {
    let mut bytes = fixture("ext4-pigen");
    let size = bytes.len() as u64;
    let before = view(&bytes);
    let mut editor = open(&mut bytes);
    let free = room(&editor).free_blocks;
    editor.grow(size).expect("growing by nothing");
    assert_eq!(room(&editor).free_blocks, free);
    editor.finish().expect("finishing");
    assert_same(&before, &view(&bytes), Fields { attributes: false, links: false }, "growing by nothing");
}

/// More than the reserved descriptor blocks can describe is refused, with nothing changed.
#[test]
fn growth_past_the_reserve_is_refused() {
    let space = Workspace::new();
    let image = space.path("image");
    let base = fixture("ext4-pigen");
    write_sparse(&image, &base);
    let file = OpenOptions::new().read(true).write(true).open(&image).expect("opening");
    file.set_len(1 << 40).expect("a sparse file of 1 TiB");
    let mut editor = open(FileBlocks::new(file).expect("a file"));
    let refused = editor.grow(1 << 40);
    assert!(matches!(refused, Err(FsError::Unsupported { .. } | FsError::NoSpace { .. })), "{refused:?}");
    drop(editor);
    let mut start = vec![0; base.len()];
    std::os::unix::fs::FileExt::read_exact_at(&File::open(&image).expect("opening"), &mut start, 0)
        .expect("reading");
    assert!(start == base, "bytes changed");
}

/// Over real sizes: grown, filled, checked, mounted, then grown again by resize2fs, as the first boot does.
fn grows_on_a_card(recipe: &Recipe, sizes: &[u64]) {
    if !oracles_for(recipe.name) {
        return;
    }
    let base = matrix::build(recipe);
    for size in sizes {
        let space = Workspace::new();
        let image = space.path("card");
        write_sparse(&image, &base.bytes);
        let mut tree = base.tree.clone();
        let file = OpenOptions::new().read(true).write(true).open(&image).expect("opening");
        file.set_len(*size).expect("sizing");
        let device = FileBlocks::new(file).expect("a file");
        let range = ByteRange::new(0, *size).expect("proper");
        let mut editor =
            Ext4Editor::open(Window::new(device, range).expect("inside"), stamp()).expect("opening");
        editor.grow(*size).unwrap_or_else(|error| panic!("{} to {size}: {error}", recipe.name));
        fill(&mut editor);
        note_filled(&mut tree);
        editor.finish().expect("finishing");
        let when = format!("{} grown to {size}", recipe.name);
        assert_fsck_clean(&image, &when);
        assert_backup_knows(&image, *size);
        kernel_agrees(&image, &tree, &when);
        OpenOptions::new().write(true).open(&image).expect("opening").set_len(size * 2).expect("sizing");
        run("resize2fs", &[&"-f", &image]);
        assert_fsck_clean(&image, &format!("{when}, after resize2fs"));
        kernel_agrees(&image, &tree, &format!("{when}, after resize2fs"));
    }
}

/// resize2fs after edits alone, as on a card that was never grown by us.
#[test]
fn resize2fs_follows_edits() {
    if !oracles_for("resize2fs_follows_edits") {
        return;
    }
    for recipe in [&matrix::PI_GEN, &matrix::WIDE, &matrix::UNINIT, &matrix::ONE_KIB, &matrix::PLAIN] {
        let base = matrix::build(recipe);
        let mut tree = base.tree.clone();
        let mut bytes = base.bytes;
        let mut editor = open(&mut bytes);
        fill(&mut editor);
        note_filled(&mut tree);
        editor.finish().expect("finishing");
        let space = Workspace::new();
        let image = space.path("card");
        write_sparse(&image, &bytes);
        OpenOptions::new().write(true).open(&image).expect("opening").set_len(700 * MIB).expect("sizing");
        run("resize2fs", &[&"-f", &image]);
        assert_fsck_clean(&image, &format!("{}, after resize2fs", recipe.name));
        kernel_agrees(&image, &tree, &format!("{}, after resize2fs", recipe.name));
    }
}

fn note_filled(tree: &mut Tree) {
    Op::MakeDir { path: "/grown".into(), meta: Meta::root(0o755) }.model(tree);
    for index in 0..6u64 {
        let content = crate::support::op::Content { bytes: content::bytes(index, 400_000), step: 1 };
        Op::Create { path: format!("/grown/{index}"), meta: Meta::root(0o644), content }.model(tree);
    }
    debug_assert!(
        tree.node("/grown").is_some_and(|node| node.kind == Kind::Directory && node.mtime == Some(NOW))
    );
}

/// Growth is the one edit that the backup superblocks must know of.
fn assert_backup_knows(image: &Path, size: u64) {
    let primary = run("dumpe2fs", &[&"-h", &image]);
    let field = |text: &str, name: &str| -> u64 {
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("dumpe2fs prints no {name}"));
        line[name.len()..].trim().parse().expect("a number")
    };
    let block = field(&primary, "Block size:");
    let per_group = field(&primary, "Blocks per group:");
    let first = field(&primary, "First block:") + per_group;
    if field(&primary, "Block count:") <= first {
        return;
    }
    let backup = run(
        "dumpe2fs",
        &[&"-h", &"-o", &format!("superblock={first}"), &"-o", &format!("blocksize={block}"), &image],
    );
    assert_eq!(field(&backup, "Block count:"), field(&primary, "Block count:"), "the first backup's size");
    assert!(field(&primary, "Block count:") <= size / block);
}

fn kernel_agrees(image: &Path, tree: &Tree, when: &str) {
    let mount = Mount::new(image);
    assert_same(
        tree,
        &kernel::snapshot(mount.path()),
        Fields { attributes: true, links: true },
        &format!("the kernel, {when}"),
    );
    mount.close();
}

/// Sizes that end in a whole group, in a few blocks, in a group too small to be one, and far away.
const SIZES: [u64; 5] = [64 * MIB, 100 * MIB + 12_288, 129 * MIB, 300 * MIB, 3 << 30];

#[test]
fn pi_gen_grows() {
    grows_on_a_card(
        &Recipe {
            mke2fs: &["-b", "4096", "-I", "256", "-i", "16384", "-O", "^huge_file,^64bit"],
            ..matrix::PI_GEN
        },
        &SIZES,
    );
}

#[test]
fn small_groups_grow() {
    grows_on_a_card(&matrix::PI_GEN, &SIZES[..4]);
}

#[test]
fn wide_grows() {
    grows_on_a_card(&matrix::WIDE, &SIZES[..4]);
}

#[test]
fn orphan_file_grows() {
    grows_on_a_card(&matrix::ORPHAN, &SIZES);
}

#[test]
fn uninit_grows() {
    grows_on_a_card(&matrix::UNINIT, &SIZES[..4]);
}

#[test]
fn lazy_grows() {
    grows_on_a_card(&matrix::LAZY, &SIZES[..4]);
}

#[test]
fn plain_grows() {
    grows_on_a_card(&matrix::PLAIN, &SIZES);
}

#[test]
fn one_kib_grows() {
    grows_on_a_card(&matrix::ONE_KIB, &SIZES[..4]);
}

#[test]
fn two_kib_without_flex_bg_grows() {
    grows_on_a_card(&matrix::TWO_KIB, &SIZES[..4]);
}
