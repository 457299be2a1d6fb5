//! Archives that other programs wrote, and whether other programs read ours: skopeo and umoci in the tier
//! `oracles`, and in the tier `docker` the Docker that `DOCKER_HOST` says.

use std::path::Path;
use std::process::Command;
use std::slice::from_ref;

use super::samples::{
    Sample, docker_archive, file, hex, legacy_archive, multi_platform, oci_archive, pack, sample,
};
use super::{ContainerImage, Form, Packing, read, repack};
use crate::tier::asked;

fn run(program: &str, args: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(args).output();
    let output =
        output.unwrap_or_else(|error| panic!("the tier that was asked for needs {program}: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn skopeo_copy(from: &str, to: &str) {
    run("skopeo", &["--insecure-policy", "copy", "--quiet", from, to]);
}

/// The one image of an archive that somebody else wrote.
fn only(path: &Path, form: Form) -> ContainerImage {
    let archive = read(path, &|| false).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((archive.form, archive.images.len()), (form, 1));
    archive.images.into_iter().next().unwrap()
}

fn diff_ids(image: &ContainerImage) -> Vec<[u8; 32]> {
    image.layers.iter().map(|layer| layer.diff_id).collect()
}

#[test]
fn skopeo_turns_each_form_into_the_other() {
    if !asked("oracles", "skopeo_turns_each_form_into_the_other") {
        return;
    }
    let sample = sample("web:1", "arm", "v7");
    let (dir, docker) = file("docker.tar", &docker_archive(&[sample]));
    let at = |name: &str| dir.path().join(name);
    let ours = only(&docker, Form::Docker);
    skopeo_copy(
        &format!("docker-archive:{}", docker.display()),
        &format!("oci-archive:{}:web:1", at("oci.tar").display()),
    );
    let oci = only(&at("oci.tar"), Form::Oci);
    skopeo_copy(
        &format!("oci-archive:{}", at("oci.tar").display()),
        &format!("docker-archive:{}:web:1", at("again.tar").display()),
    );
    let again = only(&at("again.tar"), Form::Docker);
    for other in [oci, again] {
        assert_eq!(
            (&other.names, &other.platform, other.unpacked),
            (&ours.names, &ours.platform, ours.unpacked)
        );
        assert_eq!(diff_ids(&other), diff_ids(&ours));
    }
}

#[test]
fn skopeo_reads_what_is_made_over() {
    if !asked("oracles", "skopeo_reads_what_is_made_over") {
        return;
    }
    let zst = Sample { packing: Packing::Zst, ..sample("web:1", "arm64", "v8") };
    let other = sample("web:1", "amd64", "");
    for bytes in [oci_archive(from_ref(&zst)), multi_platform(&[zst.clone(), other])] {
        let (dir, path) = file("in.tar", &bytes);
        let archive = read(&path, &|| false).unwrap();
        let made = dir.path().join("made.tar");
        repack(&archive, &[&archive.images[0]], std::fs::File::create(&made).unwrap(), &|| false).unwrap();
        let from = format!("docker-archive:{}:web:1", made.display());
        let config = run("skopeo", &["inspect", "--config", "--raw", &from]);
        assert_eq!(hex(&config), archive.images[0].id);
        let layout = dir.path().join("layout");
        skopeo_copy(&from, &format!("dir:{}", layout.display()));
    }
}

#[test]
fn umoci_layouts_are_read() {
    if !asked("oracles", "umoci_layouts_are_read") {
        return;
    }
    let dir = tempfile::TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("content"), vec![7; 5000]).unwrap();
    run("umoci", &["init", "--layout", &at("layout")]);
    let image = format!("{}:1", at("layout"));
    run("umoci", &["new", "--image", &image]);
    run("umoci", &["insert", "--rootless", "--image", &image, &at("content"), "/etc/content"]);
    run("tar", &["-C", &at("layout"), "-cf", &at("x.tar"), "."]);
    let read = only(Path::new(&at("x.tar")), Form::Oci);
    assert_eq!((read.layers.len(), read.layers[0].packing), (1, Packing::Gz));
    assert!(read.unpacked > 5000 && read.names.is_empty(), "{read:?}");
}

/// Images that no other run has loaded.
#[test]
fn docker_loads_every_form_that_is_made_over() {
    if !asked("docker", "docker_loads_every_form_that_is_made_over") {
        return;
    }
    let zst = Sample { packing: Packing::Zst, ..sample("pibake-zst:1", "arm64", "v8") };
    let gz = sample("pibake-gz:1", "arm", "v7");
    let plain = Sample { packing: Packing::Plain, ..sample("pibake-plain:1", "amd64", "") };
    for bytes in [
        oci_archive(from_ref(&zst)),
        multi_platform(&[gz.clone(), zst]),
        pack(Packing::Zst, &oci_archive(&[gz])),
        pack(Packing::Zst, &docker_archive(&[plain])),
        legacy_archive(),
    ] {
        let (dir, path) = file("in.tar", &bytes);
        let archive = read(&path, &|| false).unwrap();
        let made = dir.path().join("made.tar");
        let image = &archive.images[0];
        repack(&archive, &[image], std::fs::File::create(&made).unwrap(), &|| false).unwrap();
        run("docker", &["load", "-q", "-i", made.to_str().unwrap()]);
        let facts =
            run("docker", &["image", "inspect", "--format", "{{.Id}} {{.Architecture}}", &image.names[0]]);
        let facts = String::from_utf8(facts).unwrap();
        let (id, architecture) = facts.trim().split_once(' ').unwrap();
        assert_eq!(
            (id.strip_prefix("sha256:"), architecture),
            (Some(image.id.as_str()), image.platform.architecture.as_str())
        );
        run("docker", &["image", "rm", &image.names[0]]);
    }
}

/// Whatever the Docker's own `save` writes, with its version's form.
#[test]
fn what_docker_saves_is_read() {
    if !asked("docker", "what_docker_saves_is_read") {
        return;
    }
    let sample = sample("pibake-saved:1", "amd64", "");
    let (dir, path) = file("in.tar", &docker_archive(from_ref(&sample)));
    run("docker", &["load", "-q", "-i", path.to_str().unwrap()]);
    let saved = dir.path().join("saved.tar");
    run("docker", &["save", "-o", saved.to_str().unwrap(), "pibake-saved:1"]);
    let image = only(&saved, Form::Docker);
    assert_eq!((image.id, image.names), (hex(&sample.config()), vec!["pibake-saved:1".to_owned()]));
    run("docker", &["image", "rm", "pibake-saved:1"]);
}
