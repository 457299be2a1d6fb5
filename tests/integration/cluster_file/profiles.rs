//! Profiles as starting points, and the templates of `pibake init`.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use pibake::config::types::Source;
use pibake::config::{Selection, profile};

use super::{Desk, KEY, only_node, with_top};

#[test]
fn a_cluster_file_starts_from_a_profile() {
    let desk = Desk::new();
    let cluster =
        desk.load("profile = \"lab\"\nname = \"mine\"\n[network]\nsearch = []\n").expect("it is sound");
    assert_eq!((cluster.name.as_str(), cluster.nodes.len()), ("mine", 3));
    assert_eq!(cluster.nodes[0].network.gateway, Some(Ipv4Addr::new(192, 168, 1, 1)), "the profile's");
    assert!(cluster.nodes[0].network.search.is_empty(), "the file's");
    let origin = cluster.profile.expect("it has one");
    assert_eq!((origin.name.as_str(), origin.file), ("lab", None));

    let nodes = "profile = \"lab\"\n[[node]]\nname = \"one\"\naddress = \"192.168.1.5/24\"\n";
    assert_eq!(desk.load(nodes).expect("it is sound").nodes.len(), 1, "the file's nodes stand in place");

    desk.write("profiles/lab.toml", &with_top("").replace("\"c\"", "\"own\""));
    let cluster = desk.load("profile = \"lab\"\n").expect("it is sound");
    assert_eq!(cluster.name, "own", "a profile beside the file wins");
    assert_eq!(cluster.profile.expect("it has one").file, Some(desk.path("profiles/lab.toml")));
}

#[test]
fn wrong_profiles_are_told() {
    let desk = Desk::new();
    let found = desk.load("profile = \"lap\"\n").expect_err("there is none");
    assert_eq!(found, ["pibake.toml:1: there is no profile \"lap\"; did you mean \"lab\"?"]);
    let found = desk.load("profile = \"../x\"\n").expect_err("it is no name");
    assert!(found.iter().any(|error| error.contains("no name")), "{found:?}");
    desk.write("profiles/a.toml", "profile = \"lab\"\nname = 3\n");
    let found = desk.load("profile = \"a\"\n").expect_err("it is nested and wrong");
    assert!(found.iter().any(|error| error.starts_with("profiles/a.toml:1: a profile cannot")), "{found:?}");
    assert!(found.iter().any(|error| error.starts_with("profiles/a.toml:2: ")), "{found:?}");
}

#[test]
fn a_profile_can_be_used_as_it_is() {
    let desk = Desk::new();
    let selection = Selection { profile: Some("lab".to_owned()), ..desk.selection() };
    let cluster = desk.load_as(&selection).expect("it is sound");
    assert_eq!(cluster.source, Source::Profile("lab".to_owned()));
    assert_eq!(cluster.base_dir, desk.path(""));
    let unknown = Selection { profile: Some("nothing".to_owned()), ..desk.selection() };
    assert!(
        desk.load_as(&unknown).expect_err("there is none")[0]
            .contains("demo, lab, plexicluster, single, swarm")
    );
}

#[test]
fn every_shipped_profile_loads_and_its_template_too() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.is_file())
        .map(|path| path.file_stem().expect("it has a name").to_string_lossy().into_owned())
        .collect();
    names.sort();
    let listed: Vec<String> = profile::list().into_iter().map(|profile| profile.name).collect();
    assert_eq!(names, listed);
    for profile in profile::list() {
        assert!(profile.description.len() > 20, "{profile:?}");
        let desk = Desk::new();
        let selection = Selection { profile: Some(profile.name.clone()), ..desk.selection() };
        let cluster =
            desk.load_as(&selection).unwrap_or_else(|errors| panic!("{}: {errors:#?}", profile.name));
        assert_eq!((cluster.name.as_str(), cluster.warnings.len()), (profile.name.as_str(), 0));
        let template = profile::template(&profile.name, None).expect("it is there");
        assert!(template.lines().all(|line| line.chars().count() <= 120), "{}", profile.name);
        assert!(template.contains("\nsource = \"\"\n"), "{}", profile.name);
        desk.load(&template).unwrap_or_else(|errors| panic!("{}: {errors:#?}", profile.name));
    }
    assert!(profile::template("nothing", None).is_none());
}

#[test]
fn a_template_names_the_key_that_is_there() {
    let desk = Desk::new();
    assert_eq!(profile::find_public_key(&desk.path("home")).as_deref(), Some("~/.ssh/id_ed25519.pub"));
    assert_eq!(profile::find_public_key(&desk.path("nowhere")), None);
    desk.write("other/.ssh/id_rsa.pub", KEY);
    let key = profile::find_public_key(&desk.path("other")).expect("there is one");
    let template = profile::template("lab", Some(&key)).expect("it is there");
    assert!(template.contains("authorized_keys = [\"~/.ssh/id_rsa.pub\"]"), "{template}");
    assert!(!template.contains("id_ed25519"), "{template}");
}

/// A profile with everything that it only shows in comments.
fn uncommented(name: &str) -> String {
    let template = profile::template(name, None).expect("it is there");
    let sha = format!("sha256 = \"{}\"", "ab".repeat(32));
    let uncommented = template.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if rest.starts_with("sha256") => sha.clone(),
        Some(rest) if rest.contains(" = ") || rest.starts_with('[') => rest.to_owned(),
        _ => line.to_owned(),
    });
    uncommented.collect::<Vec<_>>().join("\n")
}

#[test]
fn commented_lines_of_the_templates_are_sound_too() {
    let desk = Desk::new();
    let cluster = desk.load(&uncommented("single")).unwrap_or_else(|errors| panic!("{errors:#?}"));
    let node = only_node(cluster);
    assert!(node.network.wifi.is_some() && node.accounts.len() == 1 && node.image.size == Some(4 << 30));

    let cluster = desk.load(&uncommented("swarm")).unwrap_or_else(|errors| panic!("{errors:#?}"));
    let swarm = cluster.swarm.expect("there is one");
    assert_eq!((swarm.stacks.len(), swarm.secrets.len()), (1, 1));
    assert!(swarm.address_pool.is_some() && !cluster.nodes[2].labels.is_empty());
    assert_eq!(cluster.nodes[0].docker.images, ["images/*.tar"]);
}
