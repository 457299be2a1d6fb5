//! Packages that are installed at first boot: from files beside the cluster file into the card.

use std::fs;

use pibake::fs::FsReader;
use pibake::fs::path::FsPath;

use super::desk::{Desk, cluster};
use super::image::{read_root, root_reader};

/// A `.deb` with this head (name, version, architecture) and further fields.
pub(super) fn deb(head: [&str; 3], more: &str) -> Vec<u8> {
    let [name, version, architecture] = head;
    let control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nInstalled-Size: 200000\n{more}"
    );
    let mut header = tar::Header::new_gnu();
    header.set_size(control.len() as u64);
    header.set_mode(0o644);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, "./control", control.as_bytes()).unwrap();
    let control = zstd::encode_all(&archive.into_inner().unwrap()[..], 1).unwrap();
    let mut archive = ar::Builder::new(Vec::new());
    for (name, content) in
        [("debian-binary", &b"2.0\n"[..]), ("control.tar.zst", &control), ("data.tar.zst", b"data")]
    {
        archive.append(&ar::Header::new(name.as_bytes().to_vec(), content.len() as u64), content).unwrap();
    }
    archive.into_inner().unwrap()
}

/// A desk with two nodes that install Docker from `bundle/`, and what is in `debs/`.
fn desk() -> Desk {
    let desk = Desk::bare();
    let more = "[docker]\ninstall = \"debs\"\nbundle = \"bundle\"\n[system]\npackages = [\"debs/*.deb\"]\n";
    desk.write("pibake.toml", cluster("lab", more, &["pi1", "pi2"]));
    desk
}

fn filled() -> Desk {
    let desk = desk();
    desk.write(
        "bundle/docker.io.deb",
        deb(["docker.io", "20.10.24+dfsg1-1", "arm64"], "Depends: runc (>= 1)\n"),
    );
    desk.write("bundle/runc.deb", deb(["runc", "1:1.1.5", "arm64"], ""));
    desk.write("bundle/SHA256SUMS", "for other tools\n");
    desk.write("debs/own.deb", deb(["own", "3", "all"], "Depends: docker-engine-any\n"));
    desk.write("debs/any.deb", deb(["any", "1", "all"], "Provides: docker-engine-any\n"));
    desk
}

#[test]
fn they_are_on_the_card_and_the_plan_tells_its_size() {
    let desk = filled();
    desk.run(&["bake", "--all", "-y"]).ends(0);
    for node in ["pi1.img", "pi2.img"] {
        let card = desk.path(node);
        let list = String::from_utf8(read_root(&card, "/var/cache/pibake/debs/list")).unwrap();
        let names: Vec<&str> = list.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(names, ["any", "docker.io", "own", "runc"]);
        for line in list.lines() {
            let file = line.split(' ').nth(3).unwrap();
            let on_card = read_root(&card, &format!("/var/cache/pibake/debs/{file}"));
            let given = ["bundle", "debs"].iter().flat_map(|dir| fs::read_dir(desk.path(dir)).unwrap());
            let given: Vec<_> = given.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
            assert!(given.contains(&on_card), "{file}");
        }
        assert!(list.contains("runc 1:1.1.5 arm64 docker/runc_1%3a1.1.5_arm64.deb\n"), "{list}");
        let script = FsPath::new("/usr/lib/pibake/packages").unwrap();
        assert_eq!(root_reader(&card).stat(&script).unwrap().unwrap().meta.mode, 0o755);
    }
    let plan = desk.run(&["plan", "--node", "pi1", "--json"]).ends(0).json();
    let plan = &plan["plans"][0];
    let size = |key: &str| plan[key].as_u64().unwrap();
    assert!(size("card_size") > size("image_size") + (700 << 20), "{plan}");
    let changes = plan["changes"].as_array().unwrap();
    let planned = changes.iter().find(|change| change["path"].as_str().unwrap().ends_with("/own_3_all.deb"));
    assert_eq!(planned.unwrap()["origin"], "system.packages");
    let shown = desk.run(&["plan", "--node", "pi1"]).ends(0).out;
    assert!(shown.contains("\nneeds a card of at least "), "{shown}");
}

#[test]
fn what_is_not_there_is_told_all_at_once() {
    let desk = desk();
    let lacking = &[
        "no packages in docker.bundle, ",
        "`pibake fetch docker` puts them there",
        "no file matches \"debs/*.deb\" of system.packages",
        "no such image file",
    ];
    fs::remove_file(desk.path("base.img.zst")).unwrap();
    for args in [&["bake", "--all", "-y"][..], &["plan", "--all"]] {
        let ran = desk.run(args).ends(2).says(lacking);
        assert_eq!(ran.err.matches("docker.bundle").count(), 1, "once, not once a node: {}", ran.err);
    }
    let desk = Desk::bare();
    desk.write("pibake.toml", cluster("lab", "[docker]\ninstall = \"debs\"\n", &["pi1"]));
    desk.run(&["plan", "--all"])
        .ends(2)
        .says(&["pi1: docker.install is \"debs\" and docker.bundle is not given"]);
}

#[test]
fn files_that_are_no_packages_are_named() {
    let desk = filled();
    desk.write("debs/zip.deb", b"PK\x03\x04");
    let mut cut = deb(["cut", "1", "all"], "");
    cut.truncate(cut.len() - 3);
    desk.write("bundle/cut.deb", cut);
    desk.run(&["bake", "--all", "-y"])
        .ends(2)
        .says(&["zip.deb: it is no Debian package", "cut.deb: it is damaged: it ends early"]);
    assert!(!desk.path("pi1.img").exists());
}

#[test]
fn a_bundle_for_another_image_is_refused() {
    let desk = filled();
    desk.write("bundle/docker.io.deb", deb(["docker.io", "20.10.24", "armhf"], "Depends: runc (>= 1)\n"));
    desk.write("bundle/runc.deb", deb(["runc", "2", "arm64"], "Depends: gone\n"));
    desk.run(&["plan", "--node", "pi1"]).ends(2).says(&[
        "node pi1: packages: docker.io 20.10.24 is for armhf, and the image is arm64",
        "runc 2 needs gone, which is neither among the packages nor in the image",
    ]);
}

#[test]
fn every_node_of_the_cluster_has_the_same_engine() {
    let desk = Desk::bare();
    let mut file = cluster("lab", "[docker]\ninstall = \"debs\"\nbundle = \"one\"\n", &["pi1", "pi2"]);
    file.push_str("[node.docker]\nbundle = \"two\"\n");
    desk.write("pibake.toml", file);
    desk.write("one/docker.deb", deb(["docker.io", "20.10.24", "arm64"], ""));
    desk.write("two/docker.deb", deb(["docker.io", "26.1.5", "arm64"], ""));
    // Also when only one of them is baked.
    desk.run(&["plan", "--node", "pi1"]).ends(2).says(&["here it is docker.io 20.10.24, and pi2 has 26.1.5"]);
    fs::remove_file(desk.path("two/docker.deb")).unwrap();
    desk.run(&["plan", "--node", "pi1"]).ends(0);
}

#[test]
fn the_digest_of_a_plan_knows_the_packages() {
    let desk = filled();
    let digest = || {
        let plan = desk.run(&["plan", "--node", "pi1", "--json"]).ends(0).json();
        plan["plans"][0]["digest"].clone()
    };
    let before = digest();
    desk.write("debs/own.deb", deb(["own", "3", "all"], "Depends: docker-engine-any\nDescription: other\n"));
    assert_ne!(digest(), before);
}
