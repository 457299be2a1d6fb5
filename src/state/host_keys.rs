//! SSH host keys: made once for a node, kept for ever, so that a re-flashed node is still the one that
//! everybody's `known_hosts` knows.

use std::path::Path;

use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, EcdsaCurve, LineEnding, PrivateKey};

use super::error::{StateError, corrupt};
use super::identity::HostKey;
use super::lock::LockedState;
use super::{State, private};

/// What every release's sshd can use, best first.
const KINDS: [(&str, Algorithm); 2] =
    [("ed25519", Algorithm::Ed25519), ("ecdsa", Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 })];

impl State {
    /// A node's host keys; `None` when one is still to be made.
    ///
    /// # Errors
    /// When a key file is damaged, or open to others.
    pub fn existing_host_keys(&self, node: &str) -> Result<Option<Vec<HostKey>>, StateError> {
        let dir = self.host_key_dir(node);
        if !private::check_dir(&dir)? {
            return Ok(None);
        }
        KINDS.iter().map(|(name, algorithm)| read_key(&dir, name, algorithm)).collect()
    }
}

impl LockedState<'_> {
    /// A node's host keys; what is missing of them is made.
    pub(super) fn host_keys(&self, node: &str) -> Result<Vec<HostKey>, StateError> {
        let dir = self.state.host_key_dir(node);
        private::create_dir(&self.state.dir().join(super::HOST_KEYS))?;
        private::create_dir(&dir)?;
        let key = |(name, algorithm)| match read_key(&dir, name, &algorithm)? {
            Some(key) => Ok(key),
            None => make_key(&dir, name, algorithm, node),
        };
        KINDS.into_iter().map(key).collect()
    }
}

fn file_name(name: &str) -> String {
    format!("ssh_host_{name}_key")
}

fn read_key(dir: &Path, name: &'static str, algorithm: &Algorithm) -> Result<Option<HostKey>, StateError> {
    let path = dir.join(file_name(name));
    let Some(private) = private::read_text(&path)? else { return Ok(None) };
    let key = PrivateKey::from_openssh(private.as_bytes())
        .map_err(|_| corrupt(&path, "it is not a private key in OpenSSH's format"))?;
    if key.is_encrypted() || key.algorithm() != *algorithm {
        return Err(corrupt(&path, format!("it is not a plain {algorithm} key")));
    }
    let public =
        key.public_key().to_openssh().map_err(|error| corrupt(&path, format!("its public half: {error}")))?;
    Ok(Some(HostKey { name, private, public }))
}

fn make_key(dir: &Path, name: &'static str, algorithm: Algorithm, node: &str) -> Result<HostKey, StateError> {
    let random = |error: ssh_key::Error| StateError::Random(error.to_string());
    let mut key = PrivateKey::random(&mut OsRng, algorithm).map_err(random)?;
    key.set_comment(format!("root@{node}"));
    let private = key.to_openssh(LineEnding::LF).map_err(random)?;
    let public = key.public_key().to_openssh().map_err(random)?;
    private::write(&dir.join(file_name(name)), private.as_bytes())?;
    Ok(HostKey { name, private, public })
}
