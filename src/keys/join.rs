//! The SSH authority that managers trust, and what nodes join with (joining.md, "Trust").

use std::fmt;

use ssh_key::certificate::{Builder, CertType};
use ssh_key::private::Ed25519Keypair;
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, Certificate, HashAlg, LineEnding, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use super::error::{KeyError, damaged, making};

/// The account on managers that certificates are for.
pub const PRINCIPAL: &str = "pibake-join";

/// The program on managers that certificates are bound to; it is told the node's name and role.
pub const PROGRAM: &str = "/usr/lib/pibake/swarm-ask";

/// An SSH key: its private half in OpenSSH's format, and its public one as a line without a newline.
#[derive(Clone)]
pub struct SshKey {
    /// The private half.
    pub private: Zeroizing<String>,
    /// The public half.
    pub public: String,
}

impl fmt::Debug for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SshKey({})", self.public)
    }
}

impl SshKey {
    /// Makes one (ed25519).
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn make(comment: &str) -> Result<Self, KeyError> {
        let mut key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(making("a key"))?;
        key.set_comment(comment);
        Self::of(&key)
    }

    /// Reads one; its public half is derived.
    ///
    /// # Errors
    /// When it is no private ed25519 key in OpenSSH's format, or under a passphrase of its own.
    pub fn read(private: &str) -> Result<Self, KeyError> {
        Self::of(&parse(private)?)
    }

    fn of(key: &PrivateKey) -> Result<Self, KeyError> {
        let private = key.to_openssh(LineEnding::LF).map_err(making("a key"))?;
        let public = key.public_key().to_openssh().map_err(making("a key"))?;
        Ok(Self { private, public })
    }
}

/// What a join certificate says.
#[derive(Clone, Debug)]
pub struct Membership<'a> {
    /// The node's name.
    pub node: &'a str,
    /// `manager` or `worker`.
    pub role: &'a str,
    /// Until when it can be used, in seconds since 1970, by the manager's clock.
    pub until: u64,
    /// Told apart by.
    pub serial: u64,
    /// What OpenSSH wants unpredictable.
    pub nonce: [u8; 32],
}

/// The authority that managers trust.
pub struct JoinAuthority(PrivateKey);

impl fmt::Debug for JoinAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinAuthority({})", self.0.public_key().to_openssh().unwrap_or_default())
    }
}

impl JoinAuthority {
    /// Reads one back from its private key.
    ///
    /// # Errors
    /// As [`SshKey::read`].
    pub fn open(private: &str) -> Result<Self, KeyError> {
        parse(private).map(Self)
    }

    /// One that nobody trusts: for plans, which hold certificates of the true size and no others.
    #[must_use]
    pub fn stand_in() -> Self {
        Self(Ed25519Keypair::from_seed(&[0; 32]).into())
    }

    /// Its public key as one line.
    ///
    /// # Errors
    /// When it cannot be written, which is not known to happen.
    pub fn public(&self) -> Result<String, KeyError> {
        self.0.public_key().to_openssh().map_err(making("a key"))
    }

    /// Its private key in OpenSSH's format.
    ///
    /// # Errors
    /// As [`Self::public`].
    pub fn private(&self) -> Result<Zeroizing<String>, KeyError> {
        self.0.to_openssh(LineEnding::LF).map_err(making("a key"))
    }

    /// Signs a node's public key (one line): for one account, one program, and without any of what sshd allows by
    /// default (no extensions). The certificate as one line.
    ///
    /// # Errors
    /// When the key cannot be read, or the time is beyond all calendars.
    pub fn sign(&self, public: &str, membership: &Membership<'_>) -> Result<String, KeyError> {
        let what = "a join certificate";
        let Membership { node, role, until, serial, nonce } = *membership;
        let key = PublicKey::from_openssh(public).map_err(|_| damaged("the join key", "cannot be read"))?;
        let mut builder = Builder::new(nonce, key.key_data().clone(), 0, until).map_err(making(what))?;
        let command = format!("{PROGRAM} {node} {role}");
        builder
            .serial(serial)
            .and_then(|builder| builder.cert_type(CertType::User))
            .and_then(|builder| builder.key_id(node))
            .and_then(|builder| builder.valid_principal(PRINCIPAL))
            .and_then(|builder| builder.critical_option("force-command", command))
            .and_then(|builder| builder.comment(node))
            .map_err(making(what))?;
        builder.sign(&self.0).and_then(|signed| signed.to_openssh()).map_err(making(what))
    }
}

/// Type and key of a public key's line, without its comment: what makes two lines the same key.
#[must_use]
pub fn without_comment(public: &str) -> String {
    public.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// The public key that a certificate (one line) is for, as one line; `None` when it is no certificate.
#[must_use]
pub fn certified_key(certificate: &str) -> Option<String> {
    let certificate = Certificate::from_openssh(certificate).ok()?;
    PublicKey::from(certificate.public_key().clone()).to_openssh().ok()
}

/// A public key's fingerprint as ssh-keygen prints it; `None` when the line is no key.
#[must_use]
pub fn fingerprint(public: &str) -> Option<String> {
    Some(PublicKey::from_openssh(public).ok()?.fingerprint(HashAlg::Sha256).to_string())
}

fn parse(private: &str) -> Result<PrivateKey, KeyError> {
    const WHAT: &str = "the key";
    let key = PrivateKey::from_openssh(private.as_bytes())
        .map_err(|_| damaged(WHAT, "is no private key in OpenSSH's format"))?;
    if key.is_encrypted() || key.algorithm() != Algorithm::Ed25519 {
        return Err(damaged(WHAT, "is no plain ed25519 key"));
    }
    Ok(key)
}
