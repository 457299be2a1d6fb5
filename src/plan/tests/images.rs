//! `docker.images`: what fits which node, and what gets onto the card.

use std::path::PathBuf;

use crate::config::types::{Board, DockerInstall};
use crate::container::{ContainerImage, Form, ImageArchive, Layer, Packing, Platform};
use crate::deb::testing::package;
use crate::inventory::types::{Arch, Release};
use crate::plan::change::Content;
use crate::plan::fitting;

use super::super::images::needed;
use super::super::staged::Staged;
use super::{Bench, link, meta, spec};

fn image(name: &str, architecture: &str, variant: &str) -> ContainerImage {
    let digest = u8::try_from(name.len()).unwrap();
    ContainerImage {
        names: vec![name.to_owned()],
        platform: Platform {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
        },
        unpacked: 1000,
        id: format!("{name}{architecture}{variant}"),
        config: Vec::new(),
        layers: vec![Layer {
            member: "layer".to_owned(),
            packing: Packing::Gz,
            size: 400,
            unpacked: 1000,
            diff_id: [digest; 32],
        }],
    }
}

fn archive(file: &str, images: Vec<ContainerImage>) -> ImageArchive {
    ImageArchive {
        path: PathBuf::from("images").join(file),
        name: file.to_owned(),
        size: 500,
        sha256: [9; 32],
        packing: Packing::Plain,
        form: Form::Docker,
        images,
        left_out: Vec::new(),
    }
}

fn bench(arch: Arch, board: Option<Board>, images: Vec<ContainerImage>) -> Bench {
    let mut bench = Bench::new(Release::Bookworm);
    bench.inventory.arch = arch;
    bench.inventory.packages.installed.push(package("docker.io 20.10.24+dfsg1-1", ""));
    bench.node.board = board;
    bench.staged.images = vec![archive("web.tar", images)];
    bench
}

#[test]
fn platforms_that_fit_are_staged() {
    for (arch, board, architecture, variant) in [
        (Arch::Arm64, None, "arm64", ""),
        (Arch::Arm64, Some(Board::Pi4), "arm64", "v8"),
        (Arch::Amd64, None, "amd64", ""),
        (Arch::Armhf, None, "arm", "v6"),
        (Arch::Armhf, Some(Board::Pi1), "arm", "v5"),
        (Arch::Armhf, Some(Board::Pi0), "arm", "v6"),
        (Arch::Armhf, Some(Board::Pi2), "arm", "v7"),
        (Arch::Armhf, Some(Board::Zero2), "arm", "v8"),
        (Arch::Armhf, Some(Board::Pi3), "arm", ""),
    ] {
        let plan = bench(arch, board, vec![image("web:1", architecture, variant)]).plan();
        assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
        assert!(matches!(
            &spec(&plan, "/var/cache/pibake/images/web.tar").content,
            Content::HostFile { path, size: 500, sha256 } if path.ends_with("web.tar") && *sha256 == [9; 32]
        ));
        assert_eq!(meta(&plan, "/usr/lib/pibake/images").mode, 0o755);
        let wants = "/etc/systemd/system/multi-user.target.wants/pibake-images.service";
        assert_eq!(link(&plan, wants), Some("/etc/systemd/system/pibake-images.service"));
    }
}

#[test]
fn platforms_that_do_not_are_refused_naming_both() {
    for (arch, board, architecture, variant, both) in [
        (Arch::Arm64, None, "amd64", "", ["linux/amd64", "linux/arm64"]),
        (Arch::Arm64, None, "arm", "v7", ["linux/arm/v7", "linux/arm64"]),
        (Arch::Arm64, Some(Board::Pi4), "arm", "v6", ["linux/arm/v6", "linux/arm64"]),
        (Arch::Amd64, None, "arm64", "v8", ["linux/arm64/v8", "linux/amd64"]),
        (Arch::Amd64, None, "386", "", ["linux/386", "linux/amd64"]),
        (Arch::Armhf, None, "arm64", "", ["linux/arm64", "linux/arm"]),
        (Arch::Armhf, Some(Board::Pi1), "arm", "v7", ["linux/arm/v7", "linux/arm/v6"]),
        (Arch::Armhf, Some(Board::Pi0), "arm", "v8", ["linux/arm/v8", "linux/arm/v6"]),
        (Arch::Armhf, Some(Board::Pi2), "arm", "v8", ["linux/arm/v8", "linux/arm/v7"]),
    ] {
        let said = bench(arch, board, vec![image("web:1", architecture, variant)]).errors();
        let [for_what, node] = both;
        assert!(
            said.contains(&format!("web:1 in images/web.tar is for {for_what}, and pi1 runs {node};")),
            "{said}"
        );
    }
    let mut windows = image("web:1", "amd64", "");
    windows.platform.os = "windows".to_owned();
    assert!(bench(Arch::Amd64, None, vec![windows]).errors().contains("windows/amd64"));
}

#[test]
fn doubts_are_told() {
    for (arch, variant, doubt) in [
        (Arch::Armhf, "v7", "a Pi 0 or 1 (ARMv6) cannot run it"),
        (Arch::Armhf, "v8", "a Pi 0, 1 or 2 cannot run it"),
        (Arch::Armhf, "", "a Pi 0 or 1 needs arm/v6"),
        (Arch::Amd64, "v3", "linux/amd64/v3 is for newer processors"),
    ] {
        let architecture = if arch == Arch::Amd64 { "amd64" } else { "arm" };
        let plan = bench(arch, None, vec![image("web:1", architecture, variant)]).plan();
        assert!(plan.warnings.iter().any(|warning| warning.contains(doubt)), "{:?}", plan.warnings);
    }
}

#[test]
fn of_several_platforms_the_best_is_chosen() {
    let images = |variants: &[(&str, &str)]| -> Vec<ContainerImage> {
        variants.iter().map(|(architecture, variant)| image("web:1", architecture, variant)).collect()
    };
    let all = images(&[("amd64", ""), ("arm", "v5"), ("arm", "v7"), ("arm", "v6"), ("arm64", "v8")]);
    assert_eq!(fitting(&all, Arch::Armhf, Some(Board::Pi4)), [2]);
    assert_eq!(fitting(&all, Arch::Armhf, Some(Board::Pi1)), [3]);
    assert_eq!(fitting(&all, Arch::Armhf, None), [3], "what runs on every board");
    assert_eq!(fitting(&all, Arch::Arm64, None), [4]);
    let none = images(&[("amd64", ""), ("s390x", "")]);
    assert_eq!(fitting(&none, Arch::Arm64, None), [0, 1]);
    let said = bench(Arch::Arm64, None, none).errors();
    assert!(said.contains("web:1 in images/web.tar is for linux/amd64, linux/s390x, and"), "{said}");
    let two = [image("web:1", "arm64", ""), image("db:1", "arm64", "")];
    assert_eq!(fitting(&two, Arch::Arm64, None), [0, 1]);
}

#[test]
fn images_without_a_name_all_stay_and_are_told() {
    let unnamed = |id: &str, architecture: &str| {
        let mut image = image("x", architecture, "");
        (image.names, image.id) = (Vec::new(), id.to_owned());
        image
    };
    let images = vec![unnamed("1", "arm64"), unnamed("2", "amd64"), unnamed("3", "arm64")];
    assert_eq!(fitting(&images, Arch::Arm64, None), [0, 2]);
    let plan = bench(Arch::Arm64, None, images).plan();
    assert_eq!(plan.warnings.len(), 2);
    assert_eq!(plan.warnings[1], "images/web.tar: image 3 has no name in it, and no stack can use it");
}

#[test]
fn images_need_a_docker() {
    let mut bench = bench(Arch::Arm64, None, vec![image("web:1", "arm64", "")]);
    bench.inventory.packages.installed.retain(|package| package.name != "docker.io");
    assert!(bench.errors().contains("docker.images: there is no Docker in the image"));
    bench.node.docker.install = DockerInstall::Debs;
    assert!(!bench.errors().contains("there is no Docker"));
}

#[test]
fn one_name_for_two_images_is_refused() {
    let mut bench = bench(Arch::Arm64, None, vec![image("web:1", "arm64", "")]);
    bench.staged.images.push(archive("web2.tar", vec![image("web:1", "arm64", "v8")]));
    let said = bench.errors();
    assert!(said.contains("web:1 is one image in images/web.tar and another in images/web2.tar"), "{said}");
}

#[test]
fn file_names_are_tame_and_apart() {
    let mut bench = bench(Arch::Arm64, None, vec![image("a:1", "arm64", "")]);
    let names = ["web.tar", "web.tar", "-r f;*.tar", ".hidden.tar", "…", "ä ö.tar"];
    bench.staged.images = names.map(|name| archive(name, vec![image("a:1", "arm64", "")])).to_vec();
    let plan = bench.plan();
    let mut planned: Vec<&str> = (plan.changes.iter())
        .filter_map(|change| change.path.as_str().strip_prefix("/var/cache/pibake/images/"))
        .collect();
    planned.sort_unstable();
    assert_eq!(planned, ["2-web.tar", "hidden.tar", "image", "r_f__.tar", "tar", "web.tar"]);
}

#[test]
fn without_images_nothing_of_it_is_there() {
    let plan = Bench::new(Release::Bookworm).plan();
    assert!(plan.changes.iter().all(|change| !change.path.as_str().contains("images")));
}

#[test]
fn room_for_what_is_unpacked_and_for_the_largest_archive() {
    assert_eq!(needed(&Staged::default()), 0);
    let one = || archive("a.tar", vec![image("a:1", "arm64", ""), image("b:1", "arm64", "")]);
    let other = archive("b.tar", vec![image("longer:1", "arm64", "")]);
    let staged = Staged { images: vec![one(), other], ..Staged::default() };
    // The two images of the first share their layer; its 500 bytes are given back before the second.
    assert_eq!(needed(&staged), 2 * (1000 + 100 + 400) - 500);
    let large = ImageArchive { size: 5000, ..one() };
    let staged = Staged { images: vec![large, one()], ..Staged::default() };
    assert_eq!(needed(&staged), 1000 + 100 + 400, "the first is the fullest");
}
