//! What a capture came to.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::backup::manifest::Manifest;
use crate::cli::print;
use crate::cli::table::{Table, size};

use super::super::context::Context;

/// A backup that is there.
pub(super) struct Captured<'a> {
    /// Its archive.
    pub(super) archive: &'a Path,
    /// Its manifest.
    pub(super) manifest: &'a Manifest,
    /// What it took.
    pub(super) took: Duration,
}

/// Says what was captured.
pub(super) fn tell(context: &Context, captured: &Captured<'_>) -> anyhow::Result<()> {
    let Captured { archive, manifest, took } = captured;
    if context.common.json {
        return print(format_args!(
            "{:#}\n",
            json!({
                "archive": archive,
                "source": manifest.source,
                "size": manifest.image_size,
                "used": manifest.used,
                "stored": manifest.archive.size,
                "sha256": manifest.archive.sha256,
                "seconds": (took.as_secs_f64() * 1000.0).round() / 1000.0,
                "notes": manifest.notes,
                "holes": manifest.holes,
            })
        ));
    }
    if context.common.quiet {
        return Ok(());
    }
    let rate = (manifest.used as f64 / took.as_secs_f64().max(0.001)) as u64;
    let percent = manifest.archive.size.saturating_mul(100).checked_div(manifest.used).unwrap_or(100);
    let mut table = Table::new(["BACKUP", "CARD SIZE", "IN USE", "STORED", "AT"]);
    table.row([
        archive.display().to_string(),
        size(manifest.image_size),
        size(manifest.used),
        format!("{} ({percent} %)", size(manifest.archive.size)),
        format!("{}/s", size(rate)),
    ]);
    print(table)
}
