//! Whose the files are, and who may read them.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, chown, geteuid};
use pibake::interrupt::Interrupt;
use pibake::progress::Silent;
use pibake::state::{State, StateError};
use serde_json::json;

use super::{Desk, create, host_keys, tree};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
}

/// A directory that belongs to somebody else.
fn foreign_dir(desk: &Desk) -> PathBuf {
    if !geteuid().is_root() {
        return PathBuf::from("/usr");
    }
    let dir = desk.dir.path().join("foreign");
    fs::create_dir(&dir).expect("it can be made");
    set_mode(&dir, 0o700);
    chown(&dir, Some(Uid::from_raw(12345)), Some(Gid::from_raw(12345))).expect("root may");
    dir
}

#[test]
fn everything_is_private() {
    let desk = Desk::new();
    let state = desk.create();
    host_keys(&state, "pi1").expect("it can be made");
    let locked = state.lock(&Silent, &Interrupt::default()).expect("it is free");
    locked.write_receipt("pi1", 0, &json!({})).expect("it can be written");
    locked.record_bake("pi1", &[0; 32], 0).expect("it can be written");
    locked.write_known_hosts(&desk.cluster(&[("pi1", "10.0.0.1")]).nodes).expect("it can be written");
    let root = desk.dir.path().join(".pibake");
    let names = tree(&root);
    assert_eq!(names.len(), 14, "{names:?}");
    for path in names.iter().map(|name| root.join(name)).chain([root.clone()]) {
        let metadata = fs::symlink_metadata(&path).expect("it is there");
        let mode = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(metadata.mode() & 0o7777, mode, "{}", path.display());
    }
}

#[test]
fn wider_modes_are_refused_with_the_chmod_line() {
    let desk = Desk::new();
    let state = desk.create();
    host_keys(&state, "pi1").expect("it can be made");
    for (name, wide, tight) in [
        ("", 0o755, 0o700),
        ("..", 0o750, 0o700),
        ("seed", 0o644, 0o600),
        ("lock", 0o660, 0o600),
        ("host_keys", 0o701, 0o700),
        ("host_keys/pi1", 0o770, 0o700),
        ("host_keys/pi1/ssh_host_ed25519_key", 0o640, 0o600),
    ] {
        let path = fs::canonicalize(desk.state_dir().join(name)).expect("it is there");
        set_mode(&path, wide);
        let used = create(&desk.state_dir()).and_then(|state| host_keys(&state, "pi1"));
        let text = used.err().unwrap_or_else(|| panic!("{name} was wide open")).to_string();
        assert!(text.contains(&format!("chmod {tight:o} ")) && text.contains("mode 0"), "{text}");
        assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o777, wide, "it is left as it is");
        set_mode(&path, tight);
    }
    create(&desk.state_dir()).and_then(|state| host_keys(&state, "pi1")).expect("all is private again");
}

#[test]
fn somebody_elses_state_is_refused_with_the_chown_line() {
    let desk = Desk::new();
    let foreign = foreign_dir(&desk);
    let refused = |dir: &Path| {
        let error = State::open_existing(dir).expect_err("it is somebody else's");
        assert!(matches!(error, StateError::Foreign { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("sudo chown -hR ") && text.contains(&*dir.to_string_lossy()), "{text}");
        assert!(create(dir).is_err());
    };
    refused(&foreign);
    let link = desk.dir.path().join("link");
    symlink(&foreign, &link).expect("it can be made");
    refused(&link);
}

#[test]
fn a_root_that_leads_elsewhere_is_refused() {
    let desk = Desk::new();
    let foreign = foreign_dir(&desk);
    symlink(&foreign, desk.dir.path().join(".pibake")).expect("it can be made");
    assert!(matches!(State::open_existing(&desk.state_dir()), Err(StateError::Foreign { .. })));
    assert!(matches!(create(&desk.state_dir()), Err(StateError::Foreign { .. })));
    assert!(!foreign.join("c").exists());
}

#[test]
fn a_link_of_ones_own_is_followed() {
    let desk = Desk::new();
    let vault = desk.dir.path().join("vault");
    fs::create_dir(&vault).expect("it can be made");
    set_mode(&vault, 0o700);
    symlink(&vault, desk.dir.path().join(".pibake")).expect("it can be made");
    desk.create();
    assert!(vault.join("c/seed").is_file());
}

#[test]
fn links_in_place_of_files_are_never_followed() {
    let desk = Desk::new();
    let state = desk.create();
    host_keys(&state, "pi1").expect("it can be made");
    for name in ["seed", "lock", "host_keys/pi1/ssh_host_ed25519_key"] {
        let path = desk.state_dir().join(name);
        let elsewhere = desk.dir.path().join("elsewhere");
        fs::rename(&path, &elsewhere).expect("it is there");
        symlink(&elsewhere, &path).expect("it can be made");
        let used = create(&desk.state_dir()).and_then(|state| host_keys(&state, "pi1"));
        let text = used.err().unwrap_or_else(|| panic!("{name} was followed")).to_string();
        assert!(text.contains("symbolic link"), "{text}");
        fs::rename(&elsewhere, &path).expect("it is ours");
    }
}

#[test]
fn a_fifo_or_directory_in_place_of_a_file_is_refused() {
    let desk = Desk::new();
    desk.create();
    let seed = desk.state_dir().join("seed");
    fs::remove_file(&seed).expect("it is ours");
    fs::create_dir(&seed).expect("it can be made");
    assert!(create(&desk.state_dir()).expect_err("it is a directory").to_string().contains("regular file"));
    fs::remove_dir(&seed).expect("it is empty");
    nix::unistd::mkfifo(&seed, nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("it can be made");
    assert!(create(&desk.state_dir()).expect_err("it is a FIFO").to_string().contains("regular file"));
}
