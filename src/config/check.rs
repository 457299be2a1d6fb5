//! What can be wrong between values that are each right: the errors of design.md section 3 that need no
//! image. `settle` fills in the defaults; both see the same layers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::error::Report;
use super::file::FileLayer;
use super::layer::{AccountLayer, Layers};
use super::node::NodeLayer;
use super::place::{At, Place};
use super::syntax::address::{broadcast, network};
use super::types::{Role, Sudo};

/// Checks the file as a whole: its name, its nodes against each other.
pub(super) fn check_file(file: &FileLayer, allow_two_managers: bool, report: &Report) {
    if !file.names_itself {
        report.error(&file.place, "`name`, the cluster's name, is missing");
    }
    if file.nodes.is_empty() {
        report.error(&file.place, "there is no [[node]]: a cluster has at least one");
    }
    let names = file.nodes.iter().filter_map(|node| node.name.as_ref());
    check_unique(names, |name| format!("the name {name:?}"), report);
    let addresses = file.nodes.iter().filter_map(|node| node.address.as_ref());
    let addresses: Vec<At<Ipv4Addr>> =
        addresses.map(|at| At { value: at.value.0, place: at.place.clone() }).collect();
    check_unique(addresses.iter(), |address| format!("the address {address}"), report);
    check_managers(&file.nodes, allow_two_managers, report);
}

/// Checks one node with everything it inherits.
pub(super) fn check_node(
    node: &NodeLayer,
    layers: &Layers,
    accounts: &[AccountLayer],
    file: &FileLayer,
    report: &Report,
) {
    if let (Some(address), Some(gateway)) = (&node.address, &layers.network.gateway) {
        check_gateway(address, gateway, report);
    }
    if let Some(Err((place, lacking))) = layers.network.wifi.as_ref().map(|wifi| wifi.settle())
        && !lacking.is_empty()
    {
        let keys: Vec<String> = lacking.iter().map(|key| format!("`{key}`")).collect();
        report.error(place, format!("[network.wifi] needs {}", keys.join(" and ")));
    }
    check_user(layers, file, report);
    check_accounts(layers, accounts, report);
}

fn check_unique<'a, T: Ord + 'a>(
    values: impl Iterator<Item = &'a At<T>>,
    say: impl Fn(&T) -> String,
    report: &Report,
) {
    let mut first: BTreeMap<&T, &Place> = BTreeMap::new();
    for At { value, place } in values {
        match first.get(value) {
            Some(earlier) => {
                report.error(place, format!("{} is used twice, first in {earlier}", say(value)));
            }
            None => {
                first.insert(value, place);
            }
        }
    }
}

/// Raft needs a majority: of two managers that is both, so the second only adds a way to fail.
fn check_managers(nodes: &[NodeLayer], allow_two: bool, report: &Report) {
    let managers: Vec<&At<Role>> =
        nodes.iter().filter_map(|node| node.role.as_ref()).filter(|at| at.value == Role::Manager).collect();
    let Some(last) = managers.last() else { return };
    let count = managers.len();
    if count == 2 && !allow_two {
        report.error(
            &last.place,
            "two managers lose the swarm when either fails: make it one or three, or give --allow-two-managers",
        );
    } else if count.is_multiple_of(2) {
        let fewer = count - 1;
        report.warn(
            &last.place,
            format!("{count} managers bear no more failures than {fewer}: an odd number is better"),
        );
    }
}

fn check_gateway(address: &At<(Ipv4Addr, u8)>, gateway: &At<Ipv4Addr>, report: &Report) {
    let (ip, prefix) = address.value;
    let base = network(ip, prefix);
    let gateway_ip = gateway.value;
    let message = if network(gateway_ip, prefix) != base {
        format!(
            "{ip}/{prefix} does not reach its gateway: {gateway_ip} ({}) is outside {base}/{prefix}",
            gateway.place
        )
    } else if gateway_ip == ip {
        format!("{ip} is its own gateway ({})", gateway.place)
    } else if gateway_ip == base || gateway_ip == broadcast(ip, prefix) {
        format!("the gateway {gateway_ip} ({}) is no host of {base}/{prefix}", gateway.place)
    } else {
        return;
    };
    report.error(&address.place, message);
}

fn check_user(layers: &Layers, file: &FileLayer, report: &Report) {
    let user = &layers.user;
    let place = user.place.as_ref().unwrap_or(&file.place);
    let settled = user.settle();
    if settled.authorized_keys.is_empty() && user.password.is_none() && !user.wrong {
        report.error(place, "[user] has neither an authorized key nor a password: nobody could log in");
    }
    if let Some(At { value: Sudo::Password, place }) = &user.sudo
        && user.password.is_none()
        && !user.wrong
    {
        report.error(place, "`sudo = \"password\"` in [user] needs a password");
    }
}

fn check_accounts(layers: &Layers, accounts: &[AccountLayer], report: &Report) {
    let user = layers.user.settle().name;
    let mut first: BTreeMap<&str, &Place> = BTreeMap::new();
    for AccountLayer { account, place, wrong } in accounts {
        let name = account.name.as_str();
        if name == user {
            report.error(place, format!("the account {name:?} is the one of [user] already"));
        } else if let Some(earlier) = first.insert(name, place) {
            report.error(place, format!("the account {name:?} is there twice, first in {earlier}"));
        }
        if account.sudo == Some(Sudo::Password) && account.password.is_none() && !wrong {
            report.error(place, format!("`sudo = \"password\"` of the account {name:?} needs a password"));
        }
        if account.authorized_keys.is_empty() && account.password.is_none() && !wrong {
            report.warn(
                place,
                format!("the account {name:?} has neither an authorized key nor a password: nobody can log in as it"),
            );
        }
    }
}
