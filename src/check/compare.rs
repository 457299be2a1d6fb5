//! One node's answer against what the cluster file says of it.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::facts::Facts;
use super::finding::{Area, Finding, Findings, Verdict};
use crate::config::types::{DockerInstall, Node, ResolvConf, Role, Sudo};

/// A clock further off than this is told: TLS and the swarm's certificates begin to suffer from minutes.
const CLOCK: u64 = 30;

/// Less free than this, in KiB, is told: an upgrade would not fit.
const SPACE: u64 = 300 << 10;

/// The plan as it would be baked now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanNow {
    /// Its digest, hexadecimal.
    Digest(String),
    /// It could not be made here: why.
    Unknown(String),
}

/// What is expected of a node.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    /// The cluster's name.
    pub cluster: &'a str,
    /// The node.
    pub node: &'a Node,
    /// The plan of today.
    pub plan: &'a PlanNow,
    /// This machine's clock before the question and after the answer, in seconds since 1970.
    pub clock: (i64, i64),
}

/// Compares everything that one node can be asked about by itself.
#[must_use]
pub fn compare(expected: &Expected<'_>, facts: &Facts) -> Vec<Finding> {
    let mut findings = Findings::default();
    identity(expected, facts, &mut findings);
    dns(expected.node, facts, &mut findings);
    system(expected, facts, &mut findings);
    packages(expected.node, facts, &mut findings);
    if wants_docker(expected.node) {
        docker(expected.node, facts, &mut findings);
    }
    if expected.node.role != Role::None {
        swarm(expected.node, facts, &mut findings);
    }
    plan(expected, facts, &mut findings);
    findings.0
}

fn wants_docker(node: &Node) -> bool {
    node.docker.install != DockerInstall::None || node.role != Role::None
}

fn identity(expected: &Expected<'_>, facts: &Facts, findings: &mut Findings) {
    let node = expected.node;
    findings.same(Area::Identity, "host name", &node.name, facts.hostname.as_deref());
    let address = format!("{}/{}", node.address, node.prefix);
    let interface = &node.network.interface;
    let own: Vec<&str> = facts.addresses_of(interface).collect();
    let verdict = if own.contains(&address.as_str()) { Verdict::Ok } else { Verdict::Wrong };
    let found = if own.is_empty() { format!("{interface} has none") } else { own.join(", ") };
    findings.add(Area::Identity, "address", verdict, address, found);
    let (verdict, found) = match &facts.machine {
        Some(_) => (Verdict::Ok, "one"),
        None => (Verdict::Wrong, "none"),
    };
    findings.add(Area::Identity, "machine id", verdict, "one", found);
    // Root's to read: only a card that says something else is worth a line
    for (what, want, baked) in [
        ("baked for the cluster", expected.cluster, &facts.baked_cluster),
        ("baked as", node.name.as_str(), &facts.baked_node),
    ] {
        if baked.is_some() {
            findings.same(Area::Identity, what, want, baked.as_deref());
        }
    }
}

fn dns(node: &Node, facts: &Facts, findings: &mut Findings) {
    let network = &node.network;
    if network.resolv_conf == ResolvConf::Managed {
        return;
    }
    findings.same(Area::Dns, "resolv.conf is a", "file", facts.resolv_kind.as_deref());
    let servers: Vec<String> = network.dns.iter().map(ToString::to_string).collect();
    let text = |servers: &[String]| if servers.is_empty() { "none".to_owned() } else { servers.join(", ") };
    findings.same(Area::Dns, "servers", text(&servers), Some(&text(&facts.nameservers)));
    if network.resolv_conf == ResolvConf::Immutable {
        let immutable = facts.resolv_immutable.map(|flag| if flag { "set" } else { "not set" });
        findings.same(Area::Dns, "immutable flag", "set", immutable);
    }
}

fn system(expected: &Expected<'_>, facts: &Facts, findings: &mut Findings) {
    if expected.node.user.sudo == Sudo::Nopasswd {
        let root = facts.uid.map(|uid| if uid == 0 { "nothing" } else { "a password" });
        findings.same(Area::System, "sudo asks", "nothing", root);
    }
    findings.nothing(Area::System, "failed units", facts.failed.as_deref());
    if let Some(now) = facts.now {
        clock(now, expected.clock, findings);
    }
    if let Some((size, free)) = facts.disk {
        let verdict = if free < SPACE { Verdict::Note } else { Verdict::Ok };
        let found = format!("{} of {} MiB", free >> 10, size >> 10);
        findings.add(Area::System, "free space", verdict, format!("{} MiB", SPACE >> 10), found);
    }
}

/// The answer was made at some time between question and answer: only what lies outside is a difference.
fn clock(node: i64, (asked, heard): (i64, i64), findings: &mut Findings) {
    let (off, word) = if node < asked {
        (asked.abs_diff(node), "behind")
    } else if node > heard {
        (node.abs_diff(heard), "ahead")
    } else {
        (0, "")
    };
    let verdict = if off > CLOCK { Verdict::Note } else { Verdict::Ok };
    let time = OffsetDateTime::from_unix_timestamp(node).ok().and_then(|time| time.format(&Rfc3339).ok());
    let found = match time {
        Some(time) if off > 0 => format!("{time}, {off} s {word}"),
        Some(time) => time,
        None => "a time beyond all years".to_owned(),
    };
    findings.add(Area::System, "clock", verdict, "as here", found);
}

fn docker(node: &Node, facts: &Facts, findings: &mut Findings) {
    let yes_no = |flag: bool| if flag { "yes" } else { "no" };
    findings.same(Area::Docker, "installed", "yes", facts.docker_installed.map(yes_no));
    findings.same(Area::Docker, "docker.service", "active", facts.docker_active.as_deref());
    if let Some(version) = &facts.docker_version {
        findings.add(Area::Docker, "version", Verdict::Ok, "any", version);
    }
    let listens = |port: u16| yes_no(facts.docker_ports.contains(&port));
    findings.same(Area::Docker, "TLS port 2376 open", yes_no(node.docker.tls), Some(listens(2376)));
    findings.same(Area::Docker, "port 2375 open", "no", Some(listens(2375)));
    if !node.docker.images.is_empty() {
        let left = facts.images_left.unwrap_or(0).to_string();
        findings.same(Area::Docker, "images still to load", "0", Some(&left));
    }
}

fn packages(node: &Node, facts: &Facts, findings: &mut Findings) {
    let staged = node.docker.install == DockerInstall::Debs || !node.system.packages.is_empty();
    let (verdict, found) = match (facts.staged, facts.missing_packages.as_slice()) {
        (None, _) if !staged => return,
        (None, _) => (Verdict::Unknown, "the list of them cannot be read".to_owned()),
        (Some(count), []) => (Verdict::Ok, format!("all {count}")),
        (Some(_), missing) => (Verdict::Wrong, format!("not at their version: {}", missing.join(", "))),
    };
    findings.add(Area::System, "staged packages", verdict, "all installed", found);
}

fn swarm(node: &Node, facts: &Facts, findings: &mut Findings) {
    findings.same(Area::Swarm, "state", "active", facts.swarm_state.as_deref());
    if facts.swarm_state.as_deref() == Some("active") {
        let role = if node.role == Role::Manager { "manager" } else { "worker" };
        let found = facts.swarm_manager.map(|manager| if manager { "manager" } else { "worker" });
        findings.same(Area::Swarm, "role", role, found);
        return;
    }
    if let Some(error) = facts.swarm_error.as_deref().filter(|error| !error.is_empty()) {
        findings.add(Area::Swarm, "docker says", Verdict::Note, "", error);
    }
    for line in &facts.log {
        findings.add(Area::Swarm, "its log", Verdict::Note, "", line);
    }
}

fn plan(expected: &Expected<'_>, facts: &Facts, findings: &mut Findings) {
    let baked = facts.bake_time.as_deref().unwrap_or("some time");
    let (verdict, found) = match (&facts.plan, expected.plan) {
        (None, _) if facts.uid != Some(0) => {
            (Verdict::Note, "not told: its manifest is root's to read".to_owned())
        }
        (None, _) => (Verdict::Note, "its manifest names none".to_owned()),
        (Some(_), PlanNow::Unknown(why)) => (Verdict::Note, format!("baked {baked}, not compared: {why}")),
        (Some(theirs), PlanNow::Digest(now)) if now == theirs => (Verdict::Ok, format!("baked {baked}")),
        (Some(_), PlanNow::Digest(_)) => (
            Verdict::Note,
            format!("out of date, baked {baked}: what has changed since comes with a new card"),
        ),
    };
    findings.add(Area::Plan, "plan", verdict, "the plan of now", found);
}

/// Whether a node says that it was baked with another plan than the one of now.
#[must_use]
pub fn is_outdated(plan: &PlanNow, facts: &Facts) -> bool {
    matches!((plan, &facts.plan), (PlanNow::Digest(now), Some(theirs)) if now != theirs)
}
