//! Files, links, modes, attributes.

use std::collections::BTreeMap;
use std::io::Read;

use super::super::editor::Keep;
use super::super::facts::Ext4Facts;
use super::super::inode::FLAG_IMMUTABLE;
use super::{ALL, LEGACY, PI, SMALL, TIME, edit, open, path, unpack, view};
use crate::fs::FsReader;
use crate::fs::error::FsError;
use crate::fs::metadata::{FileType, Meta, Stat};

const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn bytes(seed: u64, size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(size).collect()
}

#[test]
fn files_of_every_size_come_back() {
    for fixture in ALL {
        let sizes = [0, 1, 1023, 1024, 1025, 4096, 4097, 70_000, 300_000];
        let image = edit(fixture, |editor| {
            for size in sizes {
                let meta = Meta { mode: 0o4751, uid: 100_000, gid: 4_000_000_000 };
                let content = bytes(size as u64, size);
                editor.create(&path(&format!("/lib/f{size}")), meta, &mut &content[..], size as u64).unwrap();
                assert_eq!(editor.read(&path(&format!("/usr/lib/f{size}")), 2_000_000).unwrap(), content);
            }
        });
        let reader = view(&image);
        for size in sizes {
            let at = path(&format!("/usr/lib/f{size}"));
            assert_eq!(reader.read(&at, 2_000_000).unwrap(), bytes(size as u64, size));
            let stat = reader.stat(&at).unwrap().unwrap();
            let meta = Meta { mode: 0o4751, uid: 100_000, gid: 4_000_000_000 };
            assert_eq!(stat, Stat { kind: FileType::File, size: size as u64, meta, mtime: Some(TIME) });
        }
    }
}

#[test]
fn what_is_removed_is_free_again() {
    for fixture in ALL {
        let before = open(unpack(fixture)).space();
        let image = edit(fixture, |editor| {
            for name in ["/etc/big", "/etc/longlink", "/lib", "/etc/tty"] {
                editor.remove_file(&path(name)).unwrap();
            }
            editor.create(&path("/new"), Meta::root(0o644), &mut &b"x"[..], 1).unwrap();
            editor.remove_file(&path("/new")).unwrap();
        });
        let after = open(image.clone()).space();
        assert_eq!(after.free_inodes, before.free_inodes + 4);
        assert!(after.free_blocks > before.free_blocks + 300 * 1024 / after.block_size);
        let reader = view(&image);
        assert_eq!(reader.stat_no_follow(&path("/etc/big")).unwrap(), None);
        assert_eq!(reader.stat_no_follow(&path("/lib")).unwrap(), None);
    }
}

#[test]
fn a_reused_inode_inherits_nothing() {
    for fixture in ALL {
        let image = edit(fixture, |editor| {
            editor.remove_file(&path("/etc/big")).unwrap();
            for number in 0..40 {
                let at = path(&format!("/fresh{number}"));
                editor.create(&at, Meta::root(0o755), &mut &b"#!"[..], 2).unwrap();
                editor.set_xattr(&at, "user.secret", b"left behind").unwrap();
                editor.remove_file(&at).unwrap();
                editor.create(&at, Meta::root(0o755), &mut &b"#!"[..], 2).unwrap();
            }
        });
        let facts = Ext4Facts::open(image).unwrap();
        for number in 0..40 {
            assert_eq!(facts.xattrs(&path(&format!("/fresh{number}"))).unwrap(), BTreeMap::new());
        }
    }
}

#[test]
fn replacing_keeps_other_names_and_attributes_when_asked() {
    for fixture in ALL {
        let new = b"new content\n";
        let image = edit(fixture, |editor| {
            let size = new.len() as u64;
            let mut replace =
                |at: &str, keep| editor.replace(&path(at), Meta::root(0o600), &mut &new[..], size, keep);
            replace("/etc/hosts", Keep::Nothing).unwrap();
            replace("/etc/big", Keep::Xattrs).unwrap();
            replace("/etc/longlink", Keep::Xattrs).unwrap();
            replace("/etc/tty", Keep::Xattrs).unwrap();
            assert!(matches!(replace("/etc", Keep::Nothing), Err(FsError::NotAFile { .. })));
            assert!(matches!(replace("/etc/none", Keep::Nothing), Err(FsError::NotFound { .. })));
        });
        let reader = view(&image);
        for name in ["/etc/hosts", "/etc/big", "/etc/longlink", "/etc/tty"] {
            assert_eq!(reader.read(&path(name), 100).unwrap(), new);
        }
        assert_eq!(reader.read(&path("/etc/hosts.hard"), 100).unwrap(), b"127.0.0.1 localhost\n");
        let kept = Ext4Facts::open(image).unwrap().xattrs(&path("/etc/big")).unwrap();
        assert_eq!(kept, BTreeMap::from([("security.capability".to_owned(), CAPABILITY.to_vec())]));
    }
}

#[test]
fn an_immutable_file_can_be_replaced() {
    let image = edit(PI, |editor| {
        let at = path("/etc/hosts");
        editor.set_immutable(&at, true).unwrap();
        assert_eq!(editor.flags(&at).unwrap() & FLAG_IMMUTABLE, FLAG_IMMUTABLE);
        editor.replace(&at, Meta::root(0o644), &mut &b"y"[..], 1, Keep::Xattrs).unwrap();
        assert_eq!(editor.flags(&at).unwrap() & FLAG_IMMUTABLE, 0);
        editor.set_immutable(&at, true).unwrap();
    });
    assert_eq!(
        Ext4Facts::open(image).unwrap().flags(&path("/etc/hosts")).unwrap() & FLAG_IMMUTABLE,
        FLAG_IMMUTABLE
    );
}

#[test]
fn links_have_targets_of_any_length() {
    for fixture in ALL {
        let long = "a-directory/".repeat(100);
        let targets: Vec<String> = [1, 59, 60, 61, 1000].map(|len| long[..len].to_owned()).to_vec();
        let image = edit(fixture, |editor| {
            for target in &targets {
                editor.symlink(target, &path(&format!("/l{}", target.len())), 3, 70_000).unwrap();
            }
            for bad in [String::new(), "a\0b".to_owned(), "x".repeat(5000)] {
                assert!(matches!(editor.symlink(&bad, &path("/bad"), 0, 0), Err(FsError::BadName { .. })));
            }
        });
        let (reader, facts) = (view(&image), Ext4Facts::open(image).unwrap());
        for target in &targets {
            let at = path(&format!("/l{}", target.len()));
            assert_eq!(reader.read_link(&at).unwrap(), target.as_bytes());
            assert_eq!(facts.read_link(&at).unwrap(), target.as_bytes());
            let stat = reader.stat_no_follow(&at).unwrap().unwrap();
            assert_eq!(
                (stat.kind, stat.meta),
                (FileType::Symlink, Meta { mode: 0o777, uid: 3, gid: 70_000 })
            );
        }
    }
}

#[test]
fn modes_owners_and_times_change() {
    for fixture in ALL {
        let image = edit(fixture, |editor| {
            let at = path("/etc/hosts");
            editor.set_owner(&at, 65_536, 65_537).unwrap();
            editor.set_mode(&at, 0o2755).unwrap();
            editor.set_times(&at, 1_600_000_000).unwrap();
            editor.set_times(&path("/etc/big"), 1_800_000_000).unwrap();
            assert_eq!(editor.newest_mtime().unwrap(), 1_800_000_000);
            assert!(matches!(editor.set_mode(&path("/none"), 0o644), Err(FsError::NotFound { .. })));
        });
        let stat = view(&image).stat(&path("/etc/hosts.hard")).unwrap().unwrap();
        assert_eq!(stat.meta, Meta { mode: 0o2755, uid: 65_536, gid: 65_537 });
        assert_eq!(stat.mtime, Some(1_600_000_000));
    }
}

#[test]
fn attributes_go_into_inode_and_block() {
    for fixture in ALL {
        let long = vec![b'z'; 700];
        let image = edit(fixture, |editor| {
            let at = path("/etc/hosts");
            editor.set_xattr(&at, "security.capability", &CAPABILITY).unwrap();
            editor.set_xattr(&at, "user.long", b"short at first").unwrap();
            editor.set_xattr(&at, "user.long", &long).unwrap();
            editor.set_xattr(&at, "user.gone", &[1; 90]).unwrap();
            editor.remove_xattr(&at, "user.gone").unwrap();
            editor.remove_xattr(&at, "user.never").unwrap();
            editor.remove_xattr(&path("/etc/big"), "security.capability").unwrap();
        });
        let facts = Ext4Facts::open(image).unwrap();
        let expected = BTreeMap::from([
            ("security.capability".to_owned(), CAPABILITY.to_vec()),
            ("user.long".to_owned(), long.clone()),
        ]);
        assert_eq!(facts.xattrs(&path("/etc/hosts")).unwrap(), expected);
        assert_eq!(facts.xattrs(&path("/etc/big")).unwrap(), BTreeMap::new());
    }
}

#[test]
fn attributes_that_cannot_be_stored_are_refused() {
    let mut editor = open(unpack(SMALL));
    let at = path("/etc/hosts");
    for name in ["capability", "user.", "system.posix_acl_access"] {
        assert!(matches!(editor.set_xattr(&at, name, b""), Err(FsError::BadName { .. })), "{name}");
    }
    assert!(matches!(editor.set_xattr(&path("/none"), "user.a", b""), Err(FsError::NotFound { .. })));
    assert!(matches!(editor.set_xattr(&at, "user.a", &[0; 1024]), Err(FsError::Unsupported { .. })));
}

#[test]
fn content_must_have_the_size_announced() {
    for (content, size) in [(&b"short"[..], 6), (&b"long"[..], 3), (&b""[..], 5000)] {
        let mut editor = open(unpack(SMALL));
        let error = editor.create(&path("/f"), Meta::root(0o644), &mut &content[..], size).unwrap_err();
        assert!(matches!(error, FsError::Io(_)), "{error}");
        assert!(matches!(editor.finish(), Err(FsError::NotClean { .. })), "half-made is not finished");
    }
}

#[test]
fn a_fragmented_filesystem_takes_a_file_in_pieces() {
    for fixture in [SMALL, LEGACY] {
        let image = edit(fixture, |editor| {
            let mut count = 0;
            while editor.space().free_blocks > 20 && editor.space().free_inodes > 1 {
                let at = path(&format!("/p{count}"));
                editor
                    .create(&at, Meta::root(0o644), &mut std::io::repeat(1).take(17 * 1024), 17 * 1024)
                    .unwrap();
                count += 1;
            }
            for number in (0..count).step_by(2) {
                editor.remove_file(&path(&format!("/p{number}"))).unwrap();
            }
            let size = (editor.space().free_blocks - 5) * 1024;
            editor
                .create(&path("/pieces"), Meta::root(0o644), &mut std::io::repeat(9).take(size), size)
                .unwrap();
        });
        let mut content = Vec::new();
        view(&image).read_to(&path("/pieces"), &mut content).unwrap();
        assert!(content.len() > 150_000 && content.iter().all(|byte| *byte == 9));
    }
}

#[test]
fn counting_beforehand_is_never_too_low() {
    let editor = open(unpack(SMALL));
    assert_eq!([0, 1, 4096, 4097].map(|size| editor.blocks_for(size)), [0, 1, 4, 6]);
    // 84 entries in a block of 1 KiB: 4 * 84 data blocks need 4 leaves, one more needs a level above.
    assert_eq!(editor.blocks_for(336 * 1024), 340);
    assert_eq!(editor.blocks_for(337 * 1024), 337 + 5 + 1);
}

#[test]
fn equal_edits_make_equal_bytes() {
    for fixture in ALL {
        let work = |editor: &mut super::Ext4Editor<Vec<u8>>| {
            editor.make_dir(&path("/d"), Meta::root(0o755)).unwrap();
            for number in 0..60 {
                editor.create(&path(&format!("/d/{number}")), Meta::root(0o644), &mut &b"z"[..], 1).unwrap();
            }
            editor.remove_file(&path("/d/7")).unwrap();
            editor.symlink("d/8", &path("/s"), 0, 0).unwrap();
        };
        assert!(edit(fixture, work) == edit(fixture, work));
        assert!(edit(fixture, |_| ()) == unpack(fixture), "no change writes nothing");
    }
}
