//! Which overlays make up a node, and with what parameters.
//!
//! Most of what pibake writes into every node is overlays of its own, selected here; a directory of the
//! same name beside the cluster file takes the place of any of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::overlay::LoadedOverlay;
use crate::config::types::{FirstBoot, Node, OverlayUse, ResolvConf, Secret};
use crate::inventory::types::{FirstBootHook, NetworkStack};

use super::accounts::sudoers;
use super::build::Inputs;
use super::draft::Draft;
use super::error::PlanError;
use super::image::{Image, path};
use super::overlay::Use;
use super::render::ParamValue;
use super::{docker, packages, pools, ssh, swarm, wifi};

/// Every overlay that the plan may select by itself.
const STANDARD: [&str; 21] = [
    "clock-ntp",
    "docker",
    "docker-images",
    "docker-tls",
    "first-boot",
    "hostname",
    "locale",
    "log",
    "network-networkmanager",
    "node-note",
    "packages",
    "quiet-first-boot",
    "resolv-conf",
    "ssh",
    "ssh-keep-keys",
    "sudo",
    "swarm-manager",
    "swarm-node",
    "timezone",
    "wifi-networkmanager",
    "wifi-wpa-supplicant",
];

/// The names of all overlays a plan for these nodes may ask for, for loading them.
#[must_use]
pub fn overlay_names<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> BTreeSet<&'a str> {
    let own = nodes.into_iter().flat_map(|node| &node.overlays).map(|used| used.name.as_str());
    STANDARD.into_iter().chain(own).collect()
}

/// The secret parameters of a node's own overlays: position among them, name, and the value as written,
/// which says where the secret comes from.
#[must_use]
pub fn secret_params<'a>(
    node: &'a Node,
    overlays: &'a [LoadedOverlay],
) -> Vec<(usize, &'a str, &'a toml::Value)> {
    let uses = node.overlays.iter().enumerate();
    uses.filter_map(|(index, used)| {
        let overlay = overlays.iter().find(|overlay| overlay.name == used.name)?;
        Some(overlay.secret_params().filter_map(move |name| Some((index, name, used.with.get(name)?))))
    })
    .flatten()
    .collect()
}

/// The overlays of a node, in order: pibake's own, then those of the cluster file.
pub(super) fn uses<'a>(inputs: &Inputs<'a>, draft: &mut Draft) -> Vec<Use<'a>> {
    let mut selected = standard(inputs);
    selected.extend(docker_and_swarm(inputs, draft));
    let mut uses = chosen(inputs, selected, draft);
    for (index, used) in inputs.node.overlays.iter().enumerate() {
        match inputs.overlays.iter().find(|overlay| overlay.name == used.name) {
            Some(overlay) => {
                let params = given(inputs, overlay, index, used, draft);
                uses.extend(with_defaults(overlay, params, draft));
            }
            None => draft.error(PlanError::NoOverlay { name: used.name.clone() }),
        }
    }
    uses
}

/// These of pibake's own overlays, in order.
pub(super) fn chosen<'a>(
    inputs: &Inputs<'a>,
    selected: Vec<(&'static str, Offered)>,
    draft: &mut Draft,
) -> Vec<Use<'a>> {
    let mut uses = Vec::new();
    for (name, offered) in selected {
        match inputs.overlays.iter().find(|overlay| overlay.name == name) {
            // One that stands in for ours may leave parameters out that it has no use for.
            Some(overlay) => {
                let known = |name: &str| overlay.manifest.params.contains_key(name);
                let params =
                    offered.into_iter().filter(|(name, _)| known(name)).map(|(n, v)| (n.to_owned(), v));
                uses.extend(with_defaults(overlay, params.collect(), draft));
            }
            None => draft.error(PlanError::NoOverlay { name: name.to_owned() }),
        }
    }
    uses
}

/// Parameters of one of our own overlays.
pub(super) type Offered = BTreeMap<&'static str, ParamValue>;

/// What this node and this image need of our own overlays.
fn standard(inputs: &Inputs<'_>) -> Vec<(&'static str, Offered)> {
    let (node, inventory) = (inputs.node, inputs.inventory);
    let mut selected = vec![
        ("hostname", Offered::new()),
        ("quiet-first-boot", Offered::new()),
        ("log", Offered::new()),
        ("node-note", Offered::new()),
        ("sudo", Offered::from([("rules", texts(sudoers(inputs)))])),
        ("ssh", ssh::params(inputs)),
    ];
    let script = path("/usr/lib/raspberrypi-sys-mods/regenerate_ssh_host_keys");
    let has_script = Image { inventory }.has(&script);
    if node.image.first_boot == FirstBoot::Stock && inventory.hook == FirstBootHook::Firstboot && has_script {
        selected.push(("ssh-keep-keys", Offered::new()));
    }
    if node.image.first_boot == FirstBoot::Pibake {
        selected.push(("first-boot", Offered::new()));
    }
    selected.extend(networks(inputs));
    if packages::any(inputs) {
        selected.push(("packages", Offered::new()));
    }
    let system = &node.system;
    if let Some(timezone) = &system.timezone {
        selected.push(("timezone", Offered::from([("timezone", text(timezone))])));
    }
    if let Some(locale) = &system.locale {
        selected.push(("locale", Offered::from([("locale", text(locale))])));
    }
    if !inputs.staged.images.is_empty() {
        selected.push(("docker-images", Offered::new()));
    }
    if !system.ntp.is_empty() {
        selected.push(("clock-ntp", Offered::from([("servers", texts(system.ntp.iter().cloned()))])));
    }
    selected
}

/// What the node's networks are configured by, apart from texts of the image that are edited.
pub(super) fn networks(inputs: &Inputs<'_>) -> Vec<(&'static str, Offered)> {
    let node = inputs.node;
    let mut selected = Vec::new();
    if node.network.resolv_conf != ResolvConf::Managed {
        selected.push(("resolv-conf", Offered::new()));
    }
    if inputs.inventory.stack == NetworkStack::NetworkManager && !wifi::carries_address(node) {
        selected.push(("network-networkmanager", network_params(inputs)));
    }
    selected.extend(wifi::overlays(inputs));
    selected
}

/// Docker's configuration and what joining needs, cut from the same pools.
fn docker_and_swarm(inputs: &Inputs<'_>, draft: &mut Draft) -> Vec<(&'static str, Offered)> {
    docker::check(inputs, draft);
    if !docker::present(inputs) && swarm::of(inputs).is_none() {
        return Vec::new();
    }
    let Some(pools) = draft.note(pools::choose(inputs.cluster)) else { return Vec::new() };
    let mut selected = docker::overlays(inputs, pools, draft);
    selected.extend(swarm::overlays(inputs, pools, draft));
    selected
}

fn network_params(inputs: &Inputs<'_>) -> Offered {
    let interface = &inputs.node.network.interface;
    let bytes = inputs.identity.seed.derive(&inputs.node.name, &format!("networkmanager uuid {interface}"));
    let uuid = uuid::Builder::from_random_bytes(bytes).into_uuid();
    Offered::from([("uuid", text(&uuid.to_string()))])
}

pub(super) fn text(text: &str) -> ParamValue {
    ParamValue::Plain(toml::Value::String(text.to_owned()))
}

pub(super) fn texts(items: impl IntoIterator<Item = String>) -> ParamValue {
    ParamValue::Plain(toml::Value::Array(items.into_iter().map(toml::Value::String).collect()))
}

pub(super) fn boolean(value: bool) -> ParamValue {
    ParamValue::Plain(toml::Value::Boolean(value))
}

pub(super) fn integer(value: i64) -> ParamValue {
    ParamValue::Plain(toml::Value::Integer(value))
}

pub(super) fn secret(secret: Secret) -> ParamValue {
    ParamValue::Secret(secret)
}

/// The parameters of the cluster file, checked against what the overlay declares.
fn given(
    inputs: &Inputs<'_>,
    overlay: &LoadedOverlay,
    index: usize,
    used: &OverlayUse,
    draft: &mut Draft,
) -> BTreeMap<String, ParamValue> {
    let wrong = |message: String| PlanError::Overlay { overlay: overlay.to_string(), message };
    let mut params = BTreeMap::new();
    for (name, value) in &used.with {
        let Some(param) = overlay.manifest.params.get(name) else {
            draft.error(wrong(unknown_param(overlay, name)));
            continue;
        };
        if param.secret {
            let resolved = inputs.secrets.overlay_params.get(&(index, name.clone())).cloned();
            let plain = value.as_str().map(|text| Secret::new(text.to_owned()));
            match resolved.or(plain) {
                Some(secret) => drop(params.insert(name.clone(), ParamValue::Secret(secret))),
                None => draft.error(PlanError::NoSecret { what: format!("parameter {name} of {overlay}") }),
            }
        } else if param.kind.accepts(value) {
            params.insert(name.clone(), ParamValue::Plain(value.clone()));
        } else {
            draft.error(wrong(format!("parameter {name:?} is not {}", param.kind.describe())));
        }
    }
    params
}

fn unknown_param(overlay: &LoadedOverlay, name: &str) -> String {
    let known = overlay.manifest.params.keys();
    let nearest = known.min_by_key(|other| strsim::damerau_levenshtein(other, name));
    match nearest {
        Some(nearest) => format!("it has no parameter {name:?}; did you mean {nearest:?}?"),
        None => format!("it has no parameter {name:?}, nor any other"),
    }
}

/// Fills in defaults; a parameter without a value is an error.
fn with_defaults<'a>(
    overlay: &'a LoadedOverlay,
    mut params: BTreeMap<String, ParamValue>,
    draft: &mut Draft,
) -> Option<Use<'a>> {
    let mut complete = true;
    for (name, param) in &overlay.manifest.params {
        if params.contains_key(name) {
            continue;
        }
        if let Some(default) = &param.default {
            params.insert(name.clone(), ParamValue::Plain(default.clone()));
        } else {
            complete = false;
            draft.error(PlanError::Overlay {
                overlay: overlay.to_string(),
                message: format!("parameter {name:?} is missing ({})", param.help),
            });
        }
    }
    complete.then_some(Use { overlay, params })
}
