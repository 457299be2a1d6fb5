//! One image onto one confirmed card, proved: what flash and restore share.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;

use crate::cli::args::CardArgs;
use crate::cli::table::size;
use crate::device::platform::System;
use crate::device::policy::ConfirmedTarget;
use crate::disk::block::BlockRead;
use crate::disk::range::ByteRange;
use crate::error::{ExitCode, advise};
use crate::sink::card::{self, CardJob, FlashError, Flashed, ImageRanges};
use crate::sink::error::{SinkError, Unsound};
use crate::source::error::{NotUnpacked, SourceError};
use crate::usage::owner::owners;
use crate::usage::used::used;

use super::card::{Becomes, Privileged, describe, refusal};
use super::context::Context;

/// An image that may be written: every check of it has passed.
pub(super) struct Ready<'a> {
    /// A node, or a file.
    what: String,
    image: Arc<dyn BlockRead>,
    ranges: ImageRanges,
    vouch: Vouch<'a>,
    args: &'a CardArgs,
}

/// Whether what an image is made from, which may still be arriving, is what it should be.
pub(super) type Vouch<'a> = Box<dyn Fn() -> Result<(), Unsound> + Sync + 'a>;

/// A card that holds its image.
pub(super) struct Written {
    pub(super) flashed: Flashed,
    pub(super) started: SystemTime,
    pub(super) finished: SystemTime,
}

impl<'a> Ready<'a> {
    /// Finds out what of an image is to be written, unless that is `known`.
    pub(super) fn new(
        context: &Context,
        what: String,
        image: Arc<dyn BlockRead>,
        known: Option<Vec<ByteRange>>,
        vouch: Vouch<'a>,
        args: &'a CardArgs,
    ) -> anyhow::Result<Self> {
        let ranges = match known {
            _ if args.all_blocks => ImageRanges::whole(image.size()),
            Some(used) => ImageRanges::new(image.size(), used),
            None => in_use(context, &what, image.as_ref())?,
        };
        Ok(Self { what, image, ranges, vouch, args })
    }

    /// What the card will be.
    pub(super) fn becomes(&self) -> Becomes {
        Becomes { what: self.what.clone(), size: self.image.size() }
    }

    /// Writes the card, all checks repeated on the open descriptor, and proves it.
    pub(super) fn write(&self, context: &Context, target: &ConfirmedTarget) -> anyhow::Result<Written> {
        let started = SystemTime::now();
        let place = |offset| owners(self.image.as_ref(), &[offset]).first().map(ToString::to_string);
        let job = CardJob {
            image: self.image.as_ref(),
            ranges: self.ranges.clone(),
            vouch: self.vouch.as_ref(),
            rewrite: self.args.rewrite,
            eject: self.args.eject,
            place: &place,
            subject: self.what.clone(),
            progress: context.progress.as_ref(),
            interrupt: &context.interrupt,
        };
        let authority = Privileged(&context.invoker);
        let flashed = card::flash(target, &System::host(), &authority, &job).map_err(failed)?;
        Ok(Written { flashed, started, finished: SystemTime::now() })
    }
}

/// What of an image is in use. What of it contradicts itself counts as used, and is told.
fn in_use(context: &Context, what: &str, image: &dyn BlockRead) -> anyhow::Result<ImageRanges> {
    let used = used(image, &[]).with_context(|| format!("looking for what {what} uses of its image"))?;
    for doubt in used.mismatches() {
        context.warn(&[format!("{what}: {doubt}")]);
    }
    Ok(ImageRanges::new(image.size(), used.ranges))
}

fn failed(error: FlashError) -> anyhow::Error {
    match error {
        FlashError::Target(error) => refusal(error),
        FlashError::Card(failure) => {
            let way_out = way_out(&failure.error);
            advise(failure.exit_code(), failure, way_out)
        }
    }
}

/// An image that cannot be used: what to do about it, `otherwise` where it does not say.
pub(super) fn unusable(error: SourceError, otherwise: &str) -> anyhow::Error {
    let way_out = error.way_out().unwrap_or_else(|| otherwise.to_owned());
    advise(ExitCode::Failed, error, way_out)
}

/// What to do about a card that was not written.
fn way_out(error: &SinkError) -> String {
    let what_to_do = match error {
        SinkError::Interrupted(_) => "run it again: what the card holds by then is not written again",
        SinkError::Wraps { .. } | SinkError::Forgetful { .. } => {
            "do not use this card: what is stored beyond its real size is lost"
        }
        SinkError::Image { .. } | SinkError::ImageChanged { .. } | SinkError::Unsound(_) => {
            if let Some(way_out) = source_of(error).and_then(SourceError::way_out) {
                return way_out;
            }
            "see to the image: download it again, or leave it alone while it is used; then write the card again"
        }
        _ => "try again; a card or a reader that fails twice is to be replaced",
    };
    what_to_do.to_owned()
}

/// What was wrong with the file that an image was read from.
fn source_of(error: &SinkError) -> Option<&SourceError> {
    match error {
        SinkError::Image { source, .. } => Some(&source.get_ref()?.downcast_ref::<NotUnpacked>()?.source),
        SinkError::Unsound(error) => error.downcast_ref(),
        _ => None,
    }
}

/// The heading of the table that ends a run.
pub(super) const HEADING: [&str; 7] = ["NODE", "CARD", "USED", "WRITTEN", "AT", "READ BACK AT", ""];

/// A card's line in that table.
pub(super) fn row(what: &str, flashed: &Flashed) -> Vec<String> {
    let Flashed { device, report, ejected } = flashed;
    let card = format!("{} ({})", device.path.display(), describe(device));
    let rates = [report.write_rate(), report.verify_rate()];
    let rate = |rate| if rate == 0 { "-".to_owned() } else { format!("{}/s", size(rate)) };
    let [write, verify] = rates.map(rate);
    let end = if *ejected { "verified and ejected" } else { "verified, safe to remove" };
    vec![what.to_owned(), card, size(report.used()), size(report.written()), write, verify, end.to_owned()]
}
