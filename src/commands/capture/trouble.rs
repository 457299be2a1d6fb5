//! What could not be read: whose it is, and what to do about it.

use std::sync::Arc;

use crate::backup::error::ArchiveError;
use crate::backup::manifest::{Hole, Manifest};
use crate::cli::table::printable;
use crate::disk::block::BlockRead;
use crate::disk::range::ByteRange;
use crate::error::{self, ExitCode, advised};
use crate::usage::owner::owners;

/// Bytes between two places of a hole that are looked at: blocks of a filesystem.
const STEP: usize = 4096;
/// Places looked at, over all holes. A card that has more of them is told by its offsets.
const PLACES: usize = 1 << 16;

/// An error of the writer, with what lies where it happened and what can be done about it.
pub(super) fn advise(failure: ArchiveError, name: &str, image: &Arc<dyn BlockRead>) -> anyhow::Error {
    let code = failure.exit_code();
    let (context, way_out) = match &failure {
        ArchiveError::Read { range, .. } => {
            let place = owners(image, &[range.start()]).first().map(ToString::to_string);
            let place = place.map_or_else(String::new, |place| format!(", {}", printable(&place)));
            let what_to_do = "try again in another reader; --rescue leaves out what cannot be read";
            (format!("capturing {name}{place}"), what_to_do)
        }
        ArchiveError::Write(_) => (format!("capturing {name}"), "see to the directory and its free space"),
        ArchiveError::TooLarge(_) | ArchiveError::Interrupted(_) => (format!("capturing {name}"), ""),
    };
    error::advise(code, anyhow::Error::new(failure).context(context), way_out)
}

/// What lies in the holes.
pub(super) fn holes(image: &Arc<dyn BlockRead>, holes: &[ByteRange]) -> Vec<Hole> {
    let each = PLACES / holes.len().max(1);
    let places = |hole: &ByteRange| (hole.start()..hole.end()).step_by(STEP).take(each.max(1)).collect();
    let looked: Vec<Vec<u64>> = holes.iter().map(places).collect();
    let mut told = owners(image, &looked.concat()).into_iter();
    let named = holes.iter().zip(&looked).map(|(hole, looked)| {
        let mut holds: Vec<String> = Vec::new();
        for place in told.by_ref().take(looked.len()).map(|place| place.to_string()) {
            if !holds.contains(&place) {
                holds.push(place);
            }
        }
        Hole { start: hole.start(), len: hole.len(), holds }
    });
    named.collect()
}

/// The error that ends a run that had to leave something out.
pub(super) fn verdict(name: &str, manifest: &Manifest) -> anyhow::Result<()> {
    if manifest.holes.is_empty() {
        return Ok(());
    }
    let mut lines = vec![format!(
        "{name}: {} bytes in {} ranges could not be read; they are zeros in the backup:",
        manifest.holes.iter().map(|hole| hole.len).sum::<u64>(),
        manifest.holes.len()
    )];
    lines.extend(manifest.holes.iter().map(|hole| {
        let holds = printable(&hole.holds.join("; "));
        format!("  bytes {}-{}: {holds}", hole.start, hole.start.saturating_add(hole.len))
    }));
    Err(advised(
        ExitCode::CardMismatch,
        lines.join("\n"),
        "restore it to a sound card, run e2fsck on that, and replace the files named",
    ))
}
