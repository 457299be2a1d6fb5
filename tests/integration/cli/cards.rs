//! Several cards in one run: side by side, one reader after the other, and what of it is refused.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::desk::Desk;
use super::image::digest;
use super::terminal::AtTerminal;

fn hostname(desk: &Desk, card: &str) -> String {
    let held = desk.run(&["inspect", card, "--json"]).ends(0).json();
    held["system"]["hostname"].as_str().unwrap_or("nothing").to_owned()
}

#[test]
fn every_node_gets_its_card_and_a_receipt() {
    let desk = Desk::new(&["pi1", "pi2", "pi3"]);
    for card in ["a", "b", "c"] {
        desk.card(card, 128);
    }
    let ran = desk.run(&["flash", "--all", "a", "b", "c", "-y", "--json"]).ends(0);
    let cards = ran.json()["cards"].as_array().unwrap().clone();
    assert_eq!(cards.len(), 3);
    for ((card, node), file) in cards.iter().zip(["pi1", "pi2", "pi3"]).zip(["a", "b", "c"]) {
        assert_eq!((&card["node"], &card["receipt"]["verified"]), (&node.into(), &true.into()));
        assert!(card["device"].as_str().unwrap().ends_with(file) && card["error"].is_null());
        assert_eq!(hostname(&desk, file), node);
        assert_eq!(fs::read_dir(desk.state().join("receipts").join(node)).unwrap().count(), 1);
    }
    let again = desk.run(&["flash", "--node", "pi1,pi3", "a", "c", "-y"]).ends(0);
    assert!(
        again.out.lines().count() == 3 && again.out.contains("verified, safe to remove"),
        "{}",
        again.out
    );
}

#[test]
fn what_cannot_be_ejected_is_taken_out_by_hand() {
    let desk = Desk::new(&["pi1"]);
    desk.card("card", 128);
    let ran = desk.run(&["flash", "--node", "pi1", "card", "-y", "--eject"]).ends(0);
    assert!(ran.out.contains("verified, safe to remove"), "{}", ran.out);
    ran.says(&["cannot be ejected from here", "take the card out by hand"]);
}

#[test]
fn cards_that_are_done_are_left_out() {
    let desk = Desk::new(&["pi1", "pi2"]);
    desk.card("a", 128);
    desk.run(&["flash", "--node", "pi1", "a", "-y"]).ends(0);
    let before = digest(&desk.path("a"));
    let other = desk.card("b", 128);
    // What is left is one card, so one device is enough.
    let ran = desk.run(&["flash", "--all", "--skip-done", "b", "-y"]).ends(0);
    ran.says(&["pi1 is left out"]);
    assert_eq!(hostname(&desk, "b"), "pi2");
    assert_eq!(digest(&desk.path("a")), before);
    let before = digest(&other);
    let ran = desk.run(&["flash", "--all", "--skip-done", "b", "-y", "--json"]).ends(0);
    assert_eq!(ran.json(), serde_json::json!({ "cards": [] }));
    assert_eq!(digest(&other), before);
    // Another plan is not done.
    let text = fs::read_to_string(desk.path("pibake.toml")).unwrap();
    desk.write("pibake.toml", text + "\n[system]\ntimezone = \"Europe/Berlin\"\n");
    desk.run(&["flash", "--node", "pi2", "--skip-done", "b", "-y"]).ends(0);
    assert_ne!(digest(&other), before);
}

#[test]
fn a_run_that_cannot_be_whole_writes_nothing() {
    let desk = Desk::new(&["pi1", "pi2"]);
    for (card, mib) in [("a", 128), ("b", 128), ("small", 90)] {
        desk.card(card, mib);
    }
    std::os::unix::fs::symlink("a", desk.path("link")).unwrap();
    fs::hard_link(desk.path("a"), desk.path("other-name")).unwrap();
    let before = ["a", "b", "small"].map(|card| digest(&desk.path(card)));
    for (args, status, says) in [
        (&["--node", "pi1", "a", "b"][..], 2, "2 devices for 1 nodes"),
        (&["--all", "a"], 2, "nobody to ask for further cards"),
        (&["--all", "a", "a"], 3, "named twice"),
        (&["--all", "a", "link"], 3, "named twice"),
        (&["--all", "a", "other-name"], 3, "named twice"),
        (&["--all", "a", "small"], 3, "small"),
        (&["--all", "a", "nothing"], 3, "does not exist"),
        (&["--all", "/dev/null", "a"], 3, "character device"),
    ] {
        let ran = desk.run(&[&["flash"], args, &["-y"]].concat()).ends(status).says(&[says]);
        assert!(ran.out.is_empty());
    }
    assert_eq!(["a", "b", "small"].map(|card| digest(&desk.path(card))), before);
    assert!(!desk.path("nothing").exists());
}

#[test]
fn a_baked_file_or_any_image_is_restored() {
    let desk = Desk::new(&["pi1"]);
    desk.run(&["bake", "--all", "--format", "img.zst", "-y"]).ends(0);
    let card = desk.card("card", 128);
    let ran = desk.run(&["restore", "pi1.img.zst", "card", "-y", "--json", "--all-blocks"]).ends(0).json();
    assert_eq!((&ran["file"], &ran["verified"]), (&"pi1.img.zst".into(), &true.into()));
    let image = zstd::decode_all(fs::read(desk.path("pi1.img.zst")).unwrap().as_slice()).unwrap();
    assert!(fs::read(&card).unwrap()[..image.len()] == image);
    assert_eq!(hostname(&desk, "card"), "pi1");
    desk.run(&["restore", "base.img.zst", "card", "-y"]).ends(0);
    assert_eq!(hostname(&desk, "card"), "raspberrypi");
    assert!(!desk.state().join("receipts").exists(), "it is no node's");
}

#[test]
fn what_is_no_image_or_no_card_is_not_restored() {
    let desk = Desk::new(&["pi1"]);
    desk.write("page.img", "<!DOCTYPE html><title>Moved</title>");
    let card = desk.card("card", 128);
    desk.card("small", 1);
    let before = digest(&card);
    for (args, status, says) in [
        (["page.img", "card"], 1, "page.img"),
        (["nothing.img", "card"], 1, "nothing.img"),
        (["base.img.zst", "small"], 3, "small"),
        (["base.img.zst", "base.img.zst"], 3, "what the image is read from"),
        (["base.img.zst", "nowhere"], 3, "does not exist"),
    ] {
        let ran = desk.run(&[&["restore"], &args[..], &["-y"]].concat()).ends(status).says(&[says]);
        assert!(ran.out.is_empty());
    }
    desk.run(&["restore", "base.img.zst", "card"]).ends(2).says(&["nobody to ask", "--yes"]);
    assert_eq!(digest(&card), before);
}

/// Puts another card where one was, as a person does.
fn change(desk: &Desk, card: &str) {
    desk.card("new", 128);
    fs::rename(desk.path(card), desk.path("taken-out")).unwrap();
    fs::rename(desk.path("new"), desk.path(card)).unwrap();
}

fn is_empty(card: &Path) -> bool {
    let mut head = [0; 4096];
    File::open(card).unwrap().read_exact(&mut head).unwrap();
    head == [0; 4096]
}

#[test]
fn one_reader_takes_card_after_card() {
    let desk = Desk::new(&["pi1", "pi2"]);
    let card = desk.card("card", 128);
    // --yes covers the card that is there.
    let mut run = AtTerminal::start(&desk, &["flash", "--all", "card", "-y"]);
    run.says("insert pi2's card into card");
    thread::sleep(Duration::from_millis(700));
    assert_eq!(hostname(&desk, "card"), "pi1", "the card that was not changed is left alone");
    change(&desk, "card");
    run.says("will become pi2");
    run.says("Type yes");
    assert!(is_empty(&card), "nothing is written before somebody said yes");
    run.types("yes");
    assert_eq!(run.ends(), Some(0));
    assert_eq!(hostname(&desk, "card"), "pi2");
    assert_eq!(hostname(&desk, "taken-out"), "pi1");
}

#[test]
fn a_later_card_that_nobody_agrees_to_stays_as_it_is() {
    let desk = Desk::new(&["pi1", "pi2"]);
    let card = desk.card("card", 128);
    let mut run = AtTerminal::start(&desk, &["flash", "--all", "card"]);
    run.says("Make it? Type yes");
    run.types("yes");
    run.says("will become pi1");
    run.says("Type yes");
    run.types("yes");
    run.says("insert pi2's card");
    change(&desk, "card");
    run.says("Type yes");
    run.types("no");
    assert_eq!(run.ends(), Some(3));
    assert!(is_empty(&card));
    let receipts =
        |node: &str| fs::read_dir(desk.state().join("receipts").join(node)).map_or(0, Iterator::count);
    assert_eq!((receipts("pi1"), receipts("pi2")), (1, 0), "what was done is done");
}
