//! A node's identity for `pibake plan`, which makes no state and signs nothing: what is there, and stand-ins of the
//! true size for the rest.

use zeroize::Zeroizing;

use super::State;
use super::error::StateError;
use super::identity::{HostKey, JoinIdentity, NodeIdentity, TlsIdentity};
use super::join::{joins, manager_host, managers, membership};
use super::tls::Kept;
use crate::config::types::{Cluster, Node};
use crate::keys::join::{JoinAuthority, SshKey};
use crate::seed::Seed;

const NOT_YET: &str = "(made when the node is baked)";

/// Lengths in bytes of what is made.
const SSH_KEY: usize = 400;
const CERTIFICATE: usize = 700;
const KEY: usize = 241;
const AUTHORITY: usize = 620;

impl State {
    /// A node's identity as far as it has been made.
    ///
    /// # Errors
    /// When a key file is damaged, or open to others.
    pub fn existing_identity(&self, node: &Node, cluster: &Cluster) -> Result<NodeIdentity, StateError> {
        identity(Some(self), node, cluster)
    }
}

impl NodeIdentity {
    /// A stand-in where there is no state at all: keys that are none, of about the true size.
    ///
    /// # Errors
    /// When no certificate can be made, which is not known to happen.
    pub fn placeholder(node: &Node, cluster: &Cluster) -> Result<Self, StateError> {
        identity(None, node, cluster)
    }
}

fn identity(state: Option<&State>, node: &Node, cluster: &Cluster) -> Result<NodeIdentity, StateError> {
    let seed = state.map_or(Seed::new([0; 32]), |state| state.seed().clone());
    let tls = if node.docker.tls { Some(tls(state, node)?) } else { None };
    let join = if joins(node, cluster) { Some(join(state, node, cluster, &seed)?) } else { None };
    Ok(NodeIdentity { host_keys: host_keys(state, &node.name)?, seed, tls, join })
}

fn host_keys(state: Option<&State>, node: &str) -> Result<Vec<HostKey>, StateError> {
    let existing = state.map_or(Ok(None), |state| state.existing_host_keys(node))?;
    let key = |name, kind: &str| HostKey {
        name,
        private: Zeroizing::new(filler(SSH_KEY)),
        public: format!("{kind} {NOT_YET}"),
    };
    Ok(existing.unwrap_or_else(|| vec![key("ed25519", "ssh-ed25519"), key("ecdsa", "ecdsa-sha2-nistp256")]))
}

fn tls(state: Option<&State>, node: &Node) -> Result<TlsIdentity, StateError> {
    let ca = state.map_or(Ok(None), State::tls_certificate)?;
    let kept = state.map_or(Ok(None), |state| state.kept(&state.server_place(&node.name)))?;
    let (certificate, key) = match kept {
        Some(Kept { certificate, key }) => (certificate.pem().to_owned(), key),
        None => (filler(CERTIFICATE), Zeroizing::new(filler(KEY))),
    };
    Ok(TlsIdentity { ca: ca.map_or_else(|| filler(AUTHORITY), |ca| ca.pem().to_owned()), certificate, key })
}

fn join(
    state: Option<&State>,
    node: &Node,
    cluster: &Cluster,
    seed: &Seed,
) -> Result<JoinIdentity, StateError> {
    let authority = JoinAuthority::stand_in();
    let key = match state.map_or(Ok(None), |state| state.join_key(&node.name))? {
        Some(key) => key,
        None => SshKey { private: Zeroizing::new(filler(SSH_KEY)), public: authority.public()? },
    };
    let certificate = authority.sign(&key.public, &membership(node, cluster, seed, &key.public, 0))?;
    let ca = match state.map_or(Ok(None), State::join_public)? {
        Some(public) => public,
        None => authority.public()?,
    };
    let managers = managers(cluster)
        .map(|manager| Ok(manager_host(&manager.name, &host_keys(state, &manager.name)?)))
        .collect::<Result<_, StateError>>()?;
    let revoked = state.map_or(Ok(Vec::new()), State::revoked_keys)?;
    Ok(JoinIdentity { key: key.private, certificate, ca, revoked, managers })
}

fn filler(length: usize) -> String {
    NOT_YET.chars().cycle().take(length).collect()
}
