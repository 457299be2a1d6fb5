//! `pibake keys`, as the program runs it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use pibake::keys::certificate::{Certificate, Purpose};
use serde_json::Value;

use super::desk::{Desk, Ran, TIME};

/// The image that `pibake demo` brings, packed.
const DEMO: &[u8] = include_bytes!("../../fixtures/demo.img.zst");

const WITHOUT_SECRETS: [&str; 2] = ["PRIVATE KEY", "-----BEGIN"];

fn baked() -> Desk {
    let desk = Desk::new();
    for node in ["pi1", "pi2", "pi3"] {
        desk.identity(node, TIME).expect("it can be made");
    }
    desk
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o7777
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.out))
}

#[test]
fn nothing_is_shown_or_made_where_there_is_no_state() {
    let desk = Desk::new();
    for action in [&["show"][..], &["export", "x"], &["revoke", "pi1"], &["protect"], &["rotate", "ca"]] {
        let ran = desk.keys(action).ends(2);
        assert!(ran.err.contains("has no keys yet"), "{}", ran.err);
    }
    assert!(!desk.dir.path().join(".pibake").exists() && !desk.dir.path().join("x").exists());
}

#[test]
fn show_names_every_key_and_shows_none() {
    let desk = baked();
    desk.keys(&["add-client", "ci"]).ends(0);
    let ran = desk.keys(&["show"]).ends(0);
    for part in
        ["TLS CA", "TLS server", "TLS client", "join CA", "join key", "SSH host", "SHA256:", "clear text"]
    {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let ran = desk.keys(&["show", "--json"]).ends(0);
    assert!(WITHOUT_SECRETS.iter().all(|secret| !ran.out.contains(secret)));
    let document = json(&ran);
    assert_eq!(document["passphrase"], false);
    let keys = document["keys"].as_array().expect("it is a list");
    let of = |kind: &str| keys.iter().filter(|key| key["kind"] == kind).count();
    assert_eq!([of("TLS CA"), of("TLS server"), of("TLS client"), of("join CA")], [1, 3, 1, 1]);
    assert_eq!([of("join key"), of("SSH host")], [3, 6]);
    let ca = Certificate::from_pem(&desk.tls("pi1", TIME).ca).expect("it is one");
    assert_eq!(keys[0]["fingerprint"], ca.fingerprint());
    assert_eq!(keys[0]["ends"], ca.not_after);
}

#[test]
fn an_export_is_private_and_says_how_to_use_it() {
    let desk = baked();
    let ran = desk.keys(&["export", "for, docker"]).ends(0);
    let dir = desk.dir.path().join("for, docker");
    assert_eq!(mode(&dir), 0o700);
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        assert_eq!(mode(&dir.join(name)), 0o600, "{name}");
    }
    let text = |name: &str| fs::read_to_string(dir.join(name)).expect("it is there");
    let (ca, client) = (Certificate::from_pem(&text("ca.pem")), Certificate::from_pem(&text("cert.pem")));
    let (ca, client) = (ca.expect("it is one"), client.expect("it is one"));
    assert!(client.is_signed_by(&ca) && client.purpose == Purpose::Client);
    assert!(text("key.pem").starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert_eq!(ca.pem(), desk.tls("pi1", TIME).ca);
    let expected = format!(
        "docker context create pibake-c --docker 'host=tcp://192.168.0.1:2376,\"ca={0}/ca.pem\",\"cert={0}/cert.pem\",\
         \"key={0}/key.pem\"'\n",
        dir.display()
    );
    assert_eq!(ran.out, expected);
    // The same again is fine, and writes nothing new.
    desk.keys(&["export", "for, docker"]).ends(0);
    assert_eq!(text("cert.pem"), client.pem());
}

#[test]
fn an_export_overwrites_nothing_and_enters_no_open_directory() {
    let desk = baked();
    desk.keys(&["export", "a"]).ends(0);
    let dir = desk.dir.path().join("a");
    let before = fs::read(dir.join("key.pem")).expect("it is there");
    let ran = desk.keys(&["export", "--client", "ci", "a"]).ends(2);
    assert!(ran.err.contains("is there already"), "{}", ran.err);
    assert_eq!(fs::read(dir.join("key.pem")).expect("it is there"), before);
    let open = desk.dir.path().join("open");
    fs::create_dir(&open).expect("it can be made");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let ran = desk.keys(&["export", "open"]).ends(1);
    assert!(ran.err.contains("chmod 700"), "{}", ran.err);
    assert_eq!(fs::read_dir(&open).expect("it is there").count(), 0);
}

#[test]
fn names_that_are_no_files_are_refused() {
    let desk = baked();
    for name in ["", "..", ".hidden", "a/b", "-x", "a b", "ü"] {
        let ran = desk.keys(&["add-client", "--", name]).ends(2);
        assert!(ran.err.contains("no name for a client"), "{}", ran.err);
        desk.keys(&["revoke", "--", name]).ends(2);
    }
    assert!(!desk.state_dir().join("tls/clients").exists());
    desk.keys(&["add-client", "ci"]).ends(0);
    let ran = desk.keys(&["add-client", "ci"]).ends(2);
    assert!(ran.err.contains("already"), "{}", ran.err);
}

#[test]
fn a_rotated_authority_leaves_nothing_of_the_old_one_in_use() {
    let desk = baked();
    desk.keys(&["add-client", "ci"]).ends(0);
    let old = desk.tls("pi1", TIME);
    let ran = desk.keys(&["rotate", "ca"]).ends(2);
    assert!(ran.err.contains("--yes"), "{}", ran.err);
    assert_eq!(desk.tls("pi1", TIME).ca, old.ca);
    let ran = desk.keys(&["rotate", "ca", "--yes", "--json"]).ends(0);
    assert_eq!(json(&ran)["flash"], serde_json::json!(["pi1", "pi2", "pi3"]));
    assert_eq!(json(&ran)["export"], serde_json::json!(["ci"]));
    let shown = desk.keys(&["show"]).ends(0).out;
    assert_eq!(shown.matches("of an earlier CA").count(), 4, "{shown}");
    let new = desk.tls("pi1", TIME);
    assert_ne!(new.ca, old.ca);
    assert_ne!(*new.key, *old.key);
    assert!(desk.join("pi1", TIME).ca == desk.join("pi2", TIME).ca);
}

#[test]
fn a_rotated_join_authority_signs_the_same_keys_and_managers_are_told_of_it() {
    let desk = baked();
    let old = desk.join("pi2", TIME);
    let ran = desk.keys(&["rotate", "join"]).ends(2);
    assert!(ran.err.contains("--yes"), "{}", ran.err);
    assert_eq!(desk.join("pi2", TIME).ca, old.ca);
    let ran = desk.keys(&["rotate", "join", "--yes"]).ends(0);
    assert!(ran.err.contains("/etc/pibake/swarm/join_ca.pub"), "{}", ran.err);
    assert!(ran.err.contains("to be flashed again: pi1, pi2, pi3\n"), "{}", ran.err);
    for manager in [" pi@192.168.0.1 ", " pi@192.168.0.3 "] {
        assert!(ran.out.contains(manager), "{}", ran.out);
    }
    let new = desk.join("pi2", TIME);
    assert_eq!(ran.out.lines().next(), Some(new.ca.as_str()));
    assert_eq!(*new.key, *old.key);
    assert!(new.ca != old.ca && new.certificate != old.certificate);
    let document = json(&desk.keys(&["rotate", "join", "--yes", "--json"]).ends(0));
    assert_eq!(document["flash"], serde_json::json!(["pi1", "pi2", "pi3"]));
    assert_eq!(document["line"], desk.join("pi1", TIME).ca);
    assert_ne!(document["line"], new.ca);
}

#[test]
fn a_rotated_node_or_client_gets_another_key() {
    let desk = baked();
    let (old, other) = (desk.tls("pi1", TIME), desk.tls("pi2", TIME));
    let ran = desk.keys(&["rotate", "node", "pi1", "--json"]).ends(0);
    assert_eq!(json(&ran)["flash"], serde_json::json!(["pi1"]));
    assert_ne!(*desk.tls("pi1", TIME).key, *old.key);
    assert_eq!(*desk.tls("pi2", TIME).key, *other.key);
    desk.keys(&["export", "before"]).ends(0);
    desk.keys(&["rotate", "client", "operator"]).ends(0);
    desk.keys(&["export", "after"]).ends(0);
    let key = |dir: &str| fs::read(desk.dir.path().join(dir).join("key.pem")).expect("it is there");
    assert_ne!(key("before"), key("after"));
    for unknown in [&["rotate", "node", "pi9"], &["rotate", "node", "pi4"], &["rotate", "client", "nobody"]] {
        let ran = desk.keys(unknown).ends(2);
        assert!(ran.err.contains("there is no"), "{}", ran.err);
    }
}

#[test]
fn a_revoked_node_gets_another_key_and_managers_hold_the_old_one() {
    let desk = baked();
    let old = desk.join("pi2", TIME);
    let ran = desk.keys(&["revoke", "pi2"]).ends(0);
    let line = ran.out.lines().next().expect("it says the line").to_owned();
    assert!(line.starts_with("ssh-ed25519 ") && line.ends_with(" pi2"), "{line}");
    assert!(ran.err.contains("/etc/pibake/swarm/revoked"), "{}", ran.err);
    for manager in [" pi@192.168.0.1 ", " pi@192.168.0.3 "] {
        assert!(ran.out.contains(manager), "{}", ran.out);
    }
    assert_eq!(desk.keys(&["revoke", "pi2"]).ends(0).out, ran.out);
    let new = desk.join("pi2", TIME);
    assert_ne!(*new.key, *old.key);
    assert_eq!(new.revoked, [line.as_str()]);
    assert_eq!(desk.join("pi1", TIME).revoked, [line.as_str()]);
    // The new key can be revoked like the one before.
    desk.keys(&["revoke", "pi2"]).ends(0);
    assert_eq!(desk.join("pi1", TIME).revoked.len(), 2);
    let ran = desk.keys(&["revoke", "pi4"]).ends(2);
    assert!(ran.err.contains("pi4 has no join key") && ran.err.contains("pi1, pi2, pi3"), "{}", ran.err);
}

#[test]
fn keys_under_a_passphrase_are_asked_for_when_something_is_signed() {
    let desk = baked();
    let before = desk.tls("pi1", TIME);
    for (name, text) in [("right", "correct horse\n"), ("wrong", "battery\n"), ("empty", "\n")] {
        fs::write(desk.dir.path().join(name), text).expect("it can be written");
    }
    let ran = desk.keys(&["unprotect"]).ends(2);
    assert!(ran.err.contains("under no passphrase"), "{}", ran.err);
    let ran = desk.keys(&["protect"]).ends(2);
    assert!(ran.err.contains("--passphrase-file"), "{}", ran.err);
    desk.keys(&["protect", "--passphrase-file", "empty"]).ends(2);
    desk.keys(&["protect", "--passphrase-file", "absent"]).ends(2);
    desk.keys(&["protect", "--passphrase-file", "right"]).ends(0);
    for name in ["tls/ca-key.pem", "join/ca"] {
        let bytes = fs::read(desk.state_dir().join(name)).expect("it is there");
        assert!(bytes.starts_with(b"age-encryption.org/v1\n"), "{name}");
        assert_eq!(mode(&desk.state_dir().join(name)), 0o600);
    }
    // What is shown, planned or only renewed by nobody needs none.
    assert!(desk.keys(&["show"]).ends(0).out.contains("under a passphrase"));
    let state = desk.state();
    let planned = state.existing_identity(&desk.node("pi1"), &desk.cluster()).expect("nothing is asked");
    assert_eq!(planned.tls.expect("it has TLS").certificate, before.certificate);
    let ran = desk.keys(&["add-client", "ci"]).ends(2);
    assert!(ran.err.contains("under a passphrase") && ran.err.contains("--passphrase-file"), "{}", ran.err);
    let ran = desk.keys(&["add-client", "ci", "--passphrase-file", "wrong"]).ends(2);
    assert!(ran.err.contains("wrong passphrase") && !ran.err.contains("battery"), "{}", ran.err);
    desk.keys(&["add-client", "ci", "--passphrase-file", "right"]).ends(0);
    // A new authority does not come in clear text, and not under another passphrase.
    desk.keys(&["rotate", "ca", "--yes", "--passphrase-file", "wrong"]).ends(2);
    desk.keys(&["rotate", "ca", "--yes", "--passphrase-file", "right"]).ends(0);
    desk.keys(&["rotate", "join", "--yes", "--passphrase-file", "wrong"]).ends(2);
    desk.keys(&["rotate", "join", "--yes", "--passphrase-file", "right"]).ends(0);
    for name in ["tls/ca-key.pem", "join/ca"] {
        let bytes = fs::read(desk.state_dir().join(name)).expect("it is there");
        assert!(bytes.starts_with(b"age-encryption.org/v1\n"), "{name}");
    }
    desk.keys(&["unprotect", "--passphrase-file", "right"]).ends(0);
    desk.keys(&["add-client", "ci2"]).ends(0);
}

#[test]
fn a_run_asks_once_and_a_half_protected_state_is_finished() {
    let desk = baked();
    let clear = fs::read(desk.state_dir().join("join/ca")).expect("it is there");
    fs::write(desk.dir.path().join("right"), "correct horse").expect("it can be written");
    desk.keys(&["protect", "--passphrase-file", "right"]).ends(0);
    let mut count = 0;
    desk.identity_asking("pi1", TIME + 1, "correct horse", &mut count).expect("it is right");
    assert_eq!(count, 1);
    // As if it had been killed between the two.
    fs::write(desk.state_dir().join("join/ca"), &clear).expect("it can be written");
    assert!(desk.keys(&["show"]).ends(0).out.contains("in part"));
    desk.keys(&["protect", "--passphrase-file", "right"]).ends(0);
    assert_ne!(fs::read(desk.state_dir().join("join/ca")).expect("it is there"), clear);
    assert!(desk.identity("pi1", TIME).is_err());
}

#[test]
fn a_bake_before_the_authority_is_a_mistake_of_use() {
    let desk = baked();
    fs::write(desk.dir.path().join("base.img.zst"), DEMO).expect("it can be written");
    let authority = Certificate::from_pem(&desk.tls("pi1", TIME).ca).expect("it is one");
    let words = ["bake", "--node", "pi1", "--image", "base.img.zst", "--allow-two-managers"];
    let ran = desk.pibake(authority.not_before - 1, &words).ends(2);
    assert!(ran.err.contains("is before") && ran.err.contains("SOURCE_DATE_EPOCH"), "{}", ran.err);
}

#[test]
fn nothing_that_is_printed_holds_a_key() {
    let desk = baked();
    let join = desk.join("pi1", TIME);
    let secrets: Vec<String> = [&*desk.tls("pi1", TIME).key, &*join.key]
        .into_iter()
        .map(|key| key.lines().nth(1).expect("it has lines").to_owned())
        .collect();
    for words in [
        &["show"][..],
        &["show", "--json"],
        &["export", "x"],
        &["export", "x", "--json"],
        &["add-client", "ci", "-v"],
        &["revoke", "pi1"],
        &["revoke", "pi1", "--json"],
        &["rotate", "node", "pi1"],
        &["rotate", "ca", "--yes"],
    ] {
        let ran = desk.keys(words).ends(0);
        let all = format!("{}{}", ran.out, ran.err);
        assert!(
            !all.contains("PRIVATE") && !secrets.iter().any(|secret| all.contains(secret)),
            "{words:?}: {all}"
        );
    }
}
