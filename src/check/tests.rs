//! What is made of answers that nodes may give.

use std::path::Path;

use super::compare::{Expected, PlanNow, compare, is_outdated};
use super::facts::{Facts, parse};
use super::finding::{Area, Finding, NodeReport, Verdict};
use super::swarm;
use crate::config::types::{Cluster, Node};
use crate::config::{self, Selection};

const FILE: &str = r#"
name = "lab"
[network]
dns = ["192.168.1.100", "9.9.9.9"]
[user]
authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAf0QiANlqfYIbHmN0BIxTMBEVDXxl98tEigw1sjCMgR test"]
[docker]
install = "debs"
bundle = "debs"
tls = true
images = ["images/*.tar"]
[swarm]
[[node]]
name = "pi1"
address = "192.168.0.1/16"
role = "manager"
[[node]]
name = "pi2"
address = "192.168.0.2/16"
role = "worker"
[[node]]
name = "pi10"
address = "192.168.0.10/16"
role = "none"
docker.install = "none"
"#;

/// A node that is as it was baked.
const PI1: &str = "uid=0\nhostname=pi1\nmachine=1111\naddress=eth0 192.168.0.1/16\naddress=docker0 172.17.0.1/16\n\
    baked.cluster=lab\nbaked.node=pi1\nbaked.bake_time=2026-01-01T00:00:00Z\nbaked.plan=abcd\n\
    resolv.kind=file\nresolv.immutable=yes\nnameserver=192.168.1.100\nnameserver=9.9.9.9\n\
    now=1000\ndisk=8000000 4000000\nunits=asked\nlog=2026 swarm: done\nstaged=9\n\
    docker.installed=yes\ndocker.active=active\ndocker.version=20.10.24\ndocker.tcp=2376\nimages.left=0\n\
    swarm.state=active\nswarm.node=id1\nswarm.manager=true\nswarm.cluster=thecluster\nswarm.error=\"\"\n\
    member=id1|pi1|Ready|Active|Leader\nmember=id2|pi2|Ready|Active|\napplied=pibake-applied-1\nend=1\n";

const PI2: &str = "uid=0\nhostname=pi2\nmachine=2222\naddress=eth0 192.168.0.2/16\n\
    baked.cluster=lab\nbaked.node=pi2\nbaked.plan=abcd\n\
    resolv.kind=file\nresolv.immutable=yes\nnameserver=192.168.1.100\nnameserver=9.9.9.9\n\
    now=1000\ndisk=8000000 4000000\nunits=asked\nstaged=9\n\
    docker.installed=yes\ndocker.active=active\ndocker.tcp=2376\n\
    swarm.state=active\nswarm.node=id2\nswarm.manager=false\nend=1\n";

fn cluster() -> Cluster {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("pibake.toml"), FILE).unwrap();
    let selection =
        Selection { cwd: dir.path().to_owned(), home: Path::new("/").to_owned(), ..Selection::default() };
    config::load(&selection).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

/// Everything found of nodes that answered so, in the order of the file.
fn check(answers: &[&str]) -> Vec<NodeReport> {
    let cluster = cluster();
    let facts: Vec<Facts> = answers.iter().map(|text| parse(text).unwrap()).collect();
    let plan = PlanNow::Digest("abcd".to_owned());
    let pairs: Vec<(&Node, Option<&Facts>)> =
        cluster.nodes.iter().zip(&facts).map(|(node, facts)| (node, Some(facts))).collect();
    let together = swarm::compare(&pairs);
    let report = |((node, facts), together): (&(&Node, Option<&Facts>), Vec<Finding>)| {
        let facts = facts.unwrap();
        let expected = Expected { cluster: &cluster.name, node, plan: &plan, clock: (998, 1003) };
        let mut findings = compare(&expected, facts);
        findings.extend(together);
        let (node, address) = (node.name.clone(), node.address);
        NodeReport {
            node,
            address,
            silent: None,
            advice: None,
            outdated: is_outdated(&plan, facts),
            findings,
        }
    };
    pairs.iter().zip(together).map(report).collect()
}

/// What is not in order with a node that says `to` in place of `from`.
fn odd(from: &str, to: &str) -> (bool, Vec<String>) {
    assert!(PI1.contains(from), "{from}");
    let report = check(&[&PI1.replace(from, to), PI2]).remove(0);
    let line = |finding: &Finding| format!("{:?} {}: {}", finding.verdict, finding.what, finding.found);
    (report.is_as_baked(), report.findings.iter().filter(|f| f.verdict != Verdict::Ok).map(line).collect())
}

#[test]
fn nodes_as_they_were_baked() {
    for report in check(&[PI1, PI2]) {
        let odd: Vec<&Finding> = report.findings.iter().filter(|f| f.verdict != Verdict::Ok).collect();
        assert!(report.is_as_baked() && odd.is_empty() && !report.outdated, "{odd:#?}");
        assert_eq!(report.worst(Area::Swarm), Some(Verdict::Ok));
    }
}

#[test]
fn a_node_without_docker_is_not_asked_about_it() {
    let pi10 = "uid=0\nhostname=pi10\nmachine=3333\naddress=eth0 192.168.0.10/16\nresolv.kind=file\nresolv.immutable=yes\n\
        nameserver=192.168.1.100\nnameserver=9.9.9.9\nunits=asked\ndocker.installed=no\nend=1\n";
    let report = check(&[PI1, PI2, pi10]).remove(2);
    assert!(report.is_as_baked(), "{:#?}", report.findings);
    assert_eq!((report.worst(Area::Docker), report.worst(Area::Swarm)), (None, None));
}

#[test]
fn everything_that_is_not_as_baked_is_told() {
    for (from, to, says) in [
        ("hostname=pi1", "hostname=raspberrypi", "Wrong host name: raspberrypi"),
        ("hostname=pi1\n", "", "Unknown host name: not told"),
        ("eth0 192.168.0.1/16", "eth0 192.168.0.1/24", "Wrong address: 192.168.0.1/24"),
        ("eth0 192.168.0.1/16", "wlan0 192.168.0.1/16", "Wrong address: eth0 has none"),
        ("machine=1111\n", "", "Wrong machine id: none"),
        ("machine=1111", "machine=2222", "Wrong machine id: shared by pi1, pi2"),
        ("baked.node=pi1", "baked.node=pi3", "Wrong baked as: pi3"),
        ("baked.cluster=lab", "baked.cluster=lob", "Wrong baked for the cluster: lob"),
        ("resolv.kind=file", "resolv.kind=link", "Wrong resolv.conf is a: link"),
        ("resolv.immutable=yes", "resolv.immutable=no", "Wrong immutable flag: not set"),
        ("nameserver=9.9.9.9", "nameserver=8.8.8.8", "Wrong servers: 192.168.1.100, 8.8.8.8"),
        ("nameserver=9.9.9.9\n", "nameserver=9.9.9.9\nnameserver=fe80::1\n", "fe80::1"),
        ("uid=0", "uid=1000", "Wrong sudo asks: a password"),
        ("units=asked", "failed=ssh.service\nfailed=x.mount", "Wrong failed units: ssh.service, x.mount"),
        ("units=asked\n", "", "Unknown failed units: not told"),
        ("docker.installed=yes", "docker.installed=no", "Wrong installed: no"),
        ("docker.active=active", "docker.active=failed", "Wrong docker.service: failed"),
        ("staged=9", "staged=9\nmissing=runc 1.1", "Wrong staged packages: not at their version: runc 1.1"),
        ("staged=9\n", "", "Unknown staged packages: the list of them cannot be read"),
        ("docker.tcp=2376\n", "", "Wrong TLS port 2376 open: no"),
        ("docker.tcp=2376", "docker.tcp=2376\ndocker.tcp=2375", "Wrong port 2375 open: yes"),
        ("images.left=0", "images.left=2", "Wrong images still to load: 2"),
        ("swarm.state=active", "swarm.state=pending", "Wrong state: pending"),
        ("swarm.state=active", "swarm.state=pending", "Note its log: 2026 swarm: done"),
        ("swarm.state=active\n", "", "Unknown state: not told"),
        ("swarm.manager=true", "swarm.manager=false", "Wrong role: worker"),
        ("id1|pi1|Ready", "id1|pi1|Down", "Wrong seen by managers: Down"),
        ("Leader", "Unreachable", "Wrong as a manager: Unreachable"),
        (
            "member=id1|pi1|Ready",
            "member=id9|pi1|Ready",
            "Wrong seen by managers: pi1 knows another node of its name",
        ),
        ("id1|pi1|Ready", "id1|pi7|Ready", "Wrong host name in the swarm: pi7"),
    ] {
        let (as_baked, odd) = odd(from, to);
        assert!(!as_baked && odd.iter().any(|line| line.contains(says)), "{from} -> {to}: {odd:#?}");
    }
}

#[test]
fn what_is_only_worth_knowing_is_no_failure() {
    for (from, to, says) in [
        ("now=1000", "now=967", "Note clock: 1970-01-01T00:16:07Z, 31 s behind"),
        ("now=1000", "now=1034", "31 s ahead"),
        ("8000000 4000000", "8000000 200000", "Note free space: 195 of 7812 MiB"),
        ("baked.plan=abcd", "baked.plan=ffff", "Note plan: out of date, baked 2026-01-01T00:00:00Z"),
        ("baked.plan=abcd\n", "", "Note plan: its manifest names none"),
        ("applied=pibake-applied-1\n", "", "Note networks and stacks: not made yet"),
        ("id1|pi1|Ready|Active", "id1|pi1|Ready|Drain", "Note availability: Drain"),
        ("member=id2", "member=id0|pi1|Down|Active|\nmember=id2", "Note old entries: 1 of its name"),
    ] {
        let (as_baked, odd) = odd(from, to);
        assert!(as_baked && odd.iter().any(|line| line.contains(says)), "{from} -> {to}: {odd:#?}");
    }
    assert_eq!(odd("now=1000", "now=1033"), (true, Vec::new()), "within 30 s of the answer's end");
}

#[test]
fn an_old_plan_is_told_of_its_node_alone() {
    let reports = check(&[&PI1.replace("plan=abcd", "plan=ffff"), PI2]);
    assert_eq!(reports.iter().map(|report| report.outdated).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_worker_of_another_swarm_is_told_by_the_managers() {
    let reports = check(&[PI1, &PI2.replace("swarm.node=id2", "swarm.node=other")]);
    let found = &reports[1].findings.iter().find(|f| f.verdict == Verdict::Wrong).unwrap().found;
    assert_eq!(found, "pi1 knows another node of its name");
    let gone = PI1.replace("member=id2|pi2|Ready|Active|\n", "");
    let reports = check(&[&gone, PI2]);
    let found = &reports[1].findings.iter().find(|f| f.verdict == Verdict::Wrong).unwrap().found;
    assert_eq!(found, "pi1 does not know it: it is in another swarm");
}

#[test]
fn a_worker_that_joined_another_swarm_is_told() {
    for (joined, verdict) in [("thecluster", Verdict::Ok), ("another", Verdict::Wrong)] {
        let worker = PI2.replace("swarm.manager", &format!("swarm.joined={joined}\nswarm.manager"));
        let reports = check(&[PI1, &worker]);
        let id = reports[1].findings.iter().find(|f| f.what == "cluster id").unwrap();
        assert_eq!((id.verdict, id.expected.as_str()), (verdict, "that of pi1"));
    }
}

#[test]
fn two_swarms_are_told() {
    let manager = PI2.replace("swarm.manager=false", "swarm.manager=true\nswarm.cluster=another");
    let reports = check(&[PI1, &manager]);
    let ids: Vec<&Finding> = reports[1].findings.iter().filter(|f| f.what == "cluster id").collect();
    assert_eq!((ids[0].verdict, ids[0].expected.as_str()), (Verdict::Wrong, "that of pi1"));
}

#[test]
fn a_worker_alone_is_not_failed_for_want_of_a_manager() {
    let cluster = cluster();
    let facts = parse(PI2).unwrap();
    let found = swarm::compare(&[(&cluster.nodes[1], Some(&facts))]).remove(0);
    assert_eq!((found.len(), found[0].verdict), (1, Verdict::Note));
    // A manager that cannot list the nodes has no quorum
    let manager = parse(&PI1.replace("member=", "x=")).unwrap();
    let found = swarm::compare(&[(&cluster.nodes[0], Some(&manager))]).remove(0);
    assert!(found.iter().any(|f| f.verdict == Verdict::Wrong && f.found.contains("quorum")), "{found:#?}");
}

#[test]
fn a_silent_node_is_not_as_baked() {
    let cluster = cluster();
    let pi1 = parse(PI1).unwrap();
    let found = swarm::compare(&[(&cluster.nodes[0], Some(&pi1)), (&cluster.nodes[1], None)]);
    assert!(found[1].is_empty());
    let report = NodeReport {
        node: "pi2".to_owned(),
        address: cluster.nodes[1].address,
        silent: Some("no route".to_owned()),
        advice: Some("x"),
        outdated: false,
        findings: Vec::new(),
    };
    assert!(!report.is_as_baked());
}

/// Programs of a node, each a shell script of this content.
const PROGRAMS: [(&str, &str); 5] = [
    ("dockerd", ""),
    (
        "systemctl",
        "case $1 in --failed) echo 'x.mount loaded failed failed /x' ;; is-active) echo active ;; esac",
    ),
    (
        "docker",
        "case $1 in info) printf 'docker.version=1\\nswarm.state=active\\nswarm.node=id1\\nswarm.manager=true\\nswarm.cluster=\\nswarm.error=\"\"\\n' ;; \
         node) echo 'id1|pi1|Ready|Active|Leader' ;; config) printf 'mine\\npibake-applied-lab\\n' ;; esac",
    ),
    ("dpkg-query", "printf 'have %s installed\\n' 'a 1' 'b 3' 'c 1' 'd 2'; echo 'have e 1 config-files'"),
    // `--compare-versions HAVE ge WANT`, of whole numbers
    ("dpkg", "[ \"$2\" -ge \"$4\" ]"),
];

/// The script, on a node of which these programs and files are all there is to see.
#[test]
fn the_script_asks_docker_and_dpkg() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in PROGRAMS {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{content}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let list = "a 1 all x/a.deb\nb 2 all x/b.deb\nc 2 all x/c.deb\ne 1 all x/e.deb\nf 1 all x/f.deb\n";
    std::fs::write(dir.path().join("list"), list).unwrap();
    std::fs::write(dir.path().join("joined"), "thecluster\n").unwrap();
    std::fs::create_dir(dir.path().join("images")).unwrap();
    std::fs::write(dir.path().join("images/x.tar"), "").unwrap();

    let here = dir.path().display();
    let mut script = include_str!("facts.sh").to_owned();
    for (from, to) in [
        (" PATH=/usr/sbin", format!(" PATH={here}:/usr/sbin")),
        ("/var/cache/pibake/debs/list", format!("{here}/list")),
        ("/var/cache/pibake/images", format!("{here}/images")),
        ("/var/lib/pibake/swarm/cluster_id", format!("{here}/joined")),
    ] {
        assert_eq!(script.matches(from).count(), 1, "{from}");
        script = script.replace(from, &to);
    }
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    let facts = parse(&String::from_utf8(output.stdout).unwrap()).unwrap();
    // b is newer than what was staged, c older, e removed, f never there
    assert_eq!(
        (facts.staged, facts.missing_packages),
        (Some(5), ["c 2", "e 1", "f 1"].map(str::to_owned).to_vec())
    );
    assert_eq!((facts.failed, facts.images_left), (Some(vec!["x.mount".to_owned()]), Some(1)));
    assert_eq!((facts.docker_installed, facts.docker_active.as_deref()), (Some(true), Some("active")));
    assert_eq!((facts.swarm_state.as_deref(), facts.swarm_manager), (Some("active"), Some(true)));
    assert_eq!((facts.swarm_cluster, facts.swarm_error), (None, None), "what is empty is left out");
    assert_eq!(facts.swarm_joined.as_deref(), Some("thecluster"));
    assert_eq!((facts.members.len(), facts.applied), (1, vec!["pibake-applied-lab".to_owned()]));
}
