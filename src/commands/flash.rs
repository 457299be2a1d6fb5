//! `pibake flash`: one node onto one card, proved.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;

use crate::cli::args::{NodeArgs, SwarmArgs};
use crate::cli::print;
use crate::cli::table::{Table, size};
use crate::device::info::DeviceInfo;
use crate::device::policy::ConfirmedTarget;
use crate::disk::block::BlockRead;
use crate::sink::card::{CardJob, ImageRanges};
use crate::sink::receipt::{Provenance, Receipt};
use crate::state::State;
use crate::usage::owner::owners;
use crate::usage::used::used;

use super::card::{self, Wanted};
use super::context::Context;
use super::oven;
use super::prepare::{self, Base, Planned};

pub(super) fn run(
    context: &Context,
    node: &str,
    wanted: &Wanted,
    all_blocks: bool,
    swarm: &SwarmArgs,
) -> anyhow::Result<()> {
    let nodes = NodeArgs { nodes: vec![node.to_owned()], all: false };
    let order = prepare::order(context, &nodes, swarm)?;
    prepare::check_complete(context, &order)?;
    let sources = order.nodes.iter().filter_map(|node| node.image.source.clone()).collect();
    let looked = card::look(context, wanted, sources)?;
    let state = prepare::state(context, &order.cluster)?;
    let secrets = prepare::secrets(context, &order, state.seed())?;
    let bases = prepare::bases(context, &order)?;
    let plans = prepare::plans_for_bake(context, &order, &bases, secrets, &state)?;
    let planned = plans.into_iter().next().with_context(|| format!("no plan was made for {node}"))?;
    planned.tell(context);
    let base = bases.of(&planned.node)?;
    let image: Arc<dyn BlockRead> = Arc::new(oven::edit(base, &planned)?);
    oven::check(context, base, &planned, &image)?;
    let ranges = if all_blocks { ImageRanges::whole(image.size()) } else { used_ranges(context, &image)? };
    let target = card::confirm(context, wanted, looked, node, image.size())?;
    let receipt = write(context, &order.cluster.name, base, &planned, &image, ranges, &target)?;
    keep(context, &state, &planned, &receipt)?;
    report(context, target.info(), &receipt)
}

/// Puts the receipt into the state.
fn keep(context: &Context, state: &State, planned: &Planned, receipt: &Receipt) -> anyhow::Result<()> {
    let locked = state.lock(context.progress.as_ref(), &context.interrupt)?;
    let receipt = serde_json::to_value(receipt).context("writing the receipt as JSON")?;
    let path = locked.write_receipt(&planned.node.name, planned.plan.bake_time, &receipt)?;
    context.note(format!("receipt {}", path.display()));
    Ok(())
}

/// Writes and verifies the card; what was done.
fn write(
    context: &Context,
    cluster: &str,
    base: &Base,
    planned: &Planned,
    image: &Arc<dyn BlockRead>,
    ranges: ImageRanges,
    target: &ConfirmedTarget,
) -> anyhow::Result<Receipt> {
    let started = SystemTime::now();
    let job = CardJob {
        image,
        ranges,
        place: &|offset| owners(image, &[offset]).first().map(ToString::to_string),
        subject: planned.node.name.clone(),
        progress: context.progress.as_ref(),
        interrupt: &context.interrupt,
    };
    let flashed = card::flash(context, target, &job)?;
    let provenance = Provenance {
        cluster,
        node: &planned.node.name,
        plan: planned.plan.digest,
        base: base.image.source_sha256,
        started,
        finished: SystemTime::now(),
    };
    Ok(Receipt::new(&provenance, &flashed.device, &flashed.report))
}

/// What of the image is in use. Whatever is doubtful counts, so nothing in here keeps a card from being written.
fn used_ranges(context: &Context, image: &Arc<dyn BlockRead>) -> anyhow::Result<ImageRanges> {
    let used = used(image, &[]).context("finding out which blocks of the image are in use")?;
    used.mismatches().for_each(|note| context.note(note.to_string()));
    Ok(ImageRanges::new(image.size(), used.ranges))
}

fn report(context: &Context, info: &DeviceInfo, receipt: &Receipt) -> anyhow::Result<()> {
    if context.common.json {
        let value = serde_json::to_value(receipt).context("writing the receipt as JSON")?;
        print(format_args!("{value:#}\n"))?;
    } else if !context.common.quiet {
        let mut table = Table::new(["NODE", "CARD", "WRITTEN", "AT", "READ BACK AT", ""]);
        table.row([
            receipt.node.clone(),
            format!("{} ({})", info.path.display(), card::describe(info)),
            size(receipt.written),
            format!("{}/s", size(receipt.write_rate)),
            format!("{}/s", size(receipt.verify_rate)),
            "verified, safe to remove".to_owned(),
        ]);
        print(table)?;
    }
    Ok(())
}
