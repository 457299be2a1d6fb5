//! Archives of every form, whole and wrong.

use std::path::Path;
use std::slice::from_ref;

use serde_json::json;

use super::samples::{
    Sample, blob, descriptor, docker_archive, docker_members, file, hex, layer, legacy_archive,
    legacy_members, multi_platform, oci_archive, oci_members, pack, sample, tar,
};
use super::{ContainerError, Form, ImageArchive, Packing, Problem, read, repack};

fn read_bytes(bytes: &[u8]) -> Result<ImageArchive, ContainerError> {
    let (_dir, path) = file("x.tar", bytes);
    read(&path, &|| false)
}

/// What is said of bytes that are refused, without the path.
fn refusal(bytes: &[u8]) -> String {
    match read_bytes(bytes) {
        Ok(archive) => panic!("not refused: {archive:?}"),
        Err(error) => error.problem.to_string(),
    }
}

fn platforms(archive: &ImageArchive) -> Vec<String> {
    archive.images.iter().map(|image| image.platform.to_string()).collect()
}

const PACKINGS: [Packing; 3] = [Packing::Plain, Packing::Gz, Packing::Zst];

#[test]
fn a_docker_archive_plain_or_packed() {
    let sample = sample("web:1", "arm64", "v8");
    for packing in PACKINGS {
        let bytes = pack(packing, &docker_archive(from_ref(&sample)));
        let archive = read_bytes(&bytes).unwrap();
        assert_eq!((archive.form, archive.packing), (Form::Docker, packing));
        assert_eq!(archive.size, bytes.len() as u64);
        assert_eq!(data_encoding::HEXLOWER.encode(&archive.sha256), hex(&bytes));
        let [image] = archive.images.as_slice() else { panic!("{archive:?}") };
        assert_eq!(image.names, ["web:1"]);
        assert_eq!(image.platform.to_string(), "linux/arm64/v8");
        assert_eq!(image.id, hex(&sample.config()));
        assert_eq!(image.unpacked, sample.layers.iter().map(|layer| layer.len() as u64).sum::<u64>());
        assert_eq!(archive.loads_everywhere(), packing != Packing::Zst);
    }
}

#[test]
fn an_oci_archive_with_layers_packed_in_any_way() {
    for packing in PACKINGS {
        let sample = Sample { packing, ..sample("web:1", "arm", "v7") };
        let archive = read_bytes(&oci_archive(from_ref(&sample))).unwrap();
        assert_eq!(archive.form, Form::Oci);
        assert!(!archive.loads_everywhere());
        let image = &archive.images[0];
        assert_eq!(image.names, ["web:1"]);
        assert_eq!(image.platform.to_string(), "linux/arm/v7");
        assert_eq!(image.unpacked, sample.layers.iter().map(|layer| layer.len() as u64).sum::<u64>());
        assert!(image.layers.iter().all(|layer| layer.packing == packing));
    }
}

#[test]
fn several_platforms_in_one_index() {
    let samples = ["amd64", "arm64"].map(|architecture| sample("web:1", architecture, ""));
    let archive = read_bytes(&multi_platform(&samples)).unwrap();
    assert_eq!(platforms(&archive), ["linux/amd64", "linux/arm64"]);
    assert!(archive.images.iter().all(|image| image.names == ["web:1"]));
}

/// Docker with containerd's store saves the index as it was pulled, and the blobs of one platform.
#[test]
fn platforms_that_are_only_listed_are_passed_over() {
    let samples = ["amd64", "arm64"].map(|architecture| sample("web:1", architecture, ""));
    let (mut blobs, here) = samples[0].oci_blobs();
    let (others, mut listed) = samples[1].oci_blobs();
    // A manifest without its layers is no more than listed, either.
    blobs.push(others.last().unwrap().clone());
    let attestation = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    let mut provenance = descriptor("application/vnd.oci.image.manifest.v1+json", b"not there");
    provenance["annotations"] = attestation;
    for manifests in
        [vec![here.clone(), listed.clone(), provenance.clone()], vec![listed.clone(), here.clone()]]
    {
        let index = json!({ "manifests": manifests }).to_string().into_bytes();
        let top = descriptor("application/vnd.oci.image.index.v1+json", &index);
        let mut blobs = blobs.clone();
        blobs.push(blob(index));
        let archive = read_bytes(&tar(&oci_members(blobs, vec![top]))).unwrap();
        assert_eq!(platforms(&archive), ["linux/amd64"]);
    }
    listed["annotations"] = json!({ "org.opencontainers.image.ref.name": "web:1" });
    assert!(refusal(&tar(&oci_members(blobs, vec![listed]))).starts_with("it lacks \"blobs/sha256/"));
}

#[test]
fn both_forms_in_one_as_docker_25_writes_them() {
    let sample = Sample { packing: Packing::Plain, ..sample("web:1", "arm64", "") };
    let (blobs, described) = sample.oci_blobs();
    let path = |bytes: &[u8]| format!("blobs/sha256/{}", hex(bytes));
    let entry = json!([{
        "Config": path(&sample.config()),
        "RepoTags": ["web:1", "docker.io/library/web:stable"],
        "Layers": sample.layers.iter().map(|layer| path(layer)).collect::<Vec<_>>(),
    }]);
    let mut members = oci_members(blobs, vec![described]);
    members.push(("manifest.json".to_owned(), entry.to_string().into_bytes()));
    let archive = read_bytes(&tar(&members)).unwrap();
    assert_eq!((archive.form, archive.loads_everywhere()), (Form::Docker, true));
    assert_eq!(archive.images[0].names, ["web:1", "web:stable"]);
}

#[test]
fn equal_layers_are_links_in_old_archives() {
    let sample = sample("web:1", "arm64", "");
    let members = docker_members(&[sample]);
    let mut builder = tar::Builder::new(Vec::new());
    let add = |builder: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content).unwrap();
    };
    for (path, content) in &members {
        let Some(id) = path.strip_suffix("/layer.tar") else {
            add(&mut builder, path, content);
            continue;
        };
        add(&mut builder, &format!("real{id}/layer.tar"), content);
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, path, format!("../real{id}/layer.tar")).unwrap();
    }
    let archive = read_bytes(&builder.into_inner().unwrap()).unwrap();
    assert!(archive.images[0].layers.iter().all(|layer| layer.member.starts_with("real")));
}

#[test]
fn the_form_before_docker_1_10() {
    let archive = read_bytes(&legacy_archive()).unwrap();
    assert_eq!((archive.form, archive.loads_everywhere()), (Form::Legacy, false));
    let image = &archive.images[0];
    assert_eq!(
        (image.names.as_slice(), image.platform.to_string()),
        (&["web:1".to_owned()][..], "linux/arm".into())
    );
    let members: Vec<&str> = image.layers.iter().map(|layer| layer.member.as_str()).collect();
    assert_eq!(members, ["a/layer.tar", "b/layer.tar"]);
    let config: serde_json::Value = serde_json::from_slice(&image.config).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"][1], format!("sha256:{}", hex(&layer("etc/b", b"b"))));
    assert!(config.get("parent").is_none() && config.get("id").is_none());
}

#[test]
fn a_circle_of_parents_ends() {
    let mut members = legacy_members();
    members[0].1 = json!({ "parent": "b", "architecture": "arm" }).to_string().into_bytes();
    assert_eq!(refusal(&tar(&members)), "it is damaged: its layers lead on without end");
}

fn repacked(bytes: &[u8], keep: &[usize]) -> (Vec<u8>, ImageArchive) {
    let (_dir, path) = file("x.tar", bytes);
    let archive = read(&path, &|| false).unwrap();
    let images: Vec<_> = keep.iter().map(|index| &archive.images[*index]).collect();
    let mut out = Vec::new();
    repack(&archive, &images, &mut out, &|| false).unwrap();
    let again = read_bytes(&out).unwrap();
    for (image, before) in again.images.iter().zip(images) {
        assert_eq!((&image.id, &image.names), (&before.id, &before.names));
        assert_eq!((image.unpacked, &image.platform), (before.unpacked, &before.platform));
    }
    assert_eq!(again.images.len(), keep.len());
    (out, again)
}

#[test]
fn every_form_is_made_over_into_the_one_that_loads_everywhere() {
    let zst = Sample { packing: Packing::Zst, ..sample("web:1", "arm64", "") };
    let other = sample("web:1", "amd64", "");
    for (bytes, keep) in [
        (oci_archive(from_ref(&zst)), vec![0]),
        (pack(Packing::Zst, &oci_archive(from_ref(&other))), vec![0]),
        (pack(Packing::Zst, &docker_archive(from_ref(&other))), vec![0]),
        (multi_platform(&[zst.clone(), other.clone()]), vec![1]),
        (docker_archive(&[other, zst]), vec![0, 1]),
        (legacy_archive(), vec![0]),
    ] {
        let (first, archive) = repacked(&bytes, &keep);
        assert!(archive.loads_everywhere());
        assert_eq!(first, repacked(&bytes, &keep).0, "the same twice");
        let was_plain = Packing::of(&bytes) == Packing::Plain;
        assert_eq!(archive.packing, if was_plain { Packing::Plain } else { Packing::Gz });
    }
}

#[test]
fn an_archive_that_changed_is_not_made_over() {
    let (_dir, path) = file("x.tar", &oci_archive(&[sample("web:1", "arm64", "")]));
    let archive = read(&path, &|| false).unwrap();
    std::fs::write(&path, oci_archive(&[sample("web:1", "amd64", "")])).unwrap();
    let error = repack(&archive, &[&archive.images[0]], Vec::new(), &|| false).unwrap_err();
    assert_eq!(error.problem.to_string(), "it is damaged: it changed while it was used");
}

#[test]
fn stopping() {
    let (_dir, path) = file("x.tar", &docker_archive(&[sample("web:1", "arm64", "")]));
    assert!(matches!(read(&path, &|| true).unwrap_err().problem, Problem::Stopped));
    let archive = read(&path, &|| false).unwrap();
    let stopped = repack(&archive, &[&archive.images[0]], Vec::new(), &|| true);
    assert!(matches!(stopped.unwrap_err().problem, Problem::Stopped));
}

#[test]
fn an_exported_container_is_told_from_a_saved_image() {
    let members: Vec<(String, Vec<u8>)> =
        ["bin/sh", "etc/hostname", "etc/passwd", "usr/bin/env", "var/log/x", "lib/x/y/z/deep"]
            .map(|path| (path.to_owned(), b"x".to_vec()))
            .to_vec();
    for packing in PACKINGS {
        let said = refusal(&pack(packing, &tar(&members)));
        assert!(said.contains("made by docker export") && said.contains("use docker save"), "{said}");
    }
}

#[test]
fn other_things_are_named() {
    let tar_of = |name: &str| tar(&[(name.to_owned(), b"FROM scratch\n".to_vec())]);
    for (bytes, expected) in [
        (Vec::new(), "an empty file"),
        (b"<!DOCTYPE html><html>".to_vec(), "an HTML page"),
        (pack(Packing::Gz, b"  <HTML><body>"), "an HTML page"),
        (b"!<arch>\ndebian-binary".to_vec(), "a Debian package"),
        (b"FROM alpine\nRUN x\n".to_vec(), "a Dockerfile"),
        (b"# syntax=x\nfrom alpine\nrun x\n".to_vec(), "a Dockerfile"),
        (b"\xfd7zXZ\0abc".to_vec(), "an xz file"),
        (b"{\"Config\":1}".to_vec(), "a JSON text"),
        (b"hello\n".to_vec(), "a text"),
        (vec![1; 5000], "data of no known kind"),
        (pack(Packing::Gz, b""), "an empty file"),
        (tar(&[]), "an empty tar archive"),
        (tar_of("Dockerfile"), "a tar archive with a Dockerfile"),
        (tar_of("layout/oci-layout"), "an OCI layout packed with the directory around it"),
        (tar_of("notes.txt"), "a tar archive without manifest.json or index.json"),
    ] {
        let said = refusal(&bytes);
        assert!(said.starts_with(&format!("this is {expected}")), "{expected}: {said}");
        assert!(said.contains("docker save"), "{said}");
    }
}

#[test]
fn directories_are_named() {
    let dir = tempfile::TempDir::new().unwrap();
    let said = |dir: &Path| read(dir, &|| false).unwrap_err().problem.to_string();
    assert!(said(dir.path()).starts_with("this is a directory, not"));
    std::fs::write(dir.path().join("Dockerfile"), "FROM x\n").unwrap();
    assert!(said(dir.path()).starts_with("this is a directory with a Dockerfile"));
    std::fs::write(dir.path().join("oci-layout"), "{}").unwrap();
    assert!(said(dir.path()).starts_with("this is an OCI layout as a directory"));
}

/// A docker-archive with one member changed.
fn with_member(name: &str, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut members = docker_members(&[sample("web:1", "arm64", "")]);
    let found = members.iter_mut().find(|(path, _)| path.ends_with(name)).unwrap();
    change(&mut found.1);
    tar(&members)
}

#[test]
fn tampering_is_found() {
    let flip = |bytes: &mut Vec<u8>| bytes[520] ^= 1;
    assert!(refusal(&with_member("/layer.tar", flip)).contains("does not have the digest its image names"));
    let spaces = |bytes: &mut Vec<u8>| bytes.push(b' ');
    let config = format!("{}.json", hex(&sample("web:1", "arm64", "").config()));
    assert!(refusal(&with_member(&config, spaces)).contains("does not have the digest of its name"));

    let sample = sample("web:1", "arm64", "");
    let (blobs, described) = sample.oci_blobs();
    for index in 0..blobs.len() {
        let mut blobs = blobs.clone();
        let last = blobs[index].1.len() - 1;
        blobs[index].1[last] ^= 1;
        let said = refusal(&tar(&oci_members(blobs, vec![described.clone()])));
        assert!(said.contains("does not have the size and digest"), "{said}");
    }
    for index in 0..blobs.len() {
        let mut blobs = blobs.clone();
        let (name, _) = blobs.remove(index);
        assert_eq!(refusal(&tar(&oci_members(blobs, vec![described.clone()]))), format!("it lacks {name:?}"));
    }
}

#[test]
fn a_member_twice_has_to_be_the_same() {
    let mut members = docker_members(&[sample("web:1", "arm64", "")]);
    members.insert(0, members[1].clone());
    assert!(read_bytes(&tar(&members)).is_ok());
    members[0].1[600] ^= 1;
    assert!(refusal(&tar(&members)).ends_with("is in it twice, and not the same"));
}

#[test]
fn manifests_that_make_no_sense() {
    let manifest =
        |text: &str| refusal(&with_member("manifest.json", |bytes| *bytes = text.as_bytes().to_vec()));
    assert!(manifest("[]").ends_with("its manifest.json lists no image"));
    assert!(manifest("{}").starts_with("it is damaged: \"manifest.json\" is not what it should be"));
    assert_eq!(manifest("[{\"Config\":\"x.json\"}]"), "it lacks \"x.json\"");
    let config = format!("{}.json", hex(&sample("web:1", "arm64", "").config()));
    let no_layers = json!([{ "Config": config, "Layers": [] }]).to_string();
    assert!(manifest(&no_layers).ends_with("speaks of 2 layers, and 0 are listed"));
    let escape = with_member("manifest.json", |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        *bytes = text.replace("web:1", "web:\\u001b[2J").into_bytes();
    });
    let said = refusal(&escape);
    assert!(said.ends_with("is no name of an image") && !said.contains('\u{1b}'), "{said}");
}

#[test]
fn an_index_that_names_itself_ends() {
    // An index cannot hold its own digest; many that name one another are as long.
    let mut blobs = Vec::new();
    let mut below = descriptor("x", b"{}");
    blobs.push(blob(b"{}".to_vec()));
    for _ in 0..10 {
        let index = json!({ "manifests": [below] }).to_string().into_bytes();
        below = descriptor("x", &index);
        blobs.push(blob(index));
    }
    assert!(refusal(&tar(&oci_members(blobs, vec![below]))).contains("without end"));
}

#[test]
fn other_things_in_oci_form_are_no_images() {
    let config = b"{\"name\":\"chart\"}".to_vec();
    let manifest =
        json!({ "config": descriptor("application/vnd.cncf.helm.config.v1+json", &config), "layers": [] });
    let manifest = manifest.to_string().into_bytes();
    let top = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    let said = refusal(&tar(&oci_members(vec![blob(config), blob(manifest)], vec![top])));
    assert!(said.contains("helm") && said.contains("no container image"), "{said}");
}

#[test]
fn a_long_name_and_a_large_text_are_bounded() {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_path("././@LongLink").unwrap();
    header.set_size(1 << 40);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend([b'a'; 4096]);
    assert!(refusal(&bytes).contains("a member's name has 1099511627776 bytes"));

    let large = with_member("manifest.json", |bytes| bytes.resize(5 << 20, b' '));
    assert!(refusal(&large).contains("is no JSON text, or has more than"));
}

#[test]
fn what_would_unpack_without_end_is_refused() {
    // A member of 300 GiB that is not there; and one that is all zeros, and zeros after the end.
    let mut header = tar::Header::new_gnu();
    header.set_path("a/b/c/d").unwrap();
    header.set_size(300 << 30);
    header.set_cksum();
    assert!(refusal(header.as_bytes()).contains("more than 256 GiB"));

    let mut bytes = docker_archive(&[sample("web:1", "arm64", "")]);
    bytes.resize(bytes.len() + (65 << 20), 0);
    assert!(refusal(&pack(Packing::Zst, &bytes)).ends_with("it goes on long after its end"));
}

#[test]
fn a_zstd_window_larger_than_the_memory_for_it_is_named() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(28).unwrap();
    encoder.long_distance_matching(true).unwrap();
    std::io::Write::write_all(&mut encoder, &docker_archive(&[sample("web:1", "arm64", "")])).unwrap();
    let said = refusal(&encoder.finish().unwrap());
    assert_eq!(said, "a zstd file made with --long is not supported");
}

/// Every prefix is refused, but one that lacks nothing but the padding after the mark of the end.
#[test]
fn truncated_archives_are_refused_at_every_byte() {
    let whole = [
        docker_archive(&[sample("web:1", "arm64", "")]),
        oci_archive(&[Sample { packing: Packing::Zst, ..sample("web:1", "arm64", "") }]),
        legacy_archive(),
    ];
    let mut random = fastrand::Rng::with_seed(7);
    for (tar, packing) in whole.iter().flat_map(|tar| PACKINGS.map(|packing| (tar, packing))) {
        let bytes = pack(packing, tar);
        assert!(read_bytes(&bytes).is_ok());
        // The content ends at the first block of zeros after the last member.
        let needed = if packing == Packing::Plain { bytes.len() - 512 } else { bytes.len() };
        for _ in 0..40 {
            let at = random.usize(..needed);
            let said = refusal(&bytes[..at]);
            assert!(!said.is_empty(), "{packing:?} {at}");
        }
        assert_eq!(refusal(&bytes[..needed - 1]), "it ends early: it was copied or downloaded only in part");
    }
}

#[test]
fn damaged_bytes_never_panic_and_never_pass_for_other_images() {
    let sample = Sample { packing: Packing::Gz, ..sample("web:1", "arm64", "") };
    let mut random = fastrand::Rng::with_seed(11);
    for whole in [docker_archive(from_ref(&sample)), oci_archive(from_ref(&sample))] {
        let expected = read_bytes(&whole).unwrap().images;
        for _ in 0..300 {
            let mut bytes = whole.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            // Names stand in texts without a digest of their own; nothing else may differ.
            let (_dir, path) = file("x.tar", &bytes);
            let Ok(archive) = read(&path, &|| false) else { continue };
            let mut made = Vec::new();
            repack(&archive, &[&archive.images[0]], &mut made, &|| false).unwrap();
            for archive in [archive, read_bytes(&made).unwrap()] {
                assert_eq!(archive.images[0].id, expected[0].id);
                assert_eq!(archive.images[0].unpacked, expected[0].unpacked);
            }
        }
    }
}
