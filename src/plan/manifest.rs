//! `/usr/share/pibake/manifest.json`: what was put into the card, for `inspect`, `verify` and `check`.

use std::fmt::Write;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::fs::metadata::Meta;
use crate::plan::change::{Action, Change, Content, FileSpec};

use super::build::Inputs;
use super::clock::rfc3339;
use super::draft::{Draft, Reason};
use super::image::path;

/// The form of the file; a reader that does not know it reads no further.
const FORMAT: u32 = 1;

/// Plans the manifest of everything planned so far; `digest` is the plan's. `restored` says what was captured, for
/// a card that was not baked from a stock image.
pub(super) fn plan(inputs: &Inputs<'_>, digest: &[u8; 32], restored: Option<Value>, draft: &mut Draft) {
    let node = inputs.node;
    let paths: Vec<Value> = draft.changes().map(entry).collect();
    let mut manifest = json!({
        "format": FORMAT,
        "pibake": inputs.version,
        "cluster": inputs.cluster.name,
        "node": node.name,
        "address": format!("{}/{}", node.address, node.prefix),
        "role": node.role,
        "plan": hex(digest),
        "bake_time": rfc3339(inputs.bake_time),
        "base_sha256": hex(&inputs.base_sha256),
        "release": inputs.inventory.release,
        "arch": inputs.inventory.arch,
        "paths": paths,
    });
    if let Some(restored) = restored {
        manifest["restored"] = restored;
    }
    // Values of strings, numbers, lists and maps with text keys always serialise.
    let mut text = serde_json::to_string_pretty(&manifest).unwrap_or_default();
    text.push('\n');
    let reason = Reason::new("manifest", "what pibake put into this card");
    draft.text(path("/usr/share/pibake/manifest.json"), text, Meta::root(0o600), &reason);
}

/// Lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn entry(change: &Change) -> Value {
    let mut entry = Map::new();
    entry.insert("volume".to_owned(), json!(change.volume));
    entry.insert("path".to_owned(), json!(change.path));
    match &change.action {
        Action::File(spec) => file(&mut entry, spec),
        Action::Directory(meta) => {
            entry.insert("kind".to_owned(), json!("directory"));
            owner(&mut entry, *meta);
        }
        Action::Symlink { target } => {
            entry.insert("kind".to_owned(), json!("link"));
            entry.insert("target".to_owned(), json!(target));
        }
        Action::SetMeta(meta) => {
            entry.insert("kind".to_owned(), json!("meta"));
            owner(&mut entry, *meta);
        }
        Action::Remove | Action::Rename { .. } => {
            entry.insert("kind".to_owned(), json!("removed"));
        }
    }
    Value::Object(entry)
}

fn file(entry: &mut Map<String, Value>, spec: &FileSpec) {
    entry.insert("kind".to_owned(), json!("file"));
    owner(entry, spec.meta);
    if spec.immutable {
        entry.insert("flags".to_owned(), json!(["immutable"]));
    }
    // A digest would let a guess at the secret be checked, and so would its length, a little.
    let (size, digest) = match &spec.content {
        Content::Secret(_) => {
            entry.insert("secret".to_owned(), json!(true));
            return;
        }
        Content::Bytes(bytes) => (bytes.len() as u64, hex(&Sha256::digest(bytes))),
        Content::HostFile { size, sha256, .. } => (*size, hex(sha256)),
    };
    entry.insert("size".to_owned(), json!(size));
    entry.insert("sha256".to_owned(), json!(digest));
}

fn owner(entry: &mut Map<String, Value>, meta: Meta) {
    entry.insert("mode".to_owned(), json!(format!("{:04o}", meta.mode)));
    entry.insert("uid".to_owned(), json!(meta.uid));
    entry.insert("gid".to_owned(), json!(meta.gid));
}
