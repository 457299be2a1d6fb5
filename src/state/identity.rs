//! A node's identity as the plan needs it.

use zeroize::Zeroizing;

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

/// A manager as the askers pin it.
#[derive(Clone)]
pub struct ManagerHost {
    /// The node's name, which is the key's alias in `known_hosts`.
    pub name: String,
    /// Public host keys, one line each without a comment.
    pub host_keys: Vec<String>,
}

impl NodeIdentity {
    /// A stand-in for `pibake plan`, which makes no state: keys that are none, of about the true size.
    #[must_use]
    pub fn placeholder() -> Self {
        let key = |name, public: &str| HostKey {
            name,
            private: Zeroizing::new("(made when the node is baked)".repeat(14)),
            public: public.to_owned(),
        };
        let host_keys = vec![
            key("ed25519", "ssh-ed25519 (made when the node is baked)"),
            key("ecdsa", "ecdsa-sha2-nistp256 (made when the node is baked)"),
        ];
        Self { host_keys, seed: Seed::new([0; 32]), tls: None, join: None }
    }
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
