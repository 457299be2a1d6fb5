//! From an overlay and its parameters to changes.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::config::overlay::{FileRule, LoadedOverlay, Made, TreeFile, When};
use crate::fs::metadata::Meta;
use crate::fs::volume::Volume;
use crate::plan::change::{Action, Content, FileSpec};

use super::accounts::Names;
use super::build::Inputs;
use super::draft::{Draft, Reason};
use super::error::PlanError;
use super::packages;
use super::render::{ParamValue, Renderer};
use super::units::{Enable, Units};

/// An overlay with the values of its parameters.
pub(super) struct Use<'a> {
    pub(super) overlay: &'a LoadedOverlay,
    pub(super) params: BTreeMap<String, ParamValue>,
}

/// Plans everything an overlay holds.
pub(super) fn plan(
    inputs: &Inputs<'_>,
    renderer: &Renderer,
    names: &Names,
    used: &Use<'_>,
    units: &mut Units,
    draft: &mut Draft,
) {
    let overlay = used.overlay;
    let reason = Reason::new(overlay.to_string(), overlay.manifest.description.clone());
    for package in overlay.manifest.packages.iter().filter(|package| !packages::has(inputs, package)) {
        draft.error(PlanError::Overlay {
            overlay: overlay.to_string(),
            message: format!(
                "it needs the package {package}, which is neither in the image nor among the packages; \
                 `pibake fetch {package}` gets it, and system.packages takes it"
            ),
        });
    }
    let plan = OverlayPlan { renderer, names, used, reason: &reason };
    for file in &overlay.tree {
        plan.tree_file(inputs, file, draft);
    }
    for (index, rule) in overlay.manifest.files.iter().enumerate() {
        let earlier = &overlay.manifest.files[..index];
        let taken = earlier.iter().any(|other| same_path(other, rule) && holds(&other.when, inputs));
        if rule.made != Made::File && !taken && holds(&rule.when, inputs) {
            plan.made(rule, draft);
        }
    }
    for rule in overlay.manifest.enable.iter().filter(|rule| holds(&rule.when, inputs)) {
        let (unit, wanted_by) = (rule.unit.clone(), rule.wanted_by.clone());
        units.enable(Enable { unit, wanted_by, reason: reason.clone() });
    }
    for rule in overlay.manifest.mask.iter().filter(|rule| holds(&rule.when, inputs)) {
        units.mask(&rule.unit, &reason);
    }
}

/// Whether a condition holds for the node and the image.
pub(super) fn holds(when: &When, inputs: &Inputs<'_>) -> bool {
    let (inventory, node) = (inputs.inventory, inputs.node);
    let When { release, arch, network_stack, role, first_boot, resolv_conf, package } = when;
    release.as_ref().is_none_or(|tests| tests.any(|test| test.holds(inventory.release)))
        && arch.as_ref().is_none_or(|tests| tests.any(|arch| *arch == inventory.arch))
        && network_stack.as_ref().is_none_or(|tests| tests.any(|stack| *stack == inventory.stack))
        && role.as_ref().is_none_or(|tests| tests.any(|role| *role == node.role))
        && first_boot.as_ref().is_none_or(|tests| tests.any(|mode| *mode == node.image.first_boot))
        && resolv_conf.as_ref().is_none_or(|tests| tests.any(|mode| *mode == node.network.resolv_conf))
        && package.as_ref().is_none_or(|tests| tests.any(|name| inventory.has_package(name)))
}

fn same_path(a: &FileRule, b: &FileRule) -> bool {
    (a.volume, &a.path) == (b.volume, &b.path)
}

struct OverlayPlan<'a> {
    renderer: &'a Renderer,
    names: &'a Names,
    used: &'a Use<'a>,
    reason: &'a Reason,
}

impl OverlayPlan<'_> {
    /// A file of the tree, as the first rule for it whose condition holds says; without any rule as git
    /// has it. A file with rules none of which holds is not written.
    fn tree_file(&self, inputs: &Inputs<'_>, file: &TreeFile, draft: &mut Draft) {
        let mut rules = (self.used.overlay.manifest.files.iter())
            .filter(|rule| rule.volume == file.volume && rule.path == file.path)
            .peekable();
        let ruled = rules.peek().is_some();
        let rule = rules.find(|rule| holds(&rule.when, inputs));
        if ruled && rule.is_none_or(|rule| rule.made != Made::File) {
            return;
        }
        let usual = if file.executable { 0o755 } else { 0o644 };
        let Some(meta) = draft.note(self.meta(rule, usual)) else { return };
        let Some(content) = draft.note(self.content(file, meta)) else { return };
        let mut spec = FileSpec::new(content, meta);
        spec.immutable = rule.is_some_and(|rule| rule.immutable);
        draft.put(file.volume, file.path.clone(), Action::File(spec), self.reason);
    }

    /// A link, a directory, or a removal.
    fn made(&self, rule: &FileRule, draft: &mut Draft) {
        let action = match &rule.made {
            Made::File => return,
            Made::Link(target) => match self.render("overlay.toml", target) {
                Ok((target, false)) => Action::Symlink { target },
                Ok((_, true)) => return draft.error(self.exposed("overlay.toml", 0o777)),
                Err(error) => return draft.error(error),
            },
            Made::Directory => match self.meta(Some(rule), 0o755) {
                Ok(meta) => Action::Directory(meta),
                Err(error) => return draft.error(error),
            },
            Made::Removed => Action::Remove,
        };
        draft.put(rule.volume, rule.path.clone(), action, self.reason);
    }

    fn content(&self, file: &TreeFile, meta: Meta) -> Result<Content, PlanError> {
        if !file.template {
            return Ok(Content::Bytes(file.content.clone()));
        }
        let template = std::str::from_utf8(&file.content).unwrap_or_default();
        let (text, secret) = self.render(&file.source, template)?;
        if !secret {
            return Ok(Content::Bytes(text.into_bytes()));
        }
        // The FAT keeps no modes: whoever holds the card reads what is on it.
        let mode = if file.volume == Volume::Boot { 0o755 } else { meta.mode };
        if mode & !0o600 != 0 {
            return Err(self.exposed(&file.source, mode));
        }
        Ok(Content::Secret(Zeroizing::new(text.into_bytes())))
    }

    fn render(&self, name: &str, template: &str) -> Result<(String, bool), PlanError> {
        let rendered = self.renderer.render(name, template, &self.used.params);
        rendered.map(|rendered| (rendered.text, rendered.secret)).map_err(|error| PlanError::Template {
            overlay: self.used.overlay.to_string(),
            file: name.to_owned(),
            line: error.line,
            message: error.message,
        })
    }

    fn exposed(&self, file: &str, mode: u16) -> PlanError {
        PlanError::SecretExposed { overlay: self.used.overlay.to_string(), file: file.to_owned(), mode }
    }

    fn meta(&self, rule: Option<&FileRule>, usual: u16) -> Result<Meta, PlanError> {
        let Some(rule) = rule else { return Ok(Meta::root(usual)) };
        let unknown = |what: &str, name: &str| PlanError::Overlay {
            overlay: self.used.overlay.to_string(),
            message: format!("{}: the card has no {what} {name:?}", rule.path),
        };
        let (uid, _) = self.names.user(&rule.owner).ok_or_else(|| unknown("account", &rule.owner))?;
        let gid = self.names.group(&rule.group).ok_or_else(|| unknown("group", &rule.group))?;
        Ok(Meta { mode: rule.mode.unwrap_or(usual), uid, gid })
    }
}
