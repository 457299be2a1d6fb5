//! What a node said of itself: the answer of `facts.sh`, read as the untrusted text it is.

use crate::node::silence::tame;

/// More lines of one kind than any of pibake's questions is answered with.
const MANY: usize = 256;

/// What a node said. Everything is optional: a node that lets pibake in but not to root leaves some out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The user the questions were asked as; 0 is root.
    pub uid: Option<u32>,
    /// The kernel's host name.
    pub hostname: Option<String>,
    /// Digest of a sound machine id.
    pub machine: Option<String>,
    /// Global IPv4 addresses, `eth0 192.168.0.1/16`.
    pub addresses: Vec<String>,
    /// The manifest's cluster.
    pub baked_cluster: Option<String>,
    /// The manifest's node.
    pub baked_node: Option<String>,
    /// The manifest's bake time.
    pub bake_time: Option<String>,
    /// The manifest's plan digest, hexadecimal.
    pub plan: Option<String>,
    /// What `/etc/resolv.conf` is: `file`, `link`, `missing`.
    pub resolv_kind: Option<String>,
    /// Whether it has the immutable flag.
    pub resolv_immutable: Option<bool>,
    /// Its servers.
    pub nameservers: Vec<String>,
    /// The node's clock, in seconds since 1970.
    pub now: Option<i64>,
    /// Size of the root filesystem and what is free of it, in KiB.
    pub disk: Option<(u64, u64)>,
    /// Failed units; `None` when systemd did not answer.
    pub failed: Option<Vec<String>>,
    /// The last lines of `/var/log/pibake.log`.
    pub log: Vec<String>,
    /// How many packages were staged; `None` when the list of them is not there.
    pub staged: Option<u64>,
    /// Staged packages that are not installed at their version, `NAME VERSION`.
    pub missing_packages: Vec<String>,
    /// Whether there is a dockerd.
    pub docker_installed: Option<bool>,
    /// What systemd says of `docker.service`.
    pub docker_active: Option<String>,
    /// The engine's version.
    pub docker_version: Option<String>,
    /// Which of 2375 and 2376 something listens on.
    pub docker_ports: Vec<u16>,
    /// Image archives not loaded yet; `None` when there is no directory of them.
    pub images_left: Option<u64>,
    /// Docker's `LocalNodeState`.
    pub swarm_state: Option<String>,
    /// The node's id in its swarm.
    pub swarm_node: Option<String>,
    /// Whether it is a manager there.
    pub swarm_manager: Option<bool>,
    /// The swarm's id; only managers know it.
    pub swarm_cluster: Option<String>,
    /// The id of the swarm that it once joined, which it keeps.
    pub swarm_joined: Option<String>,
    /// Why Docker is not in the swarm.
    pub swarm_error: Option<String>,
    /// The swarm's nodes, as a manager sees them.
    pub members: Vec<Member>,
    /// Records of networks and stacks having been made.
    pub applied: Vec<String>,
}

/// A node as a manager sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// Its host name.
    pub hostname: String,
    /// `Ready`, `Down`, `Unknown`, `Disconnected`.
    pub status: String,
    /// `Active`, `Pause`, `Drain`.
    pub availability: String,
    /// `Leader`, `Reachable`, `Unreachable`; empty of workers.
    pub manager: String,
}

/// Why an answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what it said breaks off after {lines} lines")]
pub struct Incomplete {
    /// How many lines came.
    pub lines: usize,
}

/// Reads an answer. Lines that are no fact, and keys that are not known, are passed over: a login script may
/// print what it likes.
///
/// # Errors
/// [`Incomplete`] when the last line of the script's is missing.
pub fn parse(answer: &str) -> Result<Facts, Incomplete> {
    let mut facts = Facts::default();
    let mut whole = false;
    for (key, value) in answer.lines().filter_map(|line| line.split_once('=')) {
        whole |= key == "end";
        facts.take(key, tame(value));
    }
    if whole { Ok(facts) } else { Err(Incomplete { lines: answer.lines().count() }) }
}

impl Facts {
    fn take(&mut self, key: &str, value: String) {
        match key {
            "uid" => self.uid = value.parse().ok(),
            "hostname" => self.hostname = Some(value),
            "machine" => self.machine = Some(value),
            "address" => push(&mut self.addresses, value),
            "baked.cluster" => self.baked_cluster = Some(value),
            "baked.node" => self.baked_node = Some(value),
            "baked.bake_time" => self.bake_time = Some(value),
            "baked.plan" => self.plan = Some(value),
            "resolv.kind" => self.resolv_kind = Some(value),
            "resolv.immutable" => self.resolv_immutable = yes_or_no(&value),
            "nameserver" => push(&mut self.nameservers, value),
            "now" => self.now = value.parse().ok(),
            "disk" => self.disk = disk(&value),
            "units" => drop(self.failed.get_or_insert_default()),
            "failed" => push(self.failed.get_or_insert_default(), value),
            "log" => push(&mut self.log, value),
            _ => self.take_of_docker(key, value),
        }
    }

    fn take_of_docker(&mut self, key: &str, value: String) {
        match key {
            "staged" => self.staged = value.parse().ok(),
            "missing" => push(&mut self.missing_packages, value),
            "docker.installed" => self.docker_installed = yes_or_no(&value),
            "docker.active" => self.docker_active = Some(value),
            "docker.version" => self.docker_version = Some(value),
            "docker.tcp" => push(&mut self.docker_ports, value.parse().ok()),
            "images.left" => self.images_left = value.parse().ok(),
            "swarm.state" => self.swarm_state = Some(value),
            "swarm.node" => self.swarm_node = Some(value),
            "swarm.manager" => self.swarm_manager = yes_or_no(&value),
            "swarm.cluster" => self.swarm_cluster = Some(value),
            "swarm.joined" => self.swarm_joined = Some(value),
            "swarm.error" => self.swarm_error = Some(value.trim_matches('"').to_owned()),
            "member" => push(&mut self.members, member(&value)),
            "applied" => push(&mut self.applied, value),
            _ => {}
        }
    }
}

/// Takes a value, unless there are more than can be true.
fn push<T>(list: &mut Vec<T>, value: impl Into<Option<T>>) {
    if list.len() < MANY {
        list.extend(value.into());
    }
}

fn yes_or_no(value: &str) -> Option<bool> {
    match value {
        "yes" | "true" => Some(true),
        "no" | "false" => Some(false),
        _ => None,
    }
}

fn disk(value: &str) -> Option<(u64, u64)> {
    let (size, free) = value.split_once(' ')?;
    Some((size.parse().ok()?, free.parse().ok()?))
}

fn member(value: &str) -> Option<Member> {
    let mut fields = value.split('|').map(str::to_owned);
    Some(Member {
        id: fields.next().filter(|id| !id.is_empty())?,
        hostname: fields.next()?,
        status: fields.next()?,
        availability: fields.next()?,
        manager: fields.next()?,
    })
}

impl Facts {
    /// The addresses of one interface.
    pub(super) fn addresses_of<'a>(&'a self, interface: &'a str) -> impl Iterator<Item = &'a str> {
        self.addresses
            .iter()
            .filter_map(move |line| line.split_once(' ').filter(|(name, _)| *name == interface))
            .map(|(_, address)| address)
    }
}

#[cfg(test)]
mod tests {
    use super::{Facts, Incomplete, Member, parse};

    #[test]
    fn reads_what_is_known_and_passes_over_the_rest() {
        let facts = parse(
            "Welcome to pi1 = yours\nuid=0\nhostname=pi1\nnew.fact=1\naddress=eth0 192.168.0.1/16\naddress=docker0 172.17.0.1/16\n\
             units=asked\ndisk=100 40\nmember=abc|pi1|Ready|Active|Leader\nmember=def|pi2|Down|Active|\ndocker.tcp=2376\nend=1\n",
        )
        .unwrap();
        assert_eq!((facts.uid, facts.hostname.as_deref()), (Some(0), Some("pi1")));
        assert_eq!(facts.addresses_of("eth0").collect::<Vec<_>>(), ["192.168.0.1/16"]);
        assert_eq!((facts.failed, facts.disk), (Some(Vec::new()), Some((100, 40))));
        assert_eq!(facts.members.len(), 2);
        let leader = ["abc", "pi1", "Ready", "Active", "Leader"].map(str::to_owned);
        let [id, hostname, status, availability, manager] = leader;
        assert_eq!(facts.members[0], Member { id, hostname, status, availability, manager });
        assert_eq!(facts.docker_ports, [2376]);
    }

    #[test]
    fn an_answer_that_breaks_off_is_none() {
        assert_eq!(parse("uid=0\nhostname=pi1"), Err(Incomplete { lines: 2 }));
        assert_eq!(parse(""), Err(Incomplete { lines: 0 }));
    }

    #[test]
    fn nonsense_is_not_taken_for_a_fact() {
        let facts = parse(
            "uid=root\nnow=later\ndisk=1\ndisk=a b\nresolv.immutable=maybe\nstaged=-1\ndocker.tcp=99999\nmember=|pi1|Ready|Active|\nmember=abc|pi1\nend=1\n",
        );
        assert_eq!(facts, Ok(Facts::default()));
    }

    #[test]
    fn what_a_node_says_is_bounded_and_tame() {
        let mut answer = "failed=x.service\n".repeat(10_000);
        answer.push_str(&format!("hostname=\u{1b}]0;gotcha\u{7}{}\nend=1\n", "y".repeat(10_000)));
        let facts = parse(&answer).unwrap();
        assert_eq!(facts.failed.unwrap().len(), super::MANY);
        let hostname = facts.hostname.unwrap();
        assert_eq!(hostname.chars().count(), crate::node::silence::LONG);
        assert!(!hostname.chars().any(char::is_control));
    }
}
