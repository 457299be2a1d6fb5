//! Archive keys, and what they sign.

use std::io::Cursor;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, DetachedSignature, EncryptionCaps, KeyType, SecretKeyParamsBuilder,
    SignedSecretKey, SubkeyParamsBuilder,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::ser::Serialize;
use pgp::types::{KeyDetails, Password, SigningKey, Tag, Timestamp};
// The random numbers that pgp takes are of the generation of rand_core that ssh-key re-exports.
use ssh_key::rand_core::OsRng;

use crate::fetch::clock::Clock;
use crate::fetch::signature::Keyring;

/// A key of an archive.
pub(super) struct ArchiveKey(pub(super) SignedSecretKey);

impl ArchiveKey {
    pub(super) fn new(kind: KeyType) -> Self {
        Self::made(kind, true, &[])
    }

    /// One that signs with its subkey; `may_sign` is what its binding says of that.
    pub(super) fn with_subkey(may_sign: bool) -> Self {
        let mut subkey = SubkeyParamsBuilder::default();
        subkey.key_type(KeyType::Ed25519Legacy).can_sign(may_sign).can_encrypt(EncryptionCaps::None);
        Self::made(KeyType::Ed25519Legacy, false, &[subkey])
    }

    fn made(kind: KeyType, can_sign: bool, subkeys: &[SubkeyParamsBuilder]) -> Self {
        let mut params = SecretKeyParamsBuilder::default();
        params
            .key_type(kind)
            .can_certify(true)
            .can_sign(can_sign)
            .primary_user_id("Archive <archive@test>".to_owned());
        params.subkeys(subkeys.iter().map(|subkey| subkey.build().unwrap()).collect::<Vec<_>>());
        // Yesterday, so that it may run out today.
        let yesterday = Timestamp::from_secs(Timestamp::now().as_secs() - 86_400);
        Self(params.created_at(yesterday).build().unwrap().generate(OsRng).unwrap())
    }

    /// What the image has.
    pub(super) fn public(&self) -> Vec<u8> {
        self.0.to_public_key().to_bytes().unwrap()
    }

    pub(super) fn armoured(&self) -> String {
        self.0.to_public_key().to_armored_string(ArmorOptions::default()).unwrap()
    }

    pub(super) fn keyring(&self) -> Keyring {
        Keyring::parse(&self.public()).unwrap()
    }

    pub(super) fn fingerprint(&self) -> String {
        format!("{:X}", self.0.primary_key.fingerprint())
    }

    /// An `InRelease` of the text.
    pub(super) fn clearsign(&self, text: &str) -> Vec<u8> {
        armoured(CleartextSignedMessage::sign(OsRng, text, &self.0.primary_key, &Password::empty()).unwrap())
    }

    pub(super) fn clearsign_by_subkey(&self, text: &str) -> Vec<u8> {
        let subkey = &self.0.secret_subkeys[0].key;
        armoured(CleartextSignedMessage::sign(OsRng, text, subkey, &Password::empty()).unwrap())
    }

    pub(super) fn clearsign_with(&self, text: &str, hash: HashAlgorithm, typ: SignatureType) -> Vec<u8> {
        let config = self.config(typ, hash);
        armoured(CleartextSignedMessage::new(text, config, &self.0.primary_key, &Password::empty()).unwrap())
    }

    /// A `Release.gpg` for a `Release`.
    pub(super) fn detached(&self, release: &[u8]) -> Vec<u8> {
        let key = &self.0.primary_key;
        let hash = HashAlgorithm::Sha256;
        let made =
            DetachedSignature::sign_binary_data(OsRng, key, &Password::empty(), hash, Cursor::new(release));
        made.unwrap().to_armored_bytes(ArmorOptions::default()).unwrap()
    }

    /// The same key, valid for so long from yesterday.
    pub(super) fn lasting(mut self, seconds: u32) -> Self {
        let mut config = self.config(SignatureType::CertPositive, HashAlgorithm::Sha256);
        let lasts = SubpacketData::KeyExpirationTime(pgp::types::Duration::from_secs(seconds));
        config.hashed_subpackets.push(Subpacket::regular(lasts).unwrap());
        let (key, user) = (&self.0.primary_key, &self.0.details.users[0].id);
        let made =
            config.sign_certification(key, key.public_key(), &Password::empty(), Tag::UserId, user).unwrap();
        self.0.details.users[0].signatures.push(made);
        self
    }

    /// The same key, taken back.
    pub(super) fn revoked(mut self) -> Self {
        let made = self.revocation();
        self.0.details.revocation_signatures.push(made);
        self
    }

    pub(super) fn revocation(&self) -> Signature {
        let config = self.config(SignatureType::KeyRevocation, HashAlgorithm::Sha256);
        let key = &self.0.primary_key;
        config.sign_key(key, &Password::empty(), key.public_key()).unwrap()
    }

    fn config(&self, typ: SignatureType, hash: HashAlgorithm) -> SignatureConfig {
        config(&self.0.primary_key, typ, hash)
    }
}

fn config(key: &impl SigningKey, typ: SignatureType, hash: HashAlgorithm) -> SignatureConfig {
    let mut config = SignatureConfig::v4(typ, key.algorithm(), hash);
    let hashed = [
        SubpacketData::SignatureCreationTime(Timestamp::now()),
        SubpacketData::IssuerFingerprint(key.fingerprint()),
    ];
    config.hashed_subpackets = hashed.map(|data| Subpacket::regular(data).unwrap()).into();
    config
}

fn armoured(message: CleartextSignedMessage) -> Vec<u8> {
    message.to_armored_bytes(ArmorOptions::default()).unwrap()
}

/// A key that tests share: making one takes a while.
pub(super) fn archive_key() -> &'static ArchiveKey {
    static KEY: OnceLock<ArchiveKey> = OnceLock::new();
    KEY.get_or_init(|| ArchiveKey::new(KeyType::Ed25519Legacy))
}

pub(super) fn now() -> Clock {
    Clock { now: SystemTime::now(), allow_expired: false }
}

pub(super) fn in_days(days: u64) -> Clock {
    Clock { now: SystemTime::now() + Duration::from_secs(days * 86_400), allow_expired: false }
}

pub(super) fn whatever_ran_out() -> Clock {
    Clock { allow_expired: true, ..now() }
}
