//! `pibake plan`: what would be written, file by file, and why.

use data_encoding::HEXLOWER;
use serde_json::json;

use crate::cli::args::{NodeArgs, SwarmArgs};
use crate::cli::print;
use crate::plan::show;
use crate::state::{State, StoredReceipt};

use super::context::Context;
use super::prepare::{self, Planned};

pub(super) fn run(context: &Context, nodes: &NodeArgs, swarm: &SwarmArgs) -> anyhow::Result<()> {
    let order = prepare::order(context, nodes, swarm)?;
    prepare::check_complete(context, &order)?;
    let state = prepare::existing_state(context, &order.cluster)?;
    let bases = prepare::bases(context, &order)?;
    let plans = prepare::plans_for_show(context, &order, &bases, state.as_ref(), context.bake_time()?)?;
    let (changed, restored) = held_otherwise(state.as_ref(), &plans)?;
    if context.common.json {
        let views: Vec<_> = plans.iter().map(|planned| show::view(&planned.plan, true)).collect();
        let document = json!({ "plans": views, "changed_since_flashed": changed, "restored": restored });
        return print(format_args!("{document:#}\n"));
    }
    for planned in &plans {
        print(show::text(&planned.plan, context.common.verbose))?;
    }
    if !changed.is_empty() {
        print(format_args!("\nflashed with another plan than this: {}\n", changed.join(", ")))?;
    }
    if !restored.is_empty() {
        print(format_args!("\nholding a restored capture, and no bake: {}\n", restored.join(", ")))?;
    }
    Ok(())
}

/// Nodes whose newest card was flashed with another plan, and those whose newest card is a captured one.
fn held_otherwise(state: Option<&State>, plans: &[Planned]) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let (mut changed, mut restored) = (Vec::new(), Vec::new());
    for Planned { node, plan, .. } in plans {
        let newest = state.map_or(Ok(None), |state| state.newest_receipt(&node.name))?;
        let flashed = newest.as_ref().and_then(StoredReceipt::plan);
        if newest.as_ref().is_some_and(StoredReceipt::is_restored) {
            restored.push(node.name.clone());
        } else if flashed.is_some_and(|digest| digest != HEXLOWER.encode(&plan.digest)) {
            changed.push(node.name.clone());
        }
    }
    Ok((changed, restored))
}
