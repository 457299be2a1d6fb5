//! Plans of whole nodes, for every release.

mod accounts;
mod first_boot;
mod identity;
mod images;
mod network;
mod nfs;
mod overlays;
mod packages;
mod refusals;
mod shown;
mod sizes;
mod stacks;
mod swarm;

use crate::config::overlay::LoadedOverlay;
use crate::config::types::{Cluster, Node, NodeSecrets, Secret, SecretSource, Wifi};
use crate::fs::metadata::Meta;
use crate::fs::volume::Volume;
use crate::inventory::types::{Inventory, Release};
use crate::plan::change::{Action, Content, FileSpec, Plan};
use crate::state::identity::NodeIdentity;

use super::build::{Inputs, build};
use super::create::Create;
use super::samples;
use super::staged::Staged;

/// Everything a plan depends on, to be changed by a test before it is made.
struct Bench {
    inventory: Inventory,
    node: Node,
    cluster: Cluster,
    overlays: Vec<LoadedOverlay>,
    secrets: NodeSecrets,
    identity: NodeIdentity,
    staged: Staged,
    create: Create,
    bake_time: i64,
}

impl Bench {
    fn new(release: Release) -> Self {
        let node = samples::node();
        Self {
            inventory: samples::inventory(release),
            cluster: samples::cluster(&node),
            node,
            overlays: samples::overlays(),
            secrets: samples::secrets(),
            identity: samples::identity(),
            staged: Staged::default(),
            create: Create::none(),
            bake_time: samples::BAKE_TIME,
        }
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            inventory: &self.inventory,
            cluster: &self.cluster,
            node: &self.node,
            overlays: &self.overlays,
            secrets: &self.secrets,
            identity: &self.identity,
            staged: &self.staged,
            create: &self.create,
            bake_time: self.bake_time,
            version: "0.1.0",
            base_sha256: [1; 32],
        }
    }

    fn plan(&self) -> Plan {
        build(&self.inputs()).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// The errors, one a line.
    fn errors(&self) -> String {
        build(&self.inputs()).map(|_| ()).unwrap_err().to_string()
    }
}

fn planned<'a>(plan: &'a Plan, volume: Volume, path: &str) -> Option<&'a Action> {
    let mut found =
        plan.changes.iter().filter(|change| change.volume == volume && change.path.as_str() == path);
    let first = found.next();
    assert!(found.next().is_none(), "{path} is planned twice");
    first.map(|change| &change.action)
}

fn spec<'a>(plan: &'a Plan, path: &str) -> &'a FileSpec {
    match planned(plan, Volume::Root, path) {
        Some(Action::File(spec)) => spec,
        other => panic!("{path}: {other:?}"),
    }
}

fn text(plan: &Plan, path: &str) -> String {
    content(&spec(plan, path).content)
}

fn content(content: &Content) -> String {
    match content {
        Content::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap(),
        Content::Secret(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Content::HostFile { .. } => panic!("a file of this machine"),
    }
}

fn boot_text(plan: &Plan, path: &str) -> String {
    match planned(plan, Volume::Boot, path) {
        Some(Action::File(spec)) => content(&spec.content),
        other => panic!("{path}: {other:?}"),
    }
}

fn meta(plan: &Plan, path: &str) -> Meta {
    spec(plan, path).meta
}

fn link<'a>(plan: &'a Plan, path: &str) -> Option<&'a str> {
    match planned(plan, Volume::Root, path) {
        Some(Action::Symlink { target }) => Some(target),
        _ => None,
    }
}

fn is_masked(plan: &Plan, unit: &str) -> bool {
    link(plan, &format!("/etc/systemd/system/{unit}")) == Some("/dev/null")
}

fn is_removed(plan: &Plan, path: &str) -> bool {
    matches!(planned(plan, Volume::Root, path), Some(Action::Remove))
}

fn is_removed_from_boot(plan: &Plan, path: &str) -> bool {
    matches!(planned(plan, Volume::Boot, path), Some(Action::Remove))
}

/// A bench whose node is on Wi-Fi.
fn with_wifi(release: Release) -> Bench {
    let mut bench = Bench::new(release);
    bench.node.network.interface = "wlan0".to_owned();
    bench.node.network.wifi = Some(Wifi {
        ssid: "lab".to_owned(),
        psk: SecretSource::Prompt("x".to_owned()),
        country: "DE".to_owned(),
        hidden: true,
    });
    bench.secrets.wifi_psk = Some(Secret::new("ab".repeat(32)));
    bench
}
