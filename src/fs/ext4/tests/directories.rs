//! Directories, indexed and not, and the paths through them.

use super::super::facts::Ext4Facts;
use super::super::inode::FLAG_INDEX;
use super::{ALL, LEGACY, PI, SMALL, TIME, edit, open, path, unpack, view};
use crate::fs::FsReader;
use crate::fs::error::FsError;
use crate::fs::metadata::{FileType, Meta};

fn names(reader: &dyn FsReader, at: &str) -> Vec<String> {
    let entries = reader.read_dir(&path(at)).unwrap();
    entries.into_iter().map(|entry| String::from_utf8(entry.name).unwrap()).collect()
}

#[test]
fn directories_come_and_go() {
    for fixture in ALL {
        let image = edit(fixture, |editor| {
            let meta = Meta { mode: 0o2750, uid: 5, gid: 6 };
            editor.make_dir(&path("/var/run/x"), meta).unwrap();
            editor.make_dir(&path("/run/x/y"), Meta::root(0o755)).unwrap();
            editor.make_dir(&path("/gone"), meta).unwrap();
            editor.remove_dir(&path("/gone")).unwrap();
            editor.remove_dir(&path("/home/pi")).unwrap();
            assert!(matches!(editor.remove_dir(&path("/run/x")), Err(FsError::NotEmpty { .. })));
            assert!(matches!(editor.remove_dir(&path("/etc/hosts")), Err(FsError::NotADirectory { .. })));
            assert!(matches!(editor.remove_dir(&path("/")), Err(FsError::BadName { .. })));
            assert!(matches!(editor.remove_file(&path("/run")), Err(FsError::NotAFile { .. })));
        });
        let reader = view(&image);
        let stat = reader.stat(&path("/run/x")).unwrap().unwrap();
        assert_eq!((stat.kind, stat.meta), (FileType::Directory, Meta { mode: 0o2750, uid: 5, gid: 6 }));
        assert_eq!(stat.mtime, Some(TIME));
        assert_eq!(names(&reader, "/run"), ["x"]);
        assert_eq!(names(&reader, "/home"), [""; 0]);
    }
}

#[test]
fn a_directory_grows_an_index_and_shrinks_again() {
    for fixture in [SMALL, PI] {
        let long = "n".repeat(180);
        let image = edit(fixture, |editor| {
            editor.make_dir(&path("/d"), Meta::root(0o755)).unwrap();
            for number in 0..140 {
                editor.symlink("x", &path(&format!("/d/{long}{number}")), 0, 0).unwrap_or_else(|error| {
                    assert!(matches!(error, FsError::NoInodes), "{error}");
                });
            }
            assert_eq!(editor.flags(&path("/d")).unwrap() & FLAG_INDEX, FLAG_INDEX);
            editor.remove_file(&path(&format!("/d/{long}3"))).unwrap();
        });
        let reader = view(&image);
        assert_eq!(names(&reader, "/d"), names(&Ext4Facts::open(image).unwrap(), "/d"));
        assert!(names(&reader, "/d").len() > 50);
        assert!(!names(&reader, "/d").contains(&format!("{long}3")));
    }
}

/// Renaming over and over fills leaves with the names of a few files only: with 1 KiB blocks the root of the
/// index runs full, and a second level appears.
#[test]
fn an_index_gets_a_second_level() {
    for fixture in [SMALL, LEGACY] {
        let image = edit(fixture, |editor| {
            editor.make_dir(&path("/d"), Meta::root(0o755)).unwrap();
            let store = editor.store_mut();
            let mut dir = store.resolve(&path("/d"), false).unwrap();
            // Names without inodes of their own: all lead to one file, whose links are set right after.
            let mut file = store.resolve(&path("/etc/tty"), false).unwrap();
            for number in 0..700 {
                let name = format!("{number:05}{}", "n".repeat(240));
                store.add_name(&mut dir, name.as_bytes(), file.number, 3).unwrap();
            }
            file.set_links(701);
            store.write_inode(&mut file).unwrap();
            store.write_inode(&mut dir).unwrap();
            let root = store.read_dir_block(&dir, 0).unwrap().1;
            assert_eq!(root[30], 1, "levels below the root");
        });
        assert_eq!(names(&view(&image), "/d").len(), 700);
    }
}

#[test]
fn block_mapped_directories_grow() {
    edit(LEGACY, |editor| {
        for number in 0..60 {
            editor.symlink("x", &path(&format!("/etc/many/{}{number}", "m".repeat(200))), 0, 0).unwrap();
        }
        assert_eq!(names(editor, "/etc/many").len(), 210);
    });
}

#[test]
fn names_change_in_place() {
    for fixture in ALL {
        let image = edit(fixture, |editor| {
            editor.rename(&path("/home/pi"), "somebody-else").unwrap();
            editor.rename(&path("/etc/hosts"), "h").unwrap();
            editor.rename(&path("/etc/many/a-name-of-some-length-77"), &"w".repeat(255)).unwrap();
            editor.rename(&path("/lib"), "lib64").unwrap();
            let mut rename = |from: &str, to: &str| editor.rename(&path(from), to).unwrap_err();
            assert!(matches!(rename("/etc/big", "h"), FsError::Exists { .. }));
            assert!(matches!(rename("/etc/big", "a/b"), FsError::BadName { .. }));
            assert!(matches!(rename("/etc/big", ".."), FsError::BadName { .. }));
            assert!(matches!(rename("/etc/none", "x"), FsError::NotFound { .. }));
            assert!(matches!(rename("/", "x"), FsError::BadName { .. }));
        });
        let reader = view(&image);
        assert_eq!(names(&reader, "/home"), ["somebody-else"]);
        assert_eq!(reader.read(&path("/etc/h"), 100).unwrap(), b"127.0.0.1 localhost\n");
        assert_eq!(reader.read_link(&path("/lib64")).unwrap(), b"usr/lib");
        assert_eq!(reader.stat(&path("/etc/hosts")).unwrap(), None);
        assert_eq!(names(&reader, "/etc/many").len(), 150);
    }
}

#[test]
fn paths_stay_inside() {
    let mut editor = open(unpack(SMALL));
    let meta = Meta::root(0o755);
    let mut make = |at: &str| editor.make_dir(&path(at), meta).unwrap_err();
    assert!(matches!(make("/loop1/x"), FsError::SymlinkLoop { .. }));
    assert!(make("/etc/above/x").to_string().contains("above the root"));
    assert!(matches!(make("/etc/hosts/x"), FsError::NotADirectory { .. }));
    assert!(matches!(make("/none/x"), FsError::NotFound { .. }));
    assert!(matches!(make("/etc"), FsError::Exists { .. }));
    assert!(matches!(make("/lib"), FsError::Exists { .. }));
    assert!(matches!(make("/"), FsError::Exists { .. }));
    assert_eq!(editor.stat(&path("/etc/hosts/x")).unwrap(), None);
    assert_eq!(editor.stat(&path("/none")).unwrap(), None);
    assert_eq!(editor.stat(&path("/lib")).unwrap().unwrap().kind, FileType::Directory);
    assert_eq!(editor.stat_no_follow(&path("/lib")).unwrap().unwrap().kind, FileType::Symlink);
    assert!(matches!(editor.stat(&path("/loop1")), Err(FsError::SymlinkLoop { .. })));
    assert!(matches!(editor.read(&path("/etc"), 9), Err(FsError::NotAFile { .. })));
    assert!(matches!(editor.read(&path("/etc/big"), 9), Err(FsError::TooLarge { .. })));
    assert!(matches!(editor.read_dir(&path("/etc/hosts")), Err(FsError::NotADirectory { .. })));
    assert!(matches!(editor.read_link(&path("/etc")), Err(FsError::BadName { .. })));
}

#[test]
fn both_readers_see_the_same() {
    for fixture in ALL {
        let image = unpack(fixture);
        let (reader, facts) = (view(&image), Ext4Facts::open(image).unwrap());
        for dir in ["/", "/etc", "/etc/many", "/lib", "/var/run"] {
            assert_eq!(reader.read_dir(&path(dir)).unwrap(), facts.read_dir(&path(dir)).unwrap(), "{dir}");
        }
        for file in ["/etc/hosts", "/etc/big"] {
            let read = |reader: &dyn FsReader| {
                (reader.stat(&path(file)).unwrap(), reader.read(&path(file), 1 << 20).unwrap())
            };
            assert!(read(&reader) == read(&facts), "{file}");
        }
        assert_eq!(
            reader.read_link(&path("/etc/longlink")).unwrap(),
            facts.read_link(&path("/etc/longlink")).unwrap()
        );
    }
}
