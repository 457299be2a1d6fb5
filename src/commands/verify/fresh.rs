//! A card against a new bake, file by file: for cards without a receipt.
//!
//! The plan is made anew for the bake time that the card names, with stand-ins for what would have to be asked
//! for, as `pibake plan` does; nothing is signed. So of secret files presence, mode and owner are compared, and
//! what a stand-in signed is not compared at all. On a card that was not used, all else that the base image brought
//! is compared as well.

use std::sync::Arc;

use anyhow::Context as _;

use crate::audit::manifest::Manifest;
use crate::audit::paths::audit;
use crate::audit::signs::Signs;
use crate::audit::stock;
use crate::cli::args::{NodeArgs, VerifyArgs};
use crate::disk::block::BlockRead;
use crate::disk::partition_table;
use crate::error::{ExitCode, advised};
use crate::inventory::find::find;
use crate::plan::change::{Action, Content, Plan};
use crate::sink::card::CardReader;

use super::super::card::{Privileged, refusal};
use super::super::context::Context;
use super::super::prepare;
use super::found::{Against, Found};
use super::look::{another, describe, open};

/// The node's certificate for joining: signed anew for every bake.
const SIGNED: &str = "/etc/pibake/swarm/join_key-cert.pub";

/// Why a captured card has no bake to be compared with.
const RESTORED: &str =
    "it was restored from a capture, and no bake is like it; without --fresh its receipt counts";

/// Compares a card with what a bake of now would put into it.
pub(super) fn compare(context: &Context, args: &VerifyArgs) -> anyhow::Result<Found> {
    let wanted = NodeArgs { nodes: vec![args.node.clone()], all: false };
    let order = prepare::order(context, &wanted, &args.swarm)?;
    prepare::check_complete(context, &order)?;
    let info = describe(context, &args.device)?;
    let Some(state) = prepare::existing_state(context, &order.cluster)? else {
        return Err(advised(
            ExitCode::Usage,
            format!("cluster {} has no identity here to bake from", order.cluster.name),
            "name the state that the card was baked from with --state; nothing was made",
        ));
    };
    let card = CardReader::open(&info, &Privileged(&context.invoker)).map_err(refusal)?;
    let card: Arc<dyn BlockRead> = Arc::new(card);
    let mut found = Found::new(&args.node, &info, Against::Fresh);
    let (pair, manifest) = match open(&card) {
        Ok(opened) => opened,
        Err(why) => {
            found.problem = Some(why);
            return Ok(found);
        }
    };
    let restored = || manifest.is_restored().then(|| RESTORED.to_owned());
    found.problem = another(&manifest, &order.cluster.name, &args.node).or_else(restored);
    if found.problem.is_some() {
        return Ok(found);
    }
    let bases = prepare::bases(context, &order)?;
    let plans = prepare::plans_for_show(context, &order, &bases, Some(&state), manifest.bake_time())?;
    let planned = plans.first().context("no plan was made")?;
    let fresh = manifest_of(&planned.plan)?;
    let signs = Signs::look(&card, &pair, &manifest, planned.plan.disk.image_size);
    found.take(audit(&without_signed(&fresh), &pair, signs.used(), &context.interrupt)?);
    if !signs.used() {
        let blocks = &bases.of(&planned.node)?.image.blocks;
        let stock = find(blocks, &partition_table::read(blocks)?)?;
        found.take(stock::compare(&stock, &pair, &fresh, &context.interrupt)?);
    }
    found.used = [signs.root, signs.boot].concat();
    found.holds = found.nothing_wrong();
    Ok(found)
}

/// What the new bake knows the content of.
fn without_signed(fresh: &Manifest) -> Manifest {
    let mut known = fresh.clone();
    known.paths.retain(|entry| entry.path.as_str() != SIGNED);
    known
}

/// The manifest that a bake would put into the card.
fn manifest_of(plan: &Plan) -> anyhow::Result<Manifest> {
    let manifest = plan.changes.iter().find_map(|change| match &change.action {
        Action::File(spec) if change.path.as_str() == Manifest::PATH => Some(&spec.content),
        _ => None,
    });
    match manifest {
        Some(Content::Bytes(bytes)) => Ok(Manifest::parse(bytes)?),
        _ => anyhow::bail!("the plan has no manifest"),
    }
}
