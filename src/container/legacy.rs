//! The form before Docker 1.10: `repositories` names top layers, and each layer `ID/json` its parent
//! (Docker image specification v1).

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};

use super::ContainerImage;
use super::catalogue::{Catalogue, parse};
use super::config::{Described, image};
use super::error::{Problem, corrupt};

/// Layers of one image.
const LAYERS_MAX: usize = 1024;

/// What says something about one layer, not about the image.
const OF_A_LAYER: [&str; 7] = ["id", "parent", "Size", "parent_id", "layer_id", "throwaway", "checksum"];

/// The images that `repositories` names.
pub(super) fn images(found: &Catalogue) -> Result<Vec<ContainerImage>, Problem> {
    let repositories: BTreeMap<String, BTreeMap<String, String>> = found.json("repositories")?;
    let mut by_id: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (repository, tags) in repositories {
        for (tag, id) in tags {
            by_id.entry(id).or_default().push(format!("{repository}:{tag}"));
        }
    }
    if by_id.is_empty() {
        return Err(corrupt("its repositories names no image"));
    }
    by_id.into_iter().map(|(id, names)| of(found, &id, names)).collect()
}

fn of(found: &Catalogue, id: &str, names: Vec<String>) -> Result<ContainerImage, Problem> {
    let config_name = format!("{id}/json");
    let top: Map<String, Value> = parse(&config_name, found.text(&config_name)?)?;
    let layers = chain(found, id)?;
    let config = config(found, top, &layers)?;
    image(found, Described { names, config_name: &config_name, config: &config, layers, variant: "" })
}

/// The layers from the lowest to the one with this id.
fn chain(found: &Catalogue, id: &str) -> Result<Vec<String>, Problem> {
    let mut layers = Vec::new();
    let mut at = Some(id.to_owned());
    while let Some(id) = at {
        if layers.len() == LAYERS_MAX {
            return Err(corrupt("its layers lead on without end"));
        }
        let fields: Map<String, Value> = found.json(&format!("{id}/json"))?;
        at = fields.get("parent").and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned);
        layers.push(format!("{id}/layer.tar"));
    }
    layers.reverse();
    Ok(layers)
}

/// The configuration that Docker makes of such an image when it loads it: the top layer's, with the layers
/// named by their digests.
fn config(found: &Catalogue, mut top: Map<String, Value>, layers: &[String]) -> Result<Vec<u8>, Problem> {
    for key in OF_A_LAYER {
        top.shift_remove(key);
    }
    let mut diff_ids = Vec::new();
    for layer in layers {
        let (_, blob) = found.blob(layer)?;
        let (_, digest) = blob.unpacked.ok_or_else(|| corrupt(format!("{layer:?} cannot be unpacked")))?;
        diff_ids.push(format!("sha256:{}", HEXLOWER.encode(&digest)));
    }
    let created = top.get("created").cloned().unwrap_or_else(|| json!("1970-01-01T00:00:00Z"));
    let history: Vec<Value> = layers.iter().map(|_| json!({ "created": created })).collect();
    top.entry("os").or_insert_with(|| json!("linux"));
    top.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": diff_ids }));
    top.insert("history".to_owned(), Value::Array(history));
    Ok(Value::Object(top).to_string().into_bytes())
}
