//! Which signatures count. Keys and signatures are made with the library that checks them; the network tier
//! checks Debian's own, made by GnuPG.

use pgp::composed::KeyType;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::SignatureType;

use super::keys::{ArchiveKey, archive_key, in_days, now, whatever_ran_out};
use crate::fetch::signature::{Distrust, Keyring, clearsigned, detached};

const TEXT: &str = "Origin: Test\n- dashed\nSHA256:\n end";

#[track_caller]
fn refused(bytes: &[u8], keyring: &Keyring, says: &str) {
    match clearsigned(bytes, keyring, now()).unwrap_err() {
        Distrust::Bad(why) => assert!(why.contains(says), "{why}"),
        Distrust::Expired(why) => panic!("taken for expired: {why}"),
    }
}

#[test]
fn what_a_known_key_signed_is_read() {
    for kind in [KeyType::Ed25519Legacy, KeyType::Ed25519, KeyType::Rsa(2048)] {
        let key = ArchiveKey::new(kind.clone());
        let signed = clearsigned(&key.clearsign(TEXT), &key.keyring(), now()).unwrap();
        assert_eq!((signed.text.as_str(), &signed.key), (TEXT, &key.fingerprint()), "{kind:?}");
        let signed =
            detached(TEXT.as_bytes(), &key.detached(TEXT.as_bytes()), &key.keyring(), now()).unwrap();
        assert_eq!((signed.text.as_str(), &signed.key), (TEXT, &key.fingerprint()), "{kind:?}");
    }
}

#[test]
fn keyrings_are_binary_or_armoured_and_may_hold_many_keys() {
    let (one, other) = (archive_key(), ArchiveKey::new(KeyType::Ed25519Legacy));
    let both = Keyring::parse(&[one.public(), other.public()].concat()).unwrap();
    for key in [one, &other] {
        assert!(clearsigned(&key.clearsign(TEXT), &both, now()).is_ok());
        assert!(
            clearsigned(&key.clearsign(TEXT), &Keyring::parse(key.armoured().as_bytes()).unwrap(), now())
                .is_ok()
        );
    }
    let only = both.only(&[format!("{}!", other.fingerprint().to_lowercase())]);
    assert!(clearsigned(&other.clearsign(TEXT), &only, now()).is_ok());
    refused(&one.clearsign(TEXT), &only, &one.fingerprint());
}

#[test]
fn what_is_no_keyring_is_said_so() {
    let mut key_box = b"\0\0\0\x20\x01\x01\0\x02KBXf".to_vec();
    key_box.resize(32, 0);
    assert!(Keyring::parse(&key_box).unwrap_err().contains("key box"));
    for bytes in [&b""[..], b"no key", b"\x99\x01", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n"] {
        assert!(Keyring::parse(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn what_others_signed_or_changed_is_refused() {
    let (key, stranger) = (archive_key(), ArchiveKey::new(KeyType::Ed25519Legacy));
    let keyring = key.keyring();
    refused(&stranger.clearsign(TEXT), &keyring, &format!("{}, none of which", stranger.fingerprint()));
    refused(TEXT.as_bytes(), &keyring, "no clear-signed text");
    refused(b"\xff\xfe", &keyring, "no text");
    let text = String::from_utf8(key.clearsign(TEXT)).unwrap();
    refused(text.replace("Origin: Test", "Origin: Tess").as_bytes(), &keyring, "not the one that it signed");
    refused(format!("Origin: Evil\n{text}").as_bytes(), &keyring, "no clear-signed text");
    refused(format!("{text}\nOrigin: Evil\n").as_bytes(), &keyring, "no clear-signed text");
    refused(&"\n".repeat(30_000).into_bytes(), &keyring, "lines");
    let release = detached(b"changed", &key.detached(b"release"), &keyring, now()).unwrap_err();
    assert!(matches!(release, Distrust::Bad(why) if why.contains("not the one that it signed")));
    assert!(detached(b"release", b"no signature", &keyring, now()).is_err());
}

#[test]
fn one_good_signature_among_unknown_ones_is_enough() {
    let (key, stranger) = (archive_key(), ArchiveKey::new(KeyType::Ed25519Legacy));
    let release = b"release";
    let both = [stranger, ArchiveKey::new(KeyType::Ed25519Legacy)].map(|key| key.detached(release));
    let with_ours = [binary(&both[0]), binary(&key.detached(release)), binary(&both[1])].concat();
    assert_eq!(detached(release, &with_ours, &key.keyring(), now()).unwrap().key, key.fingerprint());
    assert!(
        detached(release, &[binary(&both[0]), binary(&both[1])].concat(), &key.keyring(), now()).is_err()
    );
}

/// A signature without its armour.
fn binary(armoured: &[u8]) -> Vec<u8> {
    use pgp::composed::{Deserializable, DetachedSignature};
    use pgp::ser::Serialize;
    DetachedSignature::from_armor_single(armoured).unwrap().0.to_bytes().unwrap()
}

#[test]
fn digests_that_can_be_forged_are_refused() {
    let key = ArchiveKey::new(KeyType::Rsa(2048));
    let signed = |hash| key.clearsign_with(TEXT, hash, SignatureType::Text);
    refused(&signed(HashAlgorithm::Sha1), &key.keyring(), "SHA1, which can be forged");
    assert!(clearsigned(&signed(HashAlgorithm::Sha512), &key.keyring(), now()).is_ok());
}

#[test]
fn a_subkey_signs_if_its_key_says_so() {
    let key = ArchiveKey::with_subkey(true);
    let signed = clearsigned(&key.clearsign_by_subkey(TEXT), &key.keyring(), now()).unwrap();
    assert_eq!(signed.key, key.fingerprint());
    let key = ArchiveKey::with_subkey(false);
    refused(&key.clearsign_by_subkey(TEXT), &key.keyring(), "may not sign");
}

#[test]
fn a_subkey_of_somebody_else_is_not_made_ones_own_by_putting_it_there() {
    let (mut victim, thief) = (ArchiveKey::with_subkey(true), ArchiveKey::with_subkey(true));
    let signed = thief.clearsign_by_subkey(TEXT);
    victim.0.secret_subkeys = thief.0.secret_subkeys.clone();
    refused(&signed, &victim.keyring(), "does not belong to its key");
}

#[test]
fn a_revoked_key_does_not_count() {
    let key = ArchiveKey::new(KeyType::Ed25519Legacy).revoked();
    refused(&key.clearsign(TEXT), &key.keyring(), "was revoked");
    // Somebody else's revocation is nothing.
    let mut key = ArchiveKey::new(KeyType::Ed25519Legacy);
    key.0.details.revocation_signatures.push(archive_key().revocation());
    assert!(clearsigned(&key.clearsign(TEXT), &key.keyring(), now()).is_ok());
}

#[test]
fn a_key_that_ran_out_counts_only_for_what_it_signed_before_and_when_asked_for() {
    // Made yesterday and good for two days.
    let key = ArchiveKey::new(KeyType::Ed25519Legacy).lasting(2 * 86_400);
    let signed = key.clearsign(TEXT);
    assert!(clearsigned(&signed, &key.keyring(), now()).is_ok());
    let refused = clearsigned(&signed, &key.keyring(), in_days(3)).unwrap_err();
    assert!(matches!(&refused, Distrust::Expired(why) if why.contains("ran out on")), "{refused:?}");
    let late = crate::fetch::clock::Clock { allow_expired: true, ..in_days(3) };
    assert!(clearsigned(&signed, &key.keyring(), late).is_ok());
    // Good for an hour, and so not when it signed.
    let key = ArchiveKey::new(KeyType::Ed25519Legacy).lasting(3600);
    for clock in [now(), whatever_ran_out()] {
        assert!(matches!(
            clearsigned(&key.clearsign(TEXT), &key.keyring(), clock),
            Err(Distrust::Expired(_))
        ));
    }
}
