//! From layers to a cluster: every precedence settled, every default filled in.

use super::check::{check_file, check_node};
use super::error::Report;
use super::file::FileLayer;
use super::layer::{AccountLayer, Layers};
use super::node::NodeLayer;
use super::place::value_of;
use super::types::{Node, OverlayUse, Swarm};

/// What a file says about its cluster, checked.
pub(super) struct Settled {
    pub(super) name: String,
    pub(super) nodes: Vec<Node>,
    pub(super) swarm: Option<Swarm>,
}

/// Checks and settles everything; what is wrong goes to the report, and only then may the result lack
/// something.
pub(super) fn settle(file: &FileLayer, allow_two_managers: bool, report: &Report) -> Settled {
    check_file(file, allow_two_managers, report);
    let nodes =
        file.nodes.iter().enumerate().filter_map(|(index, node)| settle_node(index, node, file, report));
    Settled {
        name: value_of(file.name.as_ref()).unwrap_or_default(),
        nodes: nodes.collect(),
        swarm: file.swarm.as_ref().map(|swarm| swarm.settle()),
    }
}

fn settle_node(index: usize, node: &NodeLayer, file: &FileLayer, report: &Report) -> Option<Node> {
    let layers: Layers = node.layers.clone().over(&file.layers);
    let accounts: Vec<AccountLayer> = file.accounts.iter().chain(&node.accounts).cloned().collect();
    let overlays: Vec<OverlayUse> = file.overlays.iter().chain(&node.overlays).cloned().collect();
    check_node(node, &layers, &accounts, file, report);
    let (address, prefix) = node.address.as_ref()?.value;
    let wifi = layers.network.wifi.as_ref().and_then(|wifi| wifi.settle().ok());
    Some(Node {
        name: node.name.as_ref()?.value.clone(),
        index,
        address,
        prefix,
        role: value_of(node.role.as_ref()).unwrap_or_default(),
        board: value_of(node.board.as_ref()),
        labels: node.labels.clone(),
        image: layers.image.settle(),
        network: layers.network.settle(wifi),
        user: layers.user.settle(),
        accounts: accounts.into_iter().map(|layer| layer.account).collect(),
        system: layers.system.settle(),
        docker: layers.docker.settle(),
        overlays,
    })
}
