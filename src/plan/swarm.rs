//! `[swarm]`: what a card needs to become a member (joining.md).

use std::collections::BTreeMap;

use super::build::Inputs;
use super::draft::Draft;
use super::error::PlanError;
use super::pools::Pools;
use super::select::{Offered, boolean, integer, secret, text, texts};
use crate::config::types::{Role, Secret, Swarm};
use crate::state::identity::JoinIdentity;

/// The account that nodes ask managers through.
pub(super) const JOIN_ACCOUNT: &str = "pibake-join";

/// Overlay networks have 256 addresses each.
const NETWORK_PREFIX: i64 = 24;

/// `[swarm]`, when this node has a part in it.
pub(super) fn of<'a>(inputs: &Inputs<'a>) -> Option<&'a Swarm> {
    inputs.cluster.swarm.as_ref().filter(|_| inputs.node.role != Role::None)
}

/// Whether nodes ask this one.
pub(super) fn answers(inputs: &Inputs<'_>) -> bool {
    of(inputs).is_some() && inputs.node.role == Role::Manager
}

/// The overlays of a member.
pub(super) fn overlays(inputs: &Inputs<'_>, pools: Pools, draft: &mut Draft) -> Vec<(&'static str, Offered)> {
    let Some(swarm) = of(inputs) else { return Vec::new() };
    check(inputs, draft);
    let Some(join) = &inputs.identity.join else {
        draft.error(PlanError::NoSecret { what: "the node's join credential".to_owned() });
        return Vec::new();
    };
    draft.say(format!("overlay networks are cut from {}", pools.overlay));
    let mut selected = vec![("swarm-node", member(inputs, join, pools))];
    if inputs.node.role == Role::Manager {
        let may = if inputs.create.allowed { "may create the swarm" } else { "joins, and never creates" };
        draft.say(format!("this card {may}: {}", inputs.create.why));
        selected.push(("swarm-manager", manager(swarm, join)));
    }
    selected
}

fn check(inputs: &Inputs<'_>, draft: &mut Draft) {
    if !inputs.cluster.nodes.iter().any(|node| node.role == Role::Manager) {
        draft.error(PlanError::Setting {
            key: "[swarm]".to_owned(),
            message: "no [[node]] has role = \"manager\": nobody would create the swarm".to_owned(),
        });
    }
}

fn member(inputs: &Inputs<'_>, join: &JoinIdentity, pools: Pools) -> Offered {
    let known_hosts = join
        .managers
        .iter()
        .flat_map(|manager| manager.host_keys.iter().map(move |key| format!("{} {key}", manager.name)));
    BTreeMap::from([
        ("join_key", secret(Secret::new(join.key.to_string()))),
        ("join_certificate", text(&join.certificate)),
        ("known_hosts", texts(known_hosts)),
        ("create", boolean(inputs.create.allowed)),
        ("address_pool", text(&pools.overlay.to_string())),
        ("subnet_size", integer(NETWORK_PREFIX)),
        ("ingress", text("")),
    ])
}

fn manager(swarm: &Swarm, join: &JoinIdentity) -> Offered {
    let networks = swarm
        .networks
        .iter()
        .map(|network| format!("{} {}", network.name, if network.attachable { "attachable" } else { "-" }));
    BTreeMap::from([
        ("join_ca", text(&join.ca)),
        ("revoked", texts(join.revoked.iter().cloned())),
        ("networks", texts(networks)),
        ("stacks", texts(swarm.stacks.iter().map(|stack| stack.name.clone()))),
        ("secrets", texts(swarm.secrets.keys().cloned())),
    ])
}
