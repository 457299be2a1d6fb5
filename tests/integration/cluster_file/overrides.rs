//! Defaults, and what a node overrides.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use pibake::config::Selection;
use pibake::config::types::{FirstBoot, Password, ResolvConf, Role, SecretSource, Sudo};

use super::{Desk, KEY, file, loaded, only_node, user_with_key, with_network, with_node, with_top};

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
