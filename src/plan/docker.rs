//! `[docker]`: the daemon's configuration, written before there is a daemon.

use std::collections::BTreeMap;

use super::build::Inputs;
use super::draft::Draft;
use super::error::PlanError;
use super::packages;
use super::pools::Pools;
use super::select::{Offered, boolean, secret, text, texts};
use crate::config::types::{DockerInstall, Secret};

/// How the pool of local networks is cut: 256 addresses each.
const BRIDGE_PREFIX: u8 = 24;

/// Whether the node will have Docker: it is installed at first boot, or is in the image.
pub(super) fn present(inputs: &Inputs<'_>) -> bool {
    let installed = &inputs.inventory.packages.installed;
    inputs.node.docker.install != DockerInstall::None
        || packages::brings_docker(inputs)
        || packages::engine(installed).is_some()
}

/// Refuses TLS for a Docker that is not there.
pub(super) fn check(inputs: &Inputs<'_>, draft: &mut Draft) {
    if inputs.node.docker.tls && !present(inputs) {
        draft.error(PlanError::Setting {
            key: "docker.tls".to_owned(),
            message: "there is no Docker in the image, and docker.install is \"none\"".to_owned(),
        });
    }
}

/// The overlays of a node with Docker.
pub(super) fn overlays(inputs: &Inputs<'_>, pools: Pools, draft: &mut Draft) -> Vec<(&'static str, Offered)> {
    if !present(inputs) {
        return Vec::new();
    }
    let tls = inputs.node.docker.tls;
    let bridges = pools.bridges;
    let mut selected = vec![(
        "docker",
        BTreeMap::from([
            ("tls", boolean(tls)),
            ("pools", texts([format!("{bridges} {BRIDGE_PREFIX}")])),
            ("bip", text(&format!("{}/{BRIDGE_PREFIX}", bridges.address(1)))),
        ]),
    )];
    match &inputs.identity.tls {
        _ if !tls => {}
        None => draft.error(PlanError::NoSecret { what: "the node's server certificate".to_owned() }),
        Some(identity) => selected.push((
            "docker-tls",
            BTreeMap::from([
                ("ca", text(&identity.ca)),
                ("certificate", text(&identity.certificate)),
                ("key", secret(Secret::new(identity.key.to_string()))),
            ]),
        )),
    }
    selected
}
