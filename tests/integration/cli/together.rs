//! Many nodes at once, and many pibakes at once.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use super::desk::{Desk, Ran, cluster, tree};
use super::image::digest;
use super::json::phases;

/// The one unpacked image of the cache.
fn cached(desk: &Desk) -> PathBuf {
    let dir = desk.top().join("cache/pibake/images");
    let mut images: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    images.retain(|path| path.extension().is_some_and(|extension| extension == "img"));
    assert_eq!(images.len(), 1, "{images:?}");
    images.remove(0)
}

fn stamp(desk: &Desk) -> (u64, i64, i64) {
    let metadata = fs::metadata(cached(desk)).unwrap();
    (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
}

fn count(ran: &Ran, phase: &str) -> usize {
    phases(ran).iter().filter(|found| *found == phase).count()
}

#[test]
fn all_nodes_come_from_one_decode() {
    let desk = Desk::new(&["pi1", "pi2", "pi3"]);
    let ran = desk.run(&["bake", "--all", "-y", "--json"]).ends(0);
    assert_eq!((count(&ran, "unpacking"), count(&ran, "baking"), count(&ran, "proving")), (1, 3, 3));
    let (before, held) = (stamp(&desk), digest(&cached(&desk)));
    // The first packed bake packs the frames that all nodes share, once.
    for (format, baking) in [("img", 3), ("img.zst", 4), ("img.zst", 3)] {
        let ran = desk.run(&["bake", "--all", "--json", "--format", format]).ends(0);
        assert_eq!((count(&ran, "unpacking"), count(&ran, "baking")), (0, baking), "{format}");
    }
    assert_eq!(stamp(&desk), before, "the image was unpacked again");
    assert!(digest(&cached(&desk)) == held, "the cached image was written to");
    let digests: Vec<_> = ["pi1.img", "pi2.img", "pi3.img"].map(|name| digest(&desk.path(name))).to_vec();
    assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[0] != digests[2]);
}

#[test]
fn a_cached_image_that_was_tampered_with_is_unpacked_again() {
    let desk = Desk::new(&["pi1"]);
    desk.run(&["bake", "--all", "-y"]).ends(0);
    let good = digest(&desk.path("pi1.img"));
    for damage in [&[0x5a; 16][..], &[]] {
        let file = fs::OpenOptions::new().write(true).open(cached(&desk)).unwrap();
        match damage {
            [] => file.set_len(50 << 20).unwrap(),
            bytes => std::os::unix::fs::FileExt::write_all_at(&file, bytes, 60 << 20).unwrap(),
        }
        let ran = desk.run(&["bake", "--all", "--json"]).ends(0);
        assert_eq!(count(&ran, "unpacking"), 1);
        assert!(digest(&desk.path("pi1.img")) == good);
    }
}

fn start(desk: &Desk, args: &[&str]) -> Child {
    desk.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn finish(child: Child) -> Ran {
    Ran::from(child.wait_with_output().unwrap()).ends(0)
}

#[test]
fn bakes_of_one_cluster_at_once() {
    let desk = Desk::new(&["pi1", "pi2"]);
    fs::create_dir(desk.path("second")).unwrap();
    let runs = [
        start(&desk, &["bake", "--all", "-y", "--json"]),
        start(&desk, &["bake", "--all", "-y", "--json", "-o", "second"]),
        start(&desk, &["bake", "--all", "-y", "--json"]),
    ];
    let unpacked: usize = runs.map(|run| count(&finish(run), "unpacking")).iter().sum();
    assert_eq!(unpacked, 1, "each unpacked the image for itself");
    for name in ["pi1.img", "pi2.img"] {
        assert!(digest(&desk.path(name)) == digest(&desk.path(&format!("second/{name}"))), "{name}");
    }
    assert_clean(&desk);
}

#[test]
fn bakes_of_two_clusters_that_share_a_cache() {
    let desk = Desk::new(&["pi1"]);
    desk.write("other.toml", cluster("other", "", &["pi9"]));
    let runs =
        [start(&desk, &["bake", "--all", "-y"]), start(&desk, &["bake", "--all", "-y", "-c", "other.toml"])];
    runs.into_iter().for_each(|run| drop(finish(run)));
    let before = ["pi1.img", "pi9.img"].map(|name| digest(&desk.path(name)));
    desk.run(&["bake", "--all"]).ends(0);
    desk.run(&["bake", "--all", "-c", "other.toml"]).ends(0);
    assert!(before == ["pi1.img", "pi9.img"].map(|name| digest(&desk.path(name))));
    assert_clean(&desk);
}

/// Nothing temporary is left anywhere.
#[track_caller]
pub(super) fn assert_clean(desk: &Desk) {
    let left: Vec<String> = tree(desk.top())
        .into_keys()
        .filter(|name| name.contains("part") || name.contains(".tmp") || name.contains("/."))
        .filter(|name| !name.contains(".pibake/") && !name.ends_with("/.pibake") || name.contains(".tmp"))
        .collect();
    assert_eq!(left, [] as [String; 0]);
}
