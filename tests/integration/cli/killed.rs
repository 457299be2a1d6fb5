//! Killed at any moment, a bake leaves nothing that matters.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use super::desk::Desk;
use super::image::digest;
use super::together::assert_clean;

const KILLS: u32 = 20;

/// What the state keeps for good, by path.
fn kept(desk: &Desk) -> BTreeMap<String, Vec<u8>> {
    let mut kept = BTreeMap::new();
    for name in ["seed", "host_keys/pi1/ssh_host_ed25519_key", "host_keys/pi1/ssh_host_ecdsa_key"] {
        kept.insert(name.to_owned(), fs::read(desk.state().join(name)).unwrap());
    }
    kept
}

fn remove(path: &Path) {
    if path.exists() {
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn kill_9_at_twenty_moments_of_a_bake() {
    let desk = Desk::new(&["pi1"]);
    let (image, packed) = (desk.path("pi1.img"), desk.path("pi1.img.zst"));
    desk.run(&["bake", "--all", "-y"]).ends(0);
    desk.run(&["bake", "--all", "--format", "img.zst"]).ends(0);
    let (whole, whole_packed) = (digest(&image), digest(&packed));
    let before = kept(&desk);
    // How long it takes from an empty cache on this machine, now.
    fs::remove_dir_all(desk.top().join("cache/pibake")).unwrap();
    let began = Instant::now();
    desk.run(&["bake", "--all"]).ends(0);
    let takes = began.elapsed();
    let mut rng = fastrand::Rng::with_seed(20);
    let mut killed = 0;
    for round in 0..KILLS {
        remove(&image);
        remove(&packed);
        if round % 2 == 0 {
            // Of a file that is not there nothing can be removed.
            let _ = fs::remove_dir_all(desk.top().join("cache/pibake"));
        }
        let format = if round % 3 == 0 { "img.zst" } else { "img" };
        let mut command = desk.command(&["bake", "--all", "--format", format]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_micros(rng.u64(0..takes.as_micros().try_into().unwrap())));
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().code().is_none());
        assert!(!image.exists() || digest(&image) == whole, "round {round}: half a file");
        assert!(!packed.exists() || digest(&packed) == whole_packed, "round {round}: half a packed file");
        assert_eq!(kept(&desk), before, "round {round}");
    }
    assert!(killed >= KILLS / 4, "only {killed} runs were still at work when they were killed");
    for format in ["img", "img.zst"] {
        desk.run(&["bake", "--all", "--format", format]).ends(0);
    }
    assert!(digest(&image) == whole && digest(&packed) == whole_packed);
    assert_eq!(kept(&desk), before);
    assert_clean(&desk);
}

#[test]
fn kill_9_while_the_identity_is_made() {
    let mut rng = fastrand::Rng::with_seed(9);
    for round in 0..6 {
        let desk = Desk::new(&["pi1", "pi2"]);
        let mut command = desk.command(&["bake", "--all", "-y"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Until there is a state, and then a little.
        while child.try_wait().unwrap().is_none() && !desk.path(".pibake").exists() {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(rng.u64(0..300)));
        child.kill().unwrap();
        child.wait().unwrap();
        desk.run(&["bake", "--all", "-y"]).ends(0);
        let first = kept(&desk);
        desk.run(&["bake", "--all"]).ends(0);
        assert_eq!(kept(&desk), first, "round {round}");
        assert_clean(&desk);
    }
}
