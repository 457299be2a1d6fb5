//! Out of space at every allocation: oracle (j).

use std::io;

use pibake::fs::error::FsError;
use pibake::fs::ext4::{Ext4Editor, Keep};
use pibake::fs::metadata::Meta;

use crate::support::check::{open, room, view};
use crate::support::content;
use crate::support::disk::{GuardedDisk, Workspace, fixture, write_sparse};
use crate::support::op::at;
use crate::support::tier::oracles;
use crate::support::tools::assert_fsck_clean;
use crate::support::tree::Kind;

type Editor<'a> = Ext4Editor<pibake::disk::window::Window<&'a mut Vec<u8>>>;

/// Operations that between them take every kind of block there is.
fn scenario(fs: &mut Editor<'_>) -> Result<(), FsError> {
    let meta = Meta::root(0o644);
    fs.make_dir(&at("/new"), Meta::root(0o755))?;
    for index in 0..40 {
        let name = format!("/new/{index:03}-{}", "n".repeat(200));
        let content = if index % 5 == 0 { &b"x"[..] } else { b"" };
        fs.create(&at(&name), meta, &mut &*content, content.len() as u64)?;
    }
    fs.symlink(&content::target(500), &at("/new/link"), 0, 0)?;
    fs.set_xattr(&at("/etc/size-0"), "user.large", &[7; 600])?;
    fs.create(&at("/new/large"), meta, &mut io::repeat(1).take_exactly(90_000), 90_000)?;
    fs.replace(&at("/etc/size-4097"), meta, &mut io::repeat(2).take_exactly(50_000), 50_000, Keep::Xattrs)?;
    Ok(())
}

trait TakeExactly: io::Read + Sized {
    /// So many bytes and then the end.
    fn take_exactly(self, size: u64) -> io::Take<Self> {
        self.take(size)
    }
}

impl TakeExactly for io::Repeat {}

/// A filesystem with exactly so many free blocks.
fn with_free_blocks(base: &[u8], free: u64) -> Vec<u8> {
    let mut bytes = base.to_vec();
    let mut editor = open(&mut bytes);
    // What is left after the large file goes one block at a time: extents take blocks of their own.
    for (name, spare) in [("/ballast", 60), ("/rest", 0)] {
        let room = room(&editor);
        let size = (room.free_blocks.saturating_sub(free + spare)) * room.block_size;
        let blocks = editor.blocks_for(size) - size / room.block_size;
        let size = size.saturating_sub(blocks * room.block_size);
        editor
            .create(&at(name), Meta::root(0o644), &mut io::repeat(9).take_exactly(size), size)
            .expect("ballast fits");
    }
    let mut index = 0;
    while room(&editor).free_blocks > free {
        let name = format!("/small-{index}");
        editor.create(&at(&name), Meta::root(0o644), &mut &b"x"[..], 1).expect("one block fits");
        index += 1;
    }
    editor.finish().expect("finishing");
    bytes
}

fn at_every_allocation(name: &str) {
    let base = fixture(name);
    let mut succeeded = None;
    for free in 0..200 {
        let start = with_free_blocks(&base, free);
        let mut disk = GuardedDisk::new(&start);
        let mut editor = open(disk.window());
        match scenario(&mut editor) {
            Ok(()) => {
                editor.finish().expect("finishing");
                disk.assert_guards();
                check(&disk);
                succeeded.get_or_insert(free);
                if succeeded.is_some_and(|first| free > first + 3) {
                    return;
                }
            }
            Err(FsError::NoSpace { needed, free: left }) => {
                assert!(needed > left, "{name} with {free} blocks: {needed} needed, {left} free");
                assert!(succeeded.is_none(), "{name}: {free} blocks are too few, {succeeded:?} were enough");
            }
            Err(error) => panic!("{name} with {free} blocks free: {error}"),
        }
    }
    panic!("{name}: 200 blocks were not enough");
}

/// What was written into the last blocks is sound.
fn check(disk: &GuardedDisk) {
    let tree = view(disk.filesystem());
    let large = tree.node("/new/large").map(|node| node.kind.clone());
    assert!(
        matches!(large, Some(Kind::File(content)) if content.len() == 90_000 && content.iter().all(|byte| *byte == 1))
    );
    if oracles() {
        let space = Workspace::new();
        let image = space.path("image");
        write_sparse(&image, disk.filesystem());
        assert_fsck_clean(&image, "in the last blocks");
    }
}

#[test]
fn blocks_run_out_pigen() {
    at_every_allocation("ext4-pigen");
}

#[test]
fn blocks_run_out_one_kib() {
    at_every_allocation("ext4-1k");
}

#[test]
fn blocks_run_out_fragmented() {
    at_every_allocation("ext4-fragmented");
}

#[test]
fn inodes_run_out() {
    let mut disk = GuardedDisk::new(&fixture("ext4-lazy"));
    let mut editor = open(disk.window());
    let free = room(&editor).free_inodes;
    editor.make_dir(&at("/new"), Meta::root(0o755)).expect("a directory");
    for index in 1..free {
        let path = at(&format!("/new/{index}"));
        editor
            .create(&path, Meta::root(0o644), &mut io::empty(), 0)
            .unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    assert_eq!(room(&editor).free_inodes, 0);
    let one_more = editor.create(&at("/new/more"), Meta::root(0o644), &mut io::empty(), 0);
    assert!(matches!(one_more, Err(FsError::NoInodes)), "{one_more:?}");
    let one_more = editor.make_dir(&at("/more"), Meta::root(0o755));
    assert!(matches!(one_more, Err(FsError::NoInodes)), "{one_more:?}");
    let one_more = editor.symlink("x", &at("/more"), 0, 0);
    assert!(matches!(one_more, Err(FsError::NoInodes)), "{one_more:?}");
    editor.finish().expect("finishing");
    assert_eq!(
        view(disk.filesystem()).paths().filter(|path| path.starts_with("/new/")).count() as u64,
        free - 1
    );
    if oracles() {
        let space = Workspace::new();
        let image = space.path("image");
        write_sparse(&image, disk.filesystem());
        assert_fsck_clean(&image, "with no inode left");
    }
}

/// What is freed can be used again, down to the last block.
#[test]
fn freed_blocks_come_back() {
    let mut bytes = with_free_blocks(&fixture("ext4-pigen"), 3);
    let mut editor = open(&mut bytes);
    for round in 0..20u64 {
        let content = content::bytes(round, 3 * 4096);
        editor.create(&at("/x"), Meta::root(0o644), &mut &content[..], 3 * 4096).expect("three blocks fit");
        assert_eq!(room(&editor).free_blocks, 0);
        editor.remove_file(&at("/x")).expect("removing");
        assert_eq!(room(&editor).free_blocks, 3);
    }
}
