//! Docker's own form: `manifest.json` names configurations, layers and names (Docker image specification
//! v1.2). Docker 25 and later write an OCI layout beside it, with the same blobs.

use data_encoding::HEXLOWER;
use serde::Deserialize;

use super::ContainerImage;
use super::catalogue::Catalogue;
use super::config::{Described, image};
use super::error::{Problem, corrupt};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

/// The images that `manifest.json` lists.
pub(super) fn images(found: &Catalogue) -> Result<Vec<ContainerImage>, Problem> {
    let entries: Vec<Entry> = found.json("manifest.json")?;
    if entries.is_empty() {
        return Err(corrupt("its manifest.json lists no image"));
    }
    entries.into_iter().map(|entry| of(found, entry)).collect()
}

fn of(found: &Catalogue, entry: Entry) -> Result<ContainerImage, Problem> {
    let (_, blob) = found.blob(&entry.config)?;
    if let Some(named) = digest_in(&entry.config)
        && named != HEXLOWER.encode(&blob.sha256)
    {
        return Err(corrupt(format!("{:?} does not have the digest of its name", entry.config)));
    }
    let described = Described {
        names: entry.repo_tags.unwrap_or_default(),
        config_name: &entry.config,
        config: found.text(&entry.config)?,
        layers: entry.layers.unwrap_or_default(),
        variant: "",
    };
    image(found, described)
}

/// The digest that a configuration is named by: `DIGEST.json` or `blobs/sha256/DIGEST`.
fn digest_in(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let name = name.strip_suffix(".json").unwrap_or(name);
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (name.len() == 64 && name.bytes().all(hex)).then_some(name)
}
