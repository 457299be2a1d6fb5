//! The profiles of clusters: what they bring fits together, and starting from one says what is still missing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use pibake::config::types::{Cluster, Role};
use pibake::config::{self, Selection, profile};
use serde_json::Value;

use crate::tier::asked;

const STACK: &str = "stacks/services.yml";

/// A built-in profile as it is, in an empty directory.
fn load(name: &str) -> Cluster {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join(".ssh")).unwrap();
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAf0QiANlqfYIbHmN0BIxTMBEVDXxl98tEigw1sjCMgR test\n";
    fs::write(dir.path().join(".ssh/id_ed25519.pub"), key).unwrap();
    let selection = Selection {
        profile: Some(name.to_owned()),
        cwd: dir.path().to_owned(),
        home: dir.path().to_owned(),
        ..Selection::default()
    };
    config::load(&selection).unwrap_or_else(|errors| panic!("{name}: {errors:#?}"))
}

fn stack_text() -> &'static str {
    let extras = profile::extras("plexicluster");
    let stack = extras.iter().find(|extra| extra.path == Path::new(STACK)).expect("it comes with one");
    std::str::from_utf8(stack.content).unwrap()
}

fn stack() -> Value {
    serde_saphyr::from_str(stack_text()).unwrap()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

#[test]
fn only_plexicluster_brings_files() {
    for profile in profile::list() {
        let extras = profile::extras(&profile.name);
        let paths: Vec<&Path> = extras.iter().map(|extra| extra.path).collect();
        let expected: &[&Path] = if profile.name == "plexicluster" { &[Path::new(STACK)] } else { &[] };
        assert_eq!(paths, expected, "{}", profile.name);
    }
    assert!(profile::extras("nothing").is_empty() && profile::extras("").is_empty());
}

#[test]
fn a_swarm_of_three_with_one_manager() {
    for name in ["swarm", "plexicluster"] {
        let cluster = load(name);
        let roles: Vec<Role> = cluster.nodes.iter().map(|node| node.role).collect();
        assert_eq!(roles, [Role::Manager, Role::Worker, Role::Worker], "{name}");
        assert!(cluster.swarm.is_some() && cluster.nodes.iter().all(|node| node.docker.tls), "{name}");
    }
}

#[test]
fn plexicluster_has_its_addresses_and_its_share() {
    let cluster = load("plexicluster");
    let addresses: Vec<String> =
        cluster.nodes.iter().map(|node| format!("{} {}/{}", node.name, node.address, node.prefix)).collect();
    assert_eq!(addresses, ["pi1 192.168.0.1/16", "pi2 192.168.0.2/16", "pi3 192.168.0.3/16"]);
    for node in &cluster.nodes {
        assert_eq!(node.network.gateway.unwrap().to_string(), "192.168.1.100");
        let overlays: Vec<&str> = node.overlays.iter().map(|used| used.name.as_str()).collect();
        let expected: &[&str] =
            if node.name == "pi1" { &["nfs-client", "nfs-server"] } else { &["nfs-client"] };
        assert_eq!(overlays, expected, "{}", node.name);
        assert_eq!(node.overlays[0].with["server"].as_str(), Some("pi1"));
    }
}

#[test]
fn the_stack_uses_what_the_profile_makes() {
    let (cluster, stack) = (load("plexicluster"), stack());
    let swarm = cluster.swarm.as_ref().unwrap();
    assert_eq!(swarm.stacks[0].file, cluster.base_dir.join(STACK));

    let external = |kind: &str| -> Vec<String> {
        let all = stack[kind].as_object().unwrap();
        assert!(all.values().all(|value| value["external"] == true), "{all:?}");
        all.keys().cloned().collect()
    };
    assert_eq!(external("networks"), swarm.networks.iter().map(|n| n.name.clone()).collect::<Vec<_>>());
    assert_eq!(external("secrets"), swarm.secrets.keys().cloned().collect::<Vec<_>>());

    let mut sources = BTreeSet::new();
    for service in stack["services"].as_object().unwrap().values() {
        assert_eq!(texts(&service["networks"]), ["pi-swarm-net"]);
        for volume in service["volumes"].as_array().unwrap() {
            sources.insert(volume["source"].as_str().unwrap().to_owned());
        }
    }
    let server = &cluster.nodes[0].overlays[1].with;
    let path = server["path"].as_str().unwrap();
    let made = server["directories"].as_array().unwrap().iter();
    let made: BTreeSet<String> = made.map(|name| format!("{path}/{}", name.as_str().unwrap())).collect();
    assert_eq!(sources, made);
}

#[test]
fn the_stack_does_not_repeat_the_mistakes() {
    let stack = stack();
    let [ldap, gerrit, jenkins] =
        ["ldap-service", "gerrit-service", "jenkins-service"].map(|name| &stack["services"][name]);
    assert!(ldap.get("ports").is_none(), "389 is not for everybody");
    assert_eq!(texts(&gerrit["ports"]), ["8081:8080", "29418:29418"]);
    assert_eq!(texts(&jenkins["ports"]), ["8082:8080", "50000:50000"]);
    assert_eq!(gerrit["environment"]["WEBURL"], "http://{{ cluster.nodes[0].name }}:8081/");
    assert_eq!(gerrit["environment"]["LDAP_SERVER"], "ldap://ldap-service:389");
    assert_eq!(gerrit["healthcheck"]["start_period"], "10m");
    assert_eq!(jenkins["healthcheck"]["start_period"], "45m");
    assert_eq!(texts(&ldap["secrets"]), ["ldap-admin-password"]);
    assert!(ldap["environment"].get("SLAPD_PASSWORD").is_none());
    for service in [ldap, gerrit, jenkins] {
        assert_eq!(service["deploy"]["replicas"], 1, "two would share one directory");
    }
}

/// Docker's own reader of compose files; it needs no daemon.
#[test]
fn docker_reads_the_stack() {
    if !asked("docker", "the stack before docker's own reader") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("services.yml");
    let rendered = stack_text().replace("{{ cluster.nodes[0].name }}", "pi1");
    assert!(!rendered.contains("{{") && !rendered.contains("{%") && !rendered.contains("{#"));
    fs::write(&file, rendered).unwrap();
    let output = Command::new("docker").args(["stack", "config", "-c"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
    let read: Value = serde_saphyr::from_str(&String::from_utf8(output.stdout).unwrap()).unwrap();
    assert_eq!(read["services"].as_object().unwrap().len(), 3);
    let gerrit = &read["services"]["gerrit-service"];
    assert_eq!(gerrit["environment"]["LDAP_ACCOUNTPATTERN"], "(cn=${username})");
    assert_eq!(gerrit["ports"][0]["published"], 8081);
    assert_eq!(read["services"]["jenkins-service"]["healthcheck"]["start_period"], "45m0s");
}
