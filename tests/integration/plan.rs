//! Plans through the library's own door: overlays from a directory, and what a plan shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use pibake::config::overlay::{LoadedOverlay, load};
use pibake::config::types::{
    Cluster, Docker, FirstBoot, Image, Network, Node, NodeSecrets, ResolvConf, Role, Source, Sudo, System,
    User,
};
use pibake::deb::status;
use pibake::fs::path::FsPath;
use pibake::fs::volume::Volume;
use pibake::inventory::types::{Arch, FirstBootHook, Inventory, Layout, NetworkStack, Release, Space};
use pibake::plan::change::Plan;
use pibake::plan::{Create, Inputs, PlanErrors, Staged, build, overlay_names, show};
use pibake::seed::Seed;
use pibake::state::identity::{HostKey, NodeIdentity};
use zeroize::Zeroizing;

const CMDLINE: &str =
    "console=tty1 root=PARTUUID=0ff22469-02 rootwait quiet init=/usr/lib/raspberrypi-sys-mods/firstboot\n";

const DPKG: &str = "\
Package: openssh-server
Status: install ok installed
Version: 1:9.2p1-2
Architecture: arm64

Package: network-manager
Status: install ok installed
Version: 1.42.4-1
Architecture: arm64
";

fn path(text: &str) -> FsPath {
    FsPath::new(text).unwrap()
}

/// As little as a Bookworm image can have.
fn inventory() -> Inventory {
    let texts = [
        (Volume::Boot, "/cmdline.txt", CMDLINE),
        (
            Volume::Root,
            "/etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\npi:x:1000:1000::/home/pi:/bin/bash\n",
        ),
        (Volume::Root, "/etc/shadow", "root:*:1:0:99999:7:::\npi:!:1:0:99999:7:::\n"),
        (Volume::Root, "/etc/group", "root:x:0:\nadm:x:4:pi\npi:x:1000:\n"),
        (Volume::Root, "/etc/fstab", "PARTUUID=0ff22469-02 / ext4 defaults 0 1\n"),
        (Volume::Root, "/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\n"),
    ];
    let files = texts.map(|(volume, file, text)| ((volume, path(file)), text.as_bytes().to_vec()));
    Inventory {
        release: Release::Bookworm,
        os_id: "debian".to_owned(),
        pretty_name: "Debian GNU/Linux 12 (bookworm)".to_owned(),
        build_date: None,
        arch: Arch::Arm64,
        stack: NetworkStack::NetworkManager,
        hook: FirstBootHook::Firstboot,
        firmware_mount: path("/boot/firmware"),
        layout: Layout {
            table: "mbr".to_owned(),
            disk_id: 0x0ff2_2469,
            image_size: 1 << 30,
            boot_number: 1,
            root_number: 2,
            boot: (4 << 20, 256 << 20),
            root: (260 << 20, 764 << 20),
            root_is_last: true,
        },
        boot_space: Space { block_size: 2048, free_blocks: 1000, free_inodes: None },
        root_space: Space { block_size: 4096, free_blocks: 50_000, free_inodes: Some(10_000) },
        booted: false,
        newest_mtime: 1_700_000_000,
        packages: status::read(DPKG).unwrap(),
        files: BTreeMap::from(files),
        present: BTreeSet::from([(Volume::Root, path("/home/pi"))]),
        meta: BTreeMap::new(),
        links: BTreeMap::new(),
        manifest: None,
    }
}

fn node() -> Node {
    Node {
        name: "pi1".to_owned(),
        index: 0,
        address: Ipv4Addr::new(192, 168, 0, 1),
        prefix: 16,
        role: Role::None,
        board: None,
        labels: BTreeMap::new(),
        image: Image { source: None, sha256: None, size: None, first_boot: FirstBoot::Stock },
        network: Network {
            interface: "eth0".to_owned(),
            gateway: None,
            dns: vec![Ipv4Addr::new(9, 9, 9, 9)],
            search: Vec::new(),
            resolv_conf: ResolvConf::Immutable,
            wifi: None,
        },
        user: User {
            name: "anna".to_owned(),
            authorized_keys: vec!["ssh-ed25519 AAAA".to_owned()],
            password: None,
            sudo: Sudo::Nopasswd,
        },
        accounts: Vec::new(),
        system: System::default(),
        docker: Docker::default(),
        overlays: Vec::new(),
    }
}

fn plan(node: &Node, overlays: &[LoadedOverlay]) -> Result<Plan, PlanErrors> {
    let cluster = Cluster {
        name: "plexi".to_owned(),
        source: Source::File(PathBuf::from("pibake.toml")),
        profile: None,
        base_dir: PathBuf::new(),
        nodes: vec![node.clone()],
        swarm: None,
        warnings: Vec::new(),
    };
    let key = HostKey {
        name: "ed25519",
        private: Zeroizing::new("PRIVATE\n".to_owned()),
        public: "ssh-ed25519 BBBB".to_owned(),
    };
    build(&Inputs {
        inventory: &inventory(),
        cluster: &cluster,
        node,
        overlays,
        secrets: &NodeSecrets::default(),
        identity: &NodeIdentity { host_keys: vec![key], seed: Seed::new([7; 32]), tls: None, join: None },
        staged: &Staged::default(),
        create: &Create::none(),
        bake_time: 1_763_629_201,
        version: "0.1.0",
        base_sha256: [0; 32],
    })
}

/// What the plan of the sample node asks for, with overlays of a directory in front.
fn overlays(beside: Option<&Path>) -> Vec<LoadedOverlay> {
    let node = node();
    load(beside, overlay_names([&node])).unwrap_or_else(|errors| panic!("{errors:?}"))
}

#[test]
fn a_directory_beside_the_cluster_file_takes_the_place_of_a_built_in_overlay() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("overlays/hostname");
    fs::create_dir_all(own.join("root/etc")).unwrap();
    fs::write(own.join("overlay.toml"), "description = \"names of ours\"\n").unwrap();
    fs::write(own.join("root/etc/hostname.j2"), "{{ node.name }}-ours\n").unwrap();
    let plan = plan(&node(), &overlays(Some(dir.path()))).unwrap_or_else(|errors| panic!("{errors}"));
    let shown = show::text(&plan, true);
    let expected = format!("overlay hostname ({}): names of ours\n            | pi1-ours\n", own.display());
    assert!(shown.contains(&expected), "{shown}");
}

#[test]
fn a_mistake_in_it_is_told_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("overlays/hostname");
    fs::create_dir_all(own.join("root/etc")).unwrap();
    fs::write(own.join("overlay.toml"), "description = \"names of ours\"\n").unwrap();
    fs::write(own.join("root/etc/hostname.j2"), "a\n{{ node.nmae }}\n").unwrap();
    let errors = plan(&node(), &overlays(Some(dir.path()))).unwrap_err().to_string();
    let expected =
        format!("node pi1: overlay hostname ({}): root/etc/hostname.j2:2: undefined value", own.display());
    assert!(errors.starts_with(&expected), "{errors}");
    fs::write(own.join("overlay.toml"), "description = \"x\"\n[param]\n").unwrap();
    let errors = load(Some(dir.path()), ["hostname"]).unwrap_err();
    let expected = format!("{}:2: unknown field `param`", own.join("overlay.toml").display());
    assert!(errors[0].to_string().starts_with(&expected), "{}", errors[0]);
}

#[test]
fn the_view_for_programs_says_everything_but_secrets() {
    let plan = plan(&node(), &overlays(None)).unwrap_or_else(|errors| panic!("{errors}"));
    let json = serde_json::to_value(show::view(&plan, true)).unwrap();
    assert_eq!(json["node"], "pi1");
    assert_eq!(json["image_size"], 1 << 30);
    let changes = json["changes"].as_array().unwrap();
    let change =
        |path: &str| changes.iter().find(|change| change["path"] == path).unwrap_or_else(|| panic!("{path}"));
    let resolv = change("/etc/resolv.conf");
    assert_eq!((&resolv["mode"], &resolv["flags"][0]), (&"0644".into(), &"immutable".into()));
    assert!(resolv["content"].as_str().unwrap().contains("nameserver 9.9.9.9\n"));
    let key = change("/etc/ssh/ssh_host_ed25519_key");
    assert_eq!(key["secret"], true);
    assert!(key.get("content").is_none() && key.get("size").is_none());
    let cmdline = change("/cmdline.txt");
    assert!(cmdline.get("mode").is_none(), "the FAT keeps none");
    assert!(cmdline["content"].as_str().unwrap().contains(" init=/usr/lib/raspberrypi-sys-mods/firstboot "));
    assert!(!json.to_string().contains("PRIVATE"));
    assert_eq!(json["digest"].as_str().unwrap().len(), 64);
}
