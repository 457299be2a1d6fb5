//! Docker's configuration and the swarm, as far as the plan decides them.

use zeroize::Zeroizing;

use crate::config::types::{Account, Role, Secret, Swarm, SwarmNetwork};
use crate::deb::testing::package;
use crate::fs::metadata::Meta;
use crate::inventory::types::Release;
use crate::plan::create::Create;
use crate::state::identity::{JoinIdentity, ManagerHost, TlsIdentity};

use super::{Bench, meta, planned, spec, text};
use crate::fs::volume::Volume;

/// A bench with Docker in the image and everything that a member of a swarm has.
pub(super) fn member(role: Role) -> Bench {
    let mut bench = Bench::new(Release::Bookworm);
    bench.inventory.packages.installed.push(package("docker.io 20.10.24+dfsg1-1+deb12u1", ""));
    bench.node.role = role;
    bench.node.docker.tls = true;
    bench.cluster.nodes[0].role = Role::Manager;
    bench.cluster.swarm = Some(Swarm {
        networks: vec![SwarmNetwork { name: "mesh".to_owned(), attachable: true }],
        ..Swarm::default()
    });
    bench.identity.tls = Some(TlsIdentity {
        ca: "CA\n".to_owned(),
        certificate: "CERTIFICATE\n".to_owned(),
        key: Zeroizing::new("TLS KEY\n".to_owned()),
    });
    bench.identity.join = Some(JoinIdentity {
        key: Zeroizing::new("JOIN KEY\n".to_owned()),
        certificate: "ssh-ed25519-cert-v01@openssh.com AAAA pi1".to_owned(),
        ca: "ssh-ed25519 AAAACA".to_owned(),
        revoked: vec!["ssh-ed25519 AAAAOLD".to_owned()],
        managers: vec![ManagerHost {
            name: "pi1".to_owned(),
            host_keys: vec!["ssh-ed25519 AAAAHOST".to_owned()],
        }],
    });
    bench.create = Create { allowed: true, why: "it is the only manager".to_owned() };
    bench
}

fn refused(change: impl FnOnce(&mut Bench)) -> String {
    let mut bench = member(Role::Manager);
    change(&mut bench);
    bench.errors()
}

#[test]
fn a_worker_has_its_credential_and_knows_the_managers() {
    let plan = member(Role::Worker).plan();
    let key = spec(&plan, "/etc/pibake/swarm/join_key");
    assert_eq!(key.meta, Meta::root(0o600));
    assert!(key.content.is_secret());
    assert_eq!(text(&plan, "/etc/pibake/swarm/known_hosts"), "pi1 ssh-ed25519 AAAAHOST\n");
    assert!(text(&plan, "/etc/pibake/swarm/node").contains("\nrole worker\n"));
    assert!(!text(&plan, "/etc/passwd").contains("pibake-join"));
}

#[test]
fn a_manager_answers_through_an_account_that_can_do_nothing_else() {
    let plan = member(Role::Manager).plan();
    assert!(text(&plan, "/etc/passwd").contains("\npibake-join:x:"));
    assert!(text(&plan, "/etc/passwd").contains(":/nonexistent:/bin/sh\n"));
    assert!(text(&plan, "/etc/shadow").contains("\npibake-join:*:"));
    assert!(text(&plan, "/etc/pibake/swarm/node").contains("\ncreate yes\npool 10.200.0.0/16\n"));
}

#[test]
fn an_sshd_that_reads_no_directory_is_told_at_the_end_of_its_file() {
    for (release, newer) in [(Release::Jessie, false), (Release::Stretch, true), (Release::Buster, true)] {
        let mut bench = member(Role::Manager);
        let mut old = Bench::new(release);
        old.inventory.packages.installed.push(package("docker-ce 5:18.09.9~3-0~raspbian all", ""));
        bench.inventory = old.inventory;
        let text = text(&bench.plan(), "/etc/ssh/sshd_config");
        let (_, block) = text.split_once("\nMatch User pibake-join\n").unwrap();
        assert!(block.contains("TrustedUserCAKeys /etc/pibake/swarm/join_ca.pub\n"), "{block}");
        assert_eq!(block.contains("DisableForwarding"), newer, "{block}");
        bench.node.role = Role::Worker;
        assert!(!super::text(&bench.plan(), "/etc/ssh/sshd_config").contains("pibake-join"));
    }
    let plan = member(Role::Manager).plan();
    assert!(text(&plan, "/etc/ssh/sshd_config.d/50-pibake-join.conf").contains("Match User pibake-join\n"));
}

#[test]
fn what_is_decided_is_told() {
    let mut bench = member(Role::Manager);
    assert_eq!(
        bench.plan().notes,
        [
            "overlay networks are cut from 10.200.0.0/16",
            "this card may create the swarm: it is the only manager"
        ]
    );
    bench.create.allowed = false;
    assert!(bench.plan().notes[1].starts_with("this card joins, and never creates"));
}

#[test]
fn whether_it_may_create_is_no_other_plan() {
    let mut bench = member(Role::Manager);
    let digest = bench.plan().digest;
    bench.create = Create::none();
    assert_eq!(bench.plan().digest, digest);
    bench.identity.join.as_mut().unwrap().certificate.push('x');
    assert_ne!(bench.plan().digest, digest);
}

#[test]
fn dockerd_is_configured_before_it_is_there() {
    let plan = member(Role::None).plan();
    let daemon: serde_json::Value = serde_json::from_str(&text(&plan, "/etc/docker/daemon.json")).unwrap();
    assert_eq!(daemon["default-address-pools"][0]["base"], "172.17.0.0/16");
    assert_eq!(daemon["hosts"][1], "tcp://0.0.0.0:2376");
    assert_eq!(daemon["tlsverify"], true);
    assert!(daemon.get("live-restore").is_none());
    assert!(spec(&plan, "/etc/docker/server-key.pem").content.is_secret());
    assert_eq!(meta(&plan, "/etc/docker/server-key.pem").mode & 0o077, 0);
}

#[test]
fn without_tls_there_is_no_tcp() {
    let mut bench = member(Role::None);
    bench.node.docker.tls = false;
    let plan = bench.plan();
    let daemon: serde_json::Value = serde_json::from_str(&text(&plan, "/etc/docker/daemon.json")).unwrap();
    assert!(daemon.get("hosts").is_none());
    assert!(planned(&plan, Volume::Root, "/etc/docker/server-key.pem").is_none());
}

#[test]
fn accounts_may_be_in_the_group_that_the_package_makes() {
    let mut bench = member(Role::None);
    bench.node.accounts = vec![Account {
        name: "jenkins".to_owned(),
        authorized_keys: Vec::new(),
        groups: vec!["docker".to_owned()],
        password: None,
        sudo: None,
    }];
    assert!(text(&bench.plan(), "/etc/group").contains("\ndocker:x:999:jenkins\n"));
}

#[test]
fn a_swarm_without_docker_or_managers_or_credentials_is_refused() {
    let errors = refused(|bench| bench.inventory.packages.installed.retain(|p| p.name != "docker.io"));
    assert!(errors.contains("docker.tls: there is no Docker in the image"), "{errors}");
    assert!(errors.contains("[swarm]: there is no Docker in the image"), "{errors}");
    let errors = refused(|bench| {
        for node in &mut bench.cluster.nodes {
            node.role = Role::Worker;
        }
    });
    assert!(errors.contains("no [[node]] has role = \"manager\""), "{errors}");
    let errors = refused(|bench| bench.identity.join = None);
    assert!(errors.contains("no value was given for the node's join credential"), "{errors}");
    let errors = refused(|bench| bench.identity.tls = None);
    assert!(errors.contains("no value was given for the node's server certificate"), "{errors}");
}

#[test]
fn secrets_of_members_are_not_shown() {
    let mut bench = member(Role::Manager);
    bench.secrets.swarm_secrets.insert("x".to_owned(), Secret::new("geheim".to_owned()));
    let plan = bench.plan();
    let shown = format!("{}{plan:?}", crate::plan::show::text(&plan, true));
    for secret in ["JOIN KEY", "TLS KEY", "geheim"] {
        assert!(!shown.contains(secret), "{secret}");
    }
}
