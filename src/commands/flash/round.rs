//! Rounds: as many nodes at once as there are devices, until every node has its card.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use anyhow::Context as _;

use crate::cli::args::FlashArgs;
use crate::cli::prompt;
use crate::device::policy::ConfirmedTarget;
use crate::disk::block::BlockRead;
use crate::error::{Advise, ExitCode, advised};
use crate::sink::receipt::{Provenance, Receipt};
use crate::state::State;

use super::super::card::{self, Leave, Looked};
use super::super::context::Context;
use super::super::oven;
use super::super::prepare::{Bases, Planned};
use super::super::writing::{Ready, Written};
use super::next_card;
use super::outcome::Outcome;

/// What every card of a run is made with.
pub(super) struct Kitchen<'a> {
    pub(super) context: &'a Context,
    pub(super) args: &'a FlashArgs,
    pub(super) cluster: &'a str,
    pub(super) state: &'a State,
    pub(super) bases: &'a Bases,
    pub(super) sources: Vec<PathBuf>,
}

/// Refuses a run that would have to ask for further cards where nobody is asked.
pub(super) fn check_rounds(plans: &[Planned], args: &FlashArgs) -> anyhow::Result<()> {
    if plans.len() <= args.devices.len() || prompt::somebody_there() {
        return Ok(());
    }
    Err(advised(
        ExitCode::Usage,
        format!("{} nodes, {} devices, and nobody to ask for further cards", plans.len(), args.devices.len()),
        "name as many devices as nodes, or run it at a terminal; --yes does not cover a card that is put in later",
    ))
}

/// Writes all of them. What became of each card is in `outcomes`, whatever this returns.
pub(super) fn all(
    kitchen: &Kitchen<'_>,
    first: Vec<Looked>,
    plans: Vec<Planned>,
    outcomes: &mut Vec<Outcome>,
) -> anyhow::Result<()> {
    let mut plans = plans.into_iter().peekable();
    let mut looked = Some(first);
    let mut before = Vec::new();
    while plans.peek().is_some() {
        kitchen.context.interrupt.check()?;
        let round: Vec<Planned> = plans.by_ref().take(kitchen.args.devices.len()).collect();
        let (looked, leave) = match looked.take() {
            Some(looked) => (looked, Leave::Yes),
            None => (next_card::wait(kitchen, &round, &before)?, Leave::Asked),
        };
        before = looked.iter().map(|looked| looked.info.clone()).collect();
        outcomes.extend(one(kitchen, &round, looked, leave)?);
    }
    Ok(())
}

/// Bakes the nodes of a round, asks once, and writes their cards at the same time.
fn one(
    kitchen: &Kitchen<'_>,
    round: &[Planned],
    looked: Vec<Looked>,
    leave: Leave,
) -> anyhow::Result<Vec<Outcome>> {
    let ready: Vec<Ready<'_>> =
        round.iter().map(|planned| baked(kitchen, planned)).collect::<anyhow::Result<_>>()?;
    let cards = looked.into_iter().zip(ready.iter().map(Ready::becomes)).collect();
    let targets = card::confirm(kitchen.context, &kitchen.args.card, cards, leave)?;
    thread::scope(|scope| {
        let jobs = round.iter().zip(&ready).zip(&targets);
        let running: Vec<_> = jobs
            .map(|((planned, ready), target)| scope.spawn(move || write(kitchen, planned, ready, target)))
            .collect();
        running
            .into_iter()
            .map(|card| card.join().map_err(|_| anyhow::anyhow!("a card's thread panicked")))
            .collect()
    })
}

/// A node's image, edited and proved.
fn baked<'a>(kitchen: &Kitchen<'a>, planned: &Planned) -> anyhow::Result<Ready<'a>> {
    let Kitchen { context, args, .. } = kitchen;
    planned.tell(context);
    let base = kitchen.bases.of(&planned.node)?;
    let image: Arc<dyn BlockRead> = Arc::new(oven::edit(base, planned)?);
    oven::check(context, base, planned, &image)?;
    let vouch = Box::new(|| base.image.whole().map_err(Into::into));
    Ready::new(context, planned.node.name.clone(), image, None, vouch, &args.card)
}

/// Writes one card, and tells at once if it failed: the others go on.
fn write(kitchen: &Kitchen<'_>, planned: &Planned, ready: &Ready<'_>, target: &ConfirmedTarget) -> Outcome {
    let written = ready
        .write(kitchen.context, target)
        .and_then(|written| keep(kitchen, planned, &written).map(|receipt| (written, receipt)));
    let outcome = Outcome { node: planned.node.name.clone(), device: target.info().clone(), written };
    if let (Some(failure), true) = (outcome.failure(), kitchen.args.devices.len() > 1) {
        kitchen.context.note(failure);
    }
    outcome
}

/// Puts the receipt into the state.
fn keep(kitchen: &Kitchen<'_>, planned: &Planned, written: &Written) -> anyhow::Result<Receipt> {
    let Kitchen { context, state, .. } = kitchen;
    let provenance = Provenance {
        cluster: kitchen.cluster,
        node: &planned.node.name,
        plan: planned.plan.digest,
        base: kitchen.bases.of(&planned.node)?.image.source_sha256,
        started: written.started,
        finished: written.finished,
    };
    let receipt = Receipt::new(&provenance, &written.flashed.device, &written.flashed.report);
    let value = serde_json::to_value(&receipt).context("writing the receipt as JSON")?;
    let path = state
        .lock(context.progress.as_ref(), &context.interrupt)
        .and_then(|locked| locked.write_receipt(&planned.node.name, planned.plan.bake_time, &value))
        .context("the card is written and verified, but its receipt could not be kept")
        .advise(
            ExitCode::Failed,
            "flash it again once that is mended: what the card holds is not written again",
        )?;
    context.note(format!("receipt {}", path.display()));
    Ok(receipt)
}
