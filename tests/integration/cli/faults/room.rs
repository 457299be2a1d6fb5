//! No room in the cache or for the receipt, and sources that shrink or change while they are written.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::desk::Desk;
use super::super::image::digest;
use super::table::{Held, Order, Table};
use crate::card_bed::card_tier;
use crate::root::asked_as_root;

/// A filesystem in memory, unmounted when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path, size: &str) -> Self {
        fs::create_dir_all(at).unwrap();
        let options = format!("size={size},mode=0700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(at).output().unwrap();
        assert!(mounted.status.success(), "{}", String::from_utf8_lossy(&mounted.stderr));
        Self(at.to_owned())
    }

    /// Leaves no room.
    fn fill(&self) -> PathBuf {
        let (path, full) = (self.0.join("filler"), vec![0; 1 << 16]);
        let file = File::create(&path).unwrap();
        let mut at = 0;
        while let Ok(count @ 1..) = file.write_at(&full, at) {
            at += count as u64;
        }
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

#[test]
fn a_full_cache_is_told_before_the_card_is_touched() {
    if !asked_as_root("root", "a cache without room") {
        return;
    }
    let desk = Desk::new(&["pi1"]);
    let card = desk.card("card", 128);
    desk.run(&["flash", "--node", "pi1", "card", "-y"]).ends(0);
    fs::remove_dir_all(desk.top().join("cache/pibake")).unwrap();
    let before = digest(&card);
    let cache = Small::mount(&desk.top().join("cache"), "1m");
    for args in [&["flash", "--node", "pi1", "card", "-y"][..], &["restore", "base.img.zst", "card", "-y"]] {
        let ran = desk.run(args).ends(1).says(&[
            "no space left to unpack",
            "base.img.zst",
            "make room in",
            "or unpack the image where there is room",
        ]);
        assert!(ran.out.is_empty());
        assert_eq!(digest(&card), before);
    }
    drop(cache);
    desk.run(&["flash", "--node", "pi1", "card", "-y"]).ends(0);
}

#[test]
fn a_cache_that_fills_up_while_the_card_is_written_leaves_a_card_that_does_not_boot() {
    if !asked_as_root("root", "a cache that fills up") {
        return;
    }
    let desk = Desk::bare();
    // What is looked at first is small; what fills the cache comes at the end.
    let image = desk.path("noise.img");
    let mut bytes = super::super::image::demo().to_vec();
    bytes.extend(super::table::noise(3, 64 << 20));
    fs::write(&image, bytes).unwrap();
    let packed = Command::new("xz").args(["-0", "--block-size=4MiB"]).arg(&image).status().unwrap();
    assert!(packed.success());
    let card = desk.card("card", 192);
    let cache = Small::mount(&desk.top().join("cache"), "32m");
    let order = ["restore", "noise.img.xz", "card", "-y", "--all-blocks"];
    let ran = desk.run(&order).ends(1).says(&["no space left to unpack", "make room in"]);
    assert!(ran.out.is_empty());
    let held = fs::read(&card).unwrap();
    assert!(held[..1 << 20].iter().all(|byte| *byte == 0), "a card that is not whole could boot");
    drop(cache);
    let receipt = desk.run(&[&order[..], &["--json"]].concat()).ends(0).json();
    assert_eq!(receipt["verified"], true);
}

#[test]
fn a_receipt_that_cannot_be_kept_is_no_success() {
    if !asked_as_root("root", "a state without room") {
        return;
    }
    let desk = Desk::new(&["pi1"]);
    let card = desk.card("card", 128);
    let state = Small::mount(&desk.path("state"), "1m");
    let order = ["flash", "--state", "state/lab", "--node", "pi1", "card", "-y", "--json"];
    desk.run(&["init", "--state", "state/lab"]);
    desk.run(&["bake", "--state", "state/lab", "--node", "pi1", "-y"]).ends(0);
    let filler = state.fill();
    let ran = desk
        .run(&order)
        .ends(1)
        .says(&["written and verified, but its receipt could not be kept", "flash it again"]);
    assert!(ran.out.is_empty(), "{}", ran.out);
    assert_eq!(desk.run(&["inspect", card.to_str().unwrap(), "--json"]).json()["system"]["hostname"], "pi1");
    fs::remove_file(filler).unwrap();
    assert_eq!(desk.run(&order).ends(0).json()["verified"], true);
}

#[test]
fn a_source_that_shrinks_or_changes_while_it_is_written_is_told_and_the_card_does_not_boot() {
    if !card_tier() {
        return;
    }
    let table = Table::new(Order::Restore, &[]);
    let steps = table.steps();
    let body = steps.iter().find(|step| step.name == "the body is written").unwrap().holds[2];
    let source = table.desk.path("pi1.img");
    let whole = fs::read(&source).unwrap();
    let change = |act: &dyn Fn(&File)| act(&File::options().write(true).open(&source).unwrap());
    let cut = |file: &File| file.set_len(20 << 20).unwrap();
    let touch = |file: &File| file.write_all_at(b"other", 90 << 20).unwrap();
    for (what, act, says) in [
        ("cut short", &cut as &dyn Fn(&File), "the image"),
        ("written to", &touch, "changed while it was being used"),
    ] {
        table.put_back();
        let before = table.content();
        let ended = table.at_request(body, |_| change(act));
        assert_eq!(ended.status.code(), Some(1), "{what}: {}", ended.err);
        assert!(ended.out.is_empty(), "{what}: {}", ended.out);
        for text in [says, "leave it alone while it is used", "does not boot: flash it again"] {
            assert!(ended.err.contains(text), "{what}: {text:?} is missing from {}", ended.err);
        }
        assert_eq!(table.held(&before, what), Held::Blank, "{what}");
        table.judge_looks(Held::Blank, what);
        fs::write(&source, &whole).unwrap();
        table.again(what);
    }
}
