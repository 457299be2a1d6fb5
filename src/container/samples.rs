//! Archives for tests, made with the `tar` crate's writer.

use std::io::Write;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::Packing;

/// An image to be put into archives.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) names: Vec<&'static str>,
    pub(crate) architecture: &'static str,
    pub(crate) variant: &'static str,
    pub(crate) layers: Vec<Vec<u8>>,
    /// How layers are packed in an OCI archive.
    pub(crate) packing: Packing,
}

/// An image of two layers.
pub(crate) fn sample(name: &'static str, architecture: &'static str, variant: &'static str) -> Sample {
    let layers = vec![layer("etc/base", &[7; 3000]), layer("etc/name", architecture.as_bytes())];
    Sample { names: vec![name], architecture, variant, layers, packing: Packing::Gz }
}

/// A layer with one file.
pub(crate) fn layer(path: &str, content: &[u8]) -> Vec<u8> {
    tar(&[(path.to_owned(), content.to_vec())])
}

/// A tar of files.
pub(crate) fn tar(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn pack(packing: Packing, bytes: &[u8]) -> Vec<u8> {
    match packing {
        Packing::Plain => bytes.to_vec(),
        Packing::Zst => zstd::encode_all(bytes, 3).unwrap(),
        Packing::Gz => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

impl Sample {
    pub(crate) fn config(&self) -> Vec<u8> {
        let diff_ids: Vec<String> =
            self.layers.iter().map(|layer| format!("sha256:{}", hex(layer))).collect();
        let mut config = json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": { "Cmd": ["/bin/true"] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        if !self.variant.is_empty() {
            config["variant"] = json!(self.variant);
        }
        config.to_string().into_bytes()
    }

    /// The members of `docker save` up to Docker 24, without `manifest.json`; and its entry there.
    fn docker_members(&self) -> (Vec<(String, Vec<u8>)>, Value) {
        let config = self.config();
        let name = format!("{}.json", hex(&config));
        let mut members = vec![(name.clone(), config)];
        let mut layers = Vec::new();
        for layer in &self.layers {
            let path = format!("{}/layer.tar", hex(layer));
            members.push((path.clone(), layer.clone()));
            layers.push(path);
        }
        (members, json!({ "Config": name, "RepoTags": self.names, "Layers": layers }))
    }

    /// The blobs of an OCI layout, and the descriptor of the manifest.
    pub(crate) fn oci_blobs(&self) -> (Vec<(String, Vec<u8>)>, Value) {
        let config = self.config();
        let layers: Vec<Vec<u8>> = self.layers.iter().map(|layer| pack(self.packing, layer)).collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": layers.iter().map(|layer| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer)).collect::<Vec<_>>(),
        });
        let manifest = manifest.to_string().into_bytes();
        let mut described = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        described["platform"] =
            json!({ "os": "linux", "architecture": self.architecture, "variant": self.variant });
        let blobs = layers.into_iter().chain([config, manifest]).map(blob).collect();
        (blobs, described)
    }
}

pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{}", hex(bytes)), "size": bytes.len() })
}

pub(crate) fn blob(bytes: Vec<u8>) -> (String, Vec<u8>) {
    (format!("blobs/sha256/{}", hex(&bytes)), bytes)
}

/// The members of a docker-archive.
pub(crate) fn docker_members(samples: &[Sample]) -> Vec<(String, Vec<u8>)> {
    let (mut members, mut entries) = (Vec::new(), Vec::new());
    for sample in samples {
        let (more, entry) = sample.docker_members();
        members.extend(more);
        entries.push(entry);
    }
    members.push(("manifest.json".to_owned(), Value::Array(entries).to_string().into_bytes()));
    members
}

/// What `docker save` writes.
pub(crate) fn docker_archive(samples: &[Sample]) -> Vec<u8> {
    tar(&docker_members(samples))
}

/// The members of an OCI archive whose `index.json` lists `manifests`.
pub(crate) fn oci_members(blobs: Vec<(String, Vec<u8>)>, manifests: Vec<Value>) -> Vec<(String, Vec<u8>)> {
    let index = json!({ "schemaVersion": 2, "manifests": manifests }).to_string();
    let layout = json!({ "imageLayoutVersion": "1.0.0" }).to_string();
    let mut members =
        vec![("oci-layout".to_owned(), layout.into_bytes()), ("index.json".to_owned(), index.into_bytes())];
    members.extend(blobs);
    members
}

/// An OCI archive of images, each named as containerd does.
pub(crate) fn oci_archive(samples: &[Sample]) -> Vec<u8> {
    let (mut blobs, mut manifests) = (Vec::new(), Vec::new());
    for sample in samples {
        let (more, mut described) = sample.oci_blobs();
        blobs.extend(more);
        let name = format!("docker.io/library/{}", sample.names[0]);
        described["annotations"] = json!({ "io.containerd.image.name": name });
        manifests.push(described);
    }
    tar(&oci_members(blobs, manifests))
}

/// An OCI archive of one image for several platforms.
pub(crate) fn multi_platform(samples: &[Sample]) -> Vec<u8> {
    let (mut blobs, mut manifests) = (Vec::new(), Vec::new());
    for sample in samples {
        let (more, described) = sample.oci_blobs();
        blobs.extend(more);
        manifests.push(described);
    }
    let index = json!({ "schemaVersion": 2, "manifests": manifests }).to_string().into_bytes();
    let mut top = descriptor("application/vnd.oci.image.index.v1+json", &index);
    top["annotations"] = json!({ "org.opencontainers.image.ref.name": samples[0].names[0] });
    blobs.push(blob(index));
    tar(&oci_members(blobs, vec![top]))
}

/// The members of an archive of Docker before 1.10: one image of two layers.
pub(crate) fn legacy_members() -> Vec<(String, Vec<u8>)> {
    let json = |value: serde_json::Value| value.to_string().into_bytes();
    vec![
        ("a/json".to_owned(), json(json!({ "id": "a", "architecture": "amd64", "os": "linux" }))),
        ("a/layer.tar".to_owned(), layer("etc/a", b"a")),
        ("a/VERSION".to_owned(), b"1.0".to_vec()),
        (
            "b/json".to_owned(),
            json(json!({ "id": "b", "parent": "a", "architecture": "arm", "os": "linux", "config": {} })),
        ),
        ("b/layer.tar".to_owned(), layer("etc/b", b"b")),
        ("repositories".to_owned(), json(json!({ "web": { "1": "b" } }))),
    ]
}

pub(crate) fn legacy_archive() -> Vec<u8> {
    tar(&legacy_members())
}

/// A directory with one file.
pub(crate) fn file(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}
