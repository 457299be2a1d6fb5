//! `pibake restore --node`: a card that has run, made another node's, and its own node's again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pibake::fs::FsReader;
use pibake::fs::ext4::{Ext4Editor, Ext4Reader, Keep};
use pibake::fs::metadata::{FileType, Meta};
use pibake::fs::path::FsPath;
use serde_json::Value;

use super::desk::{Desk, KEY};
use super::image::{digest, edit_root, open, read_root, root_range, root_reader};
use super::packages::deb;
use crate::root::asked_as_root;

const MACHINE_ID: &str = "0123456789abcdef0123456789abcdef\n";

/// What a system that ran as pi3 has of its own: everything that no other machine may have too.
const OWN: [(&str, &str); 11] = [
    ("/etc/ssh/ssh_host_rsa_key", "RSA"),
    ("/etc/ssh/ssh_host_rsa_key.pub", "ssh-rsa AAAA pi3"),
    ("/var/lib/dbus/machine-id", MACHINE_ID),
    ("/var/lib/systemd/random-seed", "seed of pi3"),
    ("/var/lib/NetworkManager/secret_key", "secret of pi3"),
    ("/var/lib/NetworkManager/internal-77-eth0.lease", "ADDRESS=192.168.7.77\n"),
    ("/var/lib/docker/engine-id", "engine of pi3"),
    ("/var/lib/docker/swarm/docker-state.json", "{\"LocalAddr\":\"192.168.7.2\"}"),
    ("/var/lib/docker/swarm/certificates/swarm-node.key", "key of pi3"),
    ("/var/lib/pibake/swarm/cluster_id", "abcdef\n"),
    ("/var/lib/docker/swarm/worker/tasks.db", "tasks of pi3"),
];

/// What its user has, and what names it.
const USERS: [(&str, &str); 5] = [
    ("/etc/mailname", "pi3.lan\n"),
    ("/etc/app/app.conf", "# where\nlisten = 192.168.7.2\nold = 192.168.7.77\n"),
    ("/etc/app/other.conf", "peer = pi30\npeer = 192.168.7.20\n"),
    ("/home/pi/notes", "pi3 is on the shelf\n"),
    ("/var/lib/docker/image/layers", "layers\n"),
];

fn cluster(names: &[(&str, &str)]) -> String {
    let nodes: String = (1..)
        .zip(names)
        .map(|(at, (name, role))| {
            format!("\n[[node]]\nname = \"{name}\"\naddress = \"192.168.7.{at}/24\"\nrole = \"{role}\"\n")
        })
        .collect();
    format!(
        "name = \"lab\"\n\n[image]\nsource = \"base.img.zst\"\n\n[user]\nname = \"pi\"\n\
         authorized_keys = [\"{KEY}\"]\npassword = {{ prompt = \"never asked\" }}\n\n\
         [docker]\ninstall = \"debs\"\nbundle = \"bundle\"\ntls = true\n\n[swarm]\n{nodes}"
    )
}

fn path(text: &str) -> FsPath {
    FsPath::new(text).unwrap()
}

fn put<D: pibake::disk::block::BlockWrite>(editor: &mut Ext4Editor<D>, file: &str, text: &str) {
    let file = path(file);
    let mut above = vec![];
    let mut next = file.parent();
    while let Some(dir) = next.filter(|dir| !dir.is_root()) {
        next = dir.parent();
        above.push(dir);
    }
    for dir in above.iter().rev() {
        if editor.stat(dir).unwrap().is_none() {
            editor.make_dir(dir, Meta::root(0o755)).unwrap();
        }
    }
    let (meta, size) = (Meta::root(0o600), text.len() as u64);
    if editor.stat_no_follow(&file).unwrap().is_some() {
        editor.replace(&file, meta, &mut text.as_bytes(), size, Keep::Nothing).unwrap();
    } else {
        editor.create(&file, meta, &mut text.as_bytes(), size).unwrap();
    }
}

/// A desk with `captured.img`: the card of pi3 as it is after months, with Docker and in a swarm.
fn captured() -> (Desk, PathBuf) {
    let desk = Desk::bare();
    desk.write("bundle/docker.io.deb", deb(["docker.io", "20.10.24+dfsg1-1", "arm64"], ""));
    let plain = cluster(&[("pi1", "manager"), ("pi3", "worker"), ("pi4", "worker")]);
    desk.write("pibake.toml", plain.replace("password = { prompt = \"never asked\" }\n", ""));
    desk.run(&["bake", "--node", "pi3", "-y"]).ends(0);
    desk.write("pibake.toml", plain);
    let image = desk.path("captured.img");
    fs::rename(desk.path("pi3.img"), &image).unwrap();
    edit_root(&image, |editor| {
        put(editor, "/etc/machine-id", MACHINE_ID);
        for (file, text) in OWN.iter().chain(&USERS) {
            put(editor, file, text);
        }
    });
    (desk, image)
}

fn card(desk: &Desk, image: &Path, name: &str) -> PathBuf {
    desk.card(name, fs::metadata(image).unwrap().len() >> 20)
}

/// Every path of a root filesystem: kind, mode, owner and content.
fn everything(image: &Path) -> BTreeMap<String, String> {
    let reader = root_reader(image);
    let mut found = BTreeMap::new();
    let mut left = vec![FsPath::root()];
    while let Some(at) = left.pop() {
        let stat = reader.stat_no_follow(&at).unwrap().unwrap();
        let content = match stat.kind {
            FileType::File => format!("{:?}", String::from_utf8_lossy(&reader.read(&at, 64 << 20).unwrap())),
            FileType::Symlink => String::from_utf8_lossy(&reader.read_link(&at).unwrap()).into_owned(),
            _ => String::new(),
        };
        found.insert(at.to_string(), format!("{:?} {:?} {content}", stat.kind, stat.meta));
        if stat.kind == FileType::Directory {
            let entries = reader.read_dir(&at).unwrap();
            left.extend(entries.iter().map(|e| at.join(std::str::from_utf8(&e.name).unwrap()).unwrap()));
        }
    }
    found
}

/// Paths in which two filesystems differ.
fn differing(before: &Path, after: &Path) -> Vec<String> {
    let (before, after) = (everything(before), everything(after));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    names.into_iter().filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}

fn has(reader: &Ext4Reader, file: &str) -> bool {
    reader.stat_no_follow(&path(file)).unwrap().is_some()
}

fn text(image: &Path, file: &str) -> String {
    String::from_utf8(read_root(image, file)).unwrap()
}

fn disk_id(image: &Path) -> u32 {
    pibake::disk::partition_table::read(&open(image)).unwrap().disk_id
}

fn restore(desk: &Desk, node: &str, more: &[&str]) -> super::desk::Ran {
    desk.run(&[&["restore", "captured.img", node, "--node", node, "-y"], more].concat())
}

#[test]
fn as_another_node_it_shares_nothing_and_keeps_the_rest() {
    let (desk, image) = captured();
    let before = digest(&image);
    let pi4 = card(&desk, &image, "pi4");
    restore(&desk, "pi4", &[]).ends(0).says(&[
        "the card is that of pi3 of cluster lab: it becomes another machine",
        "it joins the swarm anew",
        "everything else stays as it was captured",
        "left as they are, with the old name or an old address in them:",
        "\n  /etc/app/app.conf:2\n  /etc/app/app.conf:3\n  /etc/mailname:1\n",
    ]);
    assert!(digest(&image) == before, "the capture was written to");

    let reader = root_reader(&pi4);
    let (was, is) = (everything(&image), everything(&pi4));
    for (file, _) in OWN {
        assert!(!has(&reader, file), "{file}");
    }
    for (file, _) in USERS {
        assert_eq!(was[file], is[file]);
    }
    for file in [
        "/etc/ssh/ssh_host_ed25519_key",
        "/etc/ssh/ssh_host_ecdsa_key",
        "/etc/docker/server-key.pem",
        "/etc/docker/server-cert.pem",
        "/etc/pibake/swarm/join_key",
        "/etc/pibake/swarm/join_key-cert.pub",
        "/etc/NetworkManager/system-connections/pibake.nmconnection",
    ] {
        assert_ne!(was[file], is[file], "{file}");
    }
    assert_eq!((text(&pi4, "/etc/hostname"), text(&pi4, "/etc/machine-id")), ("pi4\n".into(), "".into()));
    assert!(!has(&reader, "/var/lib/docker/swarm"));
    assert_eq!(text(&pi4, "/var/lib/pibake/swarm/restored"), "from pi3 of cluster lab\n");
    let uuid = |image: &Path| {
        let profile = text(image, "/etc/NetworkManager/system-connections/pibake.nmconnection");
        profile.lines().find(|line| line.starts_with("uuid=")).unwrap().to_owned()
    };
    assert_ne!(uuid(&image), uuid(&pi4));
    assert_ne!(disk_id(&image), disk_id(&pi4));
    assert!(text(&pi4, "/etc/fstab").contains(&format!("PARTUUID={:08x}-02", disk_id(&pi4))));

    // Nothing else: accounts, packages, scripts of the first boot are the captured ones.
    let swarm =
        ["/etc/pibake/swarm/", "/var/lib/pibake/swarm", "/var/lib/docker/swarm", "/etc/ssh/ssh_host_"];
    let expected = [
        "/etc/NetworkManager/system-connections/pibake.nmconnection",
        "/etc/docker/server-cert.pem",
        "/etc/docker/server-key.pem",
        "/etc/fstab",
        "/etc/hostname",
        "/etc/hosts",
        "/etc/machine-id",
        "/usr/share/pibake/manifest.json",
    ];
    let gone = |name: &str| OWN.iter().any(|(file, _)| *file == name);
    let other = differing(&image, &pi4);
    let other = other.iter().filter(|name| !swarm.iter().any(|dir| name.starts_with(dir)) && !gone(name));
    assert_eq!(other.collect::<Vec<_>>(), expected);
}

#[test]
fn as_its_own_node_it_is_the_same_machine() {
    let (desk, image) = captured();
    let pi3 = card(&desk, &image, "pi3");
    let ran = restore(&desk, "pi3", &[]).ends(0);
    let ran = ran.says(&["the card is pi3's own", "its membership of the swarm is kept"]);
    // The address that it was given once is named still.
    assert!(ran.err.contains("/etc/app/app.conf:3") && !ran.err.contains("/etc/mailname"), "{}", ran.err);
    let (was, is) = (everything(&image), everything(&pi3));
    for (file, _) in OWN.iter().filter(|(file, _)| !file.starts_with("/etc/ssh/")).chain(&USERS) {
        assert_eq!(was[*file], is[*file]);
    }
    assert_eq!(text(&pi3, "/etc/machine-id"), MACHINE_ID);
    let changed = differing(&image, &pi3);
    let identity = ["/etc/fstab", "/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_rsa_key.pub"];
    let rest: Vec<&String> = changed.iter().filter(|name| !identity.contains(&name.as_str())).collect();
    assert_eq!(
        rest,
        ["/usr/share/pibake/manifest.json"],
        "with the same cluster file nothing else is another"
    );
}

#[test]
fn the_command_line_has_it_join_anew() {
    let (desk, image) = captured();
    let pi3 = card(&desk, &image, "pi3");
    restore(&desk, "pi3", &["--swarm", "join"])
        .ends(0)
        .says(&["it joins the swarm anew, as a new card would: the command line says so"]);
    assert!(!has(&root_reader(&pi3), "/var/lib/docker/swarm"));
    assert_eq!(text(&pi3, "/etc/machine-id"), MACHINE_ID);
}

#[test]
fn a_worker_that_moved_joins_anew() {
    let (desk, image) = captured();
    let moved =
        fs::read_to_string(desk.path("pibake.toml")).unwrap().replace("192.168.7.2/24", "192.168.7.9/24");
    desk.write("pibake.toml", moved);
    let pi3 = card(&desk, &image, "pi3");
    let ran = restore(&desk, "pi3", &[]).ends(0).says(&["the swarm knows it at another address"]);
    ran.says(&["  /etc/app/app.conf:2\n"]);
    assert!(!has(&root_reader(&pi3), "/var/lib/docker/swarm"));
    assert!(has(&root_reader(&pi3), "/var/lib/docker/engine-id"));
}

#[test]
fn the_same_inputs_give_the_same_card_and_the_state_knows_it() {
    let (desk, image) = captured();
    let (pi4, again) = (card(&desk, &image, "pi4"), desk.path("again"));
    restore(&desk, "pi4", &[]).ends(0);
    fs::rename(&pi4, &again).unwrap();
    let pi4 = card(&desk, &image, "pi4");
    let ran = restore(&desk, "pi4", &["--json"]).ends(0);
    assert!(digest(&pi4) == digest(&again), "two restores differ");
    let (said, receipt) = (ran.json(), &ran.json()["receipt"]);
    assert_eq!((&said["file"], &receipt["node"]), (&"captured.img".into(), &"pi4".into()));
    assert_eq!((&receipt["restored"], &receipt["verified"]), (&true.into(), &true.into()));
    let manifest: Value = serde_json::from_str(&text(&pi4, "/usr/share/pibake/manifest.json")).unwrap();
    assert_eq!(manifest["plan"], receipt["plan"]);
    assert_eq!(
        (&manifest["restored"]["node"], &manifest["restored"]["swarm"]),
        (&"pi3".into(), &"joins".into())
    );

    desk.run(&["verify", "--node", "pi4", "pi4"]).ends(0);
    let fresh = desk.run(&["verify", "--node", "pi4", "pi4", "--fresh"]).ends(4);
    fresh.says(&["it was restored from a capture"]);
    let shown = desk.run(&["plan", "--node", "pi4"]).ends(0);
    assert!(shown.out.contains("\nholding a restored capture, and no bake: pi4\n"), "{}", shown.out);
    assert!(!shown.out.contains("flashed with another plan"), "{}", shown.out);
    let known = fs::read_to_string(desk.state().join("known_hosts")).unwrap();
    assert!(known.contains("pi4"), "{known}");
}

#[test]
fn what_is_nobodys_card_or_no_node_is_refused_before_the_card_is_touched() {
    let (desk, image) = captured();
    let pi4 = card(&desk, &image, "pi4");
    let untouched = digest(&pi4);
    desk.run(&["restore", "base.img.zst", "pi4", "--node", "pi4", "-y"])
        .ends(2)
        .says(&["nobody's card was captured", "`pibake flash`"]);
    restore(&desk, "pi9", &[]).ends(3);
    desk.run(&["restore", "captured.img", "pi4", "--node", "pi9", "-y"])
        .ends(2)
        .says(&["no such node in the cluster file: pi9"]);
    desk.run(&["restore", "captured.img", "pi4", "-y", "--swarm", "join"]).ends(2).says(&["are for --node"]);
    desk.run(&["restore", "captured.img", "pi4", "--node", "pi4", "--as-is", "-y"]).ends(2);
    assert!(digest(&pi4) == untouched, "a refused card was written to");
}

#[test]
fn e2fsck_finds_nothing_to_mend() {
    if !asked_as_root("oracles", "a restored card before e2fsck and fsck.vfat") {
        return;
    }
    let (desk, image) = captured();
    for node in ["pi4", "pi3"] {
        let card = card(&desk, &image, node);
        restore(&desk, node, &[]).ends(0);
        let range = root_range(&open(&card));
        let device = format!("{}?offset={}", card.display(), range.start());
        let out = Command::new("e2fsck").args(["-fn", &device]).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    }
}
