//! SSH: on, keys only unless a password was given, and the host keys of the state (raspios.md section 6).

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::fs::metadata::Meta;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::inventory::types::Release;
use crate::plan::change::Content;

use super::build::Inputs;
use super::draft::{Draft, Reason};
use super::error::PlanError;
use super::image::{Image, path};
use super::render::ParamValue;
use super::select::texts;
use super::{sshd, swarm};

/// Every kind of host key that releases make.
const KINDS: [&str; 4] = ["dsa", "ecdsa", "ed25519", "rsa"];

/// What the overlay `ssh` is told: the lines of its settings.
pub(super) fn params(inputs: &Inputs<'_>) -> BTreeMap<&'static str, ParamValue> {
    BTreeMap::from([("settings", texts(settings(inputs)))])
}

/// Plans the host keys, and the settings where sshd reads no directory of them.
pub(super) fn plan(inputs: &Inputs<'_>, draft: &mut Draft) {
    let image = Image { inventory: inputs.inventory };
    // An inventory without any package comes from an image without dpkg's list, and says nothing.
    if !inputs.inventory.packages.installed.is_empty() && !image.has_package("openssh-server") {
        draft.error(PlanError::ImageLacks { what: "openssh-server".to_owned() });
    }
    host_keys(inputs, image, draft);
    configuration(inputs, image, draft);
    let off = path("/etc/ssh/sshd_not_to_be_run");
    if image.has(&off) {
        draft.remove(off, &Reason::new("ssh", "sshd starts"));
    }
    wanted_links(image, draft);
}

fn settings(inputs: &Inputs<'_>) -> Vec<String> {
    let node = inputs.node;
    let passwords =
        node.user.password.is_some() || node.accounts.iter().any(|account| account.password.is_some());
    // The key got its present name with OpenSSH 8.7, which Bookworm is the first to have.
    let keyboard = if inputs.inventory.release <= Release::Bullseye {
        "ChallengeResponseAuthentication"
    } else {
        "KbdInteractiveAuthentication"
    };
    let mut settings = vec![
        "PermitRootLogin no".to_owned(),
        format!("PasswordAuthentication {}", if passwords { "yes" } else { "no" }),
        format!("{keyboard} no"),
    ];
    settings.extend(
        inputs.identity.host_keys.iter().map(|key| format!("HostKey /etc/ssh/ssh_host_{}_key", key.name)),
    );
    settings
}

/// Plans the host keys of the state, in the place of any that are there.
pub(super) fn host_keys(inputs: &Inputs<'_>, image: Image<'_>, draft: &mut Draft) {
    let reason = Reason::new("ssh", "the host key of the state, known before the first boot");
    for key in &inputs.identity.host_keys {
        let file = FsPath::new(&format!("/etc/ssh/ssh_host_{}_key", key.name));
        let public = FsPath::new(&format!("/etc/ssh/ssh_host_{}_key.pub", key.name));
        let (Ok(file), Ok(public)) = (file, public) else { continue };
        let mut private = key.private.as_bytes().to_vec();
        if private.last() != Some(&b'\n') {
            private.push(b'\n');
        }
        draft.file(file, Content::Secret(Zeroizing::new(private)), Meta::root(0o600), &reason);
        draft.text(public, format!("{}\n", key.public), Meta::root(0o644), &reason);
    }
    let reason = Reason::new("ssh", "a host key of the image; only those of the state are offered");
    for kind in KINDS.into_iter().filter(|kind| inputs.identity.host_keys.iter().all(|key| key.name != *kind))
    {
        for suffix in ["", ".pub"] {
            let Ok(file) = FsPath::new(&format!("/etc/ssh/ssh_host_{kind}_key{suffix}")) else { continue };
            if image.has(&file) {
                draft.remove(file, &reason);
            }
        }
    }
}

/// From Bullseye on the overlay's file comes first and wins; its main file must then name no host keys of
/// its own, for these add up. Older releases have the main file only.
fn configuration(inputs: &Inputs<'_>, image: Image<'_>, draft: &mut Draft) {
    let file = path("/etc/ssh/sshd_config");
    let Some(text) = draft.note(image.text(&file)) else { return };
    let Some(text) = text else {
        draft.error(PlanError::ImageLacks { what: file.to_string() });
        return;
    };
    let meta = image.meta(&file, Meta::root(0o644));
    let reason = Reason::new("ssh", "keys only unless a password was given, no root, these host keys");
    let settings: String = settings(inputs).iter().map(|line| format!("{line}\n")).collect();
    if inputs.inventory.release <= Release::Buster || !sshd::includes_directory(text) {
        let mut edited = sshd::with_settings(text, &settings);
        if let Some(answers) =
            answers(inputs).filter(|answers| swarm::answers(inputs) && !edited.contains(answers))
        {
            edited.push_str(&answers);
        }
        draft.text(file, edited, meta, &reason);
    } else if let Some(edited) = sshd::without_host_keys(text) {
        draft.text(file, edited, meta, &reason);
    }
}

/// What the overlay `swarm-manager` has for the account that nodes ask through, for an sshd that reads no
/// directory: at the end, because it is for that account only.
pub(super) fn answers(inputs: &Inputs<'_>) -> Option<String> {
    let overlay = inputs.overlays.iter().find(|overlay| overlay.name == "swarm-manager")?;
    let file = path("/etc/ssh/sshd_config.d/50-pibake-join.conf");
    let content = &overlay.tree.iter().find(|tree| tree.path == file)?.content;
    let text = std::str::from_utf8(content).ok()?;
    let known = |line: &&str| inputs.inventory.release > Release::Jessie || !sshd::is_newer_than_jessie(line);
    Some(text.split_inclusive('\n').filter(known).collect())
}

/// The unit that makes new host keys is masked; its links go as well, for packages have been seen to
/// unmask it, and in Jessie it is an init script.
fn wanted_links(image: Image<'_>, draft: &mut Draft) {
    let reason = Reason::new("ssh", "the host keys stay as they are");
    let wants = path("/etc/systemd/system/multi-user.target.wants/regenerate_ssh_host_keys.service");
    if image.has(&wants) {
        draft.remove(wants, &reason);
    }
    for link in super::first_boot::rc_links(image, "regenerate_ssh_host_keys") {
        draft.remove(link, &reason);
    }
    let banner = path("/etc/ssh/sshd_config.d/rename_user.conf");
    if image.has_on(Volume::Root, &banner) {
        draft.remove(banner, &Reason::new("ssh", "a banner that asks for a user to be made"));
    }
}
