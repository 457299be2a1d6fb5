//! A plan for people and for programs: every path with mode, owner, flags, origin and reason; secrets only
//! as being there.

use std::fmt::Write;

use serde::Serialize;

use crate::fs::metadata::Meta;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::plan::change::{Action, Change, Content, FileSpec, Plan};

/// Texts up to this many bytes are shown whole.
const SHOWN: usize = 4096;

/// A plan as `pibake plan --json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct PlanView {
    /// The node's name.
    pub node: String,
    /// The new MBR disk signature, as eight hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_id: Option<String>,
    /// Size of the card image in bytes.
    pub image_size: u64,
    /// Size in bytes of the smallest card that holds what the first boot makes of it.
    pub card_size: u64,
    /// What happens, in order.
    pub changes: Vec<ChangeView>,
    /// Things a person should know.
    pub warnings: Vec<String>,
    /// The plan's digest: the same as long as the same would be written.
    pub digest: String,
}

/// One change of a [`PlanView`].
#[derive(Clone, Debug, Serialize)]
pub struct ChangeView {
    /// `boot` or `root`.
    pub volume: Volume,
    /// Where.
    pub path: FsPath,
    /// `file`, `directory`, `link`, `meta`, `rename` or `remove`.
    pub action: &'static str,
    /// Four octal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Number of the owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Number of the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// `immutable`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<&'static str>,
    /// Size in bytes; not of secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Where a link points, or what a rename leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Whether it is made from a secret.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
    /// The content, for small texts, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// What asked for it.
    pub origin: String,
    /// Why.
    pub why: String,
}

/// The plan for programs; with the content of small texts when `contents` is set.
#[must_use]
pub fn view(plan: &Plan, contents: bool) -> PlanView {
    PlanView {
        node: plan.node.clone(),
        disk_id: plan.disk.disk_id.map(|id| format!("{id:08x}")),
        image_size: plan.disk.image_size,
        card_size: plan.card_size,
        changes: plan.changes.iter().map(|change| change_view(change, contents)).collect(),
        warnings: plan.warnings.clone(),
        digest: super::manifest::hex(&plan.digest),
    }
}

/// The plan for people; with the content of small texts when `contents` is set.
#[must_use]
pub fn text(plan: &Plan, contents: bool) -> String {
    let view = view(plan, contents);
    let mut out = format!("node {}: image of {} MiB", view.node, view.image_size >> 20);
    if let Some(disk_id) = &view.disk_id {
        let _ = write!(out, ", disk id {disk_id}");
    }
    let _ = writeln!(out, ", plan {}", &view.digest[..16]);
    if view.card_size > view.image_size {
        let _ = writeln!(out, "needs a card of at least {} MiB", view.card_size.div_ceil(1 << 20));
    }
    for (volume, title) in [(Volume::Boot, "boot partition (FAT)"), (Volume::Root, "root filesystem (ext4)")]
    {
        let _ = writeln!(out, "\n{title}");
        for change in view.changes.iter().filter(|change| change.volume == volume) {
            line(&mut out, change);
        }
    }
    for warning in &view.warnings {
        let _ = writeln!(out, "\nwarning: {warning}");
    }
    out
}

fn change_view(change: &Change, contents: bool) -> ChangeView {
    let mut view = ChangeView {
        volume: change.volume,
        path: change.path.clone(),
        action: "remove",
        mode: None,
        uid: None,
        gid: None,
        flags: Vec::new(),
        size: None,
        target: None,
        secret: false,
        content: None,
        origin: change.origin.clone(),
        why: change.why.clone(),
    };
    match &change.action {
        Action::File(spec) => file_view(&mut view, spec, contents),
        Action::Directory(meta) => owned(&mut view, "directory", *meta),
        Action::SetMeta(meta) => owned(&mut view, "meta", *meta),
        Action::Symlink { target } => {
            view.action = "link";
            view.target = Some(target.clone());
        }
        Action::Rename { to } => {
            view.action = "rename";
            view.target = Some(to.clone());
        }
        Action::Remove => {}
    }
    view
}

fn owned(view: &mut ChangeView, action: &'static str, meta: Meta) {
    view.action = action;
    // The FAT keeps neither.
    if view.volume == Volume::Root {
        view.mode = Some(format!("{:04o}", meta.mode));
        view.uid = Some(meta.uid);
        view.gid = Some(meta.gid);
    }
}

fn file_view(view: &mut ChangeView, spec: &FileSpec, contents: bool) {
    owned(view, "file", spec.meta);
    if spec.immutable {
        view.flags.push("immutable");
    }
    view.secret = spec.content.is_secret();
    if view.secret {
        return;
    }
    view.size = Some(spec.content.size());
    if let Content::Bytes(bytes) = &spec.content {
        let text = std::str::from_utf8(bytes).ok().filter(|_| contents && bytes.len() <= SHOWN);
        view.content = text.map(str::to_owned);
    }
}

fn line(out: &mut String, change: &ChangeView) {
    let mode = change.mode.as_deref().unwrap_or("");
    let owner = match (change.uid, change.gid) {
        (Some(uid), Some(gid)) => format!("{uid}:{gid}"),
        _ => String::new(),
    };
    let _ = write!(out, "  {:<9} {mode:<4} {owner:<11} {}", change.action, printable(change.path.as_str()));
    if let Some(target) = &change.target {
        let _ = write!(out, " -> {}", printable(target));
    }
    if change.secret {
        out.push_str(" (secret)");
    }
    for flag in &change.flags {
        let _ = write!(out, " [{flag}]");
    }
    let _ = writeln!(out, "\n            {}: {}", change.origin, change.why);
    for text in change.content.iter().flat_map(|content| content.lines()) {
        let _ = writeln!(out, "            | {}", printable(text));
    }
}

/// What comes out of an image or an overlay must not steer the terminal.
fn printable(text: &str) -> String {
    let tame = |letter: char| if letter.is_control() && letter != '\t' { '\u{fffd}' } else { letter };
    text.chars().map(tame).collect()
}
