//! Running through sudo: the tier `root`, asked for with `PIBAKE_TIER=root` and run as root.
//!
//! Becoming another user concerns the whole process, so each case is a process of its own: this test binary,
//! asked to run the one ignored test below the way sudo would start it.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Barrier;

use nix::unistd::{Uid, User, getresuid};
use pibake::invoker::assume;

use crate::root::asked_as_root;

/// Set for the child, which does its work there.
const CHILD_DIR: &str = "PIBAKE_TEST_CHILD_DIR";

fn nobody() -> User {
    User::from_name("nobody").unwrap().expect("every system has a user called nobody")
}

/// Runs the child as root with these variables; answers whether it was content, and what it said.
fn run_child(dir: &std::path::Path, env: &[(&str, String)]) -> (bool, String) {
    fs::set_permissions(dir, Permissions::from_mode(0o777)).unwrap();
    let secret = dir.join("secret");
    fs::write(&secret, "root's own").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "invoker::child_through_sudo", "--ignored", "--nocapture"])
        .env(CHILD_DIR, dir)
        .env("HOME", "/root")
        .env_remove("SUDO_UID")
        .env_remove("SUDO_GID")
        .env_remove("DOAS_USER")
        .envs(env.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn the_caller_behind_sudo_or_doas_owns_everything() {
    if !asked_as_root("root", "the caller behind sudo") {
        return;
    }
    let (uid, gid) = (nobody().uid, nobody().gid);
    let sudo = [("SUDO_UID", uid.to_string()), ("SUDO_GID", gid.to_string())];
    let doas = [("DOAS_USER", "nobody".to_string())];
    for env in [sudo.as_slice(), &doas] {
        let dir = tempfile::tempdir().unwrap();
        let (content, said) = run_child(dir.path(), env);
        assert!(content, "{said}");
        for name in ["made", "made-by-command", "made-meanwhile", "made-after"] {
            let made = fs::metadata(dir.path().join(name)).unwrap();
            assert_eq!((made.uid(), made.gid()), (uid.as_raw(), gid.as_raw()), "{name}");
        }
    }
}

#[test]
fn an_unknown_caller_is_refused() {
    if !asked_as_root("root", "the caller behind sudo") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (content, said) = run_child(dir.path(), &[("SUDO_UID", "4000000000".into())]);
    assert!(!content);
    assert!(said.contains("SUDO_UID=4000000000 names a user this system does not know"), "{said}");
    assert!(!dir.path().join("made").exists());
}

#[test]
#[ignore = "the process that the tests of this module start"]
fn child_through_sudo() {
    let dir = PathBuf::from(std::env::var_os(CHILD_DIR).expect("only to be run as a child"));
    let invoker = assume().unwrap();
    let user = nobody();
    assert!(invoker.is_elevated());
    assert_eq!((invoker.uid, invoker.name.as_str()), (user.uid.as_raw(), "nobody"));
    assert_eq!(invoker.home, user.dir);
    let ids = || {
        let ids = getresuid().unwrap();
        (ids.real, ids.effective, ids.saved)
    };
    let dropped = (user.uid, user.uid, Uid::from_raw(0));
    assert_eq!(ids(), dropped);
    fs::write(dir.join("made"), "").unwrap();
    File::open(dir.join("secret")).unwrap_err();

    let opened = invoker.as_root(|| File::open(dir.join("secret"))).unwrap();
    assert!(opened.is_ok(), "{opened:?}");
    assert_eq!(ids(), dropped);
    // What another thread makes meanwhile is not root's.
    let (inside, made) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            inside.wait();
            fs::write(dir.join("made-meanwhile"), "").unwrap();
            made.wait();
        });
        invoker
            .as_root(|| {
                inside.wait();
                made.wait();
            })
            .unwrap();
    });
    let panicked = std::panic::catch_unwind(|| invoker.as_root(|| panic!("inside")));
    assert!(panicked.is_err());
    assert_eq!(ids(), dropped, "a panic kept the privilege");

    // A child has nothing to take back, and no group of root's.
    let script = "touch made-by-command && cat secret 2>/dev/null && exit 1; grep -E '^(Uid|Groups)' /proc/self/status";
    let mut command = invoker.command(&["sh", "-c", script].map(String::from));
    let output = command.current_dir(&dir).output().unwrap();
    let status = String::from_utf8(output.stdout).unwrap();
    let uid = user.uid;
    assert!(status.contains(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}")), "{status}");
    let groups = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap();
    assert!(!groups.split_whitespace().any(|group| group == "0"), "{status}");
    fs::write(dir.join("made-after"), "").unwrap();
}
