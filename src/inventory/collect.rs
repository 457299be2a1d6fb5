//! What of the two filesystems is copied into the inventory: every text that a plan edits or looks at, and
//! the names of everything it may ask about.

use std::collections::{BTreeMap, BTreeSet};

use crate::fs::FsReader;
use crate::fs::error::FsError;
use crate::fs::metadata::{FileType, Meta};
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;

use super::types::RUN_LEVELS;

/// A text longer than this is none of those meant here.
const MAX_TEXT: u64 = 1 << 20;
/// In the trees, longer files are known by name only. Debian's keyring has 55 KiB and grows.
const MAX_IN_TREE: u64 = 256 << 10;
/// No tree holds that many names or is that deep; one that is was not made by Debian.
const MAX_NAMES: usize = 100_000;
const MAX_DEPTH: usize = 24;

/// Texts of the firmware partition: its own, and what the vendor's flasher may have left.
const BOOT_TEXTS: [&str; 17] = [
    "/cmdline.txt",
    "/config.txt",
    "/issue.txt",
    "/firstrun.sh",
    "/userconf",
    "/userconf.txt",
    "/failed_userconf.txt",
    "/custom.toml",
    "/user-data",
    "/meta-data",
    "/network-config",
    "/vendor-data",
    "/rpi-preseed.toml",
    "/wpa_supplicant.conf",
    "/ssh",
    "/ssh.txt",
    "/pibake-node.txt",
];

/// Texts of the root filesystem.
const ROOT_TEXTS: [&str; 45] = [
    "/boot/cmdline.txt",
    "/boot/config.txt",
    "/etc/adjtime",
    "/etc/apt/sources.list",
    "/etc/apt/trusted.gpg",
    "/etc/debian_version",
    "/etc/dhcpcd.conf",
    "/etc/environment",
    "/etc/fake-hwclock.data",
    "/etc/fstab",
    "/etc/group",
    "/etc/gshadow",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/inittab",
    "/etc/locale.conf",
    "/etc/locale.gen",
    "/etc/login.defs",
    "/etc/machine-id",
    "/etc/modules",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pibake/swarm/node",
    "/etc/rc.local",
    "/etc/resolv.conf",
    "/etc/resolvconf.conf",
    "/etc/rpi-issue",
    "/etc/shadow",
    "/etc/shells",
    "/etc/subgid",
    "/etc/subuid",
    "/etc/sudoers",
    "/etc/sysctl.conf",
    "/etc/timezone",
    "/etc/vconsole.conf",
    "/usr/lib/os-release",
    "/usr/share/i18n/SUPPORTED",
    "/usr/share/pibake/manifest.json",
    "/var/lib/NetworkManager/NetworkManager.state",
    "/var/lib/dbus/machine-id",
    "/var/lib/docker/swarm/certificates/swarm-node.crt",
    "/var/lib/dpkg/arch",
    "/var/lib/systemd/clock",
    "/var/lib/systemd/timesync/clock",
];

/// Directories of the root filesystem taken whole: names, modes and owners, link targets, short files.
const ROOT_TREES: [&str; 22] = [
    "/etc/NetworkManager",
    "/etc/apt/apt.conf.d",
    "/etc/apt/keyrings",
    "/etc/apt/sources.list.d",
    "/etc/apt/trusted.gpg.d",
    "/etc/cloud",
    "/etc/default",
    "/etc/dhcp",
    "/etc/docker",
    "/etc/initramfs-tools",
    "/etc/modprobe.d",
    "/etc/modules-load.d",
    "/etc/netplan",
    "/etc/network",
    "/etc/skel",
    "/etc/ssh",
    "/etc/sudoers.d",
    "/etc/sysctl.d",
    "/etc/systemd",
    "/etc/wpa_supplicant",
    "/usr/lib/raspberrypi-sys-mods",
    "/usr/share/keyrings",
];

/// Directories of the root filesystem taken by name, without files' contents, and how deep.
const ROOT_NAMES: [(&str, usize); 27] = [
    ("/", 1),
    ("/boot", 1),
    ("/boot/firmware", 1),
    ("/etc", 1),
    ("/etc/cron.d", 1),
    ("/etc/init.d", 1),
    ("/etc/xdg/autostart", 1),
    ("/home", 2),
    ("/lib/systemd/system", 1),
    ("/lib/systemd/system-generators", 1),
    ("/opt", 1),
    ("/root", 1),
    ("/usr/lib/raspi-config", 1),
    ("/usr/lib/systemd", 1),
    ("/usr/lib/systemd/system", 1),
    ("/usr/lib/systemd/system-generators", 1),
    ("/usr/lib/userconf-pi", 1),
    ("/usr/share/X11/xkb/symbols", 1),
    ("/usr/share/i18n/locales", 1),
    ("/usr/share/zoneinfo", 4),
    ("/var/lib", 1),
    ("/var/lib/NetworkManager", 1),
    ("/var/lib/dbus", 1),
    ("/var/lib/systemd", 1),
    ("/var/lib/systemd/rfkill", 1),
    ("/var/lib/systemd/timesync", 1),
    ("/var/lib/userconf-pi", 1),
];

/// The same, where a system that has run keeps what makes it itself (raspios.md, section 10).
const IDENTITY_NAMES: [(&str, usize); 21] = [
    ("/etc/iscsi", 1),
    ("/etc/kubernetes", 1),
    ("/etc/pibake", 3),
    ("/etc/rancher", 2),
    ("/etc/wireguard", 1),
    ("/usr/lib/pibake", 1),
    ("/var/lib/cloud", 1),
    ("/var/lib/cloud/data", 1),
    ("/var/lib/cloud/instances", 1),
    ("/var/lib/dhcp", 1),
    ("/var/lib/dhcpcd", 1),
    ("/var/lib/dhcpcd5", 1),
    ("/var/lib/docker", 1),
    ("/var/lib/docker/swarm", 1),
    ("/var/lib/kubelet", 1),
    ("/var/lib/pibake/swarm", 1),
    ("/var/lib/rancher", 2),
    ("/var/lib/systemd/network", 1),
    ("/var/lib/tailscale", 1),
    ("/var/lib/urandom", 1),
    ("/var/lib/zerotier-one", 1),
];

/// The same, in every home directory.
const HOME_NAMES: [&str; 2] = [".config/com.raspberrypi.connect", ".ssh"];

/// Where NetworkManager keeps the leases that say which addresses it was given.
const LEASES: &str = "/var/lib/NetworkManager";

/// What was copied; the maps are an inventory's.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) files: BTreeMap<(Volume, FsPath), Vec<u8>>,
    pub(super) present: BTreeSet<(Volume, FsPath)>,
    pub(super) meta: BTreeMap<(Volume, FsPath), Meta>,
    pub(super) links: BTreeMap<(Volume, FsPath), String>,
}

impl Collected {
    /// Takes what is wanted of the firmware partition.
    pub(super) fn take_boot(&mut self, boot: &dyn FsReader) -> Result<(), FsError> {
        let mut collector = Collector { reader: boot, volume: Volume::Boot, into: self };
        collector.take_names(&FsPath::root(), 1)?;
        collector.take_names(&super::at("/overlays"), 1)?;
        BOOT_TEXTS.iter().try_for_each(|path| collector.take_text(path))
    }

    /// Takes what is wanted of the root filesystem.
    pub(super) fn take_root(&mut self, root: &dyn FsReader) -> Result<(), FsError> {
        let mut collector = Collector { reader: root, volume: Volume::Root, into: self };
        ROOT_TREES.iter().chain(&RUN_LEVELS).try_for_each(|path| collector.take_tree(path))?;
        for (path, depth) in ROOT_NAMES.iter().chain(&IDENTITY_NAMES) {
            collector.take_names(&super::at(path), *depth)?;
        }
        collector.take_homes()?;
        collector.take_leases()?;
        ROOT_TEXTS.iter().try_for_each(|path| collector.take_text(path))
    }

    /// A text as it was copied, odd bytes replaced.
    pub(super) fn text(&self, volume: Volume, path: &FsPath) -> Option<String> {
        let bytes = self.files.get(&(volume, path.clone()))?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }
}

struct Collector<'a> {
    reader: &'a dyn FsReader,
    volume: Volume,
    into: &'a mut Collected,
}

impl Collector<'_> {
    /// A text and what stands at its path; absent is fine.
    fn take_text(&mut self, path: &'static str) -> Result<(), FsError> {
        let path = super::at(path);
        let Some(size) = self.take_entry(&path)? else { return Ok(()) };
        if size > MAX_TEXT {
            return Err(FsError::TooLarge { path, size, limit: MAX_TEXT });
        }
        self.take_content(&path)
    }

    /// A directory and all below it.
    fn take_tree(&mut self, path: &'static str) -> Result<(), FsError> {
        let mut pending = vec![super::at(path)];
        while let Some(path) = pending.pop() {
            let size = self.take_entry(&path)?;
            // Keys are nobody's business: a plan makes its own.
            let is_key = path.name().is_some_and(|n| n.starts_with("ssh_host_") && n.ends_with("_key"));
            if size.is_some_and(|size| size <= MAX_IN_TREE) && !is_key {
                self.take_content(&path)?;
            }
            let is_directory =
                self.reader.stat_no_follow(&path)?.is_some_and(|stat| stat.kind == FileType::Directory);
            if is_directory {
                pending.extend(self.children(&path)?.into_iter().map(|(child, _)| child));
            }
        }
        Ok(())
    }

    /// The names in a directory and `depth` levels below it: 1 is the directory's own names.
    fn take_names(&mut self, path: &FsPath, depth: usize) -> Result<(), FsError> {
        let mut pending = vec![(path.clone(), depth)];
        while let Some((path, depth)) = pending.pop() {
            match self.reader.stat(&path)? {
                Some(stat) if stat.kind == FileType::Directory => {}
                _ => continue,
            }
            self.take_entry(&path)?;
            for (child, kind) in self.children(&path)? {
                self.take_entry(&child)?;
                if depth > 1 && kind == FileType::Directory {
                    pending.push((child, depth - 1));
                }
            }
        }
        Ok(())
    }

    /// What is wanted of every home directory.
    fn take_homes(&mut self) -> Result<(), FsError> {
        let mut homes = vec![super::at("/root")];
        if self.reader.stat(&super::at("/home"))?.is_some_and(|stat| stat.kind == FileType::Directory) {
            homes.extend(self.children(&super::at("/home"))?.into_iter().map(|(home, _)| home));
        }
        for home in homes {
            for name in HOME_NAMES {
                // A name that cannot be joined is too long to be there.
                let Ok(path) = FsPath::new(&format!("{home}/{name}")) else { continue };
                self.take_names(&path, 1)?;
            }
        }
        Ok(())
    }

    /// The texts of leases. They say nothing that is not to be known.
    fn take_leases(&mut self) -> Result<(), FsError> {
        let dir = super::at(LEASES);
        if !self.into.present.contains(&(self.volume, dir.clone())) {
            return Ok(());
        }
        for (path, kind) in self.children(&dir)? {
            let is_lease = kind == FileType::File && path.as_str().ends_with(".lease");
            if is_lease && self.take_entry(&path)?.is_some_and(|size| size <= MAX_IN_TREE) {
                self.take_content(&path)?;
            }
        }
        Ok(())
    }

    /// What stands at a path: presence, mode and owner, a link's target. Returns the size of the regular
    /// file that it is or leads to.
    fn take_entry(&mut self, path: &FsPath) -> Result<Option<u64>, FsError> {
        let Some(stat) = self.reader.stat_no_follow(path)? else { return Ok(None) };
        let key = (self.volume, path.clone());
        self.into.present.insert(key.clone());
        self.into.meta.insert(key.clone(), stat.meta);
        if stat.kind != FileType::Symlink {
            return Ok((stat.kind == FileType::File).then_some(stat.size));
        }
        let target = self.reader.read_link(path)?;
        self.into.links.insert(key, String::from_utf8_lossy(&target).into_owned());
        // A link that leads nowhere, or round in a circle, has no content.
        let led_to = self.reader.stat(path).ok().flatten();
        Ok(led_to.filter(|stat| stat.kind == FileType::File).map(|stat| stat.size))
    }

    fn take_content(&mut self, path: &FsPath) -> Result<(), FsError> {
        let content = self.reader.read(path, MAX_TEXT)?;
        self.into.files.insert((self.volume, path.clone()), content);
        Ok(())
    }

    /// The entries of a directory whose names are text; others cannot be named in a plan.
    fn children(&self, path: &FsPath) -> Result<Vec<(FsPath, FileType)>, FsError> {
        if self.into.present.len() > MAX_NAMES {
            return Err(FsError::unsupported(format!("more than {MAX_NAMES} names in {path} and others")));
        }
        if path.components().count() > MAX_DEPTH {
            return Err(FsError::unsupported(format!("directories nested deeper than {MAX_DEPTH}")));
        }
        let entries = self.reader.read_dir(path)?.into_iter();
        Ok(entries
            .filter_map(|entry| Some((path.join(std::str::from_utf8(&entry.name).ok()?).ok()?, entry.kind)))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{Collected, MAX_IN_TREE, MAX_TEXT};
    use crate::fs::error::FsError;
    use crate::fs::path::FsPath;
    use crate::fs::volume::Volume;
    use crate::inventory::testing::FakeFs;

    fn key(path: &str) -> (Volume, FsPath) {
        (Volume::Root, FsPath::new(path).unwrap())
    }

    fn root_of(fs: FakeFs) -> Collected {
        let mut collected = Collected::default();
        collected.take_root(&fs).unwrap();
        collected
    }

    #[test]
    fn takes_texts_names_links_and_modes() {
        let found = root_of(
            FakeFs::with(&[
                ("/etc/hosts", "127.0.0.1 localhost\n"),
                ("/etc/skel/.config/deep/file", "x"),
                ("/home/pi/.profile", "secret"),
                ("/usr/share/zoneinfo/Europe/Berlin", "TZif"),
                ("/usr/lib/systemd/system/ssh.service", "[Unit]"),
                ("/usr/bin/ls", "program"),
            ])
            .file("/usr/share/keyrings/archive.pgp", b"\x99\xff")
            .link("/usr/share/keyrings/archive.gpg", "/usr/share/keyrings/archive.pgp")
            .link("/etc/os-release", "/usr/lib/os-release")
            .file("/usr/lib/os-release", b"ID=debian"),
        );
        assert_eq!(found.text(Volume::Root, &key("/etc/hosts").1).unwrap(), "127.0.0.1 localhost\n");
        assert_eq!(found.files[&key("/etc/skel/.config/deep/file")], b"x");
        assert_eq!(found.files[&key("/etc/os-release")], b"ID=debian");
        assert_eq!(found.files[&key("/usr/share/keyrings/archive.gpg")], b"\x99\xff");
        assert_eq!(found.links[&key("/etc/os-release")], "/usr/lib/os-release");
        assert_eq!(found.meta[&key("/home/pi/.profile")].mode, 0o644);
        for named in
            ["/home/pi/.profile", "/usr/share/zoneinfo/Europe/Berlin", "/usr/lib/systemd/system/ssh.service"]
        {
            assert!(found.present.contains(&key(named)), "{named}");
            assert!(!found.files.contains_key(&key(named)), "{named}");
        }
        assert!(!found.present.contains(&key("/usr/bin/ls")));
    }

    #[test]
    fn a_link_that_leads_nowhere_is_known_and_empty() {
        let found =
            root_of(FakeFs::default().link("/etc/resolv.conf", "/run/systemd/resolve/stub-resolv.conf"));
        assert!(found.present.contains(&key("/etc/resolv.conf")));
        assert!(!found.files.contains_key(&key("/etc/resolv.conf")));
    }

    #[test]
    fn host_keys_and_long_files_of_a_tree_are_known_by_name_only() {
        let long = vec![b'x'; MAX_IN_TREE as usize + 1];
        let found = root_of(
            FakeFs::with(&[
                ("/etc/ssh/ssh_host_ed25519_key", "PRIVATE"),
                ("/etc/ssh/sshd_config", "Port 22"),
            ])
            .file("/etc/ssh/moduli", &long),
        );
        assert!(found.files.contains_key(&key("/etc/ssh/sshd_config")));
        for named in ["/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/moduli"] {
            assert!(found.present.contains(&key(named)) && !found.files.contains_key(&key(named)), "{named}");
        }
    }

    #[test]
    fn a_tree_without_end_is_refused() {
        // What a directory that leads to itself looks like from here.
        let deep = format!("/etc/skel{}/file", "/a".repeat(30));
        let refused = Collected::default().take_root(&FakeFs::with(&[(&deep, "")]));
        assert!(matches!(refused, Err(FsError::Unsupported { .. })), "{refused:?}");
        let home = format!("/home{}/file", "/a".repeat(30));
        let found = root_of(FakeFs::with(&[(&home, "")]));
        assert!(found.present.contains(&key("/home/a/a")) && !found.present.contains(&key("/home/a/a/a")));
    }

    #[test]
    fn a_text_without_end_is_refused() {
        let long = vec![b'x'; MAX_TEXT as usize + 1];
        let refused = Collected::default().take_root(&FakeFs::default().file("/etc/hosts", &long));
        assert!(matches!(refused, Err(FsError::TooLarge { .. })), "{refused:?}");
    }
}
