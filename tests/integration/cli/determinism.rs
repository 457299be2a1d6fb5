//! The same inputs give the same bytes, whatever else is different; other inputs do not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use pibake::usage::used::used;

use super::desk::{DEMO, Desk, Ran, cluster};
use super::image::digest;

/// Copies a directory, modes included.
pub(super) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A baked node of a fresh state, and its digest.
fn reference() -> (Desk, [u8; 32]) {
    let desk = Desk::new(&["pi1", "pi2"]);
    desk.run(&["bake", "--all", "-y"]).ends(0);
    let digest = digest(&desk.path("pi1.img"));
    (desk, digest)
}

#[test]
fn twice_in_a_row() {
    let (desk, first) = reference();
    desk.run(&["bake", "--node", "pi1"]).ends(0);
    assert!(digest(&desk.path("pi1.img")) == first, "the second bake is another");
    assert!(digest(&desk.path("pi2.img")) != first, "two nodes are one");
}

#[test]
fn in_another_directory_with_the_state_copied() {
    let (desk, first) = reference();
    let other = Desk::new(&["pi1", "pi2"]);
    copy_tree(&desk.path(".pibake"), &other.path(".pibake"));
    other.run(&["bake", "--node", "pi1"]).ends(0);
    assert!(digest(&other.path("pi1.img")) == first, "the directory is in the image");
}

#[test]
fn from_another_place_user_zone_language_and_number_of_threads() {
    let (desk, first) = reference();
    fs::create_dir_all(desk.path("out/home")).unwrap();
    let cluster_file = desk.path("pibake.toml");
    let args = ["bake", "--node", "pi1", "-c", cluster_file.to_str().unwrap(), "-o", "."];
    let inner = desk.command(&args);
    // Everything in which machines and users differ, and that sh can set.
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 0; exec \"$@\"", "sh"]);
    if Command::new("taskset").args(["-c", "0", "true"]).status().is_ok_and(|status| status.success()) {
        shell.args(["taskset", "-c", "0"]);
    }
    shell.arg(inner.get_program()).args(inner.get_args()).env_clear();
    shell.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.envs([
        ("TZ", "Asia/Tokyo"),
        ("LANG", "de_DE.UTF-8"),
        ("LC_ALL", "C"),
        ("USER", "x"),
        ("HOSTNAME", "y"),
    ]);
    shell.env("HOME", desk.path("out/home")).env("XDG_CACHE_HOME", desk.path("out/cache"));
    shell.env("TMPDIR", desk.path("out")).current_dir(desk.path("out"));
    Ran::of(shell).ends(0);
    assert!(digest(&desk.path("out/pi1.img")) == first);
    let mode = fs::metadata(desk.path("out/pi1.img")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600, "the umask opened a file with secrets");
}

#[test]
fn from_the_image_however_it_is_packed_and_dated() {
    let (desk, first) = reference();
    desk.write("elsewhere/other-name.zst", DEMO);
    desk.run(&["bake", "--node", "pi1", "--image", "elsewhere/other-name.zst"]).ends(0);
    assert!(digest(&desk.path("pi1.img")) == first, "the name of the image is in the card");
}

#[test]
fn the_zst_holds_exactly_the_img() {
    let (desk, first) = reference();
    desk.run(&["bake", "--node", "pi1", "--format", "img.zst"]).ends(0);
    let packed = fs::read(desk.path("pi1.img.zst")).unwrap();
    let image = zstd::decode_all(packed.as_slice()).unwrap();
    assert!(image == fs::read(desk.path("pi1.img")).unwrap());
    desk.run(&["bake", "--node", "pi1", "--format", "img.zst"]).ends(0);
    assert!(fs::read(desk.path("pi1.img.zst")).unwrap() == packed, "packed twice, it is another file");
    assert!(digest(&desk.path("pi1.img")) == first);
    let mode = fs::metadata(desk.path("pi1.img.zst")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn a_card_holds_what_the_file_holds() {
    let (desk, _) = reference();
    let card = desk.card("card", 96);
    let baked = fs::read(desk.path("pi1.img")).unwrap();
    // What the card held before shows in every block that is left alone.
    fs::write(&card, vec![0xa5; 96 << 20]).unwrap();
    desk.run(&["flash", "--node", "pi1", "card", "-y"]).ends(0);
    let written = fs::read(&card).unwrap();
    for range in used(&baked, &[]).unwrap().ranges {
        let bytes = range.start() as usize..range.end() as usize;
        assert!(written[bytes.clone()] == baked[bytes], "{range} are not what was baked");
    }
    assert!(written != baked, "free blocks were written");
    desk.run(&["flash", "--node", "pi1", "card", "-y", "--all-blocks"]).ends(0);
    assert!(fs::read(&card).unwrap() == baked);
}

#[test]
fn another_state_time_or_cluster_is_another_card() {
    let (desk, first) = reference();
    let identity = |desk: &Desk| {
        let held = desk.run(&["inspect", "pi1.img", "--json"]).ends(0).json();
        held["table"]["disk_id"].as_str().unwrap().to_owned()
    };
    let uuid = |desk: &Desk| {
        let profile = "/etc/NetworkManager/system-connections/pibake.nmconnection";
        let text = String::from_utf8(super::image::read_root(&desk.path("pi1.img"), profile)).unwrap();
        text.lines().find(|line| line.starts_with("uuid=")).unwrap().to_owned()
    };
    let (other, second) = reference();
    assert!(second != first);
    assert_ne!(identity(&other), identity(&desk));
    assert_ne!(uuid(&other), uuid(&desk));

    let (disk_id, connection) = (identity(&desk), uuid(&desk));
    let mut later = desk.command(&["bake", "--node", "pi1"]);
    later.env("SOURCE_DATE_EPOCH", "1800000001");
    Ran::of(later).ends(0);
    assert!(digest(&desk.path("pi1.img")) != first, "the bake time is not in the card");
    desk.write("pibake.toml", cluster("lab", "[system]\nkeymap = \"de\"\n", &["pi1", "pi2"]));
    desk.run(&["bake", "--node", "pi1"]).ends(0);
    assert!(digest(&desk.path("pi1.img")) != first);
    assert_eq!((identity(&desk), uuid(&desk)), (disk_id, connection), "the node is the same one");
}
