//! What was found out about a node, one thing at a time.

use std::net::Ipv4Addr;

use serde::Serialize;

use crate::node::silence::tame;

/// How a thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it was baked.
    Ok,
    /// Otherwise.
    Wrong,
    /// The node did not say.
    Unknown,
    /// Worth knowing, and no reason to say that the node is not as baked.
    Note,
}

/// What a thing belongs to: the columns of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    /// Name, address, identity.
    Identity,
    /// `/etc/resolv.conf`.
    Dns,
    /// Units, clock, disk, sudo, the packages that were staged.
    System,
    /// Docker.
    Docker,
    /// The swarm.
    Swarm,
    /// Whether the card holds the plan of today.
    Plan,
}

impl Area {
    /// All of them, in the order they are shown.
    pub const ALL: [Area; 6] =
        [Area::Identity, Area::Dns, Area::System, Area::Docker, Area::Swarm, Area::Plan];

    /// Its heading.
    #[must_use]
    pub fn heading(self) -> &'static str {
        match self {
            Area::Identity => "IDENTITY",
            Area::Dns => "DNS",
            Area::System => "SYSTEM",
            Area::Docker => "DOCKER",
            Area::Swarm => "SWARM",
            Area::Plan => "PLAN",
        }
    }
}

/// One thing that was compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it belongs to.
    pub area: Area,
    /// What was compared, in a few words.
    pub what: &'static str,
    /// How it was found.
    pub verdict: Verdict,
    /// What was expected.
    pub expected: String,
    /// What the node said; tame, but not to be believed.
    pub found: String,
}

/// Everything that was found out about one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeReport {
    /// Its name.
    pub node: String,
    /// Where it was looked for.
    pub address: Ipv4Addr,
    /// Why it did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent: Option<String>,
    /// What to do about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<&'static str>,
    /// Whether it was baked with another plan than the one of now.
    pub outdated: bool,
    /// What was compared.
    pub findings: Vec<Finding>,
}

impl NodeReport {
    /// Whether the node answered, and everything it was asked about is as it was baked.
    #[must_use]
    pub fn is_as_baked(&self) -> bool {
        let fine = |finding: &Finding| matches!(finding.verdict, Verdict::Ok | Verdict::Note);
        self.silent.is_none() && self.findings.iter().all(fine)
    }

    /// The worst of what was found in one area; `None` when nothing was compared there.
    #[must_use]
    pub fn worst(&self, area: Area) -> Option<Verdict> {
        let found =
            || self.findings.iter().filter(|finding| finding.area == area).map(|finding| finding.verdict);
        let order = [Verdict::Wrong, Verdict::Unknown, Verdict::Note, Verdict::Ok];
        order.into_iter().find(|verdict| found().any(|other| other == *verdict))
    }
}

/// Findings of one node, as they are made.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    /// Adds one.
    pub(super) fn add(
        &mut self,
        area: Area,
        what: &'static str,
        verdict: Verdict,
        expected: impl Into<String>,
        found: impl AsRef<str>,
    ) {
        let (expected, found) = (expected.into(), tame(found.as_ref()));
        self.0.push(Finding { area, what, verdict, expected, found });
    }

    /// Compares one value with what it should be.
    pub(super) fn same(
        &mut self,
        area: Area,
        what: &'static str,
        expected: impl Into<String>,
        found: Option<&str>,
    ) {
        let expected = expected.into();
        let verdict = match found {
            Some(found) if found == expected => Verdict::Ok,
            Some(_) => Verdict::Wrong,
            None => Verdict::Unknown,
        };
        self.add(area, what, verdict, expected, found.unwrap_or("not told"));
    }

    /// A list that should be empty; `None` when the node did not say.
    pub(super) fn nothing(&mut self, area: Area, what: &'static str, found: Option<&[String]>) {
        let verdict = match found {
            Some([]) => Verdict::Ok,
            Some(_) => Verdict::Wrong,
            None => Verdict::Unknown,
        };
        let text = match found {
            Some([]) => "none".to_owned(),
            Some(found) => found.join(", "),
            None => "not told".to_owned(),
        };
        self.add(area, what, verdict, "none", text);
    }
}
