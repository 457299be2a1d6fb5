//! What nodes say of each other: one swarm, everybody Ready, nobody twice.

use std::collections::BTreeMap;

use super::facts::{Facts, Member};
use super::finding::{Area, Finding, Findings, Verdict};
use crate::config::types::{Node, Role};

/// Compares the answers with each other; what was found, by the node's place in `answers`.
#[must_use]
pub fn compare(answers: &[(&Node, Option<&Facts>)]) -> Vec<Vec<Finding>> {
    let swarm = Swarm::of(answers);
    let twins = twins(answers);
    let of = |(node, facts): &(&Node, Option<&Facts>)| {
        let mut findings = Findings::default();
        if let Some(machine) = facts.and_then(|facts| facts.machine.as_deref())
            && let Some(names) = twins.get(machine).filter(|names| names.len() > 1)
        {
            let found = format!("shared by {}", names.join(", "));
            findings.add(Area::Identity, "machine id", Verdict::Wrong, "its own", found);
        }
        // A node that is in no swarm has been told so already
        if let Some(facts) = facts.filter(|facts| node.role != Role::None && is_active(facts)) {
            swarm.look(node, facts, &mut findings);
        }
        findings.0
    };
    answers.iter().map(of).collect()
}

fn is_active(facts: &Facts) -> bool {
    facts.swarm_state.as_deref() == Some("active")
}

/// Which nodes have each machine id.
fn twins<'a>(answers: &[(&'a Node, Option<&'a Facts>)]) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut twins: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (node, facts) in answers {
        if let Some(machine) = facts.and_then(|facts| facts.machine.as_deref()) {
            twins.entry(machine).or_default().push(&node.name);
        }
    }
    twins
}

/// The swarm as its managers tell of it.
struct Swarm<'a> {
    /// The ids that managers know their swarm by, each with who said so, the most often said first.
    ids: Vec<(&'a str, Vec<&'a str>)>,
    /// The nodes, as the first manager of that swarm that could list them sees them, and who that is.
    members: Option<(&'a str, &'a [Member])>,
}

impl<'a> Swarm<'a> {
    fn of(answers: &[(&'a Node, Option<&'a Facts>)]) -> Self {
        let mut ids: Vec<(&str, Vec<&str>)> = Vec::new();
        let told = answers.iter().filter_map(|(node, facts)| Some((*node, (*facts)?)));
        for (node, facts) in told.clone() {
            let Some(id) = facts.swarm_cluster.as_deref().filter(|id| !id.is_empty()) else { continue };
            match ids.iter_mut().find(|(other, _)| *other == id) {
                Some((_, names)) => names.push(&node.name),
                None => ids.push((id, vec![&node.name])),
            }
        }
        // Stable: of equally many, the first in the order of the file
        ids.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
        let lists = told.filter(|(_, facts)| !facts.members.is_empty());
        let of_it = lists.filter(|(_, facts)| {
            ids.first().is_some_and(|(id, _)| facts.swarm_cluster.as_deref() == Some(*id))
        });
        let members = of_it.map(|(node, facts)| (node.name.as_str(), facts.members.as_slice())).next();
        Self { ids, members }
    }

    fn look(&self, node: &Node, facts: &Facts, findings: &mut Findings) {
        // A worker knows only which swarm it joined
        let own =
            facts.swarm_cluster.as_deref().filter(|id| !id.is_empty()).or(facts.swarm_joined.as_deref());
        if let (Some(own), Some((id, names))) = (own, self.ids.first()) {
            let others: Vec<&str> = names.iter().filter(|name| **name != node.name).copied().collect();
            let verdict = if own == *id { Verdict::Ok } else { Verdict::Wrong };
            let expected =
                if others.is_empty() { (*id).to_owned() } else { format!("that of {}", others.join(", ")) };
            findings.add(Area::Swarm, "cluster id", verdict, expected, own);
        }
        if node.role == Role::Manager && facts.applied.is_empty() && !facts.members.is_empty() {
            let found = "not made yet: they are, once every node is Ready";
            findings.add(Area::Swarm, "networks and stacks", Verdict::Note, "made once", found);
        }
        match self.members {
            Some((manager, members)) => seen(node, facts, manager, members, findings),
            None => {
                let found = "no manager was asked, or none has a quorum";
                let verdict = if node.role == Role::Manager { Verdict::Wrong } else { Verdict::Note };
                findings.add(Area::Swarm, "seen by managers", verdict, "Ready", found);
            }
        }
    }
}

/// Compares what a manager sees of a node with what the node says.
fn seen(node: &Node, facts: &Facts, manager: &str, members: &[Member], findings: &mut Findings) {
    let own = facts.swarm_node.as_deref().unwrap_or_default();
    let (own, others): (Vec<&Member>, Vec<&Member>) = members
        .iter()
        .filter(|member| member.hostname == node.name || member.id == own)
        .partition(|member| member.id == own);
    let Some(entry) = own.first() else {
        let found = match others.first() {
            Some(_) => format!("{manager} knows another node of its name"),
            None => format!("{manager} does not know it: it is in another swarm"),
        };
        findings.add(Area::Swarm, "seen by managers", Verdict::Wrong, "Ready", found);
        return;
    };
    findings.same(Area::Swarm, "host name in the swarm", &node.name, Some(&entry.hostname));
    findings.same(Area::Swarm, "seen by managers", "Ready", Some(&entry.status));
    if entry.availability != "Active" {
        findings.add(Area::Swarm, "availability", Verdict::Note, "Active", &entry.availability);
    }
    if node.role == Role::Manager {
        let verdict = if matches!(entry.manager.as_str(), "Leader" | "Reachable") {
            Verdict::Ok
        } else {
            Verdict::Wrong
        };
        findings.add(Area::Swarm, "as a manager", verdict, "Leader or Reachable", &entry.manager);
    }
    if !others.is_empty() {
        let found = format!("{} of its name, of earlier lives", others.len());
        findings.add(Area::Swarm, "old entries", Verdict::Note, "none", found);
    }
}
