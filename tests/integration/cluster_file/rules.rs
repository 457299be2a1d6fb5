//! What the values of one cluster must be among each other.

use pibake::config::Selection;

use super::{
    Desk, KEY, errors, file, loaded, one_error, one_error_at, only_node, user_with_key, with_network,
    with_node, with_top,
};

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
