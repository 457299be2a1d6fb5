//! What a node that runs changes or deletes of what was baked into it, rightly.

use super::manifest::{Entry, Manifest};
use crate::fs::volume::Volume;

/// Where files wait for the first boots, which delete them one by one: packages (`overlays/packages`), container
/// images (`overlays/docker-images`), secrets until the swarm has them (`overlays/swarm-manager`).
const WAITING: [&str; 4] = [
    "/var/cache/pibake/debs/docker/",
    "/var/cache/pibake/debs/system/",
    "/var/cache/pibake/images/",
    "/etc/pibake/swarm/secrets/",
];

/// The same, alone: what is to come from the network.
const WAITING_FILE: &str = "/var/cache/pibake/debs/apt";

/// What programs of the system keep up to date: accounts, which packages add to; clocks; the machine's id; the
/// log; keys that are refused, which `pibake keys revoke` says to add.
const KEPT_UP: [&str; 15] = [
    "/etc/adjtime",
    "/etc/fake-hwclock.data",
    "/etc/group",
    "/etc/gshadow",
    "/etc/machine-id",
    "/etc/passwd",
    "/etc/pibake/swarm/revoked",
    "/etc/shadow",
    "/etc/shells",
    "/etc/subgid",
    "/etc/subuid",
    "/var/lib/NetworkManager/NetworkManager.state",
    "/var/lib/systemd/clock",
    "/var/lib/systemd/timesync/clock",
    "/var/log/pibake.log",
];

/// What is there when pibake's own first boot is, and not the vendor's.
const OWN_FIRST_BOOT: &str = "/usr/lib/pibake/first-boot";

/// Whether a path is deleted once it has served.
pub(super) fn may_go(entry: &Entry) -> bool {
    let path = entry.path.as_str();
    entry.volume == Volume::Root
        && (path == WAITING_FILE
            || WAITING.iter().any(|dir| path.strip_prefix(dir).is_some_and(|name| !name.contains('/'))))
}

/// Whether a file's content is the running system's business.
pub(super) fn may_change(entry: &Entry, manifest: &Manifest) -> bool {
    let path = entry.path.as_str();
    match entry.volume {
        // The vendor's hook takes itself out, and gives the card an id of its own.
        Volume::Boot => path == "/cmdline.txt" && !manifest.has(OWN_FIRST_BOOT),
        Volume::Root if path == "/etc/fstab" => !manifest.has(OWN_FIRST_BOOT),
        Volume::Root if path == "/etc/resolv.conf" => !entry.flags.iter().any(|flag| flag == "immutable"),
        Volume::Root => KEPT_UP.contains(&path),
    }
}
