//! `[swarm]`: its form.

use std::collections::BTreeMap;

use super::net::Net;
use super::paths::Paths;
use super::place::{At, value_of};
use super::section::Section;
use super::syntax::address::subnet;
use super::syntax::name::word;
use super::types::{SecretSource, Stack, Swarm, SwarmNetwork};

/// joining.md: how long a card may join after it was baked.
const JOIN_DAYS: u16 = 365;

/// `[swarm]` as one file wrote it.
#[derive(Clone, Default)]
pub(super) struct SwarmLayer {
    address_pool: Option<At<Net>>,
    networks: Option<Vec<SwarmNetwork>>,
    stacks: Option<Vec<Stack>>,
    secrets: Option<BTreeMap<String, SecretSource>>,
    join_days: Option<At<u16>>,
}

impl SwarmLayer {
    /// Reads the section.
    pub(super) fn read(section: Section<'_>, paths: Paths<'_>) -> Self {
        let networks = section.sections("networks", "[[swarm.networks]]");
        let stacks = section.sections("stacks", "[[swarm.stacks]]");
        let layer = Self {
            address_pool: section.parsed("address_pool", subnet),
            networks: networks.map(|sections| sections.into_iter().filter_map(read_network).collect()),
            stacks: stacks
                .map(|sections| sections.into_iter().filter_map(|s| read_stack(s, paths)).collect()),
            secrets: section.secrets("secrets", word),
            join_days: section.integer("join_days", 1, 36_500).map(|at| At {
                // The bounds fit.
                value: u16::try_from(at.value).unwrap_or(JOIN_DAYS),
                place: at.place,
            }),
        };
        section.finish();
        layer
    }

    /// Key by key; lists are replaced.
    pub(super) fn over(self, below: &Self) -> Self {
        Self {
            address_pool: self.address_pool.or_else(|| below.address_pool.clone()),
            networks: self.networks.or_else(|| below.networks.clone()),
            stacks: self.stacks.or_else(|| below.stacks.clone()),
            secrets: self.secrets.or_else(|| below.secrets.clone()),
            join_days: self.join_days.or_else(|| below.join_days.clone()),
        }
    }

    /// With the defaults filled in.
    pub(super) fn settle(&self) -> Swarm {
        Swarm {
            address_pool: value_of(self.address_pool.as_ref()),
            networks: self.networks.clone().unwrap_or_default(),
            stacks: self.stacks.clone().unwrap_or_default(),
            secrets: self.secrets.clone().unwrap_or_default(),
            join_days: value_of(self.join_days.as_ref()).unwrap_or(JOIN_DAYS),
        }
    }
}

fn read_network(section: Section<'_>) -> Option<SwarmNetwork> {
    let name = section.require("name", section.parsed("name", word));
    let attachable = section.boolean("attachable").is_some_and(|at| at.value);
    section.finish();
    Some(SwarmNetwork { name: name?.value, attachable })
}

fn read_stack(section: Section<'_>, paths: Paths<'_>) -> Option<Stack> {
    let name = section.require("name", section.parsed("name", word));
    let file = section.require("file", section.parsed("file", |text| Ok(paths.resolve(text))));
    section.finish();
    Some(Stack { name: name?.value, file: file?.value })
}
