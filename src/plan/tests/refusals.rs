//! What is refused, and that all of it is told at once.

use crate::config::types::{Account, DockerInstall, Password, Secret, SecretSource, Swarm, Wifi};
use crate::fs::volume::Volume;
use crate::inventory::types::Release;
use crate::plan::samples;

use super::Bench;

/// The errors of a bench that a function has spoilt.
fn refused(release: Release, spoil: impl FnOnce(&mut Bench)) -> String {
    let mut bench = Bench::new(release);
    spoil(&mut bench);
    bench.errors()
}

fn account(name: &str) -> Account {
    Account {
        name: name.to_owned(),
        authorized_keys: Vec::new(),
        groups: Vec::new(),
        password: None,
        sudo: None,
    }
}

#[test]
fn what_comes_later_is_refused_all_at_once() {
    let errors = refused(Release::Bookworm, |bench| {
        bench.node.docker.install = DockerInstall::Debs;
        bench.cluster.swarm = Some(Swarm::default());
        bench.bake_time = samples::IMAGE_TIME - 1;
        bench.node.system.timezone = Some("Europe/Berln".to_owned());
    });
    let expected = [
        "node pi1: [swarm] is not baked by this version yet; leave it out",
        "node pi1: system.timezone: the image has no time zone \"Europe/Berln\"; did you mean \"Europe/Berlin\"?",
        "node pi1: the bake time 2025-05-11T21:46:39Z is before the image's newest file, 2025-05-11T21:46:40Z",
        "node pi1: docker.bundle: there is no docker.io or docker-ce;",
    ];
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{errors}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}");
    }
}

#[test]
fn a_bake_in_the_second_of_the_image_is_fine() {
    let mut bench = Bench::new(Release::Bookworm);
    bench.bake_time = samples::IMAGE_TIME;
    bench.plan();
}

#[test]
fn yescrypt_is_refused_where_nobody_knows_it() {
    let yescrypt = |bench: &mut Bench| {
        bench.node.user.password = Some(Password::Hash(Secret::new("$y$x".to_owned())));
        bench.secrets.user_hash = Some(Secret::new("$y$x".to_owned()));
    };
    for release in [Release::Jessie, Release::Stretch, Release::Buster] {
        assert!(refused(release, yescrypt).contains("account \"anna\": "), "{release:?}");
    }
    let mut bench = Bench::new(Release::Bullseye);
    yescrypt(&mut bench);
    bench.plan();
}

#[test]
fn missing_secrets_are_told() {
    let errors = refused(Release::Bookworm, |bench| {
        let prompt = || SecretSource::Prompt("x".to_owned());
        bench.node.user.password = Some(Password::Source(prompt()));
        bench
            .node
            .accounts
            .push(Account { password: Some(Password::Source(prompt())), ..account("jenkins") });
        bench.node.network.wifi =
            Some(Wifi { ssid: "lab".to_owned(), psk: prompt(), country: "DE".to_owned(), hidden: false });
    });
    for expected in ["the password of anna", "the password of jenkins", "the Wi-Fi passphrase"] {
        assert!(errors.contains(&format!("no value was given for {expected}")), "{errors}");
    }
}

#[test]
fn a_hash_that_would_break_the_table_is_refused() {
    for hash in ["", "$6$a:b", "$6$a\n"] {
        let errors = refused(Release::Bookworm, |bench| {
            bench.node.user.password = Some(Password::Hash(Secret::new(hash.to_owned())));
            bench.secrets.user_hash = Some(Secret::new(hash.to_owned()));
        });
        assert!(errors.contains("no crypt(5) hash"), "{errors}");
        assert!(hash.is_empty() || !errors.contains(hash));
    }
}

#[test]
fn account_names_that_do_not_go_are_refused() {
    for (name, expected) in [
        ("root", "account names are"),
        ("Anna", "account names are"),
        ("a:b", "account names are"),
        ("1a", "account names are"),
        ("", "account names are"),
        ("sudo", "has a group of that name already"),
        ("systemd-timesync", "has an account of that name already"),
    ] {
        let errors = refused(Release::Bookworm, |bench| bench.node.user.name = name.to_owned());
        assert!(errors.contains(expected), "{name}: {errors}");
        let errors = refused(Release::Bookworm, |bench| bench.node.accounts.push(account(name)));
        assert!(errors.contains(expected), "{name}: {errors}");
    }
    let twice = refused(Release::Bookworm, |bench| {
        bench.node.accounts = vec![account("x"), account("x"), account("anna")]
    });
    assert!(twice.contains("account \"x\"") && twice.contains("account \"anna\""), "{twice}");
}

#[test]
fn groups_have_to_be_in_the_image() {
    let errors = refused(Release::Bookworm, |bench| {
        bench.node.accounts.push(Account { groups: vec!["docker".to_owned()], ..account("jenkins") });
    });
    assert!(errors.contains("account \"jenkins\": there is no group \"docker\" in the image"), "{errors}");
}

#[test]
fn images_that_lack_something_are_refused() {
    for (volume, file, expected) in [
        (Volume::Root, "/etc/passwd", "/etc/passwd"),
        (Volume::Root, "/etc/shadow", "/etc/shadow"),
        (Volume::Root, "/etc/group", "/etc/group"),
        (Volume::Root, "/etc/ssh/sshd_config", "/etc/ssh/sshd_config"),
        (Volume::Boot, "/cmdline.txt", "cmdline.txt on its FAT partition"),
    ] {
        let errors = refused(Release::Bookworm, |bench| {
            bench.inventory.files.remove(&(volume, samples::path(file)));
        });
        assert!(errors.contains(&format!("the image lacks {expected}")), "{errors}");
    }
    let errors = refused(Release::Bookworm, |bench| {
        bench.inventory.packages.installed.retain(|package| package.name != "openssh-server");
    });
    assert!(errors.contains("the image lacks openssh-server"), "{errors}");
    let errors = refused(Release::Bookworm, |bench| {
        samples::add(&mut bench.inventory, Volume::Root, "/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n");
    });
    assert!(errors.contains("an account with number 1000"), "{errors}");
}

#[test]
fn texts_that_are_none_are_refused() {
    let errors = refused(Release::Bookworm, |bench| {
        bench
            .inventory
            .files
            .insert((Volume::Root, samples::path("/etc/hosts")), b"127.0.0.1 \xff\n".to_vec());
    });
    assert!(
        errors.contains("/etc/hosts of the image cannot be edited: it is not UTF-8 from byte 10 on"),
        "{errors}"
    );
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    type Spoil = fn(&mut Bench);
    let cases: [(Spoil, &str); 9] = [
        (|bench| bench.node.system.timezone = Some("../x".to_owned()), "no name of a time zone"),
        (|bench| bench.node.system.timezone = Some("Europe".to_owned()), "has no time zone \"Europe\""),
        (
            |bench| bench.node.system.timezone = Some("US/Pacific".to_owned()),
            "has no time zone \"US/Pacific\"",
        ),
        (
            |bench| bench.node.system.locale = Some("xx_XX.UTF-8".to_owned()),
            "knows no locale \"xx_XX.UTF-8\"",
        ),
        (|bench| bench.node.system.locale = Some("a'b".to_owned()), "no name of a locale"),
        (|bench| bench.node.system.keymap = Some("de\nX=1".to_owned()), "no keyboard layout"),
        (|bench| bench.node.system.ntp = vec!["a b".to_owned()], "\"a b\" is no server"),
        (|bench| bench.node.system.cmdline = vec!["a b".to_owned()], "\"a b\" is not one word"),
        (|bench| bench.node.system.cmdline = vec!["resize".to_owned()], "the first boot depends on it"),
    ];
    for (spoil, expected) in cases {
        let errors = refused(Release::Trixie, spoil);
        assert!(errors.contains(expected), "{errors}");
    }
    let jessie = refused(Release::Jessie, |bench| bench.node.system.ntp = vec!["x".to_owned()]);
    assert!(jessie.contains("system.ntp: Jessie's timesyncd"), "{jessie}");
    let bare = refused(Release::Trixie, |bench| {
        bench.inventory.files.remove(&(Volume::Root, samples::path("/etc/locale.gen")));
        bench.node.system.locale = Some("en_GB.UTF-8".to_owned());
    });
    assert!(bare.contains("no package locales"), "{bare}");
}

#[test]
fn old_names_of_time_zones_pass_where_they_are_installed() {
    let mut bench = Bench::new(Release::Bookworm);
    bench.node.system.timezone = Some("US/Pacific".to_owned());
    bench.plan();
    let bare = refused(Release::Trixie, |bench| {
        bench.inventory.present.retain(|(_, path)| !path.as_str().starts_with("/usr/share/zoneinfo"));
        bench.node.system.timezone = Some("Europe/Berlin".to_owned());
    });
    assert!(bare.contains("the image lacks time zones"), "{bare}");
}

#[test]
fn wifi_that_cannot_be_is_refused() {
    let errors = refused(Release::Bookworm, |bench| {
        bench.node.network.wifi = Some(Wifi {
            ssid: "x".repeat(33),
            psk: SecretSource::Prompt("x".to_owned()),
            country: "Germany".to_owned(),
            hidden: false,
        });
        bench.secrets.wifi_psk = Some(Secret::new("too short".to_owned()));
    });
    for expected in ["network.wifi.ssid", "network.wifi.country", "network.wifi.psk"] {
        assert!(errors.contains(expected), "{errors}");
    }
    assert!(!errors.contains("too short"));
}
