//! A node's identity as the plan needs it.

use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use super::authorities::Authorities;
use super::error::StateError;
use super::join::joins;
use super::lock::LockedState;
use crate::config::types::{Cluster, Node};
use crate::keys::certificate::Certificate;
use crate::keys::join::certified_key;
use crate::seed::Seed;

/// What makes a node itself, beyond the cluster file.
#[derive(Clone)]
pub struct NodeIdentity {
    /// SSH host keys, ed25519 first.
    pub host_keys: Vec<HostKey>,
    /// HKDF pseudo-random key of this cluster and node; never written anywhere.
    pub seed: Seed,
    /// What dockerd shows of itself, and whom it trusts; of nodes with `docker.tls`.
    pub tls: Option<TlsIdentity>,
    /// What it joins the swarm with; of nodes with a role in one.
    pub join: Option<JoinIdentity>,
}

/// A node's server certificate (joining.md, "TLS").
#[derive(Clone)]
pub struct TlsIdentity {
    /// The cluster's CA certificate, PEM.
    pub ca: String,
    /// The node's certificate, PEM.
    pub certificate: String,
    /// Its private key, PEM (PKCS #8).
    pub key: Zeroizing<String>,
}

impl TlsIdentity {
    /// What stands for it where neither secrets nor dates may decide: certificate and key are known by the public key.
    #[must_use]
    pub fn stand_in(&self) -> Self {
        let public = match Certificate::from_pem(&self.certificate) {
            Ok(certificate) => HEXLOWER.encode(&certificate.public_key),
            // A stand-in already.
            Err(_) => self.certificate.clone(),
        };
        Self { ca: self.ca.clone(), key: Zeroizing::new(public.clone()), certificate: public }
    }
}

/// A node's join credential, and whom it trusts (joining.md, "Trust").
#[derive(Clone)]
pub struct JoinIdentity {
    /// The private key in OpenSSH's format.
    pub key: Zeroizing<String>,
    /// The certificate as one line, without a newline.
    pub certificate: String,
    /// The join CA's public key as one line: what managers trust.
    pub ca: String,
    /// Public keys of revoked nodes, one line each.
    pub revoked: Vec<String>,
    /// The swarm's managers in file order, this node too if it is one.
    pub managers: Vec<ManagerHost>,
}

impl JoinIdentity {
    /// As [`TlsIdentity::stand_in`].
    #[must_use]
    pub fn stand_in(&self) -> Self {
        let public = certified_key(&self.certificate).unwrap_or_else(|| self.certificate.clone());
        Self { key: Zeroizing::new(public.clone()), certificate: public, ..self.clone() }
    }
}

/// A manager as the askers pin it.
#[derive(Clone)]
pub struct ManagerHost {
    /// The node's name, which is the key's alias in `known_hosts`.
    pub name: String,
    /// Public host keys, one line each without a comment.
    pub host_keys: Vec<String>,
}

/// One SSH host key.
#[derive(Clone)]
pub struct HostKey {
    /// `ed25519` or `ecdsa`: the file is `/etc/ssh/ssh_host_NAME_key`.
    pub name: &'static str,
    /// The private key in OpenSSH's format.
    pub private: Zeroizing<String>,
    /// The public key as one line, without a newline.
    pub public: String,
}

impl LockedState<'_> {
    /// A node's identity. What is missing of it is made, and on the medium when this returns: only then may
    /// anything hold it.
    ///
    /// # Errors
    /// When a file is damaged, open to others, or cannot be written; when the passphrase is wrong; when the bake time
    /// is before the TLS authority's.
    pub fn identity(
        &self,
        node: &Node,
        cluster: &Cluster,
        authorities: &mut Authorities,
    ) -> Result<NodeIdentity, StateError> {
        let host_keys = self.host_keys(&node.name)?;
        let tls = if node.docker.tls { Some(self.server(node, cluster, authorities)?) } else { None };
        let join =
            if joins(node, cluster) { Some(self.membership(node, cluster, authorities)?) } else { None };
        Ok(NodeIdentity { host_keys, seed: self.state().seed().clone(), tls, join })
    }
}
