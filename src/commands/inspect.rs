//! `pibake inspect`: what an image or a card holds.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::cli::print;
use crate::cli::survey::in_full;
use crate::disk::block::BlockRead;
use crate::error::{Advise, ExitCode};
use crate::inventory::survey::survey;
use crate::source::error::SourceError;
use crate::source::{self, OpenImage};

use super::card::open_to_read;
use super::context::Context;

pub(super) fn run(context: &Context, target: &Path) -> anyhow::Result<()> {
    let survey = survey(&open(context, target)?);
    if context.common.json {
        let value = serde_json::to_value(&survey).context("writing what was found as JSON")?;
        print(format_args!("{value:#}\n"))
    } else {
        print(in_full(&survey))
    }
}

/// A disk as it is; a file unpacked if it is packed. A file that is no image may still be a card that was
/// being written.
fn open(context: &Context, target: &Path) -> anyhow::Result<Arc<dyn BlockRead>> {
    let as_it_is = || {
        open_to_read(context, target)
            .with_context(|| format!("opening {}", target.display()))
            .advise(ExitCode::Failed, "run it with sudo if this is a device")
    };
    if fs::metadata(target).is_ok_and(|metadata| metadata.file_type().is_block_device()) {
        return as_it_is();
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
