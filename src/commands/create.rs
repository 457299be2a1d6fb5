//! Which card may create the swarm (joining.md, "Who creates"): silence on the network is no proof that
//! there is none, so the permission comes from what the operator has baked so far.

use crate::cli::args::SwarmPart;
use crate::config::types::{Cluster, Node, Role};
use crate::plan::Create;
use crate::state::{State, StateError};

use super::prepare::Order;

/// For each node of the order, whether its card may create the swarm.
pub(super) fn permissions(order: &Order, state: Option<&State>) -> Result<Vec<Create>, StateError> {
    let managers = managers(&order.cluster);
    let first = managers.first().map(|node| node.name.as_str());
    let (allowed, why) = match order.swarm_part {
        Some(SwarmPart::Create) => (true, "--swarm create".to_owned()),
        Some(SwarmPart::Join) => (false, "--swarm join".to_owned()),
        None => by_state(order, &managers, state)?,
    };
    let of = |node: &Node| match first {
        _ if order.cluster.swarm.is_none() || node.role != Role::Manager => Create::none(),
        Some(first) if node.name != first => {
            Create { allowed: false, why: format!("{first} comes before it in the cluster file") }
        }
        _ => Create { allowed, why: why.clone() },
    };
    Ok(order.nodes.iter().map(of).collect())
}

/// What a person should know before the card of the only manager is made anew.
pub(super) fn loss(order: &Order, state: Option<&State>) -> Result<Option<String>, StateError> {
    let managers = managers(&order.cluster);
    let [only] = managers.as_slice() else { return Ok(None) };
    let again = order.nodes.iter().any(|node| node.name == only.name);
    if order.cluster.swarm.is_none() || !again || !is_baked(state, only)? {
        return Ok(None);
    }
    Ok(Some(format!(
        "{} is the only manager and has a card already: with a new one, services, networks and secrets made by \
         hand are lost; those of the cluster file come back, and the workers rejoin by themselves",
        only.name
    )))
}

fn by_state(order: &Order, managers: &[&Node], state: Option<&State>) -> Result<(bool, String), StateError> {
    if managers.len() == 1 {
        return Ok((true, "it is the only manager".to_owned()));
    }
    let ordered = |manager: &&Node| order.nodes.iter().any(|node| node.name == manager.name);
    if managers.iter().all(ordered) {
        return Ok((true, "every manager gets a card now".to_owned()));
    }
    for manager in managers {
        if is_baked(state, manager)? {
            let name = &manager.name;
            let why = format!("{name} has a card already, so there may be a swarm; --swarm create overrules");
            return Ok((false, why));
        }
    }
    Ok((true, "no manager has a card yet".to_owned()))
}

fn managers(cluster: &Cluster) -> Vec<&Node> {
    cluster.nodes.iter().filter(|node| node.role == Role::Manager).collect()
}

fn is_baked(state: Option<&State>, node: &Node) -> Result<bool, StateError> {
    let Some(state) = state else { return Ok(false) };
    Ok(state.recorded_bake(&node.name)?.is_some() || !state.receipts(&node.name)?.is_empty())
}
