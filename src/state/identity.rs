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
        Self { host_keys, seed: Seed::new([0; 32]) }
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
