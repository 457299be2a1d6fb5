//! `pibake fetch` where it ends before it asks anybody: what is wrong on the command line, in the cluster file
//! and in the image. Archives are met in the library's own tests and in the tier `network`.

use super::desk::{Desk, cluster};

/// An address that nobody answers at: these runs must not get so far.
const NOWHERE: &str = "http://127.0.0.1:9";

#[track_caller]
fn refused(desk: &Desk, args: &[&str], status: i32, says: &[&str]) {
    let before = desk.everything();
    let ran = desk.run(&[&["fetch"], args].concat()).ends(status);
    for text in says {
        assert!(ran.err.contains(text), "{text:?} is not in {}", ran.err);
    }
    assert!(ran.out.is_empty(), "{}", ran.out);
    let unpacked = |path: &str| path.starts_with("cache");
    let kept = |tree: std::collections::BTreeMap<String, String>| {
        tree.into_iter().filter(|(path, _)| !unpacked(path)).collect::<Vec<_>>()
    };
    assert_eq!(kept(desk.everything()), kept(before), "something was written");
}

#[test]
fn a_command_line_that_makes_no_sense() {
    let desk = Desk::new(&["pi1"]);
    for (args, says) in [
        (&[][..], "required"),
        (&["docker", "--mirror", "deb.debian.org"], "expected OLD=NEW"),
        (&["docker", "--mirror", "http://a=b"], "expected OLD=NEW"),
        (&["docker", "--archive", "http://a.test bookworm"], "no component is named"),
        (&["docker", "--archive", "ftp://a.test bookworm main"], "only http and https"),
        (&["docker", "--keyring", "key.asc"], "--archive"),
        (&["docker", "--archive", "http://a.test x main", "--keyring", "key.asc"], "reading key.asc"),
    ] {
        refused(&desk, args, 2, &[says]);
    }
}

#[test]
fn without_a_cluster_file_the_image_is_named() {
    let desk = Desk::bare();
    refused(&desk, &["docker"], 2, &["pibake.toml", "--cluster"]);
    refused(&desk, &["docker", "--image", "absent.img"], 1, &["absent.img"]);
    let args = ["docker", "--image", "base.img.zst", "--without", "http:/", "--without", "https:/"];
    refused(&desk, &args, 1, &["no apt source that pibake can read", "--archive 'URI SUITE COMPONENT...'"]);
}

#[test]
fn two_images_do_not_share_a_directory() {
    let desk = Desk::bare();
    std::fs::copy(desk.path("base.img.zst"), desk.path("other.img.zst")).unwrap();
    let text = cluster("lab", "", &["pi1", "pi2"]);
    desk.write("pibake.toml", format!("{text}[node.image]\nsource = \"other.img.zst\"\n"));
    let says = ["would be for two images", "base.img.zst", "other.img.zst", "--image"];
    refused(&desk, &["docker"], 2, &says);
    refused(&desk, &["docker", "-o", "debs"], 2, &says);
}

#[test]
fn a_server_that_is_not_there_is_named_with_what_to_do() {
    let desk = Desk::new(&["pi1"]);
    let args = ["fetch", "docker", "--without", "http:/", "--archive", &format!("{NOWHERE} bookworm main")];
    let ran = desk.run(&args).ends(1);
    assert!(ran.err.contains("fetching http://127.0.0.1:9/dists/bookworm/InRelease"), "{}", ran.err);
    assert!(ran.err.contains("--mirror OLD=NEW"), "{}", ran.err);
    assert!(!desk.path("docker-debs").exists());
}
