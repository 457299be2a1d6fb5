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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{may_change, may_go};
    use crate::audit::manifest::Manifest;

    fn manifest(paths: &[Value]) -> Manifest {
        let text = json!({
            "format": 1, "cluster": "lab", "node": "pi1", "plan": "00", "bake_time": "2026-11-20T09:00:00Z",
            "paths": paths,
        });
        Manifest::parse(text.to_string().as_bytes()).unwrap()
    }

    fn file(volume: &str, path: &str) -> Value {
        json!({ "volume": volume, "path": path, "kind": "file", "mode": "0644", "uid": 0, "gid": 0 })
    }

    #[test]
    fn what_waits_for_the_first_boot_may_go_and_nothing_else() {
        for (path, goes) in [
            ("/var/cache/pibake/debs/docker/docker.io_20_arm64.deb", true),
            ("/var/cache/pibake/debs/apt", true),
            ("/var/cache/pibake/debs/list", false),
            ("/var/cache/pibake/images/web.tar", true),
            ("/var/cache/pibake/images/deeper/web.tar", false),
            ("/etc/pibake/swarm/secrets/db", true),
            ("/etc/pibake/swarm/join_key", false),
            ("/etc/hostname", false),
        ] {
            assert_eq!(may_go(&manifest(&[file("root", path)]).paths[0]), goes, "{path}");
        }
        assert!(!may_go(&manifest(&[file("boot", "/var/cache/pibake/debs/apt")]).paths[0]));
    }

    #[test]
    fn what_the_system_keeps_up_may_change_and_the_rest_may_not() {
        let mut fixed = file("root", "/etc/resolv.conf");
        fixed["flags"] = json!(["immutable"]);
        let own = file("root", "/usr/lib/pibake/first-boot");
        for (entry, with_pibake, with_vendor) in [
            (file("root", "/etc/passwd"), true, true),
            (file("root", "/etc/hosts"), false, false),
            (file("root", "/etc/resolv.conf"), true, true),
            (fixed, false, false),
            (file("root", "/etc/fstab"), false, true),
            (file("boot", "/cmdline.txt"), false, true),
            (file("boot", "/etc/passwd"), false, false),
        ] {
            let pibake = manifest(&[entry.clone(), own.clone()]);
            let vendor = manifest(&[entry]);
            let may = [&pibake, &vendor].map(|manifest| may_change(&manifest.paths[0], manifest));
            assert_eq!(may, [with_pibake, with_vendor], "{:?}", vendor.paths[0]);
        }
    }
}
