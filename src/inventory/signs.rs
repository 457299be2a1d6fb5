//! What the copied texts tell of an image: its hook, its network stack, where it mounts the FAT.

use super::collect::Collected;
use super::error::InventoryError;
use super::types::{FirstBootHook, NetworkStack, Release};
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;

/// The vendor's hook that the kernel command line names (raspios.md, section 2.1).
pub(super) fn hook(cmdline: &str) -> FirstBootHook {
    let words = || cmdline.split_whitespace();
    if words().any(|word| word == "init=/usr/lib/raspi-config/init_resize.sh") {
        FirstBootHook::InitResize
    } else if words().any(|word| word == "init=/usr/lib/raspberrypi-sys-mods/firstboot") {
        FirstBootHook::Firstboot
    } else if words().any(|word| word == "resize") {
        FirstBootHook::Resize
    } else {
        FirstBootHook::None
    }
}

/// Where the image mounts its FAT partition: the vfat line of fstab or, without one, the usual place.
pub(super) fn firmware_mount(fstab: &str, release: Release) -> Result<FsPath, InventoryError> {
    let mounts = fstab.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split('#').next()?.split_whitespace().collect();
        (fields.get(2) == Some(&"vfat")).then(|| fields[1])
    });
    for mount in mounts {
        if mount == "/boot" || mount.starts_with("/boot/") {
            return FsPath::new(mount)
                .map_err(|error| InventoryError::Odd { what: format!("its fstab is odd: {error}") });
        }
    }
    Ok(super::at(if release >= Release::Bookworm { "/boot/firmware" } else { "/boot" }))
}

/// The stack whose unit is enabled; without one, the one that is installed.
pub(super) fn network_stack(
    collected: &Collected,
    has_package: impl Fn(&str) -> bool,
    release: Release,
) -> Result<NetworkStack, InventoryError> {
    let newer = release >= Release::Bookworm;
    let order = if newer {
        [NetworkStack::NetworkManager, NetworkStack::Dhcpcd]
    } else {
        [NetworkStack::Dhcpcd, NetworkStack::NetworkManager]
    };
    let is_enabled = |stack: &NetworkStack| {
        let unit = unit_of(*stack);
        let in_systemd = |name: String| FsPath::new(&format!("/etc/systemd/system/{name}")).ok();
        let link = in_systemd(format!("multi-user.target.wants/{unit}"));
        let linked = link.is_some_and(|path| collected.present.contains(&(Volume::Root, path)));
        let target = in_systemd(unit.to_owned()).and_then(|path| collected.links.get(&(Volume::Root, path)));
        linked && target.is_none_or(|target| target != "/dev/null")
    };
    let is_installed = |stack: &NetworkStack| match stack {
        NetworkStack::Dhcpcd => has_package("dhcpcd5") || has_package("dhcpcd"),
        NetworkStack::NetworkManager => has_package("network-manager"),
    };
    let mut stacks = order.iter();
    let found = stacks.clone().find(|s| is_enabled(s)).or_else(|| stacks.find(|s| is_installed(s)));
    found.copied().ok_or_else(|| InventoryError::Odd {
        what: "it has neither dhcpcd nor NetworkManager, so nothing pibake knows configures its network"
            .into(),
    })
}

fn unit_of(stack: NetworkStack) -> &'static str {
    match stack {
        NetworkStack::Dhcpcd => "dhcpcd.service",
        NetworkStack::NetworkManager => "NetworkManager.service",
    }
}

/// What `/etc/machine-id` says (machine-id(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MachineId {
    /// No such file: the next boot is a first boot.
    Missing,
    /// Empty: an identity is made at boot, without it being a first boot.
    Empty,
    /// The word `uninitialized`: the next boot is a first boot.
    Uninitialized,
    /// An identity of 32 hexadecimal digits.
    Set,
    /// Something else.
    Odd,
}

/// What the text of `/etc/machine-id` says.
pub(super) fn machine_id(text: Option<&str>) -> MachineId {
    match text.map(str::trim) {
        None => MachineId::Missing,
        Some("") => MachineId::Empty,
        Some("uninitialized") => MachineId::Uninitialized,
        Some(id) if id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => MachineId::Set,
        Some(_) => MachineId::Odd,
    }
}

#[cfg(test)]
mod tests {
    use super::{FirstBootHook, MachineId, NetworkStack, firmware_mount, hook, machine_id, network_stack};
    use crate::inventory::collect::Collected;
    use crate::inventory::testing::FakeFs;
    use crate::inventory::types::Release;

    #[test]
    fn knows_hooks_by_whole_words() {
        for (cmdline, expected) in [
            ("console=tty1 quiet init=/usr/lib/raspi-config/init_resize.sh\n", FirstBootHook::InitResize),
            ("quiet init=/usr/lib/raspberrypi-sys-mods/firstboot", FirstBootHook::Firstboot),
            ("root=PARTUUID=1-02 rootwait resize", FirstBootHook::Resize),
            ("root=PARTUUID=1-02 resize2fs=no fsck.repair=yes", FirstBootHook::None),
            ("", FirstBootHook::None),
        ] {
            assert_eq!(hook(cmdline), expected, "{cmdline}");
        }
    }

    #[test]
    fn finds_the_mount_point_in_fstab() {
        let mount = |fstab: &str, release| firmware_mount(fstab, release).unwrap().to_string();
        let old = "proc /proc proc defaults 0 0\nPARTUUID=1-01  /boot  vfat  defaults  0  2\n";
        assert_eq!(mount(old, Release::Trixie), "/boot");
        let odd = "#PARTUUID=1-01 /boot vfat x\nLABEL=data /srv vfat x\nLABEL=b /boot/firmware vfat x";
        assert_eq!(mount(odd, Release::Jessie), "/boot/firmware");
        assert_eq!(mount("", Release::Bookworm), "/boot/firmware");
        assert_eq!(mount("garbage", Release::Bullseye), "/boot");
        assert!(firmware_mount("x /boot/../etc vfat", Release::Bullseye).is_err());
    }

    #[test]
    fn knows_machine_ids() {
        assert_eq!(machine_id(None), MachineId::Missing);
        assert_eq!(machine_id(Some("\n")), MachineId::Empty);
        assert_eq!(machine_id(Some("uninitialized\n")), MachineId::Uninitialized);
        assert_eq!(machine_id(Some("0123456789abcdef0123456789abcdef\n")), MachineId::Set);
        assert_eq!(machine_id(Some("0123")), MachineId::Odd);
    }

    #[test]
    fn finds_the_network_stack_that_is_enabled() {
        let stack = |enabled: &[&str], masked: &[&str], packages: &[&str], release| {
            let mut root = FakeFs::default();
            for unit in enabled {
                let link = format!("/etc/systemd/system/multi-user.target.wants/{unit}.service");
                root = root.link(&link, &format!("/lib/systemd/system/{unit}.service"));
            }
            for unit in masked {
                root = root.link(&format!("/etc/systemd/system/{unit}.service"), "/dev/null");
            }
            let mut collected = Collected::default();
            collected.take_root(&root).unwrap();
            network_stack(&collected, |name| packages.contains(&name), release)
        };
        let (dhcpcd, nm) = (NetworkStack::Dhcpcd, NetworkStack::NetworkManager);
        let both = ["dhcpcd5", "network-manager"];
        for (enabled, masked, packages, release, expected) in [
            (&["dhcpcd"][..], &[][..], &both[..], Release::Bullseye, dhcpcd),
            (&["NetworkManager"], &[], &both, Release::Bullseye, nm),
            (&["dhcpcd", "NetworkManager"], &[], &both, Release::Bullseye, dhcpcd),
            (&["dhcpcd", "NetworkManager"], &["dhcpcd"], &both, Release::Bullseye, nm),
            (&[], &[], &both, Release::Buster, dhcpcd),
            (&[], &[], &both, Release::Trixie, nm),
            (&[], &[], &["dhcpcd"], Release::Trixie, dhcpcd),
        ] {
            let found = stack(enabled, masked, packages, release).unwrap();
            assert_eq!(found, expected, "{enabled:?} {masked:?} {packages:?} {release:?}");
        }
        assert!(stack(&[], &[], &["ifupdown"], Release::Jessie).is_err());
    }
}
