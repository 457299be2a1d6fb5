//! Operations that cannot be done: each answers why, and changes nothing.

use std::io;

use pibake::fs::error::FsError;
use pibake::fs::ext4::{Ext4Editor, Keep};
use pibake::fs::metadata::Meta;

use crate::support::check::open;
use crate::support::disk::fixture;
use crate::support::op::at;

type Editor<'a> = Ext4Editor<&'a mut Vec<u8>>;

const META: Meta = Meta::root(0o644);

/// Tries an operation; it must fail with one of the errors named, before a byte is written.
#[track_caller]
fn fails(errors: &[&str], attempt: impl FnOnce(&mut Editor<'_>) -> Result<(), FsError>) {
    let base = fixture("ext4-pigen");
    let mut bytes = base.clone();
    let error = attempt(&mut open(&mut bytes)).expect_err("it was done");
    let debug = format!("{error:?}");
    assert!(errors.iter().any(|name| debug.starts_with(name)), "{debug} instead of one of {errors:?}");
    assert!(bytes == base, "bytes changed");
}

fn create(editor: &mut Editor<'_>, path: &str) -> Result<(), FsError> {
    editor.create(&at(path), META, &mut io::empty(), 0)
}

#[test]
fn making_where_nothing_can_be() {
    fails(&["Exists"], |fs| fs.make_dir(&at("/etc"), META));
    fails(&["Exists"], |fs| fs.make_dir(&at("/"), META));
    fails(&["Exists"], |fs| create(fs, "/etc/size-1"));
    fails(&["Exists"], |fs| create(fs, "/etc/dangling"));
    fails(&["NotFound"], |fs| create(fs, "/nowhere/x"));
    fails(&["NotFound"], |fs| create(fs, "/etc/dangling/x"));
    fails(&["NotADirectory"], |fs| create(fs, "/etc/size-1/x"));
    fails(&["SymlinkLoop"], |fs| create(fs, "/etc/loop-a/x"));
    fails(&["NoSpace"], |fs| fs.create(&at("/x"), META, &mut io::repeat(0), 1 << 40));
    fails(&["NotFound"], |fs| fs.replace(&at("/x"), META, &mut io::empty(), 0, Keep::Nothing));
    fails(&["NotAFile"], |fs| fs.replace(&at("/etc"), META, &mut io::empty(), 0, Keep::Nothing));
    fails(&["Exists"], |fs| fs.symlink("x", &at("/etc/size-1"), 0, 0));
    fails(&["BadName"], |fs| fs.symlink("", &at("/x"), 0, 0));
    fails(&["BadName"], |fs| fs.symlink(&"y".repeat(4096), &at("/x"), 0, 0));
}

#[test]
fn taking_away_what_cannot_go() {
    fails(&["NotAFile"], |fs| fs.remove_file(&at("/empty")));
    fails(&["NotFound"], |fs| fs.remove_file(&at("/x")));
    fails(&["NotADirectory"], |fs| fs.remove_dir(&at("/etc/size-1")));
    fails(&["NotEmpty"], |fs| fs.remove_dir(&at("/etc")));
    fails(&["Exists"], |fs| fs.rename(&at("/etc/size-1"), "size-0"));
    fails(&["NotFound"], |fs| fs.rename(&at("/x"), "y"));
    fails(&["BadName"], |fs| fs.rename(&at("/etc/size-1"), "a/b"));
}

#[test]
fn changing_what_is_not_there() {
    fails(&["NotFound"], |fs| fs.set_mode(&at("/x"), 0o600));
    fails(&["NotFound"], |fs| fs.set_owner(&at("/x"), 1, 1));
    fails(&["NotFound"], |fs| fs.set_times(&at("/x"), 1));
    fails(&["NotFound"], |fs| fs.set_immutable(&at("/x"), true));
    fails(&["NotFound"], |fs| fs.set_xattr(&at("/x"), "user.a", b"v"));
    fails(&["BadName", "Unsupported"], |fs| fs.set_xattr(&at("/etc/size-1"), "plain", b"v"));
    fails(&["Unsupported"], |fs| fs.set_xattr(&at("/etc/size-1"), "user.a", &[0; 5000]));
    // The medium is no longer than the filesystem.
    fails(&["NoSpace", "Unsupported", "Io"], |fs| fs.grow(1 << 30));
    fails(&["Io"], |fs| fs.grow(1 << 20));
}

/// A source that ends early or goes on is an error, not a file of another size.
#[test]
fn a_source_of_another_size_is_an_error() {
    let mut bytes = fixture("ext4-pigen");
    let short = open(&mut bytes).create(&at("/x"), Meta::root(0o644), &mut &b"four"[..], 5);
    assert!(short.is_err(), "a source that ends early");
    let mut bytes = fixture("ext4-pigen");
    let long = open(&mut bytes).create(&at("/x"), Meta::root(0o644), &mut &b"four!"[..], 4);
    assert!(long.is_err(), "a source that goes on");
}
