//! The static address, and that nothing else claims its interface (raspios.md section 4).

use crate::config::types::ResolvConf;
use crate::fs::metadata::Meta;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::inventory::types::NetworkStack;

use super::build::Inputs;
use super::draft::{Draft, Reason};
use super::image::{Image, path};
use super::interfaces::{Claims, without};
use super::system::with_assignment;
use super::{dhcpcd, hosts};

/// Plans `/etc/hosts`, dhcpcd's part, the quieting of resolv.conf's writers that are edits, and what goes.
pub(super) fn plan(inputs: &Inputs<'_>, draft: &mut Draft) {
    let image = Image { inventory: inputs.inventory };
    plan_hosts(inputs, image, draft);
    if inputs.inventory.stack == NetworkStack::Dhcpcd {
        plan_dhcpcd(inputs, image, draft);
    }
    interfaces(inputs, image, draft);
    profiles(inputs, image, draft);
    netplan(inputs, image, draft);
    resolvconf(inputs, image, draft);
}

fn plan_hosts(inputs: &Inputs<'_>, image: Image<'_>, draft: &mut Draft) {
    let file = path("/etc/hosts");
    let Some(text) = draft.note(image.text(&file)) else { return };
    let node = inputs.node;
    let others: Vec<_> = (inputs.cluster.nodes.iter())
        .filter(|other| other.name != node.name)
        .map(|other| (other.name.as_str(), other.address))
        .collect();
    let edited = hosts::edit(text.unwrap_or("127.0.0.1\tlocalhost\n"), (&node.name, node.address), &others);
    let reason = Reason::new("cluster", "every node knows every other by name");
    draft.text(file.clone(), edited, image.meta(&file, Meta::root(0o644)), &reason);
}

fn plan_dhcpcd(inputs: &Inputs<'_>, image: Image<'_>, draft: &mut Draft) {
    let file = path("/etc/dhcpcd.conf");
    let Some(text) = draft.note(image.text(&file)) else { return };
    let reason = Reason::new("[network]", "the static address");
    let edited = dhcpcd::edit(text.unwrap_or(""), inputs.node);
    draft.text(file.clone(), edited, image.meta(&file, Meta::root(0o644)), &reason);
}

/// ifupdown's files.
fn interfaces(inputs: &Inputs<'_>, image: Image<'_>, draft: &mut Draft) {
    let interface = &inputs.node.network.interface;
    let claims = match inputs.inventory.stack {
        NetworkStack::NetworkManager => Claims::Of(interface),
        NetworkStack::Dhcpcd => Claims::Addresses,
    };
    let reason = Reason::new("[network]", format!("nothing else claims {interface}"));
    let mut files = vec![path("/etc/network/interfaces")];
    files.extend(image.entries(Volume::Root, &path("/etc/network/interfaces.d")));
    for file in files {
        let Some(Some(text)) = draft.note(image.text(&file)) else { continue };
        let edited = without(text, claims);
        if edited != text {
            let meta = image.meta(&file, Meta::root(0o644));
            draft.text(file, edited, meta, &reason);
        }
    }
}

/// NetworkManager's other profiles for this interface, or for any of its kind.
fn profiles(inputs: &Inputs<'_>, image: Image<'_>, draft: &mut Draft) {
    let interface = &inputs.node.network.interface;
    let reason = Reason::new("[network]", format!("nothing else claims {interface}"));
    for file in image.entries(Volume::Root, &path("/etc/NetworkManager/system-connections")) {
        let Some(Some(text)) = draft.note(image.text(&file)) else { continue };
        // One that an overlay writes is meant.
        if draft.planned(&file).is_none() && profile_claims(text, interface) {
            draft.remove(file, &reason);
        }
    }
}

fn profile_claims(text: &str, interface: &str) -> bool {
    let value = |key: &str| {
        text.lines()
            .filter_map(|line| line.split_once('='))
            .find(|(name, _)| name.trim() == key)
            .map(|(_, value)| value.trim())
    };
    if let Some(name) = value("interface-name") {
        return name == interface;
    }
    let wireless = matches!(value("type"), Some("wifi" | "802-11-wireless"));
    let wired = matches!(value("type"), Some("ethernet" | "802-3-ethernet"));
    if interface.starts_with("wl") { wireless } else { wired }
}

/// netplan's files that speak of this interface; the distribution's own only names the renderer.
fn netplan(inputs: &Inputs<'_>, image: Image<'_>, draft: &mut Draft) {
    let interface = &inputs.node.network.interface;
    let reason = Reason::new("[network]", format!("nothing else claims {interface}"));
    for file in image.entries(Volume::Root, &path("/etc/netplan")) {
        let Some(Some(text)) = draft.note(image.text(&file)) else { continue };
        if draft.planned(&file).is_none() && netplan_claims(&file, text, interface) {
            draft.remove(file, &reason);
        }
    }
}

fn netplan_claims(file: &FsPath, text: &str, interface: &str) -> bool {
    let name = file.name().unwrap_or("");
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or(""));
    let words = lines
        .flat_map(|line| line.split(|letter: char| letter.is_whitespace() || ":\"'{},[]".contains(letter)));
    let speaks = |wanted: &str| words.clone().any(|word| word == wanted);
    let generated = name.starts_with("90-NM-") || name == "50-cloud-init.yaml";
    speaks(interface) || speaks("match") || generated && (speaks("ethernets") || speaks("wifis"))
}

/// openresolv writes resolv.conf for whoever asks it to, unless told not to.
fn resolvconf(inputs: &Inputs<'_>, image: Image<'_>, draft: &mut Draft) {
    let file = path("/etc/resolvconf.conf");
    let Some(text) = draft.note(image.text(&file)) else { return };
    let installed = image.has_package("openresolv") || text.is_some();
    if inputs.node.network.resolv_conf == ResolvConf::Managed || !installed {
        return;
    }
    let reason = Reason::new("[network]", "openresolv leaves resolv.conf alone");
    let edited = with_assignment(text.unwrap_or(""), "resolvconf", "NO");
    draft.text(file.clone(), edited, image.meta(&file, Meta::root(0o644)), &reason);
}

#[cfg(test)]
mod tests {
    use super::{netplan_claims, profile_claims};
    use crate::fs::path::FsPath;

    #[test]
    fn profiles_claim_by_name_or_by_kind() {
        for (text, wired, wireless) in [
            ("[connection]\ntype=ethernet\ninterface-name=eth0\n", true, false),
            ("[connection]\ntype=ethernet\ninterface-name=eth1\n", false, false),
            ("[connection]\ntype = 802-3-ethernet\n", true, false),
            ("[connection]\ntype=wifi\n[wifi]\nssid=x\n", false, true),
            ("[connection]\ntype=vpn\n", false, false),
        ] {
            assert_eq!(
                (profile_claims(text, "eth0"), profile_claims(text, "wlan0")),
                (wired, wireless),
                "{text}"
            );
        }
    }

    #[test]
    fn netplan_files_claim_by_name_or_match() {
        let claims = |name: &str, text: &str| netplan_claims(&FsPath::new(name).unwrap(), text, "eth0");
        assert!(claims("/etc/netplan/x.yaml", "network:\n  ethernets:\n    eth0: {dhcp4: true}\n"));
        assert!(claims("/etc/netplan/x.yaml", "network: {ethernets: {any: {match: {name: \"e*\"}}}}"));
        assert!(claims("/etc/netplan/90-NM-1234.yaml", "network:\n  wifis:\n    NM-1234: {}\n"));
        assert!(!claims("/etc/netplan/x.yaml", "network:\n  renderer: NetworkManager\n"));
        assert!(!claims(
            "/etc/netplan/x.yaml",
            "network:\n  ethernets:\n    eth1: {dhcp4: true} # not eth0\n"
        ));
    }
}
