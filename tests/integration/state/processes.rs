//! Several processes at one state, and killed ones.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pibake::interrupt::Interrupt;
use pibake::progress::Silent;
use pibake::state::State;
use serde_json::json;

use super::{Desk, create, host_keys, publics, tree};

/// Names the state a worker process uses.
const WORKER_STATE: &str = "PIBAKE_TEST_WORKER_STATE";

/// For how many nodes a worker process makes keys.
const WORKER_NODES: usize = 20;

/// What the worker processes of the tests below do; nothing by itself.
#[test]
#[ignore = "run by the tests that need a process of their own"]
fn worker() {
    let dir = PathBuf::from(std::env::var_os(WORKER_STATE).expect("the test that runs this says where"));
    let state = create(&dir).expect("it can be made");
    for number in 0..WORKER_NODES {
        let node = format!("pi{number}");
        let identity = host_keys(&state, &node).expect("it can be made");
        let locked = state.lock(&Silent, &Interrupt::default()).expect("it can be had");
        locked.record_bake(&node, &[0; 32], 1).expect("it can be written");
        locked.write_receipt(&node, 0, &json!({ "key": publics(&identity) })).expect("it can be written");
    }
}

/// Starts one; what it leaves in `scratch` when it is killed goes with the test.
fn start_worker(dir: &Path, scratch: &Path) -> Child {
    Command::new(std::env::current_exe().expect("there is one"))
        .args(["--exact", "state::processes::worker", "--ignored", "--test-threads=1"])
        .env(WORKER_STATE, dir)
        .env("TMPDIR", scratch)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the test program can be started")
}

#[test]
fn processes_at_once_agree() {
    let (desk, scratch) = (Desk::new(), Desk::new());
    let start = || start_worker(&desk.state_dir(), scratch.dir.path());
    let mut workers = [start(), start()];
    for worker in &mut workers {
        assert!(worker.wait().expect("it ends").success());
    }
    let state = State::open_existing(&desk.state_dir()).expect("it is sound").expect("it is there");
    for number in 0..WORKER_NODES {
        let node = format!("pi{number}");
        let keys = publics(&state.existing_host_keys(&node).expect("it is sound").expect("it is there"));
        let receipts = state.receipts(&node).expect("they are sound");
        assert_eq!(receipts.len(), 2);
        for stored in receipts {
            assert_eq!(stored.receipt["key"], json!(keys), "both used the keys that are kept");
        }
    }
}

#[test]
fn a_killed_process_leaves_old_or_new() {
    let (desk, scratch) = (Desk::new(), Desk::new());
    let dir = desk.state_dir();
    let mut seed = None;
    let mut keys: Vec<Option<Vec<String>>> = vec![None; WORKER_NODES];
    for round in 0..20 {
        let before = tree(desk.dir.path()).len();
        let mut worker = start_worker(&dir, scratch.dir.path());
        let started = Instant::now();
        while tree(desk.dir.path()).len() == before && started.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(round * 7 % 50));
        worker.kill().expect("it can be killed");
        worker.wait().expect("it ends");
        let Some(state) = State::open_existing(&dir).expect("old or new is there, never half") else {
            continue;
        };
        let derived = state.seed().derive::<16>("pi1", "x");
        assert_eq!(*seed.get_or_insert(derived), derived, "the seed never changes");
        for (number, known) in keys.iter_mut().enumerate() {
            let node = format!("pi{number}");
            let found = state.existing_host_keys(&node).expect("it is sound").map(|keys| publics(&keys));
            assert!(known.is_none() || *known == found, "keys that were made stay");
            *known = found;
            state.receipts(&node).expect("they are sound");
            state.recorded_bake(&node).expect("it is sound");
        }
        state.lock(&Silent, &Interrupt::default()).expect("the kernel released it");
        assert!(tree(&dir).iter().all(|name| !name.contains(".tmp-")), "{:?}", tree(&dir));
    }
    assert!(keys[0].is_some(), "no round came so far as to make keys");
}
