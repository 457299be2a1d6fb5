//! `pibake bake`: card images into files.

use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use crate::cli::args::{Format, NodeArgs, SwarmArgs};
use crate::cli::print;
use crate::cli::table::{Table, size};
use crate::error::{Advise, ExitCode};

use super::context::Context;
use super::oven::{self, Baked};
use super::prepare::{self, Planned};

pub(super) fn run(
    context: &Context,
    nodes: &NodeArgs,
    dir: &Path,
    format: Format,
    swarm: &SwarmArgs,
) -> anyhow::Result<()> {
    std::fs::read_dir(dir)
        .with_context(|| format!("looking into {}", dir.display()))
        .advise(ExitCode::Usage, "name an existing directory with --output")?;
    let order = prepare::order(context, nodes, swarm)?;
    prepare::check_complete(context, &order)?;
    let state = prepare::state(context, &order.cluster)?;
    let secrets = prepare::secrets(context, &order, state.seed())?;
    let identities = prepare::identities(context, &order, &state)?;
    let bases = prepare::bases(context, &order)?;
    let plans = prepare::plans_for_bake(context, &order, &bases, secrets, identities, &state)?;
    let mut done = Vec::new();
    for planned in plans {
        planned.tell(context);
        let baked = oven::bake(context, bases.of(&planned.node)?, &planned, dir, format)?;
        let locked = state.lock(context.progress.as_ref(), &context.interrupt)?;
        locked.record_bake(&planned.node.name, &planned.plan.digest, planned.plan.bake_time)?;
        done.push((planned, baked));
    }
    report(context, &done)
}

fn report(context: &Context, done: &[(Planned, Baked)]) -> anyhow::Result<()> {
    if context.common.json {
        let files: Vec<_> = done
            .iter()
            .map(|(planned, baked)| {
                json!({
                    "node": planned.node.name,
                    "file": baked.file,
                    "size": baked.image_size,
                    "plan": data_encoding::HEXLOWER.encode(&planned.plan.digest),
                    "bake_time": planned.plan.bake_time,
                    "proved": baked.proof,
                })
            })
            .collect();
        print(format_args!("{:#}\n", json!({ "baked": files })))?;
    } else if !context.common.quiet {
        let mut table = Table::new(["NODE", "FILE", "CARD SIZE", "PROVED"]);
        for (planned, baked) in done {
            table.row([
                planned.node.name.clone(),
                baked.file.display().to_string(),
                size(baked.image_size),
                format!("{} paths, {}", baked.proof.paths, size(baked.proof.bytes)),
            ]);
        }
        print(table)?;
        if let Some((planned, _)) = done.first() {
            let time = planned.plan.bake_time;
            print(format_args!("bake time {time} (the card's clock starts from it)\n"))?;
        }
    }
    Ok(())
}
