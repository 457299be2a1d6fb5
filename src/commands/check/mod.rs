//! `pibake check`: whether the running nodes are what was baked.

mod show;

use std::collections::BTreeMap;
use std::path::Path;

use data_encoding::HEXLOWER;

use crate::check::ask::{self, Answer, PATIENCE, Way};
use crate::check::compare::{Expected, PlanNow, compare, is_outdated};
use crate::check::facts::{self, Facts};
use crate::check::finding::NodeReport;
use crate::check::swarm;
use crate::cli::args::{NodeArgs, SwarmArgs};
use crate::config::types::Node;
use crate::error::{ExitCode, advised};
use crate::node::silence::Silence;
use crate::node::ssh;
use crate::state::State;

use super::context::Context;
use super::prepare::{self, Order};

pub(super) fn run(context: &Context, nodes: &NodeArgs, ssh_config: Option<&Path>) -> anyhow::Result<()> {
    // How many managers are wise was settled when they were baked
    let any = SwarmArgs { allow_two_managers: true, ..SwarmArgs::default() };
    let order = prepare::order(context, nodes, &any)?;
    let state = prepare::state_that_baked(context, &order.cluster)?;
    let replies = ask_nodes(context, &order, &state, ssh_config)?;
    let plans = plans_of_now(context, &order, &state, &replies);
    let reports = reports(&order, &replies, &plans);
    show::show(context, &order.cluster.name, &reports)?;
    verdict(&reports)
}

/// What a node said and when, or why it said nothing that counts.
enum Reply {
    Told { facts: Box<Facts>, clock: (i64, i64) },
    Silent { why: String, advice: &'static str },
}

impl Reply {
    fn of(answer: Result<Answer, Silence>) -> Self {
        match answer {
            Ok(Answer { text, asked, heard }) => match facts::parse(&text) {
                Ok(facts) => Reply::Told { facts: Box::new(facts), clock: (asked, heard) },
                Err(broken) => Reply::Silent { why: broken.to_string(), advice: "try again" },
            },
            Err(silence) => Reply::Silent { why: silence.to_string(), advice: silence.advice() },
        }
    }

    fn facts(&self) -> Option<&Facts> {
        match self {
            Reply::Told { facts, .. } => Some(facts),
            Reply::Silent { .. } => None,
        }
    }
}

fn ask_nodes(
    context: &Context,
    order: &Order,
    state: &State,
    ssh_config: Option<&Path>,
) -> anyhow::Result<Vec<Reply>> {
    let count = order.nodes.len();
    context.note(if count == 1 { "asking 1 node".to_owned() } else { format!("asking {count} nodes") });
    let ssh_config = ssh_config.map(|file| context.cwd.join(file));
    let known_hosts = context.cwd.join(state.known_hosts());
    let way = Way {
        known_hosts: &known_hosts,
        ssh: ssh::Way {
            ssh_config: ssh_config.as_deref(),
            command: &|program| context.invoker.command(&[program.to_owned()]),
        },
        patience: PATIENCE,
    };
    let answers = ask::ask_all(&order.nodes, &way, &context.interrupt)?;
    Ok(answers.into_iter().map(Reply::of).collect())
}

/// The plan of every node as it would be baked now. That it cannot be made here, on a machine without the
/// image for one, is no reason not to check the rest.
fn plans_of_now(
    context: &Context,
    order: &Order,
    state: &State,
    replies: &[Reply],
) -> BTreeMap<String, PlanNow> {
    let told = replies.iter().filter_map(Reply::facts).any(|facts| facts.plan.is_some());
    let made = told.then(|| {
        let bases = prepare::bases(context, order)?;
        prepare::plans_for_show(context, order, &bases, Some(state), context.bake_time()?)
    });
    match made {
        Some(Ok(plans)) => {
            let digest = |plan: [u8; 32]| PlanNow::Digest(HEXLOWER.encode(&plan));
            plans.into_iter().map(|planned| (planned.node.name, digest(planned.plan.digest))).collect()
        }
        Some(Err(error)) => {
            let why = format!("{error:#}").lines().next().unwrap_or_default().to_owned();
            order.nodes.iter().map(|node| (node.name.clone(), PlanNow::Unknown(why.clone()))).collect()
        }
        None => BTreeMap::new(),
    }
}

fn reports(order: &Order, replies: &[Reply], plans: &BTreeMap<String, PlanNow>) -> Vec<NodeReport> {
    let answers: Vec<(&Node, Option<&Facts>)> =
        order.nodes.iter().zip(replies).map(|(node, reply)| (node, reply.facts())).collect();
    let together = swarm::compare(&answers);
    let nothing = PlanNow::Unknown("no node told its plan".to_owned());
    let report = |((node, reply), together): ((&Node, &Reply), Vec<_>)| {
        let plan = plans.get(&node.name).unwrap_or(&nothing);
        let mut report = NodeReport {
            node: node.name.clone(),
            address: node.address,
            silent: None,
            advice: None,
            outdated: reply.facts().is_some_and(|facts| is_outdated(plan, facts)),
            findings: Vec::new(),
        };
        match reply {
            Reply::Told { facts, clock } => {
                let expected = Expected { cluster: &order.cluster.name, node, plan, clock: *clock };
                report.findings = compare(&expected, facts);
                report.findings.extend(together);
            }
            Reply::Silent { why, advice } => {
                report.silent = Some(why.clone());
                report.advice = Some(advice);
            }
        }
        report
    };
    order.nodes.iter().zip(replies).zip(together).map(report).collect()
}

/// The nodes of which something holds.
fn names(reports: &[NodeReport], which: impl Fn(&NodeReport) -> bool) -> Vec<&str> {
    reports.iter().filter(|report| which(report)).map(|report| report.node.as_str()).collect()
}

fn verdict(reports: &[NodeReport]) -> anyhow::Result<()> {
    let other = names(reports, |report| !report.is_as_baked());
    if other.is_empty() {
        return Ok(());
    }
    let what = format!(
        "not as baked, or not known to be: {} ({} of {})",
        other.join(", "),
        other.len(),
        reports.len()
    );
    Err(advised(ExitCode::Failed, what, "what was found is told above; -v tells everything"))
}
