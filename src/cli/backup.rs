//! What a backup is of, for a person.

use crate::backup::manifest::{Manifest, Origin};
use crate::cli::table::{printable, size};

/// What a manifest says beside what the image holds.
#[must_use]
pub fn in_full(manifest: &Manifest) -> String {
    let packed = manifest.archive.size.saturating_mul(100).checked_div(manifest.used).unwrap_or(100);
    let mut rows = vec![
        ("backup", format!("{} of {}", manifest.name, from(&manifest.source))),
        ("taken", format!("{} to {}, by pibake {}", manifest.started, manifest.finished, manifest.pibake)),
        (
            "in use",
            format!(
                "{} of {}, stored in {} ({packed} %)",
                size(manifest.used),
                size(manifest.image_size),
                size(manifest.archive.size)
            ),
        ),
        ("sha256", manifest.archive.sha256.to_string()),
    ];
    rows.extend(manifest.notes.iter().map(|note| ("note", note.clone())));
    rows.extend(manifest.holes.iter().map(|hole| {
        let end = hole.start.saturating_add(hole.len);
        ("missing", format!("bytes {}-{}: {}", hole.start, end, hole.holds.join("; ")))
    }));
    rows.into_iter().map(|(name, value)| format!("{name:<12}{}\n", printable(value.trim()))).collect()
}

fn from(origin: &Origin) -> String {
    match origin {
        Origin::Card { path, model, serial, size: bytes } => {
            let model = model.as_deref().unwrap_or("unknown model");
            let serial = serial.as_ref().map_or_else(String::new, |serial| format!(", serial {serial}"));
            format!("the card in {}: {model}{serial}, {}", path.display(), size(*bytes))
        }
        Origin::File { path } => format!("the file {}", path.display()),
        Origin::Node { host, user, node, device, frozen_ms } => {
            let user = user.as_ref().map_or_else(String::new, |user| format!("{user}@"));
            let node = node.as_ref().map_or_else(String::new, |node| format!("node {node}, "));
            format!("{node}{user}{host}, {device}, running; frozen for {:.1} s", *frozen_ms as f64 / 1000.0)
        }
    }
}
