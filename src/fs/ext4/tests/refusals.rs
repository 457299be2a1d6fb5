//! What is not edited, and that a refusal comes before any change.

use super::super::bytes::{put_u32, u32_at};
use super::super::checksum::crc32c;
use super::super::editor::Ext4Editor;
use super::super::facts::Ext4Facts;
use super::{ALL, LEGACY, PI, SMALL, open, path, stamp, unpack};
use crate::fs::error::FsError;
use crate::fs::metadata::Meta;

/// A fixture with one 32-bit field of the superblock changed, its checksum put right.
fn with_field(fixture: &[u8], at: usize, change: impl FnOnce(u32) -> u32) -> Vec<u8> {
    let mut image = unpack(fixture);
    let value = change(u32_at(&image, 1024 + at));
    put_u32(&mut image, 1024 + at, value);
    let sum = crc32c(!0, &image[1024..2044]);
    put_u32(&mut image, 2044, sum);
    image
}

fn refusal(image: Vec<u8>) -> FsError {
    match Ext4Editor::open(image, stamp()) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

#[test]
fn features_and_states_are_refused() {
    for fixture in ALL {
        for (at, bit, word) in [
            (0x60, 0x4, "recovery"),
            (0x60, 0x10, "meta_bg"),
            (0x60, 0x100, "mmp"),
            (0x60, 0x400, "ea_inode"),
            (0x60, 0x4000, "large_dir"),
            (0x60, 0x8000, "inline_data"),
            (0x60, 0x1_0000, "encrypt"),
            (0x60, 0x2_0000, "casefold"),
            (0x60, 0x8000_0000, "unknown incompat"),
            (0x64, 0x100, "quota"),
            (0x64, 0x200, "bigalloc"),
            (0x64, 0x2000, "project"),
            (0x64, 0x8000, "verity"),
            (0x64, 0x1_0000, "orphan"),
            (0x64, 0x8000_0000, "unknown ro_compat"),
            (0x5c, 0x400, "fast_commit"),
            (0xe8, 12, "orphan"),
            (0x38, 0x2_0000, "errors"),
        ] {
            let error = refusal(with_field(fixture, at, |value| value | bit));
            assert!(matches!(error, FsError::Unsupported { .. } | FsError::NotClean { .. }), "{error}");
            assert!(error.to_string().contains(word), "{error}");
        }
        let error = refusal(with_field(fixture, 0x38, |value| value & !0x1_0000));
        assert!(error.to_string().contains("cleanly"), "{error}");
    }
}

#[test]
fn damage_in_the_superblock_is_told_from_what_is_unsupported() {
    for (at, value) in [
        (0x4, 0xffff_ffff),
        (0x0, 7),
        (0x14, 5),
        (0x18, 77),
        (0x20, 7),
        (0x28, 0),
        (0x28, 0x1000_0000),
        (0x38, 0),
        (0x58, 129),
        (0x58, 0),
        (0xc, 1),
        (0x10, 1),
        (0x54, 0),
    ] {
        for fixture in ALL {
            let error = refusal(with_field(fixture, at, |_| value));
            assert!(matches!(error, FsError::Corrupt { .. } | FsError::NotClean { .. }), "{at:#x}: {error}");
        }
    }
    let mut image = unpack(SMALL);
    image[1024 + 0x78] ^= 1;
    assert!(refusal(image).to_string().contains("checksum"));
    assert!(refusal(vec![0; 1 << 20]).to_string().contains("magic"));
    assert!(refusal(vec![0; 1000]).to_string().contains("too few"));
    let mut short = unpack(SMALL);
    short.truncate(1 << 19);
    assert!(refusal(short).to_string().contains("partition"));
    assert!(matches!(refusal(with_field(SMALL, 0x4c, |_| 0)), FsError::Unsupported { .. }));
}

#[test]
fn looking_is_allowed_where_editing_is_not() {
    let image = with_field(SMALL, 0x64, |value| value | 0x8000);
    assert!(Ext4Facts::open(image.clone()).is_ok());
    assert!(refusal(image).to_string().contains("verity"));
}

#[test]
fn a_journal_with_something_in_it_is_refused() {
    let mut image = unpack(PI);
    let facts = Ext4Facts::open(image.clone()).unwrap();
    let journal = facts.store.read_inode(8).unwrap();
    let block = facts.store.block_of(&journal, 0).unwrap().unwrap();
    let at = usize::try_from(block * 4096).unwrap();
    image[at + 0x1f] = 1;
    assert!(matches!(refusal(image.clone()), FsError::NotClean { .. }));
    image[at] = 0;
    assert!(matches!(refusal(image), FsError::Corrupt { .. }));
}

#[test]
fn no_room_is_seen_before_the_first_change() {
    for fixture in ALL {
        let mut editor = open(unpack(fixture));
        let free = editor.space().free_blocks * editor.space().block_size;
        let error =
            editor.create(&path("/f"), Meta::root(0o644), &mut std::io::repeat(0), free + 1).unwrap_err();
        assert!(matches!(error, FsError::NoSpace { .. }), "{error}");
        assert!(editor.finish().unwrap() == unpack(fixture), "nothing was written");
    }
}

#[test]
fn inodes_run_out() {
    let mut editor = open(unpack(LEGACY));
    let mut count = 0;
    let error = loop {
        if let Err(error) = editor.symlink("x", &path(&format!("/{count}")), 0, 0) {
            break error;
        }
        count += 1;
    };
    assert!(matches!(error, FsError::NoInodes), "{error}");
    super::audit::audit(&editor.finish().unwrap());
}

#[test]
fn bitmaps_that_disagree_with_their_counts_are_damage() {
    let image = unpack(LEGACY);
    let facts = Ext4Facts::open(image.clone()).unwrap();
    let bitmap = facts.store.groups[0].descriptor.block_bitmap();
    let mut broken = image;
    broken[usize::try_from(bitmap * 1024).unwrap() + 100] ^= 1;
    let error = Ext4Facts::open(broken.clone()).unwrap().used_ranges().unwrap_err();
    assert!(error.to_string().contains("bitmap"), "{error}");
    let mut editor = open(broken);
    assert!(editor.create(&path("/f"), Meta::root(0o644), &mut &b"x"[..], 1).is_err());
    assert!(matches!(editor.finish(), Err(FsError::NotClean { .. })));
}
