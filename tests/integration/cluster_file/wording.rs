//! How errors are told: where, what is expected, what is nearest.

use std::fs;

use super::{Desk, errors, file, one_error, one_error_at, with_network, with_node, with_top};

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
