//! Address pools: what Docker may cut its networks from without taking an address that the cluster has.

use crate::config::net::Net;
use crate::config::types::Cluster;

use super::error::PlanError;

/// The networks that a node's Docker cuts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pools {
    /// For the swarm's overlay networks, the same on every node.
    pub(super) overlay: Net,
    /// For the bridges of one node.
    pub(super) bridges: Net,
}

/// Chooses pools clear of every network, gateway and name server of the cluster's nodes.
///
/// # Errors
/// When the pool of `[swarm]` is not clear of them, or is too small to be cut.
pub(super) fn choose(cluster: &Cluster) -> Result<Pools, PlanError> {
    let taken = taken(cluster);
    let given = cluster.swarm.as_ref().and_then(|swarm| swarm.address_pool);
    if let Some(pool) = given {
        check(pool, &taken)?;
    }
    let none = || PlanError::Setting {
        key: "swarm.address_pool".to_owned(),
        message: "the cluster's own networks leave no private network free".to_owned(),
    };
    let clear = |pool: &Net, taken: &[Net]| !taken.iter().any(|net| net.overlaps(*pool));
    let overlay = given.or_else(|| overlays().find(|pool| clear(pool, &taken))).ok_or_else(none)?;
    let taken: Vec<Net> = taken.into_iter().chain([overlay]).collect();
    let bridges = bridges().find(|pool| clear(pool, &taken)).ok_or_else(none)?;
    Ok(Pools { overlay, bridges })
}

fn check(pool: Net, taken: &[Net]) -> Result<(), PlanError> {
    let wrong = |message| Err(PlanError::Setting { key: "swarm.address_pool".to_owned(), message });
    if let Some(net) = taken.iter().find(|net| net.overlaps(pool)) {
        return wrong(format!("{pool} overlaps {net}, which the cluster uses"));
    }
    if pool.prefix() > 20 {
        return wrong(format!("{pool} is too small: networks of 256 addresses are cut from it"));
    }
    Ok(())
}

/// Every network a node is on, and every address it was told of.
fn taken(cluster: &Cluster) -> Vec<Net> {
    let mut nets: Vec<Net> = Vec::new();
    for node in &cluster.nodes {
        nets.push(Net::of(node.address, node.prefix));
        let told = node.network.gateway.iter().chain(&node.network.dns);
        let servers = node.system.ntp.iter().filter_map(|server| server.parse().ok());
        nets.extend(told.copied().chain(servers).map(|address| Net::of(address, 32)));
    }
    nets.sort();
    nets.dedup();
    nets
}

/// Private networks of 65,536 addresses, those that home routers use last.
fn overlays() -> impl Iterator<Item = Net> {
    (200..=255).chain(0..200).map(|second| Net::of([10, second, 0, 0].into(), 16)).chain(bridges())
}

fn bridges() -> impl Iterator<Item = Net> {
    let twelve = (17..=31).chain([16]).map(|second| Net::of([172, second, 0, 0].into(), 16));
    twelve.chain((100..=199).map(|second| Net::of([10, second, 0, 0].into(), 16)))
}

#[cfg(test)]
mod tests {
    use super::{Pools, choose};
    use crate::config::net::Net;
    use crate::config::types::{Cluster, Swarm};
    use crate::plan::error::PlanError;
    use crate::plan::samples;

    fn net(a: u8, b: u8, prefix: u8) -> Net {
        Net::of([a, b, 0, 0].into(), prefix)
    }

    fn cluster(address: [u8; 4], prefix: u8) -> Cluster {
        let mut node = samples::node();
        node.address = address.into();
        node.prefix = prefix;
        let mut cluster = samples::cluster(&node);
        cluster.nodes.truncate(1);
        cluster
    }

    #[test]
    fn are_clear_of_the_cluster_and_of_each_other() {
        let usual = Pools { overlay: net(10, 200, 16), bridges: net(172, 17, 16) };
        assert_eq!(choose(&cluster([192, 168, 0, 1], 16)), Ok(usual));
        let ten = choose(&cluster([10, 0, 0, 1], 8)).unwrap();
        assert_eq!(ten, Pools { overlay: net(172, 17, 16), bridges: net(172, 18, 16) });
        let twelve = choose(&cluster([172, 16, 0, 1], 12)).unwrap();
        assert_eq!(twelve, Pools { overlay: net(10, 200, 16), bridges: net(10, 100, 16) });
    }

    #[test]
    fn a_name_server_inside_a_pool_moves_it() {
        let mut cluster = cluster([192, 168, 0, 1], 16);
        cluster.nodes[0].network.dns = vec![[10, 200, 0, 53].into()];
        cluster.nodes[0].system.ntp = vec!["172.17.1.1".to_owned(), "ntp.lan".to_owned()];
        let pools = choose(&cluster).unwrap();
        assert_eq!(pools, Pools { overlay: net(10, 201, 16), bridges: net(172, 18, 16) });
    }

    #[test]
    fn a_given_pool_is_taken_or_refused() {
        let mut cluster = cluster([192, 168, 0, 1], 16);
        let mut give = |pool| {
            cluster.swarm = Some(Swarm { address_pool: Some(pool), ..Swarm::default() });
            choose(&cluster)
        };
        assert_eq!(give(net(172, 17, 16)).unwrap().overlay, net(172, 17, 16));
        assert_eq!(give(net(172, 17, 16)).unwrap().bridges, net(172, 18, 16));
        for wrong in [net(192, 168, 24), net(10, 0, 24)] {
            assert!(matches!(give(wrong), Err(PlanError::Setting { .. })), "{wrong}");
        }
    }

    #[test]
    fn no_room_at_all_is_said() {
        assert!(choose(&cluster([10, 0, 0, 1], 0)).is_err());
    }
}
