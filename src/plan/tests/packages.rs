//! Packages that are installed at first boot.

use std::path::{Path, PathBuf};

use crate::config::types::{Account, Board, DockerInstall, OverlayUse, Role, Swarm};
use crate::deb::DebFile;
use crate::deb::testing::package;
use crate::fs::volume::Volume;
use crate::inventory::types::{Arch, Release};
use crate::plan::change::Content;
use crate::plan::samples::overlay;

use super::super::build::build;
use super::{Bench, planned, spec, text};

/// A package of a bundle; see [`package`].
fn deb(head: &str, more: &str) -> DebFile {
    let package = package(head, more);
    let path = PathBuf::from(format!("/bundle/{}.deb", package.name));
    DebFile { package, path, size: 5 << 20, sha256: [9; 32], zstd: false }
}

/// A bench that installs Docker from these packages.
fn with_docker(release: Release, docker: Vec<DebFile>) -> Bench {
    let mut bench = Bench::new(release);
    bench.node.docker.install = DockerInstall::Debs;
    bench.node.docker.bundle = Some(PathBuf::from("/bundle"));
    bench.staged.docker = docker;
    bench
}

fn bookworm() -> Bench {
    with_docker(
        Release::Bookworm,
        vec![
            deb("docker.io 1:20.10.24+dfsg1-1", "Depends: containerd, sudo\nInstalled-Size: 150000\n"),
            deb("containerd 1.6.20", "Installed-Size: 80000\n"),
        ],
    )
}

#[test]
fn they_lie_where_the_node_looks_for_them() {
    let mut bench = bookworm();
    bench.staged.system = vec![deb("nfs-common 1 all", ""), deb("containerd 1.6.20", "")];
    let plan = bench.plan();
    let engine = spec(&plan, "/var/cache/pibake/debs/docker/docker.io_1%3a20.10.24+dfsg1-1_arm64.deb");
    match &engine.content {
        Content::HostFile { path, size, sha256 } => {
            assert_eq!(
                (path.as_path(), *size, *sha256),
                (Path::new("/bundle/docker.io.deb"), 5 << 20, [9; 32])
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        text(&plan, "/var/cache/pibake/debs/list"),
        "containerd 1.6.20 arm64 docker/containerd_1.6.20_arm64.deb\n\
         docker.io 1:20.10.24+dfsg1-1 arm64 docker/docker.io_1%3a20.10.24+dfsg1-1_arm64.deb\n\
         nfs-common 1 all system/nfs-common_1_all.deb\n"
    );
    let twice = "/var/cache/pibake/debs/system/containerd_1.6.20_arm64.deb";
    assert!(planned(&plan, Volume::Root, twice).is_none());
    for unit in ["docker.service", "docker.socket", "containerd.service"] {
        let gate = text(&plan, &format!("/etc/systemd/system/{unit}.d/pibake-packages.conf"));
        for dir in ["docker", "system"] {
            assert!(gate.contains(&format!("\nConditionDirectoryNotEmpty=!/var/cache/pibake/debs/{dir}\n")));
        }
    }
    assert_eq!(spec(&plan, "/usr/lib/pibake/packages").meta.mode, 0o755);
}

#[test]
fn a_node_without_any_gets_nothing_of_it() {
    let plan = Bench::new(Release::Bookworm).plan();
    let ours = |path: &str| path.contains("packages") || path.contains("/var/cache");
    assert!(plan.changes.iter().all(|change| !ours(change.path.as_str())));
    assert_eq!(plan.card_size, plan.disk.image_size);
}

#[test]
fn the_card_has_to_hold_them_unpacked_and_the_image_only_as_they_are() {
    let bench = bookworm();
    let plan = bench.plan();
    let base = bench.inventory.layout.image_size;
    assert_eq!(plan.disk.image_size, base, "10 MiB fit into what is free");
    // 230,000 KiB and a twentieth, of which 277 MiB are free; and the image's slack.
    assert_eq!(plan.card_size, base);
    let mut bench = bookworm();
    bench.inventory.root_space.free_blocks = 10_000;
    let plan = bench.plan();
    let mib = |bytes: u64| bytes >> 20;
    assert!(plan.disk.image_size <= base + (8 << 20));
    assert!((220..260).contains(&mib(plan.card_size - base)), "{}", mib(plan.card_size - base));
    assert!(crate::plan::show::text(&plan, false).contains("\nneeds a card of at least "));
}

#[test]
fn what_is_missing_is_named_at_bake() {
    let docker = vec![deb("docker.io 20", "Depends: containerd (>= 1.6), runc | crun, sudo (>= 2)\n")];
    let errors = with_docker(Release::Bookworm, docker).errors();
    let expected = [
        "node pi1: packages: docker.io 20 needs containerd (>= 1.6), which is neither among the packages nor in the image; `pibake fetch`",
        "node pi1: packages: docker.io 20 needs runc | crun, which",
        "node pi1: packages: docker.io 20 needs sudo (>= 2), and what is there is sudo 1; `pibake fetch`",
    ];
    assert_eq!(errors.lines().count(), 3, "{errors}");
    for expected in expected {
        assert!(errors.contains(expected), "{errors}");
    }
}

#[test]
fn packages_of_another_image_are_refused() {
    let mut bench = bookworm();
    bench.staged.docker[1] = deb("containerd 1.6.20 armhf", "");
    bench.staged.system = vec![deb("sudo 0.9 all", "")];
    let errors = bench.errors();
    assert!(errors.contains("containerd 1.6.20 is for armhf, and the image is arm64"), "{errors}");
    assert!(errors.contains("docker.io 1:20.10.24+dfsg1-1 needs containerd"), "{errors}");
    assert!(errors.contains("sudo 0.9 is older than the 1 that the image has"), "{errors}");
    let mut bench = with_docker(Release::Bullseye, bookworm().staged.docker);
    bench.staged.docker[0].zstd = true;
    let errors = bench.errors();
    assert!(errors.contains("/bundle/docker.io.deb is compressed with zstd, which the dpkg of Bullseye"));
}

#[test]
fn a_bundle_holds_one_engine_of_one_side() {
    let empty = with_docker(Release::Bookworm, vec![deb("containerd 1", "")]).errors();
    assert!(empty.contains("docker.bundle: there is no docker.io or docker-ce in /bundle;"), "{empty}");
    let mut bench = bookworm();
    bench.inventory.packages.installed.push(package("containerd.io 1.7", ""));
    let errors = bench.errors();
    assert!(errors.contains("docker.io 1:20.10.24+dfsg1-1 is Debian's and containerd.io 1.7 is Docker's"));
    let trixie = with_docker(Release::Trixie, vec![deb("docker.io 26.1.5", "")]).errors();
    assert!(trixie.contains("it is in docker-cli"), "{trixie}");
    with_docker(Release::Trixie, vec![deb("docker.io 26.1.5", ""), deb("docker-cli 26.1.5", "")]).plan();
}

#[test]
fn a_cluster_has_one_major_of_the_engine() {
    let mut bench = bookworm();
    let version = |text: &str| text.parse().unwrap();
    bench.staged.engines.insert("pi1".to_owned(), version("1:20.10.24"));
    bench.staged.engines.insert("pi2".to_owned(), version("20.10.5+dfsg1"));
    bench.plan();
    bench.staged.engines.insert("pi3".to_owned(), version("5:28.1.1-1~debian.12~bookworm"));
    let errors = bench.errors();
    assert!(errors.contains("here it is docker.io 1:20.10.24+dfsg1-1, and pi3 has 5:28.1.1-1~debian.12"));
    assert!(!errors.contains("pi2"), "{errors}");
}

#[test]
fn a_swarm_needs_an_engine_that_can() {
    let swarm = |mut bench: Bench| {
        bench.cluster.swarm = Some(Swarm::default());
        build(&bench.inputs()).map_or_else(|errors| errors.to_string(), |_| String::new())
    };
    let none = swarm(Bench::new(Release::Bookworm));
    assert!(none.contains("[swarm]: there is no Docker in the image"), "{none}");
    let mut elsewhere = Bench::new(Release::Bookworm);
    elsewhere.node.role = Role::None;
    assert!(!swarm(elsewhere).contains("there is no Docker"));
    for (version, fine) in
        [("1.13.1", false), ("17.03.2~ce-0", false), ("17.06.0~ce-0", true), ("5:18.09", true)]
    {
        let mut bench = Bench::new(Release::Bookworm);
        bench.inventory.packages.installed.push(package(&format!("docker-ce {version}"), ""));
        let errors = swarm(bench);
        assert_eq!(errors.contains("is too old; 17.06"), !fine, "{version}: {errors}");
    }
}

#[test]
fn the_oldest_boards_get_what_runs_on_them() {
    let board = |head: &str, board| {
        let mut bench = with_docker(Release::Bookworm, vec![deb(head, "")]);
        bench.inventory.arch = Arch::Armhf;
        bench.node.board = Some(board);
        bench
    };
    for head in ["docker-ce 5:28.1.1-1~debian.12~bookworm armhf", "docker-ce 5:29.0.0-1~raspbian.12 armhf"] {
        assert!(board(head, Board::Pi1).errors().contains("built for ARMv7"), "{head}");
        assert!(board(head, Board::Pi2).plan().warnings.is_empty());
    }
    assert!(board("docker-ce 5:28.1.1-1~raspbian.12 armhf", Board::Pi0).plan().warnings.is_empty());
    let plan = board("docker.io 20.10.24 armhf", Board::Pi0).plan();
    assert!(plan.warnings[0].contains("nothing in these packages tells"), "{:?}", plan.warnings);
}

#[test]
fn apt_is_left_to_the_node() {
    const BOOKWORM: &str = "docker.io\niptables\napparmor\n";
    for (release, names) in [(Release::Bookworm, ""), (Release::Trixie, "docker-cli\n")] {
        let mut bench = Bench::new(release);
        bench.node.docker.install = DockerInstall::Apt;
        let plan = bench.plan();
        assert_eq!(text(&plan, "/var/cache/pibake/debs/apt"), format!("{BOOKWORM}{names}"));
        assert!(planned(&plan, Volume::Root, "/var/cache/pibake/debs/list").is_none());
        assert_eq!(spec(&plan, "/usr/lib/pibake/packages").meta.mode, 0o755);
        assert!(plan.card_size > plan.disk.image_size);
    }
}

#[test]
fn accounts_may_be_in_the_group_that_docker_brings() {
    let account = Account {
        name: "jenkins".to_owned(),
        authorized_keys: Vec::new(),
        groups: vec!["docker".to_owned()],
        password: None,
        sudo: None,
    };
    let mut bench = bookworm();
    bench.node.accounts = vec![account.clone()];
    let plan = bench.plan();
    // 998 is systemd-timesync's in the sample.
    assert!(text(&plan, "/etc/group").contains("\ndocker:x:999:jenkins\n"));
    assert!(text(&plan, "/etc/gshadow").contains("\ndocker:!::jenkins\n"));
    let mut bench = Bench::new(Release::Bookworm);
    bench.node.accounts = vec![account];
    assert!(bench.errors().contains("there is no group \"docker\" in the image"));
}

#[test]
fn what_an_overlay_wants_may_be_among_them() {
    let mut bench = Bench::new(Release::Bookworm);
    bench.overlays.push(overlay("nfs", "description = \"d\"\n[packages]\nwanted = [\"nfs-common\"]\n", &[]));
    bench.node.overlays = vec![OverlayUse { name: "nfs".to_owned(), with: toml::Table::new() }];
    let errors = bench.errors();
    assert!(errors.contains("needs the package nfs-common") && errors.contains("`pibake fetch nfs-common`"));
    bench.staged.system = vec![deb("nfs-common", "")];
    bench.plan();
}

#[test]
fn an_interrupted_dpkg_of_the_image_is_told() {
    let mut bench = bookworm();
    bench.inventory.packages.unfinished = vec!["man-db".to_owned()];
    assert!(bench.plan().warnings[0].contains("interrupted over man-db"));
}
