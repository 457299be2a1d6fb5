//! What programs read, and what a log holds.

use std::collections::BTreeSet;

use super::desk::{Desk, Ran};
use super::help::assert_snapshot;
use super::image::write_sparse;

/// The phases that events tell the beginning of. A file is checked again while it is so young that a change
/// would not show.
pub(super) fn phases(ran: &Ran) -> Vec<String> {
    let started = |event: &serde_json::Value| event["event"] == "start" && event["phase"] != "checking";
    let events = ran.events();
    events
        .iter()
        .filter(|event| started(event))
        .map(|event| event["phase"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn one_document_on_standard_output_and_lines_on_standard_error() {
    let desk = Desk::new(&["pi1", "pi2"]);
    desk.card("card", 128);

    let ran = desk.run(&["plan", "--all", "--json"]).ends(0);
    let plans = ran.json();
    assert_eq!(plans["plans"].as_array().unwrap().len(), 2);
    assert_eq!(phases(&ran), ["unpacking"]);

    let ran = desk.run(&["bake", "--all", "--json", "-y"]).ends(0);
    let baked = ran.json();
    assert_eq!(baked["baked"][1]["node"], "pi2");
    assert_eq!(baked["baked"][1]["bake_time"], 1_800_000_000);
    assert_eq!(phases(&ran), ["baking", "proving", "baking", "proving"]);

    let ran = desk.run(&["flash", "--node", "pi1", "card", "--json", "-y"]).ends(0);
    assert_eq!((&ran.json()["node"], &ran.json()["verified"]), (&"pi1".into(), &true.into()));
    assert_eq!(phases(&ran), ["proving", "writing", "verifying"]);

    let ran = desk.run(&["inspect", "card", "--json"]).ends(0);
    assert_eq!(ran.json()["system"]["hostname"], "pi1");
    ran.events();

    let ran = desk.run(&["devices", "--json"]).ends(0);
    assert!(ran.json()["devices"].is_array());
    ran.events();
}

#[test]
fn an_error_leaves_standard_output_empty() {
    let desk = Desk::new(&["pi1"]);
    for args in [
        &["plan", "--node", "pi7", "--json"][..],
        &["bake", "--all", "--json", "-o", "nowhere"],
        &["flash", "--node", "pi1", "nothing", "--json", "-y"],
        &["inspect", "nothing", "--json"],
    ] {
        let ran = desk.run(args);
        assert!(ran.status != Some(0) && ran.out.is_empty(), "{args:?}: {ran:?}");
        assert!(ran.err.contains("pibake: "), "{args:?}: {}", ran.err);
    }
}

#[test]
fn a_log_holds_no_control_characters() {
    let desk = Desk::new(&["pi1"]);
    desk.card("card", 128);
    for args in [
        &["plan", "--all", "-v"][..],
        &["bake", "--all", "-y"],
        &["bake", "--all", "--format", "img.zst"],
        &["flash", "--node", "pi1", "card", "-y"],
        &["inspect", "card"],
        &["bake", "--node", "pi9"],
    ] {
        let ran = desk.run(args);
        for text in [&ran.out, &ran.err] {
            let control = |letter: char| letter.is_control() && !"\n\t".contains(letter);
            assert!(!text.contains(control), "{args:?}: {text:?}");
        }
    }
    let coloured = desk.run(&["bake", "--node", "pi9", "--color", "always"]).ends(2);
    assert!(coloured.err.starts_with("\u{1b}["), "{:?}", coloured.err);
}

#[test]
fn quiet_says_nothing_when_nothing_is_wrong() {
    let desk = Desk::new(&["pi1"]);
    desk.card("card", 128);
    for args in [&["bake", "--all", "-q", "-y"][..], &["flash", "--node", "pi1", "card", "-q", "-y"]] {
        let ran = desk.run(args).ends(0);
        assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""), "{args:?}");
    }
    desk.run(&["bake", "--node", "pi9", "-q"]).ends(2).says(&["pi9"]);
}

#[test]
fn what_plan_prints() {
    let desk = Desk::bare();
    desk.write(
        "pibake.toml",
        include_str!("../../../profiles/demo.toml").replace("source = \"\"", "source = \"base.img.zst\""),
    );
    // Without a state there are placeholders in place of keys and derived ids: the same on every machine.
    // The digest stands for the content of all overlays, which has tests of its own.
    let document = desk.run(&["plan", "--all", "--json"]).ends(0).json();
    let digest = &document["plans"][0]["digest"].as_str().unwrap()[..16];
    let text = desk.run(&["plan", "--all"]).ends(0).out;
    assert_snapshot("plan.txt", &text.replace(digest, "DIGEST"));
    let verbose = desk.run(&["plan", "--all", "-v"]).ends(0).out;
    assert!(verbose.contains("| address1=192.168.0.1/16,192.168.1.100"), "{verbose}");
    let headings = |text: &str| text.lines().filter(|line| !line.contains("            | ")).count();
    assert_eq!(headings(&verbose), text.lines().count());
    let keys: BTreeSet<&String> = document["plans"][0].as_object().unwrap().keys().collect();
    let expected = ["card_size", "changes", "digest", "disk_id", "image_size", "node", "warnings"];
    assert_eq!(keys, BTreeSet::from_iter(&expected.map(str::to_owned)));
}

#[test]
fn what_inspect_prints() {
    let desk = Desk::bare();
    assert_snapshot("inspect.txt", &desk.run(&["inspect", "base.img.zst"]).ends(0).out);
    write_sparse(&desk.path("raw"), super::image::demo());
    let raw = desk.run(&["inspect", "raw"]).ends(0).out;
    assert_eq!(raw, desk.run(&["inspect", "base.img.zst"]).ends(0).out);
}
