//! The state: private, durable, locked, and the same again.

mod processes;
#[cfg(unix)]
mod unix;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use pibake::config::types::{Cluster, Node};
use pibake::config::{Selection, load};
use pibake::interrupt::Interrupt;
use pibake::progress::{Event, Progress, Silent};
use pibake::state::identity::HostKey;
use pibake::state::{State, StateError};
use serde_json::json;

struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory can be made") }
    }

    fn state_dir(&self) -> PathBuf {
        self.dir.path().join(".pibake/c")
    }

    fn create(&self) -> State {
        create(&self.state_dir()).expect("the state can be made")
    }

    fn cluster(&self, nodes: &[(&str, &str)]) -> Cluster {
        let nodes: String = nodes
            .iter()
            .map(|(name, address)| format!("[[node]]\nname = \"{name}\"\naddress = \"{address}/16\"\n"))
            .collect();
        let text = format!("name = \"c\"\n[user]\npassword = {{ prompt = \"p\" }}\n{nodes}");
        fs::write(self.dir.path().join("pibake.toml"), text).expect("it can be written");
        let selection = Selection { cwd: self.dir.path().to_owned(), ..Selection::default() };
        load(&selection).expect("the file is sound")
    }
}

fn create(dir: &Path) -> Result<State, StateError> {
    State::create(dir, &Silent, &Interrupt::default())
}

/// The host keys of a node without TLS and swarm.
fn host_keys(state: &State, node: &str) -> Result<Vec<HostKey>, StateError> {
    let desk = Desk::new();
    let cluster = desk.cluster(&[(node, "10.0.0.1")]);
    let mut nobody = || Err(std::io::Error::other("nothing is under a passphrase here"));
    state.sign(0, &mut nobody, (&Silent, &Interrupt::default()), |locked, authorities| {
        Ok(locked.identity(&cluster.nodes[0], &cluster, authorities)?.host_keys)
    })
}

fn publics(host_keys: &[HostKey]) -> Vec<String> {
    host_keys.iter().map(|key| key.public.clone()).collect()
}

/// Everything below a directory, relative to it.
fn tree(dir: &Path) -> BTreeSet<String> {
    fn walk(dir: &Path, base: &Path, found: &mut BTreeSet<String>) {
        // What is listed here may be gone there: a worker may be at work.
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.expect("it can be listed").path();
            found.insert(path.strip_prefix(base).expect("it is below").display().to_string());
            if path.is_dir() {
                walk(&path, base, found);
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(dir, dir, &mut found);
    found
}

#[test]
fn opening_creates_nothing() {
    let desk = Desk::new();
    assert!(State::open_existing(&desk.state_dir()).expect("nothing is wrong").is_none());
    assert_eq!(tree(desk.dir.path()), BTreeSet::new());
}

#[test]
fn a_state_is_made_once_and_keeps_its_seed() {
    let desk = Desk::new();
    let seed = desk.create().seed().derive::<32>("pi1", "x");
    assert_eq!(desk.create().seed().derive::<32>("pi1", "x"), seed);
    let opened = State::open_existing(&desk.state_dir()).expect("it is sound").expect("it is there");
    assert_eq!(opened.seed().derive::<32>("pi1", "x"), seed);
    let other = Desk::new().create().seed().derive::<32>("pi1", "x");
    assert_ne!(other, seed);
    let ignore = fs::read_to_string(desk.dir.path().join(".pibake/.gitignore")).expect("it is there");
    assert_eq!(ignore, "*\n");
}

#[test]
fn a_given_directory_hides_itself_from_git_too() {
    let desk = Desk::new();
    let dir = desk.dir.path().join("elsewhere/deep");
    create(&dir).expect("it can be made");
    assert!(dir.join(".gitignore").is_file());
}

#[test]
fn where_a_state_is() {
    let desk = Desk::new();
    let cluster = desk.cluster(&[("pi1", "10.0.0.1")]);
    let cwd = Path::new("/cwd");
    assert_eq!(State::locate(&cluster, None, cwd), desk.state_dir());
    assert_eq!(State::locate(&cluster, Some(Path::new("s")), cwd), Path::new("/cwd/s"));
    let selection = Selection {
        profile: Some("demo".to_owned()),
        cwd: desk.dir.path().to_owned(),
        ..Selection::default()
    };
    let profile = load(&selection).expect("it is sound");
    assert_eq!(State::locate(&profile, None, cwd), Path::new("/cwd/.pibake/demo"));
}

#[test]
fn keys_are_made_once_and_are_openssh_keys() {
    let desk = Desk::new();
    let state = desk.create();
    assert!(state.existing_host_keys("pi1").expect("nothing is wrong").is_none());
    let made = host_keys(&state, "pi1").expect("it can be made");
    assert_eq!(made.iter().map(|key| key.name).collect::<Vec<_>>(), ["ed25519", "ecdsa"]);
    assert!(made[0].public.starts_with("ssh-ed25519 "), "{}", made[0].public);
    assert!(made[1].public.starts_with("ecdsa-sha2-nistp256 "), "{}", made[1].public);
    for key in &made {
        let parsed = ssh_key::PrivateKey::from_openssh(key.private.as_bytes()).expect("it is OpenSSH's");
        assert_eq!(parsed.public_key().to_openssh().expect("it can be written"), key.public);
        assert!(key.private.ends_with("-----END OPENSSH PRIVATE KEY-----\n"));
    }
    assert_eq!(publics(&host_keys(&state, "pi1").expect("it is there")), publics(&made));
    let read = state.existing_host_keys("pi1").expect("nothing is wrong").expect("it is there");
    assert_eq!(publics(&read), publics(&made));
    assert_ne!(publics(&host_keys(&state, "pi2").expect("it can be made")), publics(&made));
}

#[test]
fn a_missing_key_is_made_without_touching_the_other() {
    let desk = Desk::new();
    let state = desk.create();
    let made = publics(&host_keys(&state, "pi1").expect("it can be made"));
    fs::remove_file(desk.state_dir().join("host_keys/pi1/ssh_host_ecdsa_key")).expect("it is there");
    assert!(state.existing_host_keys("pi1").expect("nothing is wrong").is_none());
    let mended = publics(&host_keys(&state, "pi1").expect("it can be made"));
    assert_eq!(mended[0], made[0]);
    assert_ne!(mended[1], made[1]);
}

#[test]
fn known_hosts_follows_the_nodes() {
    let desk = Desk::new();
    let state = desk.create();
    let pi1 = host_keys(&state, "pi1").expect("it can be made");
    let write = |nodes: &[Node]| {
        let locked = state.lock(&Silent, &Interrupt::default()).expect("it is free");
        locked.write_known_hosts(nodes).expect("it can be written");
        fs::read_to_string(state.known_hosts()).expect("it is there")
    };
    let text = write(&desk.cluster(&[("pi1", "10.0.0.1"), ("pi2", "10.0.0.2")]).nodes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.len(), 2, "a node without keys has no line: {text}");
    let key = pi1[0].public.rsplit_once(' ').expect("it has a comment").0;
    assert_eq!(lines[0], format!("pi1,10.0.0.1 {key}"));

    host_keys(&state, "pi2").expect("it can be made");
    let text = write(&desk.cluster(&[("pi2", "10.0.0.9")]).nodes);
    assert!(!text.contains("pi1") && text.contains("pi2,10.0.0.9 "), "{text}");
    let entries = ssh_key::KnownHosts::new(&text).collect::<Result<Vec<_>, _>>().expect("they are sound");
    assert_eq!(entries.len(), 2);
}

#[test]
fn receipts_and_bakes_are_kept() {
    let desk = Desk::new();
    let state = desk.create();
    assert!(state.receipts("pi1").expect("nothing is wrong").is_empty());
    assert!(state.recorded_bake("pi1").expect("nothing is wrong").is_none());
    let locked = state.lock(&Silent, &Interrupt::default()).expect("it is free");
    for (time, number) in [(1_700_000_000, 1), (1_700_000_000, 2), (1_600_000_000, 0), (1_700_000_001, 3)] {
        locked.write_receipt("pi1", time, &json!({ "number": number })).expect("it can be written");
    }
    locked.write_receipt("pi1-a", 1_700_000_000, &json!({})).expect("it can be written");
    let numbers: Vec<_> =
        state.receipts("pi1").expect("they are sound").iter().map(|r| r.receipt["number"].clone()).collect();
    assert_eq!(numbers, [0, 1, 2, 3], "oldest first");

    locked.record_bake("pi1", &[1; 32], 5).expect("it can be written");
    locked.record_bake("pi1", &[0xab; 32], 6).expect("it can be written");
    let bake = locked.state().recorded_bake("pi1").expect("it is sound").expect("it is there");
    assert_eq!((bake.plan, bake.time), ("ab".repeat(32), 6));
}

#[test]
fn damaged_files_are_named() {
    let desk = Desk::new();
    let state = desk.create();
    host_keys(&state, "pi1").expect("it can be made");
    let locked = state.lock(&Silent, &Interrupt::default()).expect("it is free");
    locked.record_bake("pi1", &[0; 32], 0).expect("it can be written");
    let receipt = locked.write_receipt("pi1", 0, &json!({})).expect("it can be written");
    drop(locked);

    let key = desk.state_dir().join("host_keys/pi1/ssh_host_ed25519_key");
    let ecdsa = fs::read(desk.state_dir().join("host_keys/pi1/ssh_host_ecdsa_key")).expect("it is there");
    for damage in [&b""[..], b"hunter2", b"\xff", &ecdsa] {
        fs::write(&key, damage).expect("it is ours");
        for error in [
            state.existing_host_keys("pi1").err().expect("the key is damaged"),
            host_keys(&state, "pi1").err().expect("the key is damaged"),
        ] {
            let text = error.to_string();
            assert!(text.contains("ssh_host_ed25519_key is damaged") && !text.contains("hunter2"), "{text}");
        }
        assert_eq!(fs::read(&key).expect("it is there"), damage, "a damaged key is never replaced");
    }
    fs::write(&receipt, "{").expect("it is ours");
    assert!(state.receipts("pi1").expect_err("it is damaged").to_string().contains("receipts/pi1"));
    fs::write(desk.state_dir().join("bakes/pi1.json"), "{}").expect("it is ours");
    assert!(
        state.recorded_bake("pi1").expect_err("it is damaged").to_string().contains("pi1.json is damaged")
    );

    for damage in ["", "ab", &"zz".repeat(32), &"ab".repeat(33)] {
        fs::write(desk.state_dir().join("seed"), damage).expect("it is ours");
        let text = State::open_existing(&desk.state_dir()).expect_err("the seed is damaged").to_string();
        assert!(text.contains("seed is damaged"), "{text}");
        assert!(create(&desk.state_dir()).is_err());
    }
    fs::remove_file(desk.state_dir().join("seed")).expect("it is ours");
    let text = create(&desk.state_dir()).expect_err("keys without their seed").to_string();
    assert!(text.contains("restore it from a backup"), "{text}");
}

#[test]
fn a_state_whose_making_was_cut_short_is_made_anew() {
    let desk = Desk::new();
    desk.create();
    fs::remove_file(desk.state_dir().join("seed")).expect("it is there");
    assert!(State::open_existing(&desk.state_dir()).expect("nothing is wrong").is_none());
    desk.create();
}

#[test]
fn what_killed_runs_left_is_removed() {
    let desk = Desk::new();
    let state = desk.create();
    host_keys(&state, "pi1").expect("it can be made");
    let left = [".tmp-a", "host_keys/.tmp-b", "host_keys/pi1/.tmp-c"].map(|name| desk.state_dir().join(name));
    for path in &left {
        fs::write(path, "half a key").expect("it can be written");
    }
    let stranger = desk.state_dir().join("host_keys/notes.txt");
    fs::write(&stranger, "mine").expect("it can be written");
    state.lock(&Silent, &Interrupt::default()).expect("it is free");
    assert!(left.iter().all(|path| !path.exists()), "{:?}", tree(&desk.state_dir()));
    assert!(stranger.exists());
}

/// Hears what is said about waiting.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Progress for Heard {
    fn event(&self, event: Event) {
        if let Event::Note(note) = event {
            self.0.lock().expect("nobody panicked").push(note);
        }
    }
}

#[test]
fn the_lock_is_waited_for_and_its_holder_named() {
    let desk = Desk::new();
    let state = desk.create();
    let heard = Heard::default();
    let held = state.lock(&Silent, &Interrupt::default()).expect("it is free");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| state.lock(&heard, &Interrupt::default()).map(|_| Instant::now()));
        thread::sleep(Duration::from_millis(200));
        assert!(!waiting.is_finished(), "the lock is held");
        let released = Instant::now();
        drop(held);
        let taken = waiting.join().expect("it does not panic").expect("it gets the lock");
        assert!(taken >= released);
    });
    let heard = heard.0.into_inner().expect("nobody panicked");
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].contains(&format!("process {}", std::process::id())), "{heard:?}");
}

#[test]
fn waiting_can_be_interrupted() {
    let desk = Desk::new();
    let state = desk.create();
    let _held = state.lock(&Silent, &Interrupt::default()).expect("it is free");
    let interrupt = Interrupt::default();
    interrupt.request();
    assert!(matches!(state.lock(&Silent, &interrupt), Err(StateError::Interrupted(_))));
}

#[test]
fn threads_at_once_get_one_seed_and_one_identity() {
    let desk = Desk::new();
    let dir = desk.state_dir();
    let work = || {
        let state = create(&dir).expect("it can be made");
        let identity = host_keys(&state, "pi1").expect("it can be made");
        (state.seed().derive::<16>("pi1", "x"), publics(&identity))
    };
    let found: BTreeSet<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
    });
    assert_eq!(found.len(), 1);
}
