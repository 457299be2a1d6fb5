//! Making an image fit the card, and saying so before anybody is asked.

use anyhow::Context as _;

use crate::cli::table::size;
use crate::device::info::DeviceInfo;
use crate::error::advise;
use crate::fit::{self, Fit, FitImage, Fitted, Why};
use crate::fs::ext4::Stamp;

use super::super::context::Context;
use super::original::Original;

/// The image as the card will hold it.
pub(super) fn fit(
    context: &Context,
    original: &Original,
    card: &DeviceInfo,
    as_is: bool,
) -> anyhow::Result<Fitted> {
    // Fitting makes no inodes, whose generations would be derived from a seed.
    let stamp = Stamp { time: context.bake_time()?, generation_seed: [0; 32] };
    let request = FitImage {
        card: card.size,
        as_is,
        stamp,
        work_dir: &context.cache_dir,
        progress: context.progress.as_ref(),
        interrupt: &context.interrupt,
    };
    fit::fit(&original.blocks, &request)
        .map_err(|error| {
            let (code, way_out) = (error.exit_code(), error.way_out());
            advise(code, error, way_out)
        })
        .with_context(|| format!("making {} fit {}", original.name(), card.path.display()))
}

/// Says what became of the image.
pub(super) fn announce(context: &Context, fit: &Fit, notes: &[String]) {
    notes.iter().for_each(|note| context.note(note.clone()));
    if let Some(text) = text_of(fit) {
        context.note(text);
    }
}

fn text_of(fit: &Fit) -> Option<String> {
    Some(match fit {
        Fit::AsIs { why: Why::Fits } => return None,
        Fit::AsIs { why } => format!("the image is written as it is: {why}"),
        Fit::Grown { from, to } => {
            format!("the root partition is grown from {} to {}", size(*from), size(*to))
        }
        Fit::Cut { from, to } => {
            format!("the image is cut from {} to {}: nothing lies there", size(*from), size(*to))
        }
        Fit::Shrunk { from, to } => {
            format!("the last partition is shrunk from {} to {}", size(*from), size(*to))
        }
    })
}
