//! Whether an archive's Release file was signed by a key that the image trusts (RFC 9580, RFC 4880;
//! apt-secure(8)).
//!
//! A keyring is trusted as it is: its keys' bindings are checked so that a subkey really belongs to its key,
//! but it is the image, or the user, that vouches for the keys.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pgp::composed::{
    CleartextSignedMessage, Deserializable, DetachedSignature, SignedPublicKey, SignedPublicSubKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::ser::Serialize;
use pgp::types::{KeyDetails, PublicParams, Tag, VerifyingKey};

use super::clock::{Clock, date};

/// A Release file is a few hundred KiB of short lines; looking for the end of a longer one would take long.
const MAX_LINES: usize = 20_000;
/// Debian's keyring has two dozen keys.
const MAX_KEYS: usize = 1_000;
/// Bytes of the smallest RSA modulus: 2048 bits.
const MIN_RSA: usize = 256;

/// Public keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Keyring(Vec<SignedPublicKey>);

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Distrust {
    /// The file is none, is signed by nobody known, or was changed.
    Bad(String),
    /// It is all right but for its key, which has run out.
    Expired(String),
}

/// A text, and the fingerprint of the primary key that vouches for it.
#[derive(Debug)]
pub(super) struct Signed {
    /// What was signed, and nothing else.
    pub(super) text: String,
    /// Upper-case hexadecimal digits.
    pub(super) key: String,
}

impl Keyring {
    /// Reads keys, binary or armoured. Keys of kinds that cannot be used are left out.
    ///
    /// # Errors
    /// When there is no key in it; says what there is.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        // GnuPG's own key boxes begin with a blob header that says so at offset 8.
        if bytes.get(8..12) == Some(b"KBXf") {
            return Err("is a GnuPG key box, which apt does not read either".to_owned());
        }
        let (keys, _) = SignedPublicKey::from_reader_many(bytes).map_err(|error| error.to_string())?;
        let keys: Vec<_> = keys.take(MAX_KEYS).filter_map(Result::ok).collect();
        if keys.is_empty() { Err("holds no OpenPGP key".to_owned()) } else { Ok(Self(keys)) }
    }

    /// Adds another keyring's keys.
    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Only the keys with one of these fingerprints, their own or a subkey's.
    #[must_use]
    pub(super) fn only(mut self, fingerprints: &[String]) -> Self {
        let wanted = |key: &dyn KeyDetails| {
            let own = format!("{:X}", key.fingerprint());
            fingerprints.iter().any(|wanted| wanted.trim_end_matches('!').eq_ignore_ascii_case(&own))
        };
        self.0.retain(|key| {
            wanted(&key.primary_key) || key.public_subkeys.iter().any(|subkey| wanted(&subkey.key))
        });
        self
    }
}

/// The text of an `InRelease` file, if a key of the ring signed it.
///
/// # Errors
/// Why it is not to be trusted.
pub(super) fn clearsigned(bytes: &[u8], keyring: &Keyring, clock: Clock) -> Result<Signed, Distrust> {
    if bytes.iter().filter(|byte| **byte == b'\n').count() > MAX_LINES {
        return Err(Distrust::Bad(format!("it has more than {MAX_LINES} lines")));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Distrust::Bad("it is no text".to_owned()))?;
    let (message, _) = CleartextSignedMessage::from_string(text)
        .map_err(|error| Distrust::Bad(format!("it is no clear-signed text ({error})")))?;
    let signed = message.signed_text();
    let key = check(message.signatures(), signed.as_bytes(), keyring, clock)?;
    Ok(Signed { text: signed.replace("\r\n", "\n"), key })
}

/// The text of a `Release` file, if a key of the ring made the signature beside it.
///
/// # Errors
/// Why it is not to be trusted.
pub(super) fn detached(
    release: &[u8],
    signature: &[u8],
    keyring: &Keyring,
    clock: Clock,
) -> Result<Signed, Distrust> {
    let (signatures, _) = DetachedSignature::from_reader_many(signature)
        .map_err(|error| Distrust::Bad(format!("Release.gpg is no signature ({error})")))?;
    let signatures: Vec<_> =
        signatures.take(MAX_KEYS).filter_map(Result::ok).map(|found| found.signature).collect();
    let key = check(&signatures, release, keyring, clock)?;
    let text = std::str::from_utf8(release).map_err(|_| Distrust::Bad("it is no text".to_owned()))?;
    Ok(Signed { text: text.to_owned(), key })
}

/// Looks for one good signature: archives sign with the keys of several releases, of which an image need
/// know only one.
fn check(signatures: &[Signature], data: &[u8], keyring: &Keyring, clock: Clock) -> Result<String, Distrust> {
    let mut reasons = Vec::new();
    let mut expired = false;
    for signature in signatures {
        for key in &keyring.0 {
            match check_one(signature, data, key, clock) {
                Some(Ok(())) => return Ok(format!("{:X}", key.primary_key.fingerprint())),
                Some(Err(Distrust::Expired(why))) => {
                    expired = true;
                    reasons.push(why);
                }
                Some(Err(Distrust::Bad(why))) => reasons.push(why),
                None => {}
            }
        }
    }
    if reasons.is_empty() {
        return Err(Distrust::Bad(unknown(signatures)));
    }
    reasons.dedup();
    let why = reasons.join("; ");
    Err(if expired { Distrust::Expired(why) } else { Distrust::Bad(why) })
}

fn unknown(signatures: &[Signature]) -> String {
    let fingerprints = |signature: &Signature| {
        let long: Vec<_> = signature.issuer_fingerprint().iter().map(|print| format!("{print:X}")).collect();
        let short = || signature.issuer_key_id().iter().map(|id| id.to_string().to_uppercase()).collect();
        if long.is_empty() { short() } else { long }
    };
    let makers: Vec<String> = signatures.iter().flat_map(fingerprints).collect();
    if makers.is_empty() {
        "it names no key".to_owned()
    } else {
        format!("it was made by {}, none of which the keyring holds", makers.join(", "))
    }
}

/// A signature and a key: `None` when they have nothing to do with each other.
fn check_one(
    signature: &Signature,
    data: &[u8],
    key: &SignedPublicKey,
    clock: Clock,
) -> Option<Result<(), Distrust>> {
    if issued_by(signature, &key.primary_key) {
        return Some(
            check_with(signature, data, &key.primary_key, clock).and_then(|at| primary_good(key, at)),
        );
    }
    let subkey = key.public_subkeys.iter().find(|subkey| issued_by(signature, &subkey.key))?;
    let checked = check_with(signature, data, &subkey.key, clock);
    Some(checked.and_then(|at| primary_good(key, at).and_then(|()| subkey_good(key, subkey, at))))
}

fn issued_by(signature: &Signature, key: &impl KeyDetails) -> bool {
    let prints = signature.issuer_fingerprint();
    if prints.is_empty() {
        return signature.issuer_key_id().contains(&&key.legacy_key_id());
    }
    prints.contains(&&key.fingerprint())
}

/// Checks the signature itself; answers the moment at which its key must have been valid.
fn check_with(
    signature: &Signature,
    data: &[u8],
    key: &impl VerifyingKey,
    clock: Clock,
) -> Result<SystemTime, Distrust> {
    let bad = |what: String| Err(Distrust::Bad(format!("key {:X}: {what}", key.fingerprint())));
    let hash = signature.hash_alg();
    if !hash.is_some_and(strong) {
        let hash = hash.map_or("an unknown digest".to_owned(), |hash| hash.to_string());
        return bad(format!("it signs with {hash}, which can be forged"));
    }
    if !matches!(signature.typ(), Some(SignatureType::Text | SignatureType::Binary)) {
        return bad("it is not the signature of a file".to_owned());
    }
    if let Err(what) = strong_key(key) {
        return bad(what);
    }
    if signature.verify(key, data).is_err() {
        return bad("the file is not the one that it signed".to_owned());
    }
    let Some(created) = signature.created().map(SystemTime::from) else {
        return bad("it does not say when it was made".to_owned());
    };
    let runs_out = signature.signature_expiration_time().map(Duration::from).filter(|time| !time.is_zero());
    match runs_out.map(|time| created + time) {
        Some(end) if end < clock.now && !clock.allow_expired => {
            Err(Distrust::Expired(format!("the signature ran out on {}", day(end))))
        }
        _ => Ok(if clock.allow_expired { created } else { clock.now }),
    }
}

fn strong(hash: HashAlgorithm) -> bool {
    matches!(
        hash,
        HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512
    )
}

fn strong_key(key: &impl KeyDetails) -> Result<(), String> {
    match key.public_params() {
        PublicParams::RSA(params) if params.write_len() < MIN_RSA => {
            Err("it is an RSA key of less than 2048 bits".into())
        }
        PublicParams::RSA(_)
        | PublicParams::ECDSA(_)
        | PublicParams::EdDSALegacy(_)
        | PublicParams::Ed25519(_)
        | PublicParams::Ed448(_) => Ok(()),
        _ => Err(format!("its kind ({:?}) is not trusted any more", key.algorithm())),
    }
}

/// Whether a primary key was in force: not revoked, and not run out by its newest self-signature.
fn primary_good(key: &SignedPublicKey, at: SystemTime) -> Result<(), Distrust> {
    let primary = &key.primary_key;
    if key.details.revocation_signatures.iter().any(|revocation| revocation.verify_key(primary).is_ok()) {
        return Err(Distrust::Bad(format!("key {:X} was revoked", primary.fingerprint())));
    }
    let direct = key.details.direct_signatures.iter().filter(|found| found.verify_key(primary).is_ok());
    let users = key.details.users.iter().flat_map(|user| {
        user.signatures.iter().filter(|found| {
            issued_by(found, primary) && found.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        })
    });
    in_force(primary, direct.chain(users).max_by_key(|found| found.created()), at)
}

/// Whether a subkey belongs to its key, may sign, and was in force.
fn subkey_good(key: &SignedPublicKey, subkey: &SignedPublicSubKey, at: SystemTime) -> Result<(), Distrust> {
    let (primary, own) = (&key.primary_key, &subkey.key);
    let bad = |what: &str| Err(Distrust::Bad(format!("subkey {:X} {what}", own.fingerprint())));
    let genuine =
        || subkey.signatures.iter().filter(|found| found.verify_subkey_binding(primary, own).is_ok());
    if genuine().any(|found| found.typ() == Some(SignatureType::SubkeyRevocation)) {
        return bad("was revoked");
    }
    let Some(binding) = genuine().max_by_key(|found| found.created()) else {
        return bad("does not belong to its key");
    };
    // Without the subkey's own word anybody's key could be passed off as a subkey.
    let agreed = binding
        .embedded_signature()
        .is_some_and(|back| back.verify_primary_key_binding(own, primary).is_ok());
    if !(binding.key_flags().sign() && agreed) {
        return bad("may not sign");
    }
    in_force(own, Some(binding), at)
}

fn in_force(key: &impl KeyDetails, newest: Option<&Signature>, at: SystemTime) -> Result<(), Distrust> {
    let lasts =
        newest.and_then(Signature::key_expiration_time).map(Duration::from).filter(|time| !time.is_zero());
    match lasts.map(|time| SystemTime::from(key.created_at()) + time) {
        Some(end) if end < at => {
            Err(Distrust::Expired(format!("key {:X} ran out on {}", key.fingerprint(), day(end))))
        }
        _ => Ok(()),
    }
}

fn day(time: SystemTime) -> String {
    date(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64))
}
