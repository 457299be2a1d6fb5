//! `pibake init`, and what starting from a profile still needs.

use std::fs;

use super::desk::{Desk, KEY, tree};

fn desk() -> Desk {
    let desk = Desk::bare();
    fs::create_dir(desk.top().join("home/.ssh")).unwrap();
    fs::write(desk.top().join("home/.ssh/id_ed25519.pub"), KEY).unwrap();
    desk
}

#[test]
fn the_swarm_is_suggested_first() {
    let ran = desk().run(&["init"]).ends(0);
    assert_eq!(ran.out.lines().nth(1).unwrap().split(' ').next(), Some("swarm"), "{}", ran.out);
    ran.says(&["pibake init swarm"]);
}

#[test]
fn a_profile_brings_its_stack_and_overwrites_nothing() {
    let desk = desk();
    desk.run(&["init", "plexicluster"]).ends(0).says(&[
        "pibake.toml",
        "stacks/services.yml",
        ".pibake/plexicluster",
    ]);
    let stack = fs::read(desk.path("stacks/services.yml")).unwrap();
    assert_eq!(stack, include_bytes!("../../../profiles/plexicluster/stacks/services.yml"));

    desk.write("other/stacks/services.yml", "mine\n");
    let before = tree(&desk.path("other"));
    desk.run(&["init", "plexicluster", "--dir", "other"]).ends(2).says(&["services.yml is there already"]);
    assert_eq!(tree(&desk.path("other")), before);
    assert_eq!(fs::read(desk.path("other/stacks/services.yml")).unwrap(), b"mine\n");
}

#[test]
fn what_a_profile_names_and_is_not_there_is_told() {
    let desk = desk();
    let said = desk.run(&["plan", "--all", "--profile", "plexicluster"]).ends(2);
    said.says(&["no image is named", "stacks/services.yml; `pibake init plexicluster` writes one"]);
    // Workers are given no stacks
    let worker = desk.run(&["plan", "--node", "pi2", "--profile", "plexicluster"]).ends(2);
    assert!(!worker.err.contains("services.yml"), "{}", worker.err);

    desk.run(&["init", "plexicluster"]).ends(0);
    let said = desk.run(&["plan", "--all"]).ends(2);
    assert!(!said.err.contains("services.yml"), "{}", said.err);
    fs::remove_file(desk.path("stacks/services.yml")).unwrap();
    // The file is the user's own by now
    let said = desk.run(&["plan", "--all"]).ends(2);
    assert!(said.err.contains("no such stack file: ") && !said.err.contains("writes one"), "{}", said.err);
}
