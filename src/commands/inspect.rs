//! `pibake inspect`: what an image, a card or a backup holds.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::backup::error::BackupError;
use crate::backup::manifest::Manifest;
use crate::backup::names::Names;
use crate::cli::{backup, print, survey as show};
use crate::disk::block::BlockRead;
use crate::error::{Advise, ExitCode};
use crate::inventory::survey::{Survey, survey};
use crate::source::error::SourceError;
use crate::source::{self, OpenImage};

use super::card::open_to_read;
use super::context::Context;

pub(super) fn run(context: &Context, target: &Path) -> anyhow::Result<()> {
    match manifest(context, target)? {
        Some(manifest) if context.common.json => {
            let mut value = in_json(&manifest.holds)?;
            value["backup"] = without_lists(&manifest)?;
            print(format_args!("{value:#}\n"))
        }
        Some(manifest) => {
            print(format!("{}\n{}", backup::in_full(&manifest), show::in_full(&manifest.holds)))
        }
        None => {
            let survey = survey(&open(context, target)?);
            if context.common.json {
                return print(format_args!("{:#}\n", in_json(&survey)?));
            }
            print(show::in_full(&survey))
        }
    }
}

fn in_json(survey: &Survey) -> anyhow::Result<serde_json::Value> {
    serde_json::to_value(survey).context("writing what was found as JSON")
}

/// A manifest without the digests of every frame, and without what the survey says already.
fn without_lists(manifest: &Manifest) -> anyhow::Result<serde_json::Value> {
    let mut value = serde_json::to_value(manifest).context("writing the manifest as JSON")?;
    if let Some(entries) = value.as_object_mut() {
        entries.retain(|key, _| !matches!(key.as_str(), "frames" | "holds"));
    }
    Ok(value)
}

/// The manifest that is named, or that stands beside the archive named and speaks of it. One that is of no use
/// beside an archive is told, and the archive speaks for itself.
fn manifest(context: &Context, target: &Path) -> anyhow::Result<Option<Manifest>> {
    let Some(names) = Names::of(target) else { return Ok(None) };
    let read = Manifest::read(&names.manifest);
    if names.manifest == target {
        return match read {
            Err(BackupError::Missing(_)) => Ok(None),
            read => Ok(Some(read.advise(ExitCode::Failed, "name the archive itself: NAME.img.zst")?)),
        };
    }
    let size = fs::metadata(target).map(|metadata| metadata.len()).ok();
    match read {
        Ok(manifest) if Some(manifest.archive.size) == size => Ok(Some(manifest)),
        Err(BackupError::Missing(_)) => Ok(None),
        useless => {
            let why = useless
                .err()
                .map_or_else(|| "it is of another archive".to_owned(), |error| error.to_string());
            context.warn(&[format!("{} is passed over: {why}", names.manifest.display())]);
            Ok(None)
        }
    }
}

/// A disk as it is; a file that can be read anywhere as it lies there; any other unpacked if it is packed. A file
/// that is no image may still be a card that was being written.
fn open(context: &Context, target: &Path) -> anyhow::Result<Arc<dyn BlockRead>> {
    let as_it_is = || {
        open_to_read(context, target)
            .with_context(|| format!("opening {}", target.display()))
            .advise(ExitCode::Failed, "run it with sudo if this is a device")
    };
    if fs::metadata(target).is_ok_and(|metadata| metadata.file_type().is_block_device()) {
        return as_it_is();
    }
    if let Ok(Some(archive)) = source::open_in_place(target) {
        return Ok(Arc::new(archive.image));
    }
    let request = OpenImage {
        path: target,
        expected_sha256: None,
        cache_dir: &context.cache_dir,
        progress: &context.progress,
        interrupt: &context.interrupt,
    };
    match source::open(&request) {
        Ok(image) => Ok(image.blocks),
        Err(SourceError::LooksLike { packed: false, .. }) => as_it_is(),
        other => Ok(other.advise(ExitCode::Failed, "name an image or a device")?.blocks),
    }
}
