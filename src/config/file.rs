//! A whole file, cluster file or profile, as written.

use super::layer::{AccountLayer, Layers, read_accounts};
use super::node::{NodeLayer, read_overlays};
use super::paths::Paths;
use super::place::{At, Place};
use super::section::Section;
use super::swarm::SwarmLayer;
use super::syntax::name::{cluster, word};
use super::types::OverlayUse;

/// The top level of a file.
#[derive(Clone)]
pub(super) struct FileLayer {
    /// The file itself.
    pub(super) place: Place,
    pub(super) name: Option<At<String>>,
    /// The profile it starts from.
    pub(super) profile: Option<At<String>>,
    pub(super) layers: Layers,
    pub(super) accounts: Vec<AccountLayer>,
    pub(super) swarm: Option<SwarmLayer>,
    pub(super) overlays: Vec<OverlayUse>,
    pub(super) nodes: Vec<NodeLayer>,
    /// Whether a name was written, right or wrong.
    pub(super) names_itself: bool,
}

impl FileLayer {
    /// Reads everything there is in the file.
    pub(super) fn read(section: Section<'_>, paths: Paths<'_>) -> Self {
        let layer = Self {
            place: section.place().clone(),
            name: section.parsed("name", cluster),
            profile: section.parsed("profile", word),
            layers: Layers::read(&section, "", paths),
            accounts: read_accounts(&section, "", paths),
            swarm: section.section("swarm", "[swarm]").map(|section| SwarmLayer::read(section, paths)),
            overlays: read_overlays(&section, ""),
            nodes: section
                .sections("node", "[[node]]")
                .unwrap_or_default()
                .into_iter()
                .map(|section| NodeLayer::read(section, paths))
                .collect(),
            names_itself: section.has("name"),
        };
        section.finish();
        layer
    }

    /// The cluster file over its profile: keys one by one, accounts and overlays after the profile's,
    /// nodes in place of the profile's.
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            place: self.place,
            name: self.name.or(below.name),
            profile: self.profile,
            layers: self.layers.over(&below.layers),
            accounts: below.accounts.into_iter().chain(self.accounts).collect(),
            swarm: match (self.swarm, below.swarm) {
                (Some(swarm), Some(below)) => Some(swarm.over(&below)),
                (swarm, below) => swarm.or(below),
            },
            overlays: below.overlays.into_iter().chain(self.overlays).collect(),
            nodes: if self.nodes.is_empty() { below.nodes } else { self.nodes },
            names_itself: self.names_itself || below.names_itself,
        }
    }
}
