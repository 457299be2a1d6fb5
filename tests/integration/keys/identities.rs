//! What a node gets, when it stays, and when it is made anew.

use std::fs;
use std::path::Path;

use pibake::keys::KeyError;
use pibake::keys::certificate::{Certificate, Purpose};
use pibake::state::StateError;
use pibake::state::identity::NodeIdentity;

use super::desk::{Desk, TIME};

const DAY: i64 = 86_400;

fn certificate(text: &str) -> Certificate {
    Certificate::from_pem(text).expect("it is one")
}

#[test]
fn nodes_get_what_they_have_use_for() {
    let desk = Desk::new();
    let manager = desk.identity("pi1", TIME).expect("it can be made");
    assert!(manager.tls.is_some() && manager.join.is_some());
    let other = desk.identity("pi4", TIME).expect("it can be made");
    assert!(other.tls.is_none() && other.join.is_none());
}

#[test]
fn a_server_certificate_is_for_every_name_of_its_node() {
    let desk = Desk::new();
    let tls = desk.tls("pi2", TIME);
    let (ca, server) = (certificate(&tls.ca), certificate(&tls.certificate));
    assert!(server.is_signed_by(&ca));
    assert_eq!(server.purpose, Purpose::Server);
    let names: Vec<&str> = server.names.iter().map(String::as_str).collect();
    assert_eq!(names, ["127.0.0.1", "192.168.0.2", "localhost", "pi2", "pi2.lan"]);
    assert!(tls.key.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert_eq!(desk.tls("pi1", TIME).ca, tls.ca);
    assert_ne!(*desk.tls("pi1", TIME).key, *tls.key);
}

#[test]
fn the_same_bake_time_gives_the_same_bytes_and_another_only_another_join_certificate() {
    let desk = Desk::new();
    let all = |time| {
        let NodeIdentity { tls, join, .. } = desk.identity("pi1", time).expect("it can be made");
        let (tls, join) = (tls.expect("it has TLS"), join.expect("it joins"));
        (tls.ca, tls.certificate, tls.key.to_string(), join.key.to_string(), join.ca, join.certificate)
    };
    let first = all(TIME);
    assert_eq!(all(TIME), first);
    let later = all(TIME + DAY);
    assert_ne!(later.5, first.5);
    assert_eq!((later.0, later.1, later.2, later.3, later.4), (first.0, first.1, first.2, first.3, first.4));
}

#[test]
fn a_server_certificate_is_renewed_for_the_same_key() {
    let desk = Desk::new();
    let first = desk.tls("pi1", TIME);
    let end = certificate(&first.certificate).not_after;
    assert_eq!(desk.tls("pi1", end - 91 * DAY).certificate, first.certificate);
    let renewed = desk.tls("pi1", end - 89 * DAY);
    assert_ne!(renewed.certificate, first.certificate);
    assert_eq!(*renewed.key, *first.key);
    assert!(certificate(&renewed.certificate).not_after > end);
    desk.write_cluster_file("example.org");
    let named = desk.tls("pi1", end - 89 * DAY);
    assert!(certificate(&named.certificate).names.contains("pi1.example.org"));
    assert_eq!(*named.key, *first.key);
}

#[test]
fn a_bake_before_or_after_the_authority_is_refused() {
    let desk = Desk::new();
    let ca = certificate(&desk.tls("pi1", TIME).ca);
    let early = desk.identity("pi1", ca.not_before - 1).err();
    assert!(matches!(early, Some(StateError::Key(KeyError::TooEarly { .. }))), "{early:?}");
    let late = desk.identity("pi1", ca.not_after + 1).err();
    assert!(matches!(late, Some(StateError::Key(KeyError::Ended { .. }))), "{late:?}");
    assert!(desk.identity("pi4", ca.not_before - 1).is_ok());
}

#[test]
fn a_bake_in_the_future_does_not_keep_todays_out() {
    let desk = Desk::new();
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    desk.tls("pi1", now + 60 * DAY);
    desk.tls("pi1", now);
}

#[test]
fn join_certificates_end_with_their_days_and_name_role_and_node() {
    let desk = Desk::new();
    let join = desk.join("pi2", TIME);
    let read = ssh_key::Certificate::from_openssh(&join.certificate).expect("it is one");
    assert_eq!(read.valid_before(), u64::try_from(TIME + 30 * DAY).expect("it is positive"));
    let command = read.critical_options().get("force-command").map(String::as_str);
    assert_eq!(command, Some("/usr/lib/pibake/swarm-ask pi2 worker"));
    let ca = ssh_key::PublicKey::from_openssh(&join.ca).expect("it is one");
    assert_eq!(read.signature_key(), ca.key_data());
    let manager = desk.join("pi1", TIME);
    let read = ssh_key::Certificate::from_openssh(&manager.certificate).expect("it is one");
    let command = read.critical_options().get("force-command").map(String::as_str);
    assert_eq!(command, Some("/usr/lib/pibake/swarm-ask pi1 manager"));
}

#[test]
fn managers_are_pinned_before_they_are_baked() {
    let desk = Desk::new();
    let managers = desk.join("pi2", TIME).managers;
    let names: Vec<&str> = managers.iter().map(|manager| manager.name.as_str()).collect();
    assert_eq!(names, ["pi1", "pi3"]);
    for manager in &managers {
        let keys = desk.identity(&manager.name, TIME).expect("it can be made").host_keys;
        assert_eq!(manager.host_keys.len(), keys.len());
        for (pinned, key) in manager.host_keys.iter().zip(&keys) {
            assert!(key.public.starts_with(pinned.as_str()), "{pinned}");
            assert_eq!(pinned.split(' ').count(), 2, "{pinned}");
        }
    }
}

#[test]
fn a_plan_makes_nothing_and_sees_what_was_made() {
    let desk = Desk::new();
    let (cluster, node) = (desk.cluster(), desk.node("pi1"));
    let none = NodeIdentity::placeholder(&node, &cluster).expect("it can be made");
    let state = desk.state();
    let before = files(&desk.state_dir());
    let shown = state.existing_identity(&node, &cluster).expect("nothing is wrong");
    assert_eq!(files(&desk.state_dir()), before);
    let made = desk.identity("pi1", TIME).expect("it can be made");
    for stand_in in [none, shown] {
        let (tls, join) = (stand_in.tls.expect("it has TLS"), stand_in.join.expect("it joins"));
        let (true_tls, true_join) =
            (made.tls.as_ref().expect("it has TLS"), made.join.as_ref().expect("it joins"));
        near(tls.ca.len(), true_tls.ca.len());
        near(tls.certificate.len(), true_tls.certificate.len());
        near(tls.key.len(), true_tls.key.len());
        near(join.key.len(), true_join.key.len());
        near(join.certificate.len(), true_join.certificate.len());
        assert_eq!(join.managers.len(), true_join.managers.len());
    }
    let shown = state.existing_identity(&node, &cluster).expect("nothing is wrong");
    let (tls, join) = (shown.tls.expect("it has TLS"), shown.join.expect("it joins"));
    let (true_tls, true_join) = (made.tls.expect("it has TLS"), made.join.expect("it joins"));
    assert_eq!((tls.ca, tls.certificate, tls.key), (true_tls.ca, true_tls.certificate, true_tls.key));
    assert_eq!((&join.key, &join.ca), (&true_join.key, &true_join.ca));
    assert_eq!(join.stand_in().certificate, true_join.stand_in().certificate);
}

/// Within an eighth: enough to tell whether a card is large enough.
fn near(stand_in: usize, truth: usize) {
    assert!(stand_in.abs_diff(truth) <= truth / 8, "{stand_in} for {truth}");
}

#[test]
fn what_stands_for_an_identity_depends_on_keys_and_not_on_dates() {
    let desk = Desk::new();
    let first = desk.identity("pi1", TIME).expect("it can be made");
    let end = certificate(&first.tls.as_ref().expect("it has TLS").certificate).not_after;
    let renewed = desk.identity("pi1", end).expect("it can be made");
    let tls = |identity: &NodeIdentity| {
        let stand_in = identity.tls.as_ref().expect("it has TLS").stand_in();
        (stand_in.ca, stand_in.certificate, stand_in.key)
    };
    let join = |identity: &NodeIdentity| {
        let stand_in = identity.join.as_ref().expect("it joins").stand_in();
        (stand_in.ca, stand_in.certificate, stand_in.key)
    };
    assert_eq!(tls(&first), tls(&renewed));
    assert_eq!(join(&first), join(&renewed));
    let (other, elsewhere) = (desk.identity("pi3", TIME), Desk::new().identity("pi1", TIME));
    for other in [other, elsewhere] {
        let other = other.expect("it can be made");
        assert_ne!(tls(&first), tls(&other));
        assert_ne!(join(&first), join(&other));
    }
    assert!(!join(&first).2.contains("PRIVATE") && !tls(&first).2.contains("PRIVATE"));
}

#[test]
fn what_a_killed_run_left_is_made_whole() {
    let desk = Desk::new();
    let first = desk.tls("pi1", TIME);
    let dir = desk.state_dir().join("tls/nodes/pi1");
    // Killed between key and certificate: the key may never have been used.
    fs::remove_file(dir.join("cert.pem")).expect("it is there");
    let second = desk.tls("pi1", TIME);
    assert_ne!(*second.key, *first.key);
    fs::copy(desk.state_dir().join("tls/nodes/pi1/key.pem"), dir.join("kept")).expect("it is there");
    fs::write(dir.join("key.pem"), first.key.as_bytes()).expect("it can be written");
    let third = desk.tls("pi1", TIME);
    assert!(certificate(&third.certificate).is_signed_by(&certificate(&third.ca)));
    assert_ne!(third.certificate, second.certificate);
    // Killed between the authority's key and its certificate.
    fs::remove_file(desk.state_dir().join("tls/ca.pem")).expect("it is there");
    let fourth = desk.tls("pi1", TIME);
    assert_ne!(fourth.ca, first.ca);
    assert!(certificate(&fourth.certificate).is_signed_by(&certificate(&fourth.ca)));
    assert_ne!(*fourth.key, *third.key);
}

#[test]
fn damaged_files_are_named() {
    for (path, bytes) in [
        ("tls/ca.pem", "nonsense"),
        ("tls/nodes/pi1/cert.pem", "nonsense"),
        ("tls/nodes/pi1/key.pem", "nonsense"),
        ("join/ca", "nonsense"),
        ("join/nodes/pi1/key", "nonsense"),
    ] {
        let desk = Desk::new();
        desk.identity("pi1", TIME).expect("it can be made");
        fs::write(desk.state_dir().join(path), bytes).expect("it can be written");
        let error = desk.identity("pi1", TIME).err().expect(path).to_string();
        assert!(error.contains(path) && !error.contains("nonsense"), "{error}");
    }
    let desk = Desk::new();
    desk.identity("pi1", TIME).expect("it can be made");
    fs::remove_file(desk.state_dir().join("tls/ca-key.pem")).expect("it is there");
    assert!(desk.identity("pi1", TIME).is_ok(), "nothing is to be signed");
    let error = desk.identity("pi2", TIME).err().expect("it cannot be signed").to_string();
    assert!(error.contains("ca-key.pem") && error.contains("rotate ca"), "{error}");
}

#[cfg(unix)]
#[test]
fn every_file_is_private() {
    use std::os::unix::fs::MetadataExt;
    let desk = Desk::new();
    for node in ["pi1", "pi2", "pi3", "pi4"] {
        desk.identity(node, TIME).expect("it can be made");
    }
    let all = files(&desk.state_dir());
    assert!(all.len() > 20, "{all:?}");
    let us = fs::metadata(desk.dir.path()).expect("it is there").uid();
    for path in all {
        let metadata = fs::metadata(desk.state_dir().join(&path)).expect("it is there");
        let mode = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (mode, us), "{path}");
    }
    let key = desk.state_dir().join("tls/ca-key.pem");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("it is ours");
    fs::remove_file(desk.state_dir().join("tls/nodes/pi1/cert.pem")).expect("it is there");
    let error = desk.identity("pi1", TIME).err();
    assert!(matches!(error, Some(StateError::Open { .. })), "{error:?}");
}

/// Everything below a directory, relative to it.
fn files(dir: &Path) -> Vec<String> {
    fn walk(dir: &Path, base: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).expect("it can be listed") {
            let path = entry.expect("it can be listed").path();
            found.push(path.strip_prefix(base).expect("it is below").display().to_string());
            if path.is_dir() {
                walk(&path, base, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(dir, dir, &mut found);
    found.sort();
    found
}
