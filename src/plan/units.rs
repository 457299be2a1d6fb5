//! systemd units: enabling is links, masking is a link to nowhere (raspios.md sections 2.2 and 9).

use std::collections::BTreeMap;

use crate::fs::metadata::Meta;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::inventory::types::Release;
use crate::plan::change::{Action, Content};

use super::draft::{Draft, Reason};
use super::error::PlanError;
use super::image::{Image, path};

/// A unit to be enabled.
#[derive(Clone, Debug)]
pub(super) struct Enable {
    pub(super) unit: String,
    /// Empty: what its `[Install]` section says.
    pub(super) wanted_by: Vec<String>,
    pub(super) reason: Reason,
}

/// Units to be enabled and masked, collected from all overlays: a preset file speaks of all of them.
#[derive(Debug, Default)]
pub(super) struct Units {
    enabled: Vec<Enable>,
    masked: BTreeMap<String, Reason>,
}

impl Units {
    pub(super) fn enable(&mut self, enable: Enable) {
        self.enabled.push(enable);
    }

    pub(super) fn mask(&mut self, unit: &str, reason: &Reason) {
        self.masked.entry(unit.to_owned()).or_insert_with(|| reason.clone());
    }

    /// Plans the links and the preset, once every file is planned: units may come from any overlay.
    pub(super) fn plan(&self, image: Image<'_>, draft: &mut Draft) {
        self.plan_links(image, draft);
        self.plan_preset(image, draft);
    }

    /// Plans the links alone: for a system whose presets speak of more units than these.
    pub(super) fn plan_links(&self, image: Image<'_>, draft: &mut Draft) {
        for (unit, reason) in &self.masked {
            if let Some(link) = draft.note(below_system(unit, reason)) {
                draft.link(link, "/dev/null", reason);
            }
        }
        for enable in &self.enabled {
            if let Some(other) = self.masked.get(&enable.unit) {
                let first = other.origin.clone();
                let (path, second) = (enable.unit.clone(), enable.reason.origin.clone());
                draft.error(PlanError::Conflict { path, first, second });
            } else if let Some(links) = draft.note(links(image, enable, draft)) {
                for (link, target) in links {
                    draft.link(link, target, &enable.reason);
                }
            }
        }
    }

    /// On a first boot as systemd understands it every unit is enabled that no preset speaks against; that
    /// is how Trixie starts. The masks alone would do; the presets also hold when somebody unmasks.
    fn plan_preset(&self, image: Image<'_>, draft: &mut Draft) {
        if image.inventory.release < Release::Trixie {
            return;
        }
        let mut text = "# Written by pibake: what a first boot of systemd may turn on.\n".to_owned();
        let mut enabled: Vec<&str> = self.enabled.iter().map(|enable| enable.unit.as_str()).collect();
        enabled.sort_unstable();
        enabled.dedup();
        text.extend(enabled.iter().map(|unit| format!("enable {unit}\n")));
        text.extend(self.masked.keys().map(|unit| format!("disable {unit}\n")));
        let reason = Reason::new("units", "a first boot of systemd turns nothing on that is off");
        draft.text(path("/etc/systemd/system-preset/00-pibake.preset"), text, Meta::root(0o644), &reason);
    }
}

/// The links that enable a unit, with their targets.
fn links(image: Image<'_>, enable: &Enable, draft: &Draft) -> Result<Vec<(FsPath, String)>, PlanError> {
    let Enable { unit, wanted_by, reason } = enable;
    let missing = |message: String| PlanError::Overlay { overlay: reason.origin.clone(), message };
    let found = find(image, unit, draft);
    let target =
        found.as_ref().map_or_else(|| format!("/lib/systemd/system/{unit}"), |(target, _)| target.clone());
    let mut names = Vec::new();
    if wanted_by.is_empty() {
        let Some((_, text)) = &found else {
            return Err(missing(format!(
                "the unit {unit} is neither planned nor known in the image; say wanted_by"
            )));
        };
        let install = install_section(text);
        for (key, value) in install {
            match key {
                "WantedBy" => names.push(format!("{value}.wants/{unit}")),
                "RequiredBy" => names.push(format!("{value}.requires/{unit}")),
                "Alias" => names.push(value.to_owned()),
                _ => {}
            }
        }
        if names.is_empty() {
            return Err(missing(format!(
                "the unit {unit} has no [Install] section to enable it by; say wanted_by"
            )));
        }
    } else {
        names.extend(wanted_by.iter().map(|target| format!("{target}.wants/{unit}")));
    }
    names.iter().map(|name| Ok((below_system(name, reason)?, target.clone()))).collect()
}

/// Where a unit lies, and its text: among what is planned first, then in the image.
fn find(image: Image<'_>, unit: &str, draft: &Draft) -> Option<(String, String)> {
    ["/etc/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system"].into_iter().find_map(|dir| {
        let file = FsPath::new(&format!("{dir}/{unit}")).ok()?;
        let bytes = match draft.planned(&file) {
            Some(Action::File(spec)) => match &spec.content {
                Content::Bytes(bytes) => bytes.clone(),
                _ => return None,
            },
            _ => image.inventory.files.get(&(Volume::Root, file.clone()))?.clone(),
        };
        Some((file.to_string(), String::from_utf8(bytes).ok()?))
    })
}

/// Key and value of each word in the `[Install]` section.
fn install_section(text: &str) -> Vec<(&str, &str)> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[Install]";
        } else if let Some((key, values)) = line.split_once('=').filter(|_| inside) {
            found.extend(values.split_whitespace().map(|value| (key.trim(), value)));
        }
    }
    found
}

fn below_system(name: &str, reason: &Reason) -> Result<FsPath, PlanError> {
    FsPath::new(&format!("/etc/systemd/system/{name}"))
        .map_err(|error| PlanError::Overlay { overlay: reason.origin.clone(), message: error.to_string() })
}
