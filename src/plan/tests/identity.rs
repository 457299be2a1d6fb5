//! A captured card made another node's, or its own node's again, release by release (raspios.md section 10).

use serde_json::json;

use crate::config::types::Role;
use crate::fs::volume::Volume;
use crate::inventory::types::{FirstBootHook, NetworkStack, Release};
use crate::plan::change::{Action, Plan};
use crate::plan::identity::{Kin, Origin, Restored, build, keeps_membership, summary};
use crate::plan::samples::{self, RELEASES};

use super::swarm::member;
use super::{Bench, boot_text, is_removed, planned, spec, text};

const MACHINE_ID: &str = "0123456789abcdef0123456789abcdef\n";
const FACTS: [&str; 3] = ["cluster_id", "no-create", "seen"];

/// Whose card a bench's inventory becomes.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    Pi1,
    Pi3,
    Nobody,
}

/// What a node leaves that no other may have, and that goes.
const TRACES: [&str; 13] = [
    "/etc/ssh/ssh_host_rsa_key",
    "/etc/ssh/ssh_host_ed25519_key-cert.pub",
    "/etc/wireguard/wg0.conf",
    "/home/pi/.config/com.raspberrypi.connect",
    "/var/lib/NetworkManager/secret_key",
    "/var/lib/NetworkManager/internal-1234-eth0.lease",
    "/var/lib/cloud/instance",
    "/var/lib/dbus/machine-id",
    "/var/lib/dhcp/dhclient.eth0.leases",
    "/var/lib/dhcpcd/duid",
    "/var/lib/dhcpcd5/eth0.lease",
    "/var/lib/docker/engine-id",
    "/var/lib/systemd/random-seed",
];

/// A card that has run: what it was called, and what systems keep of themselves.
fn captured(bench: &mut Bench, of: Of) {
    let (name, address) = if of == Of::Pi1 { ("pi1", "192.168.0.1") } else { ("pi3", "192.168.0.3") };
    let inventory = &mut bench.inventory;
    inventory.hook = FirstBootHook::None;
    inventory.booted = true;
    if of != Of::Nobody {
        let address = format!("{address}/16");
        inventory.manifest =
            Some(json!({ "format": 1, "cluster": "plexi", "node": name, "address": address }));
    }
    let mut root = |path: &str, text: &str| samples::add(inventory, Volume::Root, path, text);
    root("/etc/hostname", &format!("{name}\n"));
    root("/etc/hosts", &format!("{address}\t{name}\n127.0.0.1\tlocalhost\n"));
    root("/etc/machine-id", MACHINE_ID);
    for file in TRACES {
        root(file, "x");
    }
    root("/etc/resolv.conf", "nameserver 9.9.9.9\n");
    let stack = inventory.stack;
    let mut root = |path: &str, text: &str| samples::add(inventory, Volume::Root, path, text);
    if stack == NetworkStack::NetworkManager {
        let profile =
            format!("[connection]\ntype=ethernet\ninterface-name=eth0\n[ipv4]\naddress1={address}/16\n");
        root("/etc/NetworkManager/system-connections/Wired.nmconnection", &profile);
    } else {
        root("/etc/dhcpcd.conf", &format!("hostname\ninterface eth0\nstatic ip_address={address}/16\n"));
    }
    let cmdline = "console=tty1 root=PARTUUID=0ff22469-02 rootwait ds=nocloud;i=rpi-imager-1\n";
    samples::add(inventory, Volume::Boot, "/cmdline.txt", cmdline);
}

/// A worker's or a manager's card, with all that pibake and Docker keep there.
fn swarm_card(role: Role, of: Of) -> Bench {
    let mut bench = member(role);
    captured(&mut bench, of);
    let inventory = &mut bench.inventory;
    let mut root = |path: &str, text: &str| samples::add(inventory, Volume::Root, path, text);
    root("/usr/lib/pibake/swarm-join", "");
    root("/etc/pibake/swarm/node", "name pi1\ncreate no\n");
    root("/etc/docker/daemon.json", "{ \"tlskey\": \"/etc/docker/server-key.pem\" }\n");
    root("/etc/docker/server-key.pem", "OLD");
    root("/var/lib/docker/swarm", "");
    root("/var/lib/docker/swarm/docker-state.json", "{}");
    for fact in FACTS {
        root(&format!("/var/lib/pibake/swarm/{fact}"), "x\n");
    }
    bench
}

/// What only a manager has.
fn with_managers_files(bench: &mut Bench) {
    for file in
        ["/usr/lib/pibake/swarm-answer", "/usr/lib/pibake/swarm-once", "/etc/sudoers.d/020_pibake-join"]
    {
        samples::add(&mut bench.inventory, Volume::Root, file, "");
    }
    samples::add(&mut bench.inventory, Volume::Root, "/etc/pibake/swarm/secrets/greeting", "OLD SECRET");
}

fn restored(bench: &Bench, rejoin: Option<&str>) -> Plan {
    build(&Restored { inputs: bench.inputs(), rejoin }).unwrap_or_else(|errors| panic!("{errors}"))
}

fn restored_from(release: Release, of: Of) -> (Bench, Plan) {
    let mut bench = Bench::new(release);
    captured(&mut bench, of);
    let plan = restored(&bench, None);
    (bench, plan)
}

fn manifest(plan: &Plan) -> serde_json::Value {
    serde_json::from_str(&text(plan, "/usr/share/pibake/manifest.json")).unwrap()
}

#[test]
fn another_nodes_card_becomes_this_one_on_every_release() {
    for release in RELEASES {
        let (bench, plan) = restored_from(release, Of::Pi3);
        assert_eq!(text(&plan, "/etc/hostname"), "pi1\n");
        assert!(text(&plan, "/etc/hosts").starts_with("192.168.0.1\tpi1\n127.0.1.1\tpi1.localdomain\n"));
        assert_eq!(text(&plan, "/etc/machine-id"), "", "{release:?}");
        assert_eq!(text(&plan, "/etc/ssh/ssh_host_ed25519_key"), "PRIVATE ed25519\n");
        assert!(boot_text(&plan, "/pibake-node.txt").starts_with("name = pi1\naddress = 192.168.0.1/16\n"));
        assert!(spec(&plan, "/etc/resolv.conf").immutable);
        for gone in TRACES {
            assert!(is_removed(&plan, gone), "{release:?}: {gone}");
        }
        if bench.inventory.stack == NetworkStack::NetworkManager {
            let profile = text(&plan, "/etc/NetworkManager/system-connections/pibake.nmconnection");
            assert!(profile.contains("address1=192.168.0.1/16,"), "{profile}");
            assert!(is_removed(&plan, "/etc/NetworkManager/system-connections/Wired.nmconnection"));
        } else {
            let conf = text(&plan, "/etc/dhcpcd.conf");
            assert!(
                conf.contains("static ip_address=192.168.0.1/16\n") && !conf.contains("192.168.0.3"),
                "{conf}"
            );
        }
        let id = plan.disk.disk_id.unwrap();
        assert_eq!(
            boot_text(&plan, "/cmdline.txt"),
            format!(
                "console=tty1 root=PARTUUID={id:08x}-02 rootwait{}\n",
                if release == Release::Trixie { " cloud-init=disabled" } else { "" }
            )
        );
        assert!(text(&plan, "/etc/fstab").contains(&format!("PARTUUID={id:08x}-02")));
        assert_eq!(plan.disk.image_size, bench.inventory.layout.image_size);
    }
}

#[test]
fn what_is_no_identity_is_left_as_it_was() {
    for release in RELEASES {
        let (_, plan) = restored_from(release, Of::Pi3);
        for left in [
            "/etc/passwd",
            "/etc/shadow",
            "/etc/sudoers.d/010_pibake",
            "/etc/default/locale",
            "/etc/fake-hwclock.data",
            "/etc/systemd/system/pibake-first-boot.service",
            "/etc/systemd/system/userconfig.service",
            "/etc/systemd/system-preset/00-pibake.preset",
            "/etc/ssh/sshd_config",
            "/etc/ssh/sshd_config.d/00-pibake.conf",
            "/home/anna",
            "/home/pi",
            "/var/log/pibake.log",
            "/etc/docker/daemon.json",
        ] {
            assert!(planned(&plan, Volume::Root, left).is_none(), "{release:?}: {left}");
        }
        assert!(plan.changes.iter().all(|change| !matches!(change.action, Action::Rename { .. })));
    }
}

#[test]
fn its_own_card_stays_the_machine_it_was() {
    for release in RELEASES {
        let (bench, plan) = restored_from(release, Of::Pi1);
        assert_eq!(text(&plan, "/etc/hostname"), "pi1\n");
        for kept in [
            "/etc/machine-id",
            "/var/lib/NetworkManager/secret_key",
            "/var/lib/systemd/random-seed",
            "/var/lib/docker/engine-id",
            "/var/lib/cloud/instance",
            "/etc/wireguard/wg0.conf",
        ] {
            assert!(planned(&plan, Volume::Root, kept).is_none(), "{release:?}: {kept}");
        }
        assert!(boot_text(&plan, "/cmdline.txt").contains(" ds=nocloud;i=rpi-imager-1"));
        assert_ne!(plan.disk.disk_id, Some(bench.inventory.layout.disk_id));
        assert!(is_removed(&plan, "/etc/ssh/ssh_host_rsa_key"), "only those of the state are offered");
    }
}

#[test]
fn a_card_that_pibake_did_not_make_is_given_a_name_and_no_part_in_a_swarm() {
    let mut bench = member(Role::Worker);
    captured(&mut bench, Of::Nobody);
    samples::add(
        &mut bench.inventory,
        Volume::Root,
        "/etc/ssh/sshd_config",
        "HostKey /etc/ssh/ssh_host_rsa_key\n",
    );
    samples::add(&mut bench.inventory, Volume::Root, "/var/lib/docker/swarm", "");
    let plan = restored(&bench, None);
    assert_eq!(text(&plan, "/etc/hostname"), "pi1\n");
    assert!(is_removed(&plan, "/var/lib/docker/swarm"));
    assert!(planned(&plan, Volume::Root, "/etc/pibake/swarm/join_key").is_none());
    assert!(planned(&plan, Volume::Root, "/etc/docker/server-key.pem").is_none());
    assert_eq!(
        text(&plan, "/etc/ssh/sshd_config"),
        "# taken out by pibake: HostKey /etc/ssh/ssh_host_rsa_key\n"
    );
    let warnings = plan.warnings.join("\n");
    assert!(warnings.contains("a restore gives it none: that takes a bake"), "{warnings}");
    assert!(warnings.contains("docker.tls takes a bake"), "{warnings}");
}

#[test]
fn a_stock_image_is_nobodys_card() {
    let bench = Bench::new(Release::Bookworm);
    let refused = build(&Restored { inputs: bench.inputs(), rejoin: None }).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("`pibake flash` makes a node of a stock image"), "{refused}");
}

#[test]
fn another_workers_card_joins_anew_and_its_own_is_kept() {
    let bench = swarm_card(Role::Worker, Of::Pi3);
    let plan = restored(&bench, None);
    assert!(is_removed(&plan, "/var/lib/docker/swarm"));
    assert!(FACTS.iter().all(|fact| is_removed(&plan, &format!("/var/lib/pibake/swarm/{fact}"))));
    assert_eq!(text(&plan, "/var/lib/pibake/swarm/restored"), "from pi3 of cluster plexi\n");
    assert_eq!(text(&plan, "/etc/pibake/swarm/join_key"), "JOIN KEY\n");
    assert!(
        text(&plan, "/etc/pibake/swarm/node").starts_with("name pi1\nrole worker\naddress 192.168.0.1\n")
    );
    assert_eq!(text(&plan, "/etc/docker/server-key.pem"), "TLS KEY\n");
    assert!(planned(&plan, Volume::Root, "/etc/docker/daemon.json").is_none());
    assert_eq!(manifest(&plan)["restored"]["swarm"], "joins");

    let bench = swarm_card(Role::Worker, Of::Pi1);
    let plan = restored(&bench, None);
    assert!(planned(&plan, Volume::Root, "/var/lib/docker/swarm").is_none());
    assert!(planned(&plan, Volume::Root, "/var/lib/pibake/swarm/cluster_id").is_none());
    assert!(planned(&plan, Volume::Root, "/var/lib/pibake/swarm/restored").is_none());
    assert_eq!(text(&plan, "/etc/docker/server-key.pem"), "TLS KEY\n", "certificates are of the state");
    assert_eq!(manifest(&plan)["restored"]["swarm"], "kept");

    let plan = restored(&bench, Some("its certificate ended"));
    assert!(is_removed(&plan, "/var/lib/docker/swarm"));
    assert!(planned(&plan, Volume::Root, "/var/lib/docker/engine-id").is_none());
    assert!(planned(&plan, Volume::Root, "/etc/machine-id").is_none());
}

#[test]
fn a_membership_is_kept_only_where_there_is_one() {
    let bench = swarm_card(Role::Worker, Of::Pi1);
    assert!(keeps_membership(&bench.inventory, Kin::Itself, None));
    assert!(!keeps_membership(&bench.inventory, Kin::Another, None));
    assert!(!keeps_membership(&bench.inventory, Kin::Itself, Some("")));
    let mut bench = Bench::new(Release::Bookworm);
    captured(&mut bench, Of::Pi1);
    assert!(!keeps_membership(&bench.inventory, Kin::Itself, None));
}

#[test]
fn a_restored_manager_creates_only_by_leave_of_the_state() {
    let mut bench = swarm_card(Role::Manager, Of::Pi3);
    with_managers_files(&mut bench);
    bench.create.allowed = false;
    assert!(text(&restored(&bench, None), "/etc/pibake/swarm/node").contains("\ncreate no\n"));
    bench.create.allowed = true;
    let plan = restored(&bench, None);
    assert!(text(&plan, "/etc/pibake/swarm/node").contains("\ncreate yes\n"));
    assert!(is_removed(&plan, "/etc/pibake/swarm/secrets/greeting"));
    assert!(text(&plan, "/etc/passwd").contains("\npibake-join:x:"), "it was no manager of ours");
    // Its own card has the leave that it was captured with.
    let mut own = swarm_card(Role::Manager, Of::Pi1);
    with_managers_files(&mut own);
    let plan = restored(&own, None);
    assert!(text(&plan, "/etc/pibake/swarm/node").contains("\ncreate no\n"));
    assert!(planned(&plan, Volume::Root, "/etc/pibake/swarm/secrets/greeting").is_none());
}

#[test]
fn a_managers_card_that_becomes_a_workers_answers_nobody() {
    let mut bench = swarm_card(Role::Worker, Of::Pi3);
    with_managers_files(&mut bench);
    let plan = restored(&bench, None);
    for gone in [
        "/usr/lib/pibake/swarm-answer",
        "/etc/sudoers.d/020_pibake-join",
        "/etc/pibake/swarm/secrets/greeting",
    ] {
        assert!(is_removed(&plan, gone), "{gone}");
    }
    bench.cluster.swarm = None;
    bench.identity.join = None;
    samples::add(&mut bench.inventory, Volume::Root, "/etc/pibake/swarm/join_key", "OLD");
    let plan = restored(&bench, None);
    assert!(is_removed(&plan, "/etc/pibake/swarm/join_key") && is_removed(&plan, "/var/lib/docker/swarm"));
}

#[test]
fn docker_that_keeps_its_data_elsewhere_is_followed() {
    let mut bench = swarm_card(Role::Worker, Of::Pi3);
    let settings = "{ \"data-root\": \"/srv/docker/\", \"tlskey\": \"x\" }";
    samples::add(&mut bench.inventory, Volume::Root, "/etc/docker/daemon.json", settings);
    let plan = restored(&bench, None);
    assert!(is_removed(&plan, "/srv/docker/swarm") && is_removed(&plan, "/srv/docker/engine-id"));
}

#[test]
fn a_certificate_goes_with_the_listener() {
    let mut bench = swarm_card(Role::Worker, Of::Pi3);
    bench.node.docker.tls = false;
    bench.identity.tls = None;
    samples::add(&mut bench.inventory, Volume::Root, "/etc/systemd/system/docker.service.d/pibake.conf", "");
    let plan = restored(&bench, None);
    assert!(is_removed(&plan, "/etc/docker/server-key.pem"));
    assert!(!text(&plan, "/etc/docker/daemon.json").contains("tlskey"));
}

#[test]
fn what_it_was_called_is_known() {
    let (bench, plan) = restored_from(Release::Bookworm, Of::Pi3);
    let origin = Origin::of(&bench.inventory, "plexi", "pi1");
    assert_eq!((origin.kin, origin.name.as_str()), (Kin::Another, "pi3 of cluster plexi"));
    assert_eq!(origin.words(bench.node.address), ["pi3", "192.168.0.3"]);
    let own = Origin::of(&bench.inventory, "plexi", "pi3");
    assert_eq!(own.kin, Kin::Itself);
    assert_eq!(own.words([192, 168, 0, 3].into()), Vec::<String>::new());
    assert_eq!(Origin::of(&bench.inventory, "other", "pi3").kin, Kin::Another);
    assert!(plan.notes.iter().any(|note| note.contains("that of pi3 of cluster plexi")), "{:?}", plan.notes);
    assert!(summary(&plan).contains(" removed, disk id "), "{}", summary(&plan));
    let restored = &manifest(&plan)["restored"];
    assert_eq!((&restored["node"], &restored["hostname"]), (&"pi3".into(), &"pi3".into()));
}

#[test]
fn the_digest_is_the_plans_own_and_no_bakes() {
    let (mut bench, plan) = restored_from(Release::Bookworm, Of::Pi3);
    assert_eq!(plan.digest, restored(&bench, None).digest);
    assert_eq!(manifest(&plan)["plan"], data_encoding::HEXLOWER.encode(&plan.digest));
    bench.bake_time += 5;
    assert_eq!(plan.digest, restored(&bench, None).digest, "the time decides nothing");
    bench.node.address = [192, 168, 0, 9].into();
    assert_ne!(plan.digest, restored(&bench, None).digest);
    assert_ne!(plan.digest, Bench::new(Release::Bookworm).plan().digest);
}

#[test]
fn a_full_card_is_refused() {
    let mut bench = Bench::new(Release::Bookworm);
    captured(&mut bench, Of::Pi3);
    bench.inventory.root_space.free_blocks = 3;
    let refused = build(&Restored { inputs: bench.inputs(), rejoin: None }).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("the root filesystem has 12 KiB"), "{refused}");
}

#[test]
fn trixie_that_was_never_booted_still_grows_by_the_vendors_hook() {
    let mut bench = Bench::new(Release::Trixie);
    bench.inventory.manifest = Some(json!({ "format": 1, "cluster": "plexi", "node": "pi3" }));
    let plan = restored(&bench, None);
    assert!(planned(&plan, Volume::Root, "/etc/machine-id").is_none());
}
