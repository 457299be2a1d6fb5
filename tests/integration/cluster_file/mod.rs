//! The cluster file: what it means, and everything it can be wrong about.

mod overrides;
mod profiles;
mod rules;
mod secrets;
mod wording;

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use pibake::config::types::{Cluster, FirstBoot, Node, Role, Source};
use pibake::config::{Selection, load};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAf0QiANlqfYIbHmN0BIxTMBEVDXxl98tEigw1sjCMgR me";

/// A directory with a home, where cluster files are tried.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { dir: tempfile::tempdir().expect("a directory can be made") };
        desk.write("home/.ssh/id_ed25519.pub", KEY);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it has a parent")).expect("directories can be made");
        fs::write(path, text).expect("the file can be written");
    }

    fn selection(&self) -> Selection {
        Selection { cwd: self.dir.path().to_owned(), home: self.path("home"), ..Selection::default() }
    }

    fn load(&self, text: &str) -> Result<Cluster, Vec<String>> {
        self.write("pibake.toml", text);
        self.load_as(&self.selection())
    }

    fn load_as(&self, selection: &Selection) -> Result<Cluster, Vec<String>> {
        load(selection).map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }
}

/// A sound file of one node, with more lines in places.
fn file(top: &str, network: &str, user: &str, node: &str) -> String {
    format!(
        "name = \"c\"\n{top}\n[network]\ngateway = \"192.168.1.100\"\n{network}\n[user]\n{user}\n\
         [[node]]\nname = \"pi1\"\naddress = \"192.168.0.1/16\"\n{node}\n"
    )
}

fn user_with_key() -> String {
    format!("authorized_keys = [\"{KEY}\"]")
}

fn with_top(top: &str) -> String {
    file(top, "", &user_with_key(), "")
}

fn with_network(network: &str) -> String {
    file("", network, &user_with_key(), "")
}

fn with_node(node: &str) -> String {
    file("", "", &user_with_key(), node)
}

fn loaded(text: &str) -> Cluster {
    Desk::new().load(text).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn errors(text: &str) -> Vec<String> {
    Desk::new().load(text).expect_err(text)
}

/// Checks that a file has exactly one error, at a line, saying all of `says`.
fn one_error(text: &str, line: usize, says: &[&str]) {
    let errors = errors(text);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(errors[0].starts_with(&format!("pibake.toml:{line}: ")), "{} (line {line} expected)", errors[0]);
    for part in says {
        assert!(errors[0].contains(part), "{} does not say {part:?}", errors[0]);
    }
}

/// Checks that a file has exactly one error, saying all of `says`, at the line that holds `marked`.
fn one_error_at(text: &str, marked: &str, says: &[&str]) {
    let line = text.lines().position(|line| line.contains(marked)).expect("the marked line is there") + 1;
    one_error(text, line, says);
}

fn only_node(cluster: Cluster) -> Node {
    let mut nodes = cluster.nodes;
    assert_eq!(nodes.len(), 1);
    nodes.remove(0)
}

const DESIGN: &str = r#"
name = "plexi"                         # [a-z0-9-]; state lives in .pibake/<name>/ beside this file
[image]
source = "2024-11-19-raspios-bookworm-arm64-lite.img.xz"   # path relative to this file
size   = "4GiB"
first_boot = "stock"
[network]
interface   = "eth0"
gateway     = "192.168.1.100"
dns         = ["192.168.1.100", "9.9.9.9"]
search      = ["lan"]
resolv_conf = "immutable"
[network.wifi]
ssid    = "lab"
psk     = { prompt = "Wi-Fi passphrase" }
country = "DE"
[user]
name            = "pi"
authorized_keys = ["~/.ssh/id_ed25519.pub"]
password        = { prompt = "password for pi" }
sudo            = "nopasswd"
[[account]]
name = "jenkins"
authorized_keys = ["jenkins.pub"]
groups = ["docker"]
[system]
timezone = "Europe/Berlin"
locale   = "en_GB.UTF-8"
keymap   = "gb"
ntp      = ["192.168.1.100"]
packages = ["debs/*.deb"]
cmdline  = ["dwc_otg.lpm_enable=0"]
[docker]
install = "debs"
bundle  = "docker-debs/"
tls     = true
images  = ["images/*.tar"]
[swarm]
address_pool = "10.200.0.0/16"
networks = [{ name = "pi-swarm-net", attachable = true }]
stacks   = [{ name = "web", file = "stacks/web.yml" }]
[[overlay]]
name = "nfs-client"
with = { server = "pi1", path = "/mnt/data" }
[[node]]
name    = "pi1"
address = "192.168.0.1/16"
role    = "manager"
board   = "pi3"
labels  = { disk = "ssd" }
[[node.overlay]]
name = "nfs-server"
[[node]]
name    = "pi2"
address = "192.168.0.2/16"
role    = "worker"
"#;

#[test]
fn the_example_of_the_design_loads() {
    let desk = Desk::new();
    desk.write("jenkins.pub", &format!("# his\n\n{KEY}\n{KEY}\n"));
    let cluster = desk.load(DESIGN).unwrap_or_else(|errors| panic!("{errors:#?}"));
    assert_eq!((cluster.name.as_str(), cluster.nodes.len()), ("plexi", 2));
    assert_eq!(cluster.source, Source::File(desk.path("pibake.toml")));
    assert_eq!(cluster.warnings, [] as [&str; 0]);
    let pi1 = &cluster.nodes[0];
    assert_eq!((pi1.address, pi1.prefix, pi1.role), (Ipv4Addr::new(192, 168, 0, 1), 16, Role::Manager));
    assert_eq!(pi1.image.source, Some(desk.path("2024-11-19-raspios-bookworm-arm64-lite.img.xz")));
    assert_eq!((pi1.image.size, pi1.image.first_boot), (Some(4 << 30), FirstBoot::Stock));
    assert_eq!(pi1.network.interface, "eth0");
    assert_eq!(pi1.user.authorized_keys, [KEY]);
    assert_eq!(pi1.accounts[0].authorized_keys, [KEY], "the same key twice is one key");
    let overlays = |node: &Node| node.overlays.iter().map(|overlay| overlay.name.clone()).collect::<Vec<_>>();
    assert_eq!(overlays(pi1), ["nfs-client", "nfs-server"]);
    assert_eq!(overlays(&cluster.nodes[1]), ["nfs-client"]);
    assert_eq!(pi1.overlays[0].with["path"].as_str(), Some("/mnt/data"));
    let swarm = cluster.swarm.expect("there is a swarm");
    assert_eq!((swarm.networks.len(), swarm.stacks.len(), swarm.join_days), (1, 1, 365));
}

#[test]
fn a_file_cut_short_or_garbled_is_an_error_or_sound_but_never_a_panic() {
    let desk = Desk::new();
    desk.write("jenkins.pub", KEY);
    let mut sound = 0;
    // Every sixth place: 6 and 11 have no common divisor, so every character has its turn.
    for cut in (0..DESIGN.len()).step_by(6) {
        sound += usize::from(desk.load(&DESIGN[..cut]).is_ok());
        let mut garbled = DESIGN.as_bytes().to_vec();
        garbled[cut] = b"[]{}\"=,.\n0x"[cut % 11];
        sound += usize::from(desk.load(&String::from_utf8_lossy(&garbled)).is_ok());
    }
    assert!(sound > 0, "a change within a comment harms nothing");
}
