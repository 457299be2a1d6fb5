//! An image's configuration, and the image that it and its layers make (OCI image-spec, "config").

use data_encoding::HEXLOWER;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::catalogue::{Blob, Catalogue, parse};
use super::error::{Problem, corrupt};
use super::{ContainerImage, Layer, Platform, name};

/// Layers that Docker stacks at most, with room to spare.
const LAYERS_MAX: usize = 1024;

/// What is looked at of a configuration.
#[derive(Deserialize)]
struct Config {
    architecture: String,
    os: String,
    #[serde(default)]
    variant: String,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

/// An image as a manifest of any form describes it.
pub(super) struct Described<'a> {
    pub(super) names: Vec<String>,
    /// The name of the configuration's member.
    pub(super) config_name: &'a str,
    pub(super) config: &'a [u8],
    /// The members of its layers, lowest first.
    pub(super) layers: Vec<String>,
    /// What a descriptor says where the configuration says nothing.
    pub(super) variant: &'a str,
}

/// The image, every layer compared with what the configuration says of it.
pub(super) fn image(found: &Catalogue, described: Described<'_>) -> Result<ContainerImage, Problem> {
    let Described { names, config_name, config, layers, variant } = described;
    let parsed: Config = parse(config_name, config)?;
    let diff_ids = &parsed.rootfs.diff_ids;
    if diff_ids.len() != layers.len() || layers.len() > LAYERS_MAX {
        return Err(corrupt(format!(
            "{config_name:?} speaks of {} layers, and {} are listed",
            diff_ids.len(),
            layers.len()
        )));
    }
    let variant = if parsed.variant.is_empty() { variant.to_owned() } else { parsed.variant };
    let platform = Platform { os: parsed.os, architecture: parsed.architecture, variant };
    for word in [&platform.os, &platform.architecture, &platform.variant] {
        name::check_word(word)?;
    }
    let layers: Vec<Layer> = layers
        .iter()
        .zip(diff_ids)
        .map(|(member, diff_id)| layer(found, member, diff_id))
        .collect::<Result<_, _>>()?;
    let names = names.iter().map(|name| name::checked(name)).collect::<Result<_, _>>()?;
    Ok(ContainerImage {
        names,
        platform,
        unpacked: layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.unpacked)),
        id: HEXLOWER.encode(&Sha256::digest(config)),
        config: config.to_vec(),
        layers,
    })
}

fn layer(found: &Catalogue, member: &str, diff_id: &str) -> Result<Layer, Problem> {
    let expected = digest(diff_id)?;
    let (member, blob) = found.blob(member)?;
    let Some((unpacked, actual)) = blob.unpacked else {
        return Err(corrupt(format!("the layer {member:?} cannot be unpacked")));
    };
    if actual != expected {
        return Err(corrupt(format!("the layer {member:?} does not have the digest its image names")));
    }
    let Blob { packing, size, .. } = *blob;
    Ok(Layer { member: member.to_owned(), packing, size, unpacked, diff_id: actual })
}

/// The digest in `sha256:…`.
pub(super) fn digest(text: &str) -> Result<[u8; 32], Problem> {
    let Some(hex) = text.strip_prefix("sha256:") else {
        return Err(Problem::Unsupported(format!("the digest {text:?}")));
    };
    let bytes = HEXLOWER.decode(hex.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| corrupt(format!("{text:?} is no digest")))
}
