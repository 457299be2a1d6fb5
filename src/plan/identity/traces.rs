//! What a system that has run keeps of itself, and two machines must not share (raspios.md, section 10).

use crate::fs::metadata::Meta;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::inventory::types::FirstBootHook;
use crate::plan::draft::{Draft, Reason};
use crate::plan::first_boot;
use crate::plan::image::{Image, path};

/// Single files and trees, and what they are.
const GOING: [(&str, &str); 15] = [
    ("/etc/dhcpcd.duid", "what DHCP servers know a machine by"),
    ("/etc/dhcpcd.secret", "what a machine's IPv6 addresses come from"),
    ("/etc/docker/key.json", "the identity of a machine's Docker"),
    ("/var/lib/NetworkManager/secret_key", "what a machine's IPv6 addresses and DHCP identity come from"),
    ("/var/lib/NetworkManager/seen-bssids", "which radio networks a machine has seen"),
    ("/var/lib/NetworkManager/timestamps", "when a machine used its networks"),
    ("/var/lib/cloud/instance", "what cloud-init knows a machine by"),
    ("/var/lib/systemd/random-seed", "randomness that two machines would begin with"),
    ("/var/lib/urandom/random-seed", "randomness that two machines would begin with"),
    ("/var/lib/tailscale/tailscaled.state", "a machine's key in a tailnet: log in again"),
    ("/var/lib/tailscale/derpmap.cached.json", "what a machine's tailscale has seen"),
    ("/var/lib/zerotier-one/identity.public", "a machine's ZeroTier address"),
    ("/var/lib/zerotier-one/identity.secret", "a machine's ZeroTier key: join again"),
    ("/var/lib/zerotier-one/authtoken.secret", "a machine's ZeroTier token"),
    ("/etc/rancher/node/password", "a machine's k3s password"),
];

/// Everything in a directory whose name passes, and what that is.
type In = (&'static str, fn(&str) -> bool, &'static str);
const IN: [In; 8] = [
    ("/var/lib/NetworkManager", |name| name.ends_with(".lease"), "an address that a machine was given"),
    ("/var/lib/dhcp", |name| name.contains(".leases"), "an address that a machine was given"),
    ("/var/lib/dhcpcd", is_of_dhcpcd, "what a machine's dhcpcd knows itself by, or was given"),
    ("/var/lib/dhcpcd5", is_of_dhcpcd, "what a machine's dhcpcd knows itself by, or was given"),
    ("/var/lib/systemd/network", |_| true, "what a machine's systemd-networkd was given"),
    ("/var/lib/cloud/data", |name| name.contains("instance-id"), "what cloud-init knows a machine by"),
    ("/var/lib/cloud/instances", |_| true, "what cloud-init knows a machine by"),
    (
        "/etc/wireguard",
        |_| true,
        "a WireGuard key, which two machines cannot use at once: make this node its own",
    ),
];

/// What cannot be told from what a person wants to keep: told, and left.
const TOLD: [(&str, &str); 4] = [
    ("/etc/kubernetes", "a Kubernetes node's certificates"),
    ("/var/lib/kubelet", "a Kubernetes node's state"),
    ("/var/lib/rancher/k3s", "a k3s node's state"),
    ("/etc/iscsi/initiatorname.iscsi", "an iSCSI initiator's name"),
];

/// Where the vendor's remote access keeps a machine's login, in a home directory.
const CONNECT: &str = ".config/com.raspberrypi.connect";

/// Plans that all of it goes, and tells of what may have to.
pub(super) fn plan(image: Image<'_>, draft: &mut Draft) {
    machine_id(image, draft);
    for (file, what) in GOING {
        remove(image, path(file), what, draft);
    }
    for (dir, passes, what) in IN {
        for file in image.entries(Volume::Root, &path(dir)) {
            if file.name().is_some_and(passes) {
                remove(image, file, what, draft);
            }
        }
    }
    for home in homes(image) {
        if let Ok(login) = FsPath::new(&format!("{home}/{CONNECT}")) {
            remove(image, login, "a machine's login to Raspberry Pi Connect: log in again", draft);
        }
    }
    cloud_init(image, draft);
    first_boot::leftovers(image, draft);
    tell(image, draft);
}

/// Empty, on Trixie too: `uninitialized` would be a first boot, which enables units that were only disabled. A card
/// that has not been booted yet and is to grow by the vendor's hook has that word, and nothing to hide.
fn machine_id(image: Image<'_>, draft: &mut Draft) {
    let reason = Reason::new("identity", "the machine gets an id of its own");
    let file = path("/etc/machine-id");
    let Some(text) = draft.note(image.text(&file)) else { return };
    let waits =
        image.inventory.hook != FirstBootHook::None && text.is_some_and(|id| id.trim() == "uninitialized");
    if !waits && text != Some("") {
        let meta = image.meta(&file, Meta::root(0o444));
        draft.text(file, "", meta, &reason);
    }
    let copy = path("/var/lib/dbus/machine-id");
    if image.has(&copy) && image.link(&copy).is_none() {
        draft.remove(copy, &reason);
    }
}

fn remove(image: Image<'_>, file: FsPath, what: &str, draft: &mut Draft) {
    if image.has(&file) {
        draft.remove(file, &Reason::new("identity", what));
    }
}

fn is_of_dhcpcd(name: &str) -> bool {
    name == "duid" || name == "secret" || name == "rdm_monotonic" || name.contains(".lease")
}

/// Without its instance cloud-init would begin anew, and with what the captured card's user told it.
fn cloud_init(image: Image<'_>, draft: &mut Draft) {
    let off = path("/etc/cloud/cloud-init.disabled");
    if image.has_package("cloud-init") && !image.has(&off) {
        let reason = Reason::new("identity", "cloud-init would give the card its old name again");
        draft.text(off, "", Meta::root(0o644), &reason);
    }
}

fn homes(image: Image<'_>) -> Vec<FsPath> {
    let mut homes = image.entries(Volume::Root, &path("/home"));
    homes.push(path("/root"));
    homes
}

/// What may have to go, and is a person's to judge.
fn tell(image: Image<'_>, draft: &mut Draft) {
    for (place, what) in TOLD {
        if image.has(&path(place)) {
            draft.warn(format!("{place} stays: {what}, which the card that was captured has too"));
        }
    }
    for home in homes(image) {
        let Ok(dir) = home.join(".ssh") else { continue };
        for key in image.entries(Volume::Root, &dir) {
            let is_key = key.name().is_some_and(|name| name.starts_with("id_") && !name.ends_with(".pub"));
            if is_key {
                draft.warn(format!("{key} stays: a private key, which the card that was captured has too"));
            }
        }
    }
    for file in image.entries(Volume::Root, &path("/etc/NetworkManager/system-connections")) {
        let Some(Some(text)) = draft.note(image.text(&file)) else { continue };
        if text.lines().any(|line| line.trim() == "type=wireguard") && draft.planned(&file).is_none() {
            draft.remove(
                file,
                &Reason::new("identity", "a WireGuard key, which two machines cannot use at once"),
            );
        }
    }
}
