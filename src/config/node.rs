//! `[[node]]`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::document::Value;
use super::layer::{AccountLayer, Layers, read_accounts};
use super::paths::Paths;
use super::place::At;
use super::section::Section;
use super::syntax::address::with_prefix;
use super::syntax::name::{label_key, label_value, node, word};
use super::types::{Board, OverlayUse, Role};

/// One `[[node]]` as written.
#[derive(Clone)]
pub(super) struct NodeLayer {
    pub(super) name: Option<At<String>>,
    pub(super) address: Option<At<(Ipv4Addr, u8)>>,
    pub(super) role: Option<At<Role>>,
    pub(super) board: Option<At<Board>>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) layers: Layers,
    pub(super) accounts: Vec<AccountLayer>,
    pub(super) overlays: Vec<OverlayUse>,
}

impl NodeLayer {
    /// Reads the table.
    pub(super) fn read(section: Section<'_>, paths: Paths<'_>) -> Self {
        const ROLES: [(&str, Role); 3] =
            [("manager", Role::Manager), ("worker", Role::Worker), ("none", Role::None)];
        const BOARDS: [(&str, Board); 7] = [
            ("pi0", Board::Pi0),
            ("pi1", Board::Pi1),
            ("pi2", Board::Pi2),
            ("pi3", Board::Pi3),
            ("pi4", Board::Pi4),
            ("pi5", Board::Pi5),
            ("zero2", Board::Zero2),
        ];
        let layer = Self {
            name: section.require("name", section.parsed("name", node)),
            address: section.require("address", section.parsed("address", with_prefix)),
            role: section.choice("role", &ROLES),
            board: section.choice("board", &BOARDS),
            labels: read_labels(&section),
            layers: Layers::read(&section, "node.", paths),
            accounts: read_accounts(&section, "node.", paths),
            overlays: read_overlays(&section, "node."),
        };
        section.finish();
        layer
    }
}

/// Reads every `[[overlay]]` of a file's top level or of a node.
pub(super) fn read_overlays(section: &Section<'_>, prefix: &str) -> Vec<OverlayUse> {
    let sections = section.sections("overlay", &format!("[[{prefix}overlay]]")).unwrap_or_default();
    let read = |section: Section<'_>| {
        let name = section.require("name", section.parsed("name", word));
        let with = match section.item("with") {
            None => toml::Table::new(),
            Some(item) => match &item.value {
                Value::Table(table) => table.to_toml(),
                _ => section.wrong_type("with", item, "a table of parameters").unwrap_or_default(),
            },
        };
        section.finish();
        Some(OverlayUse { name: name?.value, with })
    };
    sections.into_iter().filter_map(read).collect()
}

fn read_labels(section: &Section<'_>) -> BTreeMap<String, String> {
    let Some(item) = section.item("labels") else { return BTreeMap::new() };
    let Value::Table(table) = &item.value else {
        return section.wrong_type("labels", item, "a table of strings").unwrap_or_default();
    };
    let mut labels = BTreeMap::new();
    for entry in &table.entries {
        let Value::Text(value) = &entry.item.value else {
            section.wrong_type::<()>("labels", &entry.item, "a table of strings");
            continue;
        };
        match label_key(&entry.key).and_then(|()| label_value(value)) {
            Ok(()) => {
                labels.insert(entry.key.clone(), value.clone());
            }
            Err(message) => {
                section.report().error(&entry.key_place, format!("{}: {message}", section.name("labels")));
            }
        }
    }
    labels
}
