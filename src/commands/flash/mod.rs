//! `pibake flash`: nodes onto cards, several at once, each proved.

mod next_card;
mod outcome;
mod round;

use std::path::PathBuf;

use crate::cli::args::FlashArgs;
use crate::error::{ExitCode, advised};
use crate::state::{State, StateError};

use super::card;
use super::context::Context;
use super::prepare::{self, Order, Planned};

use round::Kitchen;

pub(super) fn run(context: &Context, args: &FlashArgs) -> anyhow::Result<()> {
    let order = prepare::order(context, &args.nodes, &args.swarm)?;
    prepare::check_complete(context, &order)?;
    count(&order, &args.devices)?;
    let sources: Vec<PathBuf> = order.nodes.iter().filter_map(|node| node.image.source.clone()).collect();
    let looked = card::look(context, &args.devices, &args.card, &sources)?;
    let state = prepare::state(context, &order.cluster)?;
    let secrets = prepare::secrets(context, &order, state.seed())?;
    let identities = prepare::identities(context, &order, &state)?;
    let bases = prepare::arriving_bases(context, &order)?;
    let mut plans = prepare::plans_for_bake(context, &order, &bases, secrets, identities, &state)?;
    if args.skip_done {
        leave_out_done(context, &state, &mut plans)?;
    }
    round::check_rounds(&plans, args)?;
    let kitchen =
        Kitchen { context, args, cluster: &order.cluster.name, state: &state, bases: &bases, sources };
    let mut outcomes = Vec::new();
    let ended = round::all(&kitchen, looked, plans, &mut outcomes);
    if ended.is_ok() || !outcomes.is_empty() {
        outcome::tell(context, &outcomes, order.nodes.len())?;
    }
    ended.and_then(|()| outcome::verdict(outcomes))
}

/// More devices than nodes are a mistake somewhere.
fn count(order: &Order, devices: &[PathBuf]) -> anyhow::Result<()> {
    if devices.len() <= order.nodes.len() {
        return Ok(());
    }
    Err(advised(
        ExitCode::Usage,
        format!("{} devices for {} nodes", devices.len(), order.nodes.len()),
        "name one device for each node, or fewer; nothing was written",
    ))
}

/// Takes out the nodes that have a verified card of this very plan.
fn leave_out_done(context: &Context, state: &State, plans: &mut Vec<Planned>) -> Result<(), StateError> {
    let mut left = Vec::new();
    for planned in std::mem::take(plans) {
        let digest = data_encoding::HEXLOWER.encode(&planned.plan.digest);
        let newest = state.newest_receipt(&planned.node.name)?;
        let done =
            newest.filter(|stored| stored.plan() == Some(&digest) && stored.receipt["verified"] == true);
        match done.map(|stored| stored.receipt) {
            Some(receipt) => context.note(format!(
                "{} is left out: {} holds this plan since {}",
                planned.node.name,
                receipt["serial"].as_str().or(receipt["device"].as_str()).unwrap_or("a card"),
                receipt["finished"].as_str().unwrap_or("an earlier run"),
            )),
            None => left.push(planned),
        }
    }
    *plans = left;
    Ok(())
}
