//! Inventories and clusters for tests: each release as its images are (raspios.md), in small.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::config::overlay::{LoadedOverlay, Origin, TreeFile, built_in_names, load};
use crate::config::types::{
    Cluster, Docker, FirstBoot, Image, Network, Node, NodeSecrets, ResolvConf, Role, Source, Sudo, System,
    User,
};
use crate::deb::status::Status;
use crate::deb::testing::package;
use crate::fs::metadata::Meta;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::inventory::types::{Arch, FirstBootHook, Inventory, Layout, NetworkStack, Release, Space};
use crate::seed::Seed;
use crate::state::identity::{HostKey, NodeIdentity};

/// When the sample images were made, and when the sample bakes are.
pub(super) const IMAGE_TIME: i64 = 1_747_000_000;
pub(super) const BAKE_TIME: i64 = 1_763_629_201;

pub(super) const RELEASES: [Release; 6] = [
    Release::Jessie,
    Release::Stretch,
    Release::Buster,
    Release::Bullseye,
    Release::Bookworm,
    Release::Trixie,
];

/// The first node of the sample cluster.
pub(super) fn node() -> Node {
    Node {
        name: "pi1".to_owned(),
        index: 0,
        address: Ipv4Addr::new(192, 168, 0, 1),
        prefix: 16,
        role: Role::Manager,
        board: None,
        labels: BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]),
        image: Image { source: None, sha256: None, size: None, first_boot: FirstBoot::Pibake },
        network: Network {
            interface: "eth0".to_owned(),
            gateway: Some(Ipv4Addr::new(192, 168, 1, 100)),
            dns: vec![Ipv4Addr::new(192, 168, 1, 100), Ipv4Addr::new(9, 9, 9, 9)],
            search: vec!["lan".to_owned()],
            resolv_conf: ResolvConf::Immutable,
            wifi: None,
        },
        user: User {
            name: "anna".to_owned(),
            authorized_keys: vec!["ssh-ed25519 AAAA anna".to_owned()],
            password: None,
            sudo: Sudo::Nopasswd,
        },
        accounts: Vec::new(),
        system: System::default(),
        docker: Docker::default(),
        overlays: Vec::new(),
    }
}

/// A cluster of that node and two more.
pub(super) fn cluster(first: &Node) -> Cluster {
    let mut nodes = vec![first.clone()];
    for (index, name) in [(1, "pi2"), (2, "pi3")] {
        let address = Ipv4Addr::new(192, 168, 0, index + 1);
        let (name, role) = (name.to_owned(), Role::Worker);
        nodes.push(Node { name, index: index.into(), address, role, ..node() });
    }
    Cluster {
        name: "plexi".to_owned(),
        source: Source::Profile("test".to_owned()),
        profile: None,
        base_dir: PathBuf::new(),
        nodes,
        swarm: None,
        warnings: Vec::new(),
    }
}

/// No secrets at all.
pub(super) fn secrets() -> NodeSecrets {
    NodeSecrets::default()
}

/// Two host keys and a seed.
pub(super) fn identity() -> NodeIdentity {
    let key = |name: &'static str| HostKey {
        name,
        private: Zeroizing::new(format!("PRIVATE {name}\n")),
        public: format!("ssh-{name} AAAA root@pi1"),
    };
    NodeIdentity {
        host_keys: vec![key("ed25519"), key("ecdsa")],
        seed: Seed::new([7; 32]),
        tls: None,
        join: None,
    }
}

/// All built-in overlays, with a stand-in for the one whose scripts are not the plan's business.
pub(super) fn overlays() -> Vec<LoadedOverlay> {
    let names = built_in_names();
    let names = names.iter().map(String::as_str).filter(|name| *name != "first-boot");
    let mut overlays = load(None, names).unwrap_or_else(|errors| panic!("{errors:?}"));
    let unit = "[Service]\nExecStart=/usr/lib/pibake/first-boot\n[Install]\nWantedBy=multi-user.target\n";
    overlays.push(overlay(
        "first-boot",
        "description = \"grows\"\n[units]\nenable = [\"pibake-first-boot.service\"]\n",
        &[("/etc/systemd/system/pibake-first-boot.service", unit)],
    ));
    overlays
}

/// An overlay for a test; paths that end in `.j2` are templates, and all are of the root filesystem.
pub(super) fn overlay(name: &str, manifest: &str, files: &[(&str, &str)]) -> LoadedOverlay {
    let tree = files.iter().map(|(source, text)| TreeFile {
        volume: Volume::Root,
        path: path(source.strip_suffix(".j2").unwrap_or(source)),
        template: source.ends_with(".j2"),
        content: text.as_bytes().to_vec(),
        executable: false,
        source: format!("root{source}"),
    });
    LoadedOverlay::new(name, Origin::BuiltIn, manifest, tree.collect())
        .unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn path(text: &str) -> FsPath {
    FsPath::new(text).unwrap()
}

/// A stock image of a release.
pub(super) fn inventory(release: Release) -> Inventory {
    let networkmanager = release >= Release::Bookworm;
    let mut inventory = Inventory {
        release,
        os_id: "debian".to_owned(),
        pretty_name: format!("Debian GNU/Linux ({release:?})"),
        build_date: Some("2025-05-13".to_owned()),
        arch: if release <= Release::Buster { Arch::Armhf } else { Arch::Arm64 },
        stack: if networkmanager { NetworkStack::NetworkManager } else { NetworkStack::Dhcpcd },
        hook: hook(release),
        firmware_mount: path(if networkmanager { "/boot/firmware" } else { "/boot" }),
        layout: Layout {
            table: "mbr".to_owned(),
            disk_id: 0x0ff2_2469,
            image_size: 2_739_929_088 / (4 << 20) * (4 << 20),
            boot_number: 1,
            root_number: 2,
            boot: (4 << 20, 256 << 20),
            root: (264 << 20, 2 << 30),
            root_is_last: true,
        },
        boot_space: Space { block_size: 2048, free_blocks: 100_000, free_inodes: None },
        root_space: Space { block_size: 4096, free_blocks: 75_000, free_inodes: Some(60_000) },
        booted: false,
        newest_mtime: IMAGE_TIME,
        packages: packages(release),
        files: BTreeMap::new(),
        present: BTreeSet::new(),
        meta: BTreeMap::new(),
        links: BTreeMap::new(),
        manifest: None,
    };
    add_texts(&mut inventory);
    add_accounts(&mut inventory);
    add_first_boot(&mut inventory);
    inventory
}

/// Puts a file into an inventory.
pub(super) fn add(inventory: &mut Inventory, volume: Volume, file: &str, text: &str) {
    inventory.files.insert((volume, path(file)), text.as_bytes().to_vec());
    inventory.present.insert((volume, path(file)));
}

fn root(inventory: &mut Inventory, file: &str, text: &str) {
    add(inventory, Volume::Root, file, text);
}

fn hook(release: Release) -> FirstBootHook {
    match release {
        Release::Bookworm => FirstBootHook::Firstboot,
        Release::Trixie => FirstBootHook::Resize,
        _ => FirstBootHook::InitResize,
    }
}

fn packages(release: Release) -> Status {
    let mut names = vec!["openssh-server", "locales", "sudo"];
    if release <= Release::Bullseye {
        names.extend(["dhcpcd5", "openresolv", "fake-hwclock"]);
    } else {
        names.push("network-manager");
    }
    match release {
        Release::Bullseye => names.push("userconf-pi"),
        Release::Bookworm => names.extend(["userconf-pi", "fake-hwclock"]),
        Release::Trixie => names.extend(["userconf-pi", "cloud-init"]),
        _ => {}
    }
    let installed = names.into_iter().map(|name| package(&format!("{name} 1 all"), "")).collect();
    Status { installed, unfinished: Vec::new() }
}

fn add_texts(inventory: &mut Inventory) {
    let release = inventory.release;
    let firmware = inventory.firmware_mount.clone();
    root(inventory, "/etc/hostname", "raspberrypi\n");
    root(
        inventory,
        "/etc/hosts",
        "127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost ip6-loopback\n\n127.0.1.1\t\traspberrypi\n",
    );
    let fstab = format!(
        "proc            /proc           proc    defaults          0       0\n\
         PARTUUID=0ff22469-01  {firmware}  vfat    defaults          0       2\n\
         PARTUUID=0ff22469-02  /               ext4    defaults,noatime  0       1\n"
    );
    root(inventory, "/etc/fstab", &fstab);
    root(inventory, "/etc/locale.gen", "# de_DE.UTF-8 UTF-8\nen_GB.UTF-8 UTF-8\n");
    root(inventory, "/etc/default/keyboard", "XKBMODEL=\"pc105\"\nXKBLAYOUT=\"gb\"\n");
    let mut zones = vec!["", "/Europe", "/Europe/Berlin", "/Europe/London", "/UTC"];
    if release < Release::Trixie {
        zones.extend(["/US", "/US/Pacific"]);
    }
    for zone in zones {
        inventory.present.insert((Volume::Root, path(&format!("/usr/share/zoneinfo{zone}"))));
    }
    let sshd = match release {
        Release::Jessie => {
            "Port 22\nHostKey /etc/ssh/ssh_host_rsa_key\nPermitRootLogin without-password\nUsePAM yes\n"
        }
        Release::Stretch | Release::Buster => "#Port 22\n#HostKey /etc/ssh/ssh_host_rsa_key\nUsePAM yes\n",
        _ => "Include /etc/ssh/sshd_config.d/*.conf\n#HostKey /etc/ssh/ssh_host_rsa_key\nUsePAM yes\n",
    };
    root(inventory, "/etc/ssh/sshd_config", sshd);
    if inventory.stack == NetworkStack::Dhcpcd {
        root(inventory, "/etc/dhcpcd.conf", "hostname\nclientid\n");
        inventory
            .meta
            .insert((Volume::Root, path("/etc/dhcpcd.conf")), Meta { mode: 0o664, uid: 0, gid: 107 });
        root(inventory, "/etc/resolvconf.conf", "resolv_conf=/etc/resolv.conf\n");
    }
    let interfaces = if release == Release::Jessie {
        "auto lo\niface lo inet loopback\n\niface eth0 inet manual\n"
    } else {
        "source-directory /etc/network/interfaces.d\n"
    };
    root(inventory, "/etc/network/interfaces", interfaces);
}

fn add_accounts(inventory: &mut Inventory) {
    let hash = if inventory.release <= Release::Buster { "$6$stock$raspberry" } else { "!" };
    root(
        inventory,
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\nsystemd-timesync:x:997:998:systemd:/:/usr/sbin/nologin\npi:x:1000:1000:,,,:/home/pi:/bin/bash\n",
    );
    root(
        inventory,
        "/etc/shadow",
        &format!(
            "root:*:19000:0:99999:7:::\nsystemd-timesync:!*:19000::::::\npi:{hash}:19000:0:99999:7:::\n"
        ),
    );
    root(
        inventory,
        "/etc/group",
        "root:x:0:\nadm:x:4:pi\nsudo:x:27:pi\nshadow:x:42:\nnetdev:x:107:pi\nsystemd-timesync:x:998:\npi:x:1000:\n",
    );
    root(inventory, "/etc/gshadow", "root:*::\nadm:*::pi\nsudo:*::pi\nshadow:*::\nnetdev:!::pi\npi:!::\n");
    root(inventory, "/etc/subuid", "pi:100000:65536\n");
    root(inventory, "/etc/subgid", "pi:100000:65536\n");
    for secret in ["/etc/shadow", "/etc/gshadow"] {
        inventory.meta.insert((Volume::Root, path(secret)), Meta { mode: 0o640, uid: 0, gid: 42 });
    }
    root(inventory, "/etc/skel/.bashrc", "# bash\n");
    root(inventory, "/etc/skel/.profile", "# profile\n");
    root(
        inventory,
        "/etc/sudoers",
        "Defaults env_reset\n%sudo ALL=(ALL:ALL) ALL\n#includedir /etc/sudoers.d\n",
    );
    if inventory.release < Release::Trixie {
        root(inventory, "/etc/sudoers.d/010_pi-nopasswd", "pi ALL=(ALL) NOPASSWD: ALL\n");
    }
    inventory.present.insert((Volume::Root, path("/home")));
    inventory.present.insert((Volume::Root, path("/home/pi")));
    inventory.meta.insert((Volume::Root, path("/home/pi")), Meta { mode: 0o755, uid: 1000, gid: 1000 });
}

fn add_first_boot(inventory: &mut Inventory) {
    let word = match inventory.hook {
        FirstBootHook::InitResize => "quiet init=/usr/lib/raspi-config/init_resize.sh",
        FirstBootHook::Firstboot => "quiet init=/usr/lib/raspberrypi-sys-mods/firstboot",
        FirstBootHook::Resize => "resize",
        FirstBootHook::None => "",
    };
    let cmdline = format!(
        "console=serial0,115200 console=tty1 root=PARTUUID=0ff22469-02 rootfstype=ext4 fsck.repair=yes rootwait {word}\n"
    );
    add(inventory, Volume::Boot, "/cmdline.txt", &cmdline);
    let machine_id = if inventory.release == Release::Trixie { "uninitialized\n" } else { "" };
    root(inventory, "/etc/machine-id", machine_id);
    inventory.meta.insert((Volume::Root, path("/etc/machine-id")), Meta::root(0o444));
    if inventory.release < Release::Trixie {
        root(inventory, "/etc/init.d/resize2fs_once", "#!/bin/sh\n");
        let link = (Volume::Root, path("/etc/rc3.d/S01resize2fs_once"));
        inventory.present.insert(link.clone());
        inventory.links.insert(link, "../init.d/resize2fs_once".to_owned());
    }
    if inventory.release >= Release::Bullseye {
        root(
            inventory,
            "/usr/lib/raspberrypi-sys-mods/regenerate_ssh_host_keys",
            "#!/bin/sh -e\nrm -f /etc/ssh/ssh_host_*\n",
        );
        root(inventory, "/etc/ssh/sshd_config.d/rename_user.conf", "Banner /x\n");
    }
    let wants = "/etc/systemd/system/multi-user.target.wants/regenerate_ssh_host_keys.service";
    inventory.present.insert((Volume::Root, path(wants)));
    inventory.present.insert((Volume::Root, path("/var/lib/systemd/timesync")));
    if inventory.release == Release::Trixie {
        add(inventory, Volume::Boot, "/user-data", "#cloud-config\n\n# hostname: x\n");
        add(inventory, Volume::Boot, "/meta-data", "dsmode: local\ninstance_id: rpios-image\n");
    }
}
