//! A node's identity as the plan needs it.

use std::fmt;

use zeroize::Zeroizing;

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

/// The seed that everything normally random is derived from, deterministically.
#[derive(Clone)]
pub struct Seed(Zeroizing<[u8; 32]>);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

impl Seed {
    /// Takes the 32 bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// HKDF-SHA256 (RFC 5869) of this seed for one node and purpose: the same inputs give the same bytes.
    #[must_use]
    pub fn derive<const N: usize>(&self, node: &str, purpose: &str) -> [u8; N] {
        let hkdf = hkdf::Hkdf::<sha2::Sha256>::new(Some(b"pibake"), self.0.as_slice());
        let mut out = [0u8; N];
        // Node names hold no NUL, so the two parts cannot run into each other.
        let info = [node.as_bytes(), b"\0", purpose.as_bytes()].concat();
        hkdf.expand(&info, &mut out).expect("outputs are far shorter than 255 digests");
        out
    }
}
