//! The digest that tells whether two plans write the same, without telling anything of their secrets.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::config::types::{NodeSecrets, Secret};
use crate::fs::volume::Volume;
use crate::plan::change::{Action, Content, FileSpec, Plan};
use crate::state::identity::{HostKey, JoinIdentity, NodeIdentity, TlsIdentity};

use super::build::Inputs;
use super::create::Create;
use super::error::PlanErrors;
use super::manifest::hex;

/// The digest of the plan for these inputs, with stand-ins for its secrets and its time: `pibake plan`,
/// which asks for no secrets, gets the same as the bake before it and the one after. The manifest names the
/// digest, and a zero stands in for that.
///
/// It is keyed with the seed (HKDF), so that a digest that gets out does not confirm guesses at the rest.
///
/// `build_once` makes the plan that says of itself that a digest is its own.
pub(super) fn of(
    inputs: &Inputs<'_>,
    build_once: impl Fn(&Inputs<'_>, [u8; 32]) -> Result<Plan, PlanErrors>,
) -> Result<[u8; 32], PlanErrors> {
    let secrets = stand_in_secrets(inputs.secrets);
    let identity = NodeIdentity {
        host_keys: inputs.identity.host_keys.iter().map(stand_in_key).collect(),
        seed: inputs.identity.seed.clone(),
        tls: inputs.identity.tls.as_ref().map(TlsIdentity::stand_in),
        join: inputs.identity.join.as_ref().map(JoinIdentity::stand_in),
    };
    // The image's own time is the earliest that passes for a bake time.
    let bake_time = inputs.inventory.newest_mtime;
    // Who may create the swarm is a matter of the moment.
    let create = &Create::none();
    let inputs = Inputs { secrets: &secrets, identity: &identity, create, bake_time, ..*inputs };
    let plan = build_once(&inputs, [0; 32])?;
    let purpose = format!("plan digest {}", hex(&canonical(&plan)));
    Ok(inputs.identity.seed.derive(&inputs.node.name, &purpose))
}

fn stand_in_secrets(secrets: &NodeSecrets) -> NodeSecrets {
    let secret = |text: &str| Secret::new(text.to_owned());
    let hash = || secret("$6$stand-in");
    NodeSecrets {
        user_hash: secrets.user_hash.as_ref().map(|_| hash()),
        account_hashes: secrets.account_hashes.keys().map(|name| (name.clone(), hash())).collect(),
        wifi_psk: secrets.wifi_psk.as_ref().map(|_| secret(&"0".repeat(64))),
        overlay_params: secrets
            .overlay_params
            .keys()
            .map(|key| (key.clone(), secret("stand-in")))
            .collect::<BTreeMap<_, _>>(),
        swarm_secrets: secrets.swarm_secrets.keys().map(|name| (name.clone(), secret("stand-in"))).collect(),
    }
}

/// A private key is known by its public one.
fn stand_in_key(key: &HostKey) -> HostKey {
    HostKey { name: key.name, private: Zeroizing::new(key.public.clone()), public: key.public.clone() }
}

/// SHA-256 over everything in the plan that decides what is written. Every part has its length before it,
/// so that no two plans run into each other.
fn canonical(plan: &Plan) -> [u8; 32] {
    let mut hash = Parts(Sha256::new());
    hash.text(&plan.node);
    hash.number(plan.disk.disk_id.map_or(u64::MAX, u64::from));
    hash.number(plan.disk.image_size);
    for change in &plan.changes {
        hash.text(if change.volume == Volume::Root { "root" } else { "boot" });
        hash.text(change.path.as_str());
        match &change.action {
            Action::File(spec) => hash.file(spec),
            Action::Directory(meta) => hash.meta("directory", *meta),
            Action::SetMeta(meta) => hash.meta("meta", *meta),
            Action::Symlink { target } => {
                hash.text("link");
                hash.text(target);
            }
            Action::Rename { to } => {
                hash.text("rename");
                hash.text(to);
            }
            Action::Remove => hash.text("remove"),
        }
    }
    hash.0.finalize().into()
}

struct Parts(Sha256);

impl Parts {
    fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn meta(&mut self, kind: &str, meta: crate::fs::metadata::Meta) {
        self.text(kind);
        for number in [u64::from(meta.mode), u64::from(meta.uid), u64::from(meta.gid)] {
            self.number(number);
        }
    }

    fn file(&mut self, spec: &FileSpec) {
        self.meta("file", spec.meta);
        self.number(u64::from(spec.immutable));
        match &spec.content {
            Content::Bytes(bytes) => self.bytes(bytes),
            Content::Secret(bytes) => self.bytes(bytes),
            // Where it lies on this machine decides nothing.
            Content::HostFile { size, sha256, .. } => {
                self.number(*size);
                self.bytes(sha256);
            }
        }
        self.number(spec.xattrs.len() as u64);
        for (name, value) in &spec.xattrs {
            self.text(name);
            self.bytes(value);
        }
    }
}
