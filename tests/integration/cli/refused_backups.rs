//! Backups that were cut short, changed or made up: refused before the card is touched or, where only reading can
//! tell, with a card that does not boot.

use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::backup::{back_up, desk_with_backup};
use super::desk::Desk;
use super::image::digest;

type Change = fn(&Desk);

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn edit_archive(desk: &Desk, change: impl FnOnce(&mut Vec<u8>)) {
    edit(&desk.path("pi3.img.zst"), change);
}

fn edit_manifest(desk: &Desk, change: impl FnOnce(&mut Value)) {
    edit(&desk.path("pi3.json"), |bytes| {
        let mut value: Value = serde_json::from_slice(bytes).unwrap();
        change(&mut value);
        *bytes = serde_json::to_vec(&value).unwrap();
    });
}

/// Makes the manifest agree with the archive's file again.
fn sign(desk: &Desk) {
    let bytes = fs::read(desk.path("pi3.img.zst")).unwrap();
    edit_manifest(desk, |manifest| {
        manifest["archive"]["size"] = bytes.len().into();
        manifest["archive"]["sha256"] = data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes)).into();
    });
}

fn le32(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// Where the entries of the seek table begin, and how many there are.
fn table(bytes: &[u8]) -> (usize, usize) {
    let frames = le32(bytes, bytes.len() - 9);
    (bytes.len() - 9 - frames * 8, frames)
}

/// Swaps two frames that decode to as many bytes, in the table too.
fn swap_frames(bytes: &mut Vec<u8>, a: usize, b: usize) {
    let (entries, frames) = table(bytes);
    let sizes: Vec<usize> = (0..frames).map(|frame| le32(bytes, entries + frame * 8)).collect();
    let mut at = 0;
    let mut parts: Vec<Vec<u8>> = sizes
        .iter()
        .map(|size| {
            at += size;
            bytes[at - size..at].to_vec()
        })
        .collect();
    parts.swap(a, b);
    let mut tail = bytes[at..].to_vec();
    for (frame, part) in parts.iter().enumerate() {
        let entry = 8 + frame * 8;
        tail[entry..entry + 4].copy_from_slice(&u32::try_from(part.len()).unwrap().to_le_bytes());
    }
    *bytes = [parts.concat(), tail].concat();
}

#[test]
fn what_is_not_as_it_was_captured_is_refused_before_the_card_is_touched() {
    let cases: &[(&str, Change, &[&str])] = &[
        ("cut short", |desk| edit_archive(desk, |bytes| bytes.truncate(bytes.len() - 100)), &["pi3.img.zst"]),
        (
            "a bit flipped in it",
            |desk| edit_archive(desk, |bytes| bytes[5000] ^= 4),
            &["pi3.img.zst", "SHA-256"],
        ),
        ("a byte more", |desk| edit_archive(desk, |bytes| bytes.insert(0, 0)), &["pi3.img.zst"]),
        (
            "frames swapped",
            |desk| edit_archive(desk, |bytes| swap_frames(bytes, 8, 9)),
            &["pi3.img.zst", "SHA-256"],
        ),
        (
            "a frame that claims more",
            |desk| {
                edit_archive(desk, |bytes| {
                    let (entries, _) = table(bytes);
                    bytes[entries + 12..entries + 16].copy_from_slice(&(64u32 << 20).to_le_bytes());
                });
                sign(desk);
            },
            &["pi3.img.zst", "decodes to"],
        ),
        (
            "frames for which there is no memory",
            |desk| {
                edit_archive(desk, |bytes| {
                    let (entries, _) = table(bytes);
                    bytes[entries + 4..entries + 8].copy_from_slice(&u32::MAX.to_le_bytes());
                });
                sign(desk);
            },
            &["pi3.img.zst"],
        ),
        (
            "a manifest that is cut short",
            |desk| edit(&desk.path("pi3.json"), |b| b.truncate(900)),
            &["pi3.json"],
        ),
        ("a manifest that is none", |desk| desk.write("pi3.json", "{}"), &["pi3.json"]),
        (
            "a later version",
            |desk| edit_manifest(desk, |manifest| manifest["version"] = 2.into()),
            &["pi3.json", "version 2"],
        ),
        (
            "another size of the image",
            |desk| edit_manifest(desk, |manifest| manifest["image_size"] = (95 << 20).into()),
            &["pi3.json"],
        ),
        (
            "another size of the archive",
            |desk| edit_manifest(desk, |manifest| manifest["archive"]["size"] = 7.into()),
            &["pi3.img.zst", "bytes"],
        ),
        (
            "a path for a name",
            |desk| edit_manifest(desk, |manifest| manifest["archive"]["file"] = "../pi3.img.zst".into()),
            &["pi3.json", "no file's name"],
        ),
        (
            "a frame too few",
            |desk| edit_manifest(desk, |m| drop(m["frames"]["sha256"].as_array_mut().unwrap().pop())),
            &["pi3.json", "frames"],
        ),
        (
            "a used frame called empty",
            |desk| edit_manifest(desk, |manifest| manifest["frames"]["sha256"][0] = Value::Null),
            &["pi3.img.bmap", "frame 0"],
        ),
        (
            "the bmap of another image",
            |desk| {
                back_up(&desk.path("base.img"), &desk.path("other.img.zst"));
                fs::copy(desk.path("other.img.bmap"), desk.path("pi3.img.bmap")).unwrap();
            },
            &["pi3.img.bmap"],
        ),
        (
            "a bmap with another number",
            |desk| edit(&desk.path("pi3.img.bmap"), |b| b[400] ^= 1),
            &["pi3.img.bmap"],
        ),
        (
            "a manifest that somebody would have to write to",
            |desk| {
                fs::remove_file(desk.path("pi3.json")).unwrap();
                mkfifo(&desk.path("pi3.json"), Mode::S_IRWXU).unwrap();
            },
            &["pi3.json", "no regular file"],
        ),
        (
            "a bmap that is a device",
            |desk| {
                fs::remove_file(desk.path("pi3.img.bmap")).unwrap();
                symlink("/dev/zero", desk.path("pi3.img.bmap")).unwrap();
            },
            &["pi3.img.bmap", "no regular file"],
        ),
    ];
    for (what, change, says) in cases {
        let (desk, _) = desk_with_backup();
        desk.write("base.img", super::image::demo());
        let card = desk.card("card", 96);
        fs::File::options().write(true).open(&card).unwrap().write_all_at(b"precious", 5000).unwrap();
        let before = digest(&card);
        change(&desk);
        eprintln!("{what}");
        desk.run(&["restore", "pi3.img.zst", "card", "-y"]).ends(1).says(says).says(&["nothing was written"]);
        assert_eq!(digest(&card), before, "{what}");
    }
}

#[test]
fn what_only_reading_can_tell_leaves_a_card_that_does_not_boot() {
    let cases: &[(&str, Change)] = &[
        ("a frame that is not the one recorded", |desk| {
            edit_manifest(desk, |manifest| {
                let frames = manifest["frames"]["sha256"].as_array_mut().unwrap();
                // Of the files, not of the tables that are looked at first.
                let last = frames.iter().rposition(|frame| !frame.is_null()).unwrap();
                frames[last] = json!("0".repeat(64));
            });
        }),
        ("a bit flipped and no manifest", |desk| {
            fs::remove_file(desk.path("pi3.json")).unwrap();
            edit_archive(desk, |bytes| {
                let (entries, frames) = table(bytes);
                let sizes: Vec<usize> = (0..frames).map(|frame| le32(bytes, entries + frame * 8)).collect();
                // The largest frame holds files.
                let largest = (49..frames).max_by_key(|frame| sizes[*frame]).unwrap();
                let at: usize = sizes[..largest].iter().sum();
                bytes[at + sizes[largest] / 2] ^= 0x10;
            });
        }),
    ];
    for (what, change) in cases {
        let (desk, _) = desk_with_backup();
        let card = desk.card("card", 96);
        change(&desk);
        let ran = desk.run(&["restore", "pi3.img.zst", "card", "-y"]).ends(1);
        ran.says(&["frame", "at offset", "does not boot"]);
        let head = &fs::read(&card).unwrap()[..1 << 20];
        assert!(head.iter().all(|byte| *byte == 0), "{what}");
    }
}

#[test]
fn a_backup_may_be_renamed_linked_to_and_left_without_its_manifest() {
    let (desk, _) = desk_with_backup();
    desk.card("card", 96);
    for (from, to) in [("pi3.img.zst", "x.img.zst"), ("pi3.img.bmap", "x.img.bmap"), ("pi3.json", "x.json")] {
        fs::rename(desk.path(from), desk.path(to)).unwrap();
    }
    desk.run(&["restore", "x.img.zst", "card", "-y"]).ends(0);
    symlink(desk.path("x.img.zst"), desk.path("linked.img.zst")).unwrap();
    symlink(desk.path("x.json"), desk.path("linked.json")).unwrap();
    desk.run(&["restore", "linked.img.zst", "card", "-y"]).ends(0);
    fs::remove_file(desk.path("x.json")).unwrap();
    desk.run(&["restore", "x.img.zst", "card", "-y"]).ends(0);
    // A bmap beside it has to be one of such an image even then.
    edit(&desk.path("x.img.bmap"), |bytes| bytes[400] ^= 1);
    desk.run(&["restore", "x.img.zst", "card", "-y"]).ends(1).says(&["x.img.bmap"]);
}
