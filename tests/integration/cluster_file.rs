//! The cluster file: what it means, and everything it can be wrong about.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use pibake::config::types::{
    Cluster, FirstBoot, Node, Password, ResolvConf, Role, SecretSource, Source, Sudo,
};
use pibake::config::{Selection, load, profile};

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

#[test]
fn the_least_file_and_its_defaults() {
    let node = only_node(loaded(&format!(
        "name = \"c\"\n[user]\nauthorized_keys = [\"{KEY}\"]\n[[node]]\nname = \"a\"\naddress = \"10.0.0.1/8\"\n"
    )));
    assert_eq!(node.network.interface, "eth0");
    assert_eq!((node.network.gateway, node.network.dns.len()), (None, 0), "a lone switch is a network too");
    assert_eq!(node.network.resolv_conf, ResolvConf::Immutable);
    assert_eq!(node.image.first_boot, FirstBoot::Pibake);
    assert_eq!((node.user.name.as_str(), node.user.sudo), ("pi", Sudo::Nopasswd));
    assert!(node.user.password.is_none() && node.image.source.is_none());
    assert_eq!(node.role, Role::None);
}

#[test]
fn wifi_makes_wlan0_the_default_interface() {
    let wifi = "[network.wifi]\nssid = \"x\"\npsk = { env = \"P\" }\ncountry = \"DE\"";
    assert_eq!(only_node(loaded(&with_network(wifi))).network.interface, "wlan0");
    let wired = format!("interface = \"eth0\"\n{wifi}");
    assert_eq!(only_node(loaded(&with_network(&wired))).network.interface, "eth0");
}

#[test]
fn a_node_overrides_key_by_key_and_lists_are_replaced() {
    let text = with_node(
        "[node.network]\ndns = [\"9.9.9.9\"]\n[node.system]\ntimezone = \"UTC\"\n[node.user]\nsudo = \"nopasswd\"\n\
         [node.image]\nfirst_boot = \"stock\"\n[node.docker]\ntls = true\n[[node.account]]\nname = \"b\"\n\
         authorized_keys = [\"~/.ssh/id_ed25519.pub\"]",
    );
    let text = text.replace(
        "[user]",
        "dns = [\"1.1.1.1\", \"8.8.8.8\"]\nsearch = [\"lan\"]\n[system]\ntimezone = \"Europe/Berlin\"\nkeymap = \"gb\"\n[user]",
    );
    let node = only_node(loaded(&text));
    assert_eq!(node.network.dns, [Ipv4Addr::new(9, 9, 9, 9)]);
    assert_eq!(node.network.search, ["lan"]);
    assert_eq!(node.network.gateway, Some(Ipv4Addr::new(192, 168, 1, 100)));
    assert_eq!((node.system.timezone.as_deref(), node.system.keymap.as_deref()), (Some("UTC"), Some("gb")));
    assert_eq!(node.user.authorized_keys, [KEY]);
    assert_eq!((node.image.first_boot, node.docker.tls), (FirstBoot::Stock, true));
    assert_eq!(node.accounts[0].name, "b");
}

#[test]
fn a_secret_is_replaced_whole() {
    let text = file("", "", "password = { prompt = \"p\" }", "[node.user]\npassword = { env = \"V\" }");
    let node = only_node(loaded(&text));
    assert!(matches!(node.user.password, Some(Password::Source(SecretSource::Env(name))) if name == "V"));
}

#[test]
fn another_image_does_not_inherit_a_digest() {
    let sha = "ab".repeat(32);
    let image = format!("[image]\nsource = \"a.img\"\nsha256 = \"{sha}\"\n");
    let node = only_node(loaded(&with_top(&image)));
    assert_eq!(node.image.sha256, Some([0xab; 32]));
    let other = file(&image, "", &user_with_key(), "[node.image]\nsource = \"b.img\"");
    assert_eq!(only_node(loaded(&other)).image.sha256, None);

    let desk = Desk::new();
    desk.write("pibake.toml", &with_top(&image));
    let mut selection = Selection { image: Some(PathBuf::from("c.img")), ..desk.selection() };
    let cluster = desk.load_as(&selection).expect("it is sound");
    assert!(cluster.warnings[0].contains("sha256"), "{:?}", cluster.warnings);
    let node = only_node(cluster);
    assert_eq!((node.image.source, node.image.sha256), (Some(desk.path("c.img")), None));
    selection.image = Some(PathBuf::from("a.img"));
    let node = only_node(desk.load_as(&selection).expect("it is sound"));
    assert_eq!(node.image.sha256, Some([0xab; 32]), "the same file named again keeps its digest");
}

#[test]
fn unknown_keys_are_told_with_line_and_nearest_key() {
    let text = with_node("adress = \"x\"").replace("gateway", "gatway");
    let found = errors(&text);
    assert_eq!(
        found,
        [
            "pibake.toml:4: unknown key `gatway` in [network]; did you mean `gateway`?",
            "pibake.toml:11: unknown key `adress` in [[node]]; did you mean `address`?",
        ]
    );
}

#[test]
fn unknown_keys_are_found_in_every_section() {
    for section in [
        "[image]",
        "[network]",
        "[network.wifi]",
        "[user]",
        "[[account]]",
        "[system]",
        "[docker]",
        "[swarm]",
        "[[overlay]]",
        "[[node]]",
        "[[swarm.networks]]",
        "[[swarm.stacks]]",
    ] {
        let text = format!("{section}\nfrobnicate = 1\n");
        let found = errors(&text);
        assert!(
            found.iter().any(|error| error.contains("pibake.toml:2: unknown key `frobnicate`")),
            "{section}: {found:#?}"
        );
    }
    for section in ["image", "network", "user", "system", "docker"] {
        let text = with_node(&format!("[node.{section}]\nfrobnicate = 1"));
        one_error_at(&text, "frobnicate", &[&format!("[node.{section}]")]);
    }
    one_error_at(&with_top("frobnicate = 1"), "frobnicate", &["top level"]);
}

#[test]
fn keys_in_the_wrong_section_are_sent_home() {
    let keys = [
        ("image", "source sha256 size first_boot"),
        ("network", "interface gateway dns search resolv_conf wifi"),
        ("network.wifi", "ssid psk country hidden"),
        ("system", "timezone locale keymap ntp packages cmdline"),
        ("docker", "install bundle tls images"),
    ];
    for (home, keys) in keys {
        for key in keys.split(' ') {
            one_error_at(
                &with_node(&format!("{key} = 1")),
                &format!("{key} = 1"),
                &[&format!("[node.{home}]")],
            );
            one_error_at(&with_top(&format!("{key} = 1")), &format!("{key} = 1"), &[&format!("in [{home}]")]);
            let at_home = errors(&format!("[{home}]\n{key} = {{}}\n"));
            assert!(at_home.iter().all(|error| !error.contains("unknown key")), "{at_home:#?}");
        }
    }
}

#[test]
fn wrong_types_say_what_is_expected() {
    for (text, marked, says) in [
        (with_network("dns = \"9.9.9.9\""), "dns", "a list of strings"),
        (with_network("search = [3]"), "search", "expected a string, found an integer"),
        (with_top("[image]\nsource = 3"), "source", "expected a string"),
        (with_top("[docker]\ntls = \"yes\""), "tls", "true or false"),
        (
            with_top("network = 3").replace("[network]\ngateway", "[netwrk]\ngateway"),
            "network = 3",
            "a table",
        ),
        (with_node("labels = \"x\""), "labels", "a table of strings"),
        (with_node("labels = { a = 3 }"), "labels", "a table of strings"),
        (with_node("role = true"), "role", "expected a string, found a boolean"),
        (with_top("[swarm]\njoin_days = \"x\""), "join_days", "an integer from 1"),
        (with_top("[swarm]\njoin_days = 0"), "join_days", "an integer from 1"),
        (with_top("account = 1"), "account", "a list of tables ([[account]])"),
        (with_top("overlay = [1]"), "overlay", "tables ([[overlay]])"),
        (with_top("[[overlay]]\nname = \"x\"\nwith = 3"), "with", "a table of parameters"),
        (file("", "", "authorized_keys = \"x\"", ""), "authorized_keys", "a list of public keys"),
    ] {
        let found = errors(&text);
        let line = text.lines().position(|line| line.contains(marked)).expect("it is there") + 1;
        assert!(
            found
                .iter()
                .any(|error| error.starts_with(&format!("pibake.toml:{line}:")) && error.contains(says)),
            "{text}\n{found:#?}"
        );
    }
}

#[test]
fn all_errors_come_in_one_go_and_in_file_order() {
    let text = "name = \"C\"\nfoo = 1\n[image]\nsize = \"4\"\nsha256 = \"x\"\n[network]\ngateway = \"fe80::1\"\n\
                dns = [\"1\", \"2.2.2.2\", \"3.3.3.3\", \"4.4.4.4\"]\n[user]\nname = \"root\"\n\
                authorized_keys = [\"absent.pub\"]\n[system]\ntimezone = \"a b\"\nlocale = \"x\"\n\
                [[node]]\nname = \"-\"\naddress = \"10.0.0.1\"\nrole = \"managr\"\n[[node]]\n";
    let lines: Vec<usize> = errors(text)
        .iter()
        .map(|error| error.split(':').nth(1).and_then(|line| line.parse().ok()).expect("each has a line"))
        .collect();
    assert_eq!(lines, [1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16, 17, 18, 19, 19]);
}

#[test]
fn syntax_errors_have_their_line() {
    one_error("name = \"c\"\nname = \"d\"\n", 2, &["duplicate"]);
    one_error("name = \n", 1, &[]);
}

#[test]
fn a_missing_binary_or_empty_file_is_told() {
    let desk = Desk::new();
    let found = desk.load_as(&desk.selection()).expect_err("there is no file");
    assert!(found[0].contains("pibake.toml: cannot read") && found[0].contains("pibake init"), "{found:?}");
    fs::write(desk.path("pibake.toml"), [0xff, 0xfe, 0]).expect("it can be written");
    assert!(desk.load_as(&desk.selection()).expect_err("it is binary")[0].contains("no text file"));
    let found = desk.load("").expect_err("it is empty");
    assert!(found.iter().any(|error| error.contains("`name`")), "{found:?}");
    assert!(found.iter().any(|error| error.contains("[[node]]")), "{found:?}");
}

#[test]
fn names_and_addresses_are_used_once() {
    let second = "[[node]]\nname = \"pi1\"\naddress = \"192.168.0.2/16\"";
    one_error(&with_node(second), 12, &["the name \"pi1\" is used twice", "pibake.toml:9"]);
    let second = "[[node]]\nname = \"pi2\"\naddress = \"192.168.0.1/16\"";
    one_error(&with_node(second), 13, &["192.168.0.1 is used twice", "pibake.toml:10"]);
}

#[test]
fn a_gateway_must_be_reachable_and_somebody_else() {
    let with_address = |address: &str| with_node("").replace("192.168.0.1/16", address);
    one_error_at(
        &with_address("192.168.0.1/24"),
        "192.168.0.1/24",
        &["192.168.1.100", "outside 192.168.0.0/24"],
    );
    one_error_at(&with_address("192.168.1.100/16"), "192.168.1.100/16", &["its own gateway"]);
    let broadcast = with_address("192.168.1.1/24").replace("192.168.1.100", "192.168.1.255");
    one_error_at(&broadcast, "/24", &["no host of 192.168.1.0/24"]);
    let own = with_node("[node.network]\ngateway = \"10.0.0.1\"");
    one_error_at(&own, "192.168.0.1/16", &["outside 192.168.0.0/16"]);
}

#[test]
fn addresses_are_hosts_with_a_prefix() {
    for (address, says) in [
        ("192.168.0.1", "192.168.0.1/24"),
        ("192.168.0.0/16", "network itself"),
        ("192.168.255.255/16", "broadcast"),
        ("127.0.0.1/8", "loopback"),
        ("2001:db8::1/64", "does not support IPv6 yet"),
        ("pi1", "no IPv4 address"),
    ] {
        let text = with_node("").replace("192.168.0.1/16", address);
        one_error_at(&text, "address = ", &[says]);
    }
    one_error_at(&with_network("dns = [\"2001:4860:4860::8888\"]"), "dns", &["does not support IPv6 yet"]);
}

#[test]
fn at_most_three_dns_servers() {
    one_error_at(
        &with_network("dns = [\"1.1.1.1\",\n\"2.2.2.2\",\n\"3.3.3.3\",\n\"4.4.4.4\"]"),
        "4.4.4.4",
        &["at most 3"],
    );
    assert_eq!(
        only_node(loaded(&with_network("dns = [\"1.1.1.1\", \"2.2.2.2\", \"3.3.3.3\"]"))).network.dns.len(),
        3
    );
}

#[test]
fn somebody_can_log_in() {
    one_error_at(&file("", "", "", ""), "[user]", &["neither an authorized key nor a password"]);
    one_error_at(&file("", "", "authorized_keys = []", ""), "[user]", &["neither"]);
    loaded(&file("", "", "password = { prompt = \"p\" }", ""));
    let text = "name = \"c\"\n[[node]]\nname = \"a\"\naddress = \"10.0.0.1/8\"\n[[node]]\nname = \"b\"\naddress = \"10.0.0.2/8\"\n";
    assert_eq!(errors(text).len(), 1, "told once, not once a node");
    let only_node_lacks = with_node("[node.user]\nauthorized_keys = []");
    one_error_at(&only_node_lacks, "[node.user]", &["neither"]);
}

#[test]
fn sudo_with_a_password_needs_one() {
    let user = format!("{}\nsudo = \"password\"", user_with_key());
    one_error_at(&file("", "", &user, ""), "sudo", &["needs a password"]);
    loaded(&file("", "", &format!("{user}\npassword = {{ env = \"P\" }}"), ""));
    let account =
        with_top(&format!("[[account]]\nname = \"b\"\nauthorized_keys = [\"{KEY}\"]\nsudo = \"password\""));
    one_error_at(&account, "[[account]]", &["\"b\"", "needs a password"]);
}

#[test]
fn two_managers_are_refused_and_even_ones_warned_about() {
    let managers = |count: usize| {
        let nodes: String = (1..=count)
            .map(|n| {
                format!("[[node]]\nname = \"m{n}\"\naddress = \"192.168.2.{n}/16\"\nrole = \"manager\"\n")
            })
            .collect();
        with_node(&nodes)
    };
    assert!(errors(&managers(2))[0].contains("--allow-two-managers"));
    let desk = Desk::new();
    desk.write("pibake.toml", &managers(2));
    let cluster =
        desk.load_as(&Selection { allow_two_managers: true, ..desk.selection() }).expect("it is allowed");
    assert_eq!(cluster.warnings.len(), 1);
    for (count, warnings) in [(0, 0), (1, 0), (3, 0), (4, 1), (5, 0)] {
        assert_eq!(loaded(&managers(count)).warnings.len(), warnings, "{count}");
    }
}

#[test]
fn accounts_do_not_clash() {
    let account = |name: &str| format!("[[account]]\nname = \"{name}\"\nauthorized_keys = [\"{KEY}\"]\n");
    one_error_at(&with_top(&account("pi")), "[[account]]", &["[user] already"]);
    one_error_at(&with_top(&account("root")), "root", &["account of the system"]);
    one_error_at(&with_top(&account("Bob")), "Bob", &["no account name"]);
    let text =
        file(&account("b"), "", &user_with_key(), &account("b").replace("[[account", "[[node.account"));
    one_error_at(&text, "[[node.account]]", &["there twice", "pibake.toml:2"]);
    one_error_at(&with_top("[[account]]\ngroups = [\"docker\"]"), "[[account]]", &["`name`", "is missing"]);
    let locked = loaded(&with_top("[[account]]\nname = \"b\""));
    assert!(locked.warnings[0].contains("nobody can log in"), "{:?}", locked.warnings);
}

#[test]
fn single_values_have_their_forms() {
    for (text, marked, says) in [
        (with_top("[image]\nsize = \"4\""), "size", "write 4GiB"),
        (with_top("[image]\nsha256 = \"12\""), "sha256", "64 hexadecimal digits"),
        (with_top("[image]\nfirst_boot = \"stok\""), "first_boot", "did you mean \"stock\"?"),
        (with_top("[system]\ntimezone = \"Mars Base\""), "timezone", "Europe/Berlin"),
        (with_top("[system]\nlocale = \"english\""), "locale", "en_GB.UTF-8"),
        (with_top("[system]\nkeymap = \"GB!\""), "keymap", "gb"),
        (with_top("[system]\nntp = [\"a b\"]"), "ntp", "neither a host name"),
        (with_top("[system]\ncmdline = [\"a b\"]"), "cmdline", "one word"),
        (with_top("[system]\ncmdline = [\"init=/bin/sh\"]"), "cmdline", "pibake's own"),
        (with_top("[system]\npackages = [\"[\"]"), "packages", "no file pattern"),
        (with_network("interface = \"eth0:1\""), "interface", "no interface name"),
        (with_network("resolv_conf = \"locked\""), "resolv_conf", "none of immutable, static, managed"),
        (with_network("search = [\"a b\"]"), "search", "no domain name"),
        (with_node("role = \"leader\""), "role", "none of manager, worker, none"),
        (with_node("board = \"pi6\""), "board", "did you mean \"pi0\"?"),
        (with_node("labels = { \"a b\" = \"x\" }"), "labels", "no label name"),
        (with_top("[docker]\ninstall = \"deb\""), "install", "did you mean \"debs\"?"),
        (with_top("[swarm]\naddress_pool = \"10.200.1.0/16\""), "address_pool", "10.200.0.0/16"),
        (with_top("[[overlay]]\nname = \"../x\""), "../x", "no name"),
    ] {
        one_error_at(&text, marked, &[says]);
    }
    one_error_at(&with_top("").replace("\"c\"", "\"a/b\""), "a/b", &["no cluster name"]);
    one_error_at(&with_node("").replace("\"pi1\"", "\"pi_1\""), "pi_1", &["no host name"]);
    one_error_at(
        &with_node("").replace("name = \"pi1\"", ""),
        "[[node]]",
        &["`name` in [[node]] is missing"],
    );
    one_error_at(&with_node("").replace("address = \"192.168.0.1/16\"", ""), "[[node]]", &["`address`"]);
}

#[test]
fn wifi_is_whole_and_well_formed() {
    one_error_at(&with_network("[network.wifi]\nssid = \"x\""), "[network.wifi]", &["`psk` and `country`"]);
    let wifi = |lines: &str| with_network(&format!("[network.wifi]\n{lines}"));
    let rest = "psk = { prompt = \"p\" }";
    one_error_at(&wifi(&format!("ssid = \"\"\n{rest}\ncountry = \"DE\"")), "ssid", &["1 to 32 bytes"]);
    let found = errors(&wifi(&format!("ssid = \"x\"\n{rest}\ncountry = \"de\"")));
    assert!(found[0].contains("write \"DE\""), "{found:?}");
    let found = errors(&wifi("ssid = \"x\"\npsk = \"hunter2\"\ncountry = \"DE\""));
    assert!(found[0].contains("8 to 63"), "{found:?}");
    assert!(!found[0].contains("hunter2"));
}

#[test]
fn secrets_in_clear_are_accepted_with_a_warning_and_never_shown() {
    let cluster = loaded(&file("", "", "password = \"hunter2\"", ""));
    assert_eq!(cluster.warnings.len(), 1);
    assert!(cluster.warnings[0].starts_with("pibake.toml:7: `password` in [user]"), "{:?}", cluster.warnings);
    assert!(!format!("{cluster:?}").contains("hunter2"));
}

#[test]
fn wrong_secrets_are_refused_and_never_shown() {
    for user in [
        "password = { value = \"hunter2\" }",
        "password = { prompt = \"a\", env = \"hunter2\" }",
        "password = { hash = \"hunter2\" }",
        "password = { hash = \"$6$salt$hunter2\" }",
        "password = { hash = 3 }",
        "password = 3",
        "password = \"\"",
        "password = \"hunter2\\n\"",
    ] {
        let found = errors(&file("", "", user, ""));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with("pibake.toml:7:") && !found[0].contains("hunter2"), "{found:?}");
    }
}

#[test]
fn hashes_are_told_apart() {
    let hash = format!("$y$j9T$salt${}", "a".repeat(43));
    let node = only_node(loaded(&file("", "", &format!("password = {{ hash = \"{hash}\" }}"), "")));
    assert!(node.user.password.expect("there is one").is_yescrypt());
    let hash = format!("$6$salt${}", "a".repeat(86));
    let node = only_node(loaded(&file("", "", &format!("password = {{ hash = \"{hash}\" }}"), "")));
    assert!(!node.user.password.expect("there is one").is_yescrypt());
    one_error_at(&file("", "", &format!("password = \"{hash}\""), ""), "password", &["{ hash = \"…\" }"]);
}

#[test]
fn authorized_keys_are_read_and_checked() {
    let desk = Desk::new();
    desk.write("two.pub", &format!("{KEY}\nfrom=\"10.0.0.0/8\",no-pty {KEY}\n"));
    let with_keys = |keys: &str| file("", "", &format!("authorized_keys = [{keys}]"), "");
    let cluster = desk.load(&with_keys("\"two.pub\", \"~/.ssh/id_ed25519.pub\"")).expect("they are keys");
    assert_eq!(only_node(cluster).user.authorized_keys.len(), 2);

    let private = "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----\n";
    desk.write("id", private);
    desk.write("empty.pub", "# nothing\n");
    desk.write("cut.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAf0\n");
    desk.write("putty.pub", "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----\n");
    for (keys, says) in [
        ("\"id\"", "id is a private key"),
        ("\"\"\"-----BEGIN OPENSSH PRIVATE KEY-----\\nhunter2\"\"\"", "this is a private key"),
        ("\"b3BlbnNzaC1rZXktdjEAAAAAhunter2\"", "this is a private key"),
        ("\"absent.pub\"", "no such file"),
        ("\"empty.pub\"", "holds no public key"),
        ("\"cut.pub\"", "cut.pub:1"),
        ("\"putty.pub\"", "ssh-keygen -i"),
        ("\"home\"", "not a file"),
        ("\"ssh-ed25519 AAAA\"", "is it whole?"),
        ("\"\"", "neither a public key nor the path"),
        ("3", "expected a string"),
    ] {
        let found = desk.load(&with_keys(keys)).expect_err(keys);
        assert_eq!(found.len(), 1, "{keys}: {found:#?}");
        assert!(found[0].contains(says) && !found[0].contains("hunter2"), "{keys}: {found:?}");
    }
}

#[test]
fn a_cluster_file_starts_from_a_profile() {
    let desk = Desk::new();
    let cluster =
        desk.load("profile = \"lab\"\nname = \"mine\"\n[network]\nsearch = []\n").expect("it is sound");
    assert_eq!((cluster.name.as_str(), cluster.nodes.len()), ("mine", 3));
    assert_eq!(cluster.nodes[0].network.gateway, Some(Ipv4Addr::new(192, 168, 1, 1)), "the profile's");
    assert!(cluster.nodes[0].network.search.is_empty(), "the file's");
    let origin = cluster.profile.expect("it has one");
    assert_eq!((origin.name.as_str(), origin.file), ("lab", None));

    let nodes = "profile = \"lab\"\n[[node]]\nname = \"one\"\naddress = \"192.168.1.5/24\"\n";
    assert_eq!(desk.load(nodes).expect("it is sound").nodes.len(), 1, "the file's nodes stand in place");

    desk.write("profiles/lab.toml", &with_top("").replace("\"c\"", "\"own\""));
    let cluster = desk.load("profile = \"lab\"\n").expect("it is sound");
    assert_eq!(cluster.name, "own", "a profile beside the file wins");
    assert_eq!(cluster.profile.expect("it has one").file, Some(desk.path("profiles/lab.toml")));
}

#[test]
fn wrong_profiles_are_told() {
    let desk = Desk::new();
    let found = desk.load("profile = \"lap\"\n").expect_err("there is none");
    assert_eq!(found, ["pibake.toml:1: there is no profile \"lap\"; did you mean \"lab\"?"]);
    let found = desk.load("profile = \"../x\"\n").expect_err("it is no name");
    assert!(found.iter().any(|error| error.contains("no name")), "{found:?}");
    desk.write("profiles/a.toml", "profile = \"lab\"\nname = 3\n");
    let found = desk.load("profile = \"a\"\n").expect_err("it is nested and wrong");
    assert!(found.iter().any(|error| error.starts_with("profiles/a.toml:1: a profile cannot")), "{found:?}");
    assert!(found.iter().any(|error| error.starts_with("profiles/a.toml:2: ")), "{found:?}");
}

#[test]
fn a_profile_can_be_used_as_it_is() {
    let desk = Desk::new();
    let selection = Selection { profile: Some("lab".to_owned()), ..desk.selection() };
    let cluster = desk.load_as(&selection).expect("it is sound");
    assert_eq!(cluster.source, Source::Profile("lab".to_owned()));
    assert_eq!(cluster.base_dir, desk.path(""));
    let unknown = Selection { profile: Some("nothing".to_owned()), ..desk.selection() };
    assert!(
        desk.load_as(&unknown).expect_err("there is none")[0]
            .contains("demo, lab, plexicluster, single, swarm")
    );
}

#[test]
fn every_shipped_profile_loads_and_its_template_too() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.is_file())
        .map(|path| path.file_stem().expect("it has a name").to_string_lossy().into_owned())
        .collect();
    names.sort();
    let listed: Vec<String> = profile::list().into_iter().map(|profile| profile.name).collect();
    assert_eq!(names, listed);
    for profile in profile::list() {
        assert!(profile.description.len() > 20, "{profile:?}");
        let desk = Desk::new();
        let selection = Selection { profile: Some(profile.name.clone()), ..desk.selection() };
        let cluster =
            desk.load_as(&selection).unwrap_or_else(|errors| panic!("{}: {errors:#?}", profile.name));
        assert_eq!((cluster.name.as_str(), cluster.warnings.len()), (profile.name.as_str(), 0));
        let template = profile::template(&profile.name, None).expect("it is there");
        assert!(template.lines().all(|line| line.chars().count() <= 120), "{}", profile.name);
        assert!(template.contains("\nsource = \"\"\n"), "{}", profile.name);
        desk.load(&template).unwrap_or_else(|errors| panic!("{}: {errors:#?}", profile.name));
    }
    assert!(profile::template("nothing", None).is_none());
}

#[test]
fn a_template_names_the_key_that_is_there() {
    let desk = Desk::new();
    assert_eq!(profile::find_public_key(&desk.path("home")).as_deref(), Some("~/.ssh/id_ed25519.pub"));
    assert_eq!(profile::find_public_key(&desk.path("nowhere")), None);
    desk.write("other/.ssh/id_rsa.pub", KEY);
    let key = profile::find_public_key(&desk.path("other")).expect("there is one");
    let template = profile::template("lab", Some(&key)).expect("it is there");
    assert!(template.contains("authorized_keys = [\"~/.ssh/id_rsa.pub\"]"), "{template}");
    assert!(!template.contains("id_ed25519"), "{template}");
}

/// A profile with everything that it only shows in comments.
fn uncommented(name: &str) -> String {
    let template = profile::template(name, None).expect("it is there");
    let sha = format!("sha256 = \"{}\"", "ab".repeat(32));
    let uncommented = template.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if rest.starts_with("sha256") => sha.clone(),
        Some(rest) if rest.contains(" = ") || rest.starts_with('[') => rest.to_owned(),
        _ => line.to_owned(),
    });
    uncommented.collect::<Vec<_>>().join("\n")
}

#[test]
fn commented_lines_of_the_templates_are_sound_too() {
    let desk = Desk::new();
    let cluster = desk.load(&uncommented("single")).unwrap_or_else(|errors| panic!("{errors:#?}"));
    let node = only_node(cluster);
    assert!(node.network.wifi.is_some() && node.accounts.len() == 1 && node.image.size == Some(4 << 30));

    let cluster = desk.load(&uncommented("swarm")).unwrap_or_else(|errors| panic!("{errors:#?}"));
    let swarm = cluster.swarm.expect("there is one");
    assert_eq!((swarm.stacks.len(), swarm.secrets.len()), (1, 1));
    assert!(swarm.address_pool.is_some() && !cluster.nodes[2].labels.is_empty());
    assert_eq!(cluster.nodes[0].docker.images, ["images/*.tar"]);
}
