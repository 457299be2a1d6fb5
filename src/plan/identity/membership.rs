//! Docker and the swarm on a captured card (joining.md). A membership is a certificate and a node id: two machines
//! that show the same are one to the swarm. So a card that becomes another node has it no more, and joins like a new
//! one; who may create a swarm is decided as for a flash.

use crate::fs::metadata::Meta;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::inventory::types::Release;
use crate::plan::build::Inputs;
use crate::plan::create::Create;
use crate::plan::draft::{Draft, Reason};
use crate::plan::image::{Image, path};
use crate::plan::select::Offered;
use crate::plan::{docker, packages, pools, ssh, swarm};

use super::Restored;
use super::origin::{Kin, Origin};

/// Where Docker keeps what it is, unless its configuration says otherwise.
const DATA_ROOT: &str = "/var/lib/docker";
/// Facts that the joining scripts keep (`overlays/swarm-node/root/usr/lib/pibake/swarm-lib`).
const FACTS: &str = "/var/lib/pibake/swarm";
/// The fact that the card was another's: `swarm-join` clears away what ran on that by the swarm's order.
const RESTORED: &str = "/var/lib/pibake/swarm/restored";
/// What the card was baked with.
const SETTINGS: &str = "/etc/pibake/swarm/node";
const JOINS: &str = "/usr/lib/pibake/swarm-join";
const ANSWERS: &str = "/usr/lib/pibake/swarm-answer";
const SECRETS: &str = "/etc/pibake/swarm/secrets";

/// Of a card that is in no swarm any more.
const MEMBERS: [&str; 4] = [
    "/etc/pibake/swarm/join_key",
    "/etc/pibake/swarm/join_key-cert.pub",
    "/etc/systemd/system/multi-user.target.wants/pibake-swarm-join.service",
    "/etc/systemd/system/pibake-swarm-join.service",
];
/// Of a card that is no manager any more.
const MANAGERS: [&str; 12] = [
    "/etc/pibake/swarm/join_ca.pub",
    "/etc/pibake/swarm/once",
    "/etc/pibake/swarm/principals",
    "/etc/pibake/swarm/revoked",
    "/etc/pibake/swarm/stacks",
    "/etc/ssh/sshd_config.d/50-pibake-join.conf",
    "/etc/sudoers.d/020_pibake-join",
    "/etc/systemd/system/multi-user.target.wants/pibake-swarm-once.service",
    "/etc/systemd/system/pibake-swarm-once.service",
    "/usr/lib/pibake/swarm-answer",
    "/usr/lib/pibake/swarm-ask",
    "/usr/lib/pibake/swarm-once",
];
/// What dockerd shows of itself.
const SERVER: [&str; 3] = ["/etc/docker/server-cert.pem", "/etc/docker/server-key.pem", "/etc/docker/ca.pem"];
const DROP_IN: &str = "/etc/systemd/system/docker.service.d/pibake.conf";

/// What becomes of a card's part in a swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    /// It is the node's own and stays.
    Kept,
    /// The card joins as a new one would.
    Anew,
    /// The card has no part in one, or pibake's scripts are not on it.
    None,
}

/// Whether a card that becomes a node keeps its membership.
pub(super) fn keeps(image: Image<'_>, kin: Kin, rejoin: Option<&str>) -> bool {
    let member = FsPath::new(&format!("{}/swarm/docker-state.json", data_root(image)));
    kin == Kin::Itself && rejoin.is_none() && member.is_ok_and(|file| image.has(&file) || !is_usual(image))
}

impl Membership {
    pub(super) fn of(restored: &Restored<'_>, origin: &Origin) -> Self {
        let inputs = &restored.inputs;
        let image = Image { inventory: inputs.inventory };
        if swarm::of(inputs).is_none() || !image.has(&path(JOINS)) {
            Self::None
        } else if keeps(image, origin.kin, restored.rejoin) {
            Self::Kept
        } else {
            Self::Anew
        }
    }

    /// In a word.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Anew => "joins",
            Self::None => "none",
        }
    }

    /// Whether other nodes ask this one.
    pub(super) fn answers(self, inputs: &Inputs<'_>) -> bool {
        self != Self::None && swarm::answers(inputs)
    }

    /// Whether the card needs what a swarm is set up with.
    pub(super) fn sets_up(self, inputs: &Inputs<'_>) -> bool {
        self == Self::Anew && swarm::answers(inputs)
    }

    /// The overlays that carry the node's part: certificates, and who is asked by which names.
    pub(super) fn overlays(
        self,
        inputs: &Inputs<'_>,
        origin: &Origin,
        draft: &mut Draft,
    ) -> Vec<(&'static str, Offered)> {
        let image = Image { inventory: inputs.inventory };
        let has_docker = origin.kin != Kin::Stranger && has_docker(image);
        if self == Self::None && !has_docker {
            return Vec::new();
        }
        let Some(pools) = draft.note(pools::choose(inputs.cluster)) else { return Vec::new() };
        let mut selected = Vec::new();
        if has_docker {
            let wanted = |name: &str| name == "docker-tls" || shows_itself(image) != inputs.node.docker.tls;
            selected
                .extend(docker::overlays(inputs, pools, draft).into_iter().filter(|(name, _)| wanted(name)));
        }
        match self {
            Self::Kept => {
                let may = image
                    .text(&path(SETTINGS))
                    .ok()
                    .flatten()
                    .is_some_and(|text| text.contains("\ncreate yes\n"));
                let create = &Create { allowed: may, why: "as it was captured".to_owned() };
                selected.extend(swarm::overlays(&Inputs { create, ..*inputs }, pools, draft));
            }
            Self::Anew => selected.extend(swarm::overlays(inputs, pools, draft)),
            Self::None => {}
        }
        selected
    }

    /// Plans what goes, and tells what cannot be had without a bake.
    pub(super) fn plan(self, restored: &Restored<'_>, origin: &Origin, draft: &mut Draft) {
        let inputs = &restored.inputs;
        let image = Image { inventory: inputs.inventory };
        match self {
            Self::Kept => {
                draft.say("its membership of the swarm is kept: it comes back as the member it was")
            }
            Self::Anew => {
                let why = restored.rejoin.map(|why| format!(": {why}")).unwrap_or_default();
                draft.say(format!("it joins the swarm anew, as a new card would{why}"));
            }
            Self::None => {}
        }
        // Its own card may be in a swarm of its user's.
        if self == Self::Anew || origin.kin != Kin::Itself {
            forget(image, origin, draft);
        }
        if self == Self::Anew && origin.kin != Kin::Itself {
            let reason =
                Reason::new("swarm", "what the swarm ran on the card that was captured is cleared away");
            let text = format!("from {}\n", origin.name);
            draft.text(path(RESTORED), text, Meta::root(0o600), &reason);
        }
        retire(self, inputs, image, draft);
        server(inputs, image, origin, draft);
        if self == Self::None && swarm::of(inputs).is_some() {
            draft.warn("the card has no part in a swarm, and a restore gives it none: that takes a bake");
        }
    }
}

/// The swarm's certificate, key and raft log, what the joining scripts know of it, and who this Docker is.
fn forget(image: Image<'_>, origin: &Origin, draft: &mut Draft) {
    let reason = Reason::new("swarm", "the membership of the card that was captured");
    let root = data_root(image);
    let mut going = vec![("swarm", &reason)];
    let engine = Reason::new("identity", "what a machine's Docker is known by");
    if origin.kin != Kin::Itself {
        going.push(("engine-id", &engine));
    }
    for (name, reason) in going {
        match FsPath::new(&format!("{root}/{name}")) {
            // Elsewhere nobody looked.
            Ok(file) if image.has(&file) || !is_usual(image) => draft.remove(file, reason),
            Ok(_) => {}
            Err(_) => {
                draft.warn(format!("Docker's data-root {root:?} cannot be followed: its membership stays"))
            }
        }
    }
    for fact in image.entries(Volume::Root, &path(FACTS)) {
        // One that a card was made from this one with is written anew, or gone.
        if fact != path(RESTORED) {
            draft.remove(fact, &reason);
        }
    }
}

/// What the card had for a part that the node does not have.
fn retire(membership: Membership, inputs: &Inputs<'_>, image: Image<'_>, draft: &mut Draft) {
    let reason = Reason::new("swarm", "of a part in the swarm that the node does not have");
    let mut going: Vec<&str> = Vec::new();
    if membership == Membership::None {
        going.extend(MEMBERS);
    }
    if !membership.answers(inputs) {
        going.extend(MANAGERS);
        let sshd = path("/etc/ssh/sshd_config");
        if let Some(Some(text)) = draft.note(image.text(&sshd))
            && let Some(answers) = ssh::answers(inputs)
            && text.contains(&answers)
            && draft.planned(&sshd).is_none()
        {
            let meta = image.meta(&sshd, Meta::root(0o644));
            draft.text(sshd, text.replace(&answers, ""), meta, &reason);
        }
    } else {
        answers_in_main_file(inputs, image, draft);
    }
    for file in going.into_iter().map(path) {
        if image.has(&file) {
            draft.remove(file, &reason);
        }
    }
    if membership != Membership::Kept {
        let reason = Reason::new("swarm", "a secret for a swarm that was to be set up");
        for secret in image.entries(Volume::Root, &path(SECRETS)) {
            if draft.planned(&secret).is_none() {
                draft.remove(secret, &reason);
            }
        }
    }
}

/// An sshd that reads no directory has the lines for those who join in its main file.
fn answers_in_main_file(inputs: &Inputs<'_>, image: Image<'_>, draft: &mut Draft) {
    let file = path("/etc/ssh/sshd_config");
    let was_one = image.has(&path(ANSWERS));
    if was_one || inputs.inventory.release >= Release::Bullseye {
        return;
    }
    if let Some(Some(text)) = draft.note(image.text(&file))
        && let Some(answers) = ssh::answers(inputs).filter(|answers| !text.contains(answers))
    {
        let reason = Reason::new("swarm", "nodes that join ask this one");
        let meta = image.meta(&file, Meta::root(0o644));
        draft.text(file, format!("{text}{answers}"), meta, &reason);
    }
}

/// The certificate of a node that has none.
fn server(inputs: &Inputs<'_>, image: Image<'_>, origin: &Origin, draft: &mut Draft) {
    if inputs.node.docker.tls && (origin.kin == Kin::Stranger || !has_docker(image)) {
        draft.warn("the card's Docker gets no certificate: docker.tls takes a bake");
    }
    if inputs.node.docker.tls && origin.kin != Kin::Stranger || origin.kin == Kin::Itself {
        return;
    }
    let reason = Reason::new("docker.tls", "of the card that was captured");
    let ours = image.has(&path(DROP_IN)) && origin.kin != Kin::Stranger;
    for file in SERVER.map(path).into_iter().chain([path(DROP_IN)]) {
        if !image.has(&file) {
            continue;
        }
        if ours {
            draft.remove(file, &reason);
        } else if file.as_str().ends_with("-key.pem") {
            draft.warn(format!("{file} stays: a private key, which the card that was captured has too"));
        }
    }
}

/// Whether there is Docker, or its packages wait for the first boot.
fn has_docker(image: Image<'_>) -> bool {
    packages::engine(&image.inventory.packages.installed).is_some()
        || image.has(&path("/etc/docker/daemon.json"))
}

/// Whether its dockerd listens with a certificate.
fn shows_itself(image: Image<'_>) -> bool {
    let text = image.text(&path("/etc/docker/daemon.json")).ok().flatten();
    text.is_some_and(|text| text.contains("\"tlskey\""))
}

/// Where Docker keeps its data.
fn data_root(image: Image<'_>) -> String {
    let text = image.text(&path("/etc/docker/daemon.json")).ok().flatten().unwrap_or_default();
    let settings: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    // `graph` until 17.05.
    let said = ["data-root", "graph"].into_iter().find_map(|key| settings.get(key)?.as_str());
    said.unwrap_or(DATA_ROOT).trim_end_matches('/').to_owned()
}

fn is_usual(image: Image<'_>) -> bool {
    data_root(image) == DATA_ROOT
}
