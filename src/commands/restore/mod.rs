//! `pibake restore`: any image onto a card, made to fit it, proved.

mod fitting;
mod identity;
mod original;
mod tell;

use std::sync::Arc;

use anyhow::Context as _;

use crate::cli::args::RestoreArgs;
use crate::fit::Fitted;

use super::card::{self, Leave};
use super::context::Context;
use super::writing::Ready;

use identity::Wanted;
use original::Original;

pub(super) fn run(context: &Context, args: &RestoreArgs) -> anyhow::Result<()> {
    identity::check(args)?;
    let source = args.file.canonicalize().unwrap_or_else(|_| args.file.clone());
    let looked = card::look(context, std::slice::from_ref(&args.device), &args.card, &[source])?;
    let card = &looked.first().context("no card was looked at")?.info;
    let wanted = Wanted::of(context, args)?;
    let original = Original::open(context, &args.file)?;
    let Fitted { image, fit, notes } = fitting::fit(context, &original, card, args.as_is)?;
    fitting::announce(context, &fit, &notes);
    // From here on `image` is what the card will hold. It may be changed further; the original never is.
    let (image, node) = match wanted {
        Some(wanted) => wanted.give(context, &original, image).map(|(image, node)| (image, Some(node)))?,
        None => (Arc::new(image), None),
    };
    let what = node.as_ref().map_or_else(|| original.name(), |node| node.plan.node.clone());
    let known = original.used_of(&image, &fit);
    let vouch = Box::new(|| original.whole());
    let ready = Ready::new(context, what, image, known, vouch, &args.card)?;
    let cards = looked.into_iter().map(|looked| (looked, ready.becomes())).collect();
    let targets = card::confirm(context, &args.card, cards, Leave::Yes)?;
    let target = targets.first().context("no card was confirmed")?;
    let written = ready.write(context, target)?;
    let receipt = node.map(|node| node.keep(context, &written)).transpose()?;
    tell::tell(context, &original.name(), &ready, &written, &fit, receipt.as_ref())
}
