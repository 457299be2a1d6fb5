//! Growing.

use super::{ALL, LEGACY, PI, SMALL, audit, open, path, unpack, view};
use crate::fs::FsReader;
use crate::fs::error::FsError;
use crate::fs::metadata::Meta;

#[test]
fn filesystems_grow_into_what_was_added() {
    for fixture in ALL {
        let old = unpack(fixture).len();
        for size in [old + 50 * 4096, 40 << 20, 96 << 20] {
            let mut image = unpack(fixture);
            // What was there before is garbage to a filesystem that grows into it.
            image.resize(size, 0xa5);
            let mut editor = open(image);
            let before = editor.space();
            editor.create(&path("/before"), Meta::root(0o644), &mut &b"b"[..], 1).unwrap();
            match editor.grow(size as u64) {
                Ok(()) => {}
                // The fixture without a resize inode has no room for a longer table of groups.
                Err(error @ FsError::Unsupported { .. }) => {
                    assert!(fixture == SMALL && size == 96 << 20, "{error}");
                    continue;
                }
                Err(error) => panic!("{error}"),
            }
            let gained = (editor.space().free_blocks - before.free_blocks) * before.block_size;
            assert!(gained > (size - old) as u64 * 8 / 10 - 40 * 4096, "{gained} bytes more");
            editor.make_dir(&path("/after"), Meta::root(0o755)).unwrap();
            editor.create(&path("/after/f"), Meta::root(0o644), &mut &b"a"[..], 1).unwrap();
            let image = editor.finish().unwrap();
            audit::audit(&image);
            assert_eq!(view(&image).read(&path("/after/f"), 9).unwrap(), b"a");
        }
    }
}

#[test]
fn growing_by_nothing_writes_nothing() {
    for fixture in ALL {
        let mut image = unpack(fixture);
        let size = image.len();
        image.resize(size + 1000, 0);
        let mut editor = open(image.clone());
        editor.grow((size + 1000) as u64).unwrap();
        assert!(editor.finish().unwrap() == image);
    }
}

#[test]
fn what_cannot_grow_is_refused() {
    let mut editor = open(unpack(PI));
    assert!(matches!(editor.grow(1 << 40), Err(FsError::Io(_))));
    assert!(matches!(editor.grow(1 << 20), Err(FsError::Io(_))));
    editor.make_dir(&path("/still-usable"), Meta::root(0o755)).unwrap();
    editor.finish().unwrap();
}

#[test]
fn copies_of_superblock_and_descriptors_follow() {
    let mut image = unpack(LEGACY);
    let size = 40 << 20;
    image.resize(size, 0);
    let mut editor = open(image);
    editor.grow(size as u64).unwrap();
    let geometry = editor.store().geometry.clone();
    let image = editor.finish().unwrap();
    let tables = |group: u32| {
        let start = usize::try_from(geometry.descriptors_at(group) * 1024).unwrap();
        &image[start..start + geometry.descriptor_blocks() as usize * 1024]
    };
    for group in geometry.backup_groups() {
        let copy = usize::try_from(geometry.group_start(group) * 1024).unwrap();
        assert!(tables(group) == tables(0), "group {group}");
        assert_eq!(image[copy + 4..copy + 8], image[1028..1032], "group {group}: blocks");
        assert_eq!(u32::from(image[copy + 0x5a]), group, "whose copy it is");
        assert_eq!(image[copy + 0x3a] & 1, 0, "a copy does not claim to be clean");
    }
}
