//! The OCI image layout: `index.json` leads to manifests, perhaps through further indexes, and they to
//! blobs named by their digests (OCI image-spec, "image layout", "index", "manifest").

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde::Deserialize;

use super::catalogue::{Catalogue, parse};
use super::config::{Described, digest, image};
use super::error::{Problem, corrupt};
use super::{ContainerImage, name};

/// Indexes within indexes.
const DEPTH_MAX: usize = 4;

/// Manifests of one archive; an index may name the same one again and again.
const MANIFESTS_MAX: usize = 1024;

/// containerd's annotation of an image's whole name.
const IMAGE_NAME: &str = "io.containerd.image.name";

/// The image-spec's own, which is a whole name or a tag alone, as the writer pleased.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// What BuildKit puts beside images: provenance, not something to run.
const ATTESTATION: &str = "vnd.docker.reference.type";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    platform: Option<DescribedPlatform>,
}

#[derive(Deserialize)]
struct DescribedPlatform {
    #[serde(default)]
    variant: String,
}

/// An index or a manifest; which of them, its fields say more surely than media types, which are optional.
#[derive(Deserialize)]
struct Node {
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

/// The images that `index.json` leads to.
pub(super) fn images(found: &Catalogue) -> Result<Vec<ContainerImage>, Problem> {
    let top: Node = found.json("index.json")?;
    let manifests = top.manifests.ok_or_else(|| corrupt("its index.json lists no manifests"))?;
    let mut walk = Walk { found, images: Vec::new(), seen: 0 };
    for descriptor in &manifests {
        let names = names_of(descriptor);
        walk.follow(descriptor, &names, 0)?;
    }
    let images = merged(walk.images);
    if images.is_empty() {
        return Err(Problem::Missing("any image: its index.json lists none that is in it".to_owned()));
    }
    Ok(images)
}

struct Walk<'a> {
    found: &'a Catalogue,
    images: Vec<ContainerImage>,
    seen: usize,
}

impl Walk<'_> {
    fn follow(&mut self, descriptor: &Descriptor, names: &[String], depth: usize) -> Result<(), Problem> {
        self.seen += 1;
        if depth > DEPTH_MAX || self.seen > MANIFESTS_MAX {
            return Err(corrupt("its indexes lead on without end"));
        }
        if is_attestation(descriptor) {
            return Ok(());
        }
        let path = self.verified(descriptor)?;
        let node: Node = self.found.json(&path)?;
        match (node.manifests, node.config) {
            (Some(manifests), _) => self.platforms(&manifests, names, depth),
            (None, Some(config)) => self.image(descriptor, &config, &node.layers.unwrap_or_default(), names),
            (None, None) => Err(corrupt(format!("{path:?} is neither an index nor a manifest"))),
        }
    }

    /// One image for several platforms. Those that were not pulled are listed all the same; what is in the
    /// archive has to be whole.
    fn platforms(&mut self, manifests: &[Descriptor], names: &[String], depth: usize) -> Result<(), Problem> {
        let before = self.images.len();
        let mut missing = None;
        for descriptor in manifests {
            match self.follow(descriptor, names, depth + 1) {
                Err(problem @ Problem::Missing(_)) => missing = Some(problem),
                followed => followed?,
            }
        }
        match missing {
            Some(problem) if self.images.len() == before => Err(problem),
            _ => Ok(()),
        }
    }

    fn image(
        &mut self,
        manifest: &Descriptor,
        config: &Descriptor,
        layers: &[Descriptor],
        names: &[String],
    ) -> Result<(), Problem> {
        let config_path = self.verified(config)?;
        let layers = layers.iter().map(|layer| self.verified(layer)).collect::<Result<_, _>>()?;
        let text = self.found.text(&config_path)?;
        let fields: BTreeMap<String, serde_json::Value> = parse(&config_path, text)?;
        if !fields.contains_key("rootfs") {
            // Charts, policies and signatures travel in the same form.
            return Err(Problem::Unsupported(format!(
                "{:?}, which is no container image,",
                config.media_type
            )));
        }
        let described = Described {
            names: names.to_vec(),
            config_name: &config_path,
            config: text,
            layers,
            variant: manifest.platform.as_ref().map_or("", |platform| &platform.variant),
        };
        self.images.push(image(self.found, described)?);
        Ok(())
    }

    /// The member that a descriptor leads to, of the size and digest it says.
    fn verified(&self, descriptor: &Descriptor) -> Result<String, Problem> {
        let expected = digest(&descriptor.digest)?;
        let path = format!("blobs/sha256/{}", HEXLOWER.encode(&expected));
        let (_, blob) = self.found.blob(&path)?;
        if blob.sha256 != expected || blob.size != descriptor.size {
            return Err(corrupt(format!("{path:?} does not have the size and digest it is listed with")));
        }
        Ok(path)
    }
}

fn is_attestation(descriptor: &Descriptor) -> bool {
    descriptor.annotations.iter().any(|annotations| annotations.contains_key(ATTESTATION))
}

/// The names a descriptor gives. A word alone may be a tag of anything: it is no name.
fn names_of(descriptor: &Descriptor) -> Vec<String> {
    let Some(annotations) = &descriptor.annotations else { return Vec::new() };
    let whole = annotations.get(IMAGE_NAME);
    let reference = annotations.get(REF_NAME).filter(|text| text.contains([':', '/']));
    whole.or(reference).filter(|text| name::checked(text).is_ok()).cloned().into_iter().collect()
}

/// The same image listed under several names is one image.
fn merged(images: Vec<ContainerImage>) -> Vec<ContainerImage> {
    let mut merged: Vec<ContainerImage> = Vec::new();
    for image in images {
        match merged.iter_mut().find(|other| other.id == image.id && other.platform == image.platform) {
            Some(other) => {
                let new = image.names.into_iter().filter(|name| !other.names.contains(name));
                let new: Vec<String> = new.collect();
                other.names.extend(new);
            }
            None => merged.push(image),
        }
    }
    merged
}
