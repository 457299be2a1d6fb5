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
use crate::inventory::types::Layout;
use crate::sink::card::{CardJob, ImageRanges};
use crate::sink::receipt::{Provenance, Receipt};
use crate::state::State;

use super::card::{self, Wanted};
use super::context::Context;
use super::oven;
use super::prepare::{self, Base, Planned};

pub(super) fn run(context: &Context, node: &str, wanted: &Wanted, swarm: &SwarmArgs) -> anyhow::Result<()> {
    let nodes = NodeArgs { nodes: vec![node.to_owned()], all: false };
    let order = prepare::order(context, &nodes, swarm)?;
    prepare::check_complete(context, &order)?;
    let sources = order.nodes.iter().filter_map(|node| node.image.source.clone()).collect();
    let looked = card::look(context, wanted, sources)?;
    let state = prepare::state(context, &order.cluster)?;
    let secrets = prepare::secrets(context, &order, state.seed())?;
    let identities = prepare::identities(context, &order, &state)?;
    let bases = prepare::bases(context, &order)?;
    let plans = prepare::plans_for_bake(context, &order, &bases, secrets, identities, &state)?;
    let planned = plans.into_iter().next().with_context(|| format!("no plan was made for {node}"))?;
    planned.tell(context);
    let base = bases.of(&planned.node)?;
    let image: Arc<dyn BlockRead> = Arc::new(oven::edit(base, &planned)?);
    oven::check(context, base, &planned, &image)?;
    let target = card::confirm(context, wanted, looked, node, image.size())?;
    let receipt = write(context, &order.cluster.name, base, &planned, &image, &target)?;
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
    target: &ConfirmedTarget,
) -> anyhow::Result<Receipt> {
    let started = SystemTime::now();
    let layout = base.inventory.layout.clone();
    let job = CardJob {
        image,
        ranges: ImageRanges::whole(image.size()),
        place: &move |offset| place(&layout, offset),
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

/// Which partition an offset lies in.
fn place(layout: &Layout, offset: u64) -> Option<String> {
    let inside = |(start, len): (u64, u64)| offset >= start && offset - start < len;
    if inside(layout.boot) {
        Some("the boot partition".to_owned())
    } else if offset >= layout.root.0 {
        Some("the root partition".to_owned())
    } else {
        None
    }
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
