//! Authorities and what they sign, read back.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ssh_key::{Certificate as SshCertificate, HashAlg, PublicKey};

use super::KeyError;
use super::authority::{Authority, leaf_key, public_half};
use super::certificate::{Certificate, Purpose};
use super::join::{JoinAuthority, Membership, SshKey, certified_key, without_comment};
use super::leaf::Leaf;

const DAY: i64 = 86_400;
const TIME: i64 = 1_763_629_201;

fn authority() -> Authority {
    Authority::make("plexi", TIME, [0xff; 16]).expect("it can be made")
}

fn server() -> Leaf {
    Leaf::Server {
        node: "pi1".to_owned(),
        names: vec!["pi1.lan".to_owned(), "localhost".to_owned()],
        addresses: vec![IpAddr::V4(Ipv4Addr::new(192, 168, 0, 1)), IpAddr::V4(Ipv4Addr::LOCALHOST)],
    }
}

fn client() -> Leaf {
    Leaf::Client { name: "operator".to_owned() }
}

fn issue(authority: &Authority, leaf: &Leaf) -> Certificate {
    let key = leaf_key().expect("it can be made");
    authority.issue(leaf, &key, TIME, [0; 16]).expect("it can be signed")
}

#[test]
fn an_authority_is_limited_and_backdated() {
    let authority = authority();
    let certificate = authority.certificate();
    assert_eq!(certificate.purpose, Purpose::Authority { last: true, only_certificates: true });
    assert!(certificate.not_before <= TIME - DAY);
    assert!(certificate.not_after > TIME + 19 * 365 * DAY);
    assert_eq!(certificate.subject, "O=plexi, CN=pibake TLS CA");
    assert!(certificate.is_signed_by(certificate));
}

#[test]
fn an_authority_is_put_together_again_and_only_with_its_own_key() {
    let (one, other) = (authority(), authority());
    let again = Authority::open(one.certificate().pem(), &one.key()).expect("they are a pair");
    assert_eq!(again.certificate(), one.certificate());
    assert!(issue(&again, &server()).is_signed_by(one.certificate()));
    let mixed = Authority::open(one.certificate().pem(), &other.key());
    assert_eq!(mixed.err(), Some(KeyError::NoPair));
    let damaged = Authority::open(one.certificate().pem(), "-----BEGIN PRIVATE KEY-----\nAAAA\n");
    assert!(matches!(damaged, Err(KeyError::Damaged { .. })));
}

#[test]
fn leaves_are_for_one_purpose_and_for_their_names() {
    let authority = authority();
    let (server_certificate, client_certificate) =
        (issue(&authority, &server()), issue(&authority, &client()));
    assert_eq!(server_certificate.purpose, Purpose::Server);
    let names = ["127.0.0.1", "192.168.0.1", "localhost", "pi1", "pi1.lan"].map(str::to_owned);
    assert_eq!(server_certificate.names, BTreeSet::from(names));
    assert_eq!(client_certificate.purpose, Purpose::Client);
    assert!(client_certificate.names.is_empty());
    for certificate in [server_certificate, client_certificate] {
        assert_eq!(certificate.not_before, authority.certificate().not_before);
        assert!(certificate.not_after < authority.certificate().not_after);
        assert!(certificate.is_signed_by(authority.certificate()));
    }
}

#[test]
fn a_leaf_is_made_anew_when_it_no_longer_serves() {
    let authority = authority();
    let ca = authority.certificate();
    let certificate = issue(&authority, &server());
    let end = certificate.not_after;
    assert!(server().is_served_by(&certificate, ca, TIME));
    assert!(server().is_served_by(&certificate, ca, end - 90 * DAY));
    assert!(!server().is_served_by(&certificate, ca, end - 90 * DAY + 1));
    assert!(!client().is_served_by(&certificate, ca, TIME));
    let moved = Leaf::Server { node: "pi1".to_owned(), names: Vec::new(), addresses: Vec::new() };
    assert!(!moved.is_served_by(&certificate, ca, TIME));
    let other = self::authority();
    assert!(!server().is_served_by(&certificate, other.certificate(), TIME));
}

#[test]
fn near_the_end_of_the_authority_leaves_end_with_it_and_serve_to_the_last() {
    let authority = authority();
    let ca = authority.certificate();
    let late = ca.not_after - 10 * DAY;
    let key = leaf_key().expect("it can be made");
    let certificate = authority.issue(&server(), &key, late, [0; 16]).expect("it can be signed");
    assert_eq!(certificate.not_after, ca.not_after);
    assert!(server().is_served_by(&certificate, ca, late));
    assert!(!server().is_served_by(&certificate, ca, ca.not_after));
}

#[test]
fn an_authority_has_its_time() {
    let ca = authority().certificate().clone();
    assert_eq!(ca.check_time(ca.not_before), Ok(()));
    let (time, begin) = (ca.not_before - 1, ca.not_before);
    assert_eq!(ca.check_time(time), Err(KeyError::TooEarly { time, begin }));
    let time = ca.not_after + 1;
    assert_eq!(ca.check_time(time), Err(KeyError::Ended { time }));
}

#[test]
fn what_is_no_certificate_is_said_to_be_none() {
    for text in [
        "",
        "nonsense",
        "-----BEGIN CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
    ] {
        assert!(matches!(Certificate::from_pem(text), Err(KeyError::Damaged { .. })), "{text}");
    }
}

#[test]
fn every_cut_and_every_flipped_byte_of_a_certificate_is_survived() {
    let whole = issue(&authority(), &server());
    let der = whole.der().to_vec();
    let pem = |der: &[u8]| {
        let base64 = data_encoding::BASE64.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
    };
    assert_eq!(Certificate::from_pem(&pem(&der)).expect("it is whole").der(), der);
    for length in 0..der.len() {
        assert!(Certificate::from_pem(&pem(&der[..length])).is_err(), "{length}");
    }
    for at in 0..der.len() {
        let mut flipped = der.clone();
        flipped[at] ^= 0x55;
        if let Ok(read) = Certificate::from_pem(&pem(&flipped)) {
            assert!(!read.is_signed_by(&whole), "{at}");
        }
    }
}

#[test]
fn nothing_of_a_private_key_is_shown() {
    let authority = authority();
    let key = SshKey::make("pi1").expect("it can be made");
    let join = JoinAuthority::open(&key.private).expect("it is one");
    let secret = key.private.lines().nth(2).expect("it has lines").to_owned();
    let shown = format!("{authority:?} {key:?} {join:?}");
    assert!(shown.contains("O=plexi"), "{shown}");
    assert!(!shown.contains("PRIVATE") && !shown.contains(&secret), "{shown}");
}

fn membership() -> Membership<'static> {
    let until = u64::try_from(TIME + 365 * DAY).expect("it is positive");
    Membership { node: "pi1", role: "worker", until, serial: 7, nonce: [9; 32] }
}

#[test]
fn a_join_certificate_allows_one_command_to_one_account() {
    let authority =
        JoinAuthority::open(&SshKey::make("ca").expect("it can be made").private).expect("it is one");
    let key = SshKey::make("pi1").expect("it can be made");
    let line = authority.sign(&key.public, &membership()).expect("it can be signed");
    let certificate = SshCertificate::from_openssh(&line).expect("it is one");
    assert_eq!(certificate.valid_principals(), ["pibake-join"]);
    let options: Vec<(&str, &str)> =
        certificate.critical_options().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(options, [("force-command", "/usr/lib/pibake/swarm-ask pi1 worker")]);
    assert!(certificate.extensions().is_empty());
    assert_eq!(certificate.key_id(), "pi1");
    assert_eq!((certificate.valid_after(), certificate.valid_before()), (0, membership().until));
    assert!(certificate.cert_type().is_user());
    let ca = PublicKey::from_openssh(&authority.public().expect("it has one")).expect("it is one");
    let trusted = [ca.fingerprint(HashAlg::Sha256)];
    assert!(certificate.validate_at(membership().until - 1, &trusted).is_ok());
    assert!(certificate.validate_at(membership().until, &trusted).is_err());
    assert!(certificate.validate_at(0, &[key_fingerprint(&key)]).is_err());
    assert_eq!(certified_key(&line).map(|key| without_comment(&key)), Some(without_comment(&key.public)));
}

fn key_fingerprint(key: &SshKey) -> ssh_key::Fingerprint {
    PublicKey::from_openssh(&key.public).expect("it is one").fingerprint(HashAlg::Sha256)
}

#[test]
fn the_same_membership_gives_the_same_bytes_and_a_stand_in_has_the_true_size() {
    let authority =
        JoinAuthority::open(&SshKey::make("ca").expect("it can be made").private).expect("it is one");
    let key = SshKey::make("pi1").expect("it can be made");
    let sign = |authority: &JoinAuthority, membership: &Membership<'_>| {
        authority.sign(&key.public, membership).expect("it can be signed")
    };
    let line = sign(&authority, &membership());
    assert_eq!(sign(&authority, &membership()), line);
    assert_ne!(sign(&authority, &Membership { role: "manager", ..membership() }), line);
    assert_ne!(sign(&authority, &Membership { until: 5, ..membership() }), line);
    assert_eq!(sign(&JoinAuthority::stand_in(), &membership()).len(), line.len());
}

#[test]
fn keys_of_another_kind_are_no_join_keys() {
    let certificate = authority().certificate().pem().to_owned();
    for text in ["", "nonsense", certificate.as_str(), &authority().key()] {
        assert!(matches!(JoinAuthority::open(text), Err(KeyError::Damaged { .. })));
        assert!(matches!(SshKey::read(text), Err(KeyError::Damaged { .. })));
    }
    let line = JoinAuthority::stand_in().sign("ssh-ed25519 nonsense", &membership());
    assert!(matches!(line, Err(KeyError::Damaged { .. })));
}

#[test]
fn a_leaf_key_has_a_public_half() {
    let key = leaf_key().expect("it can be made");
    let certificate = authority().issue(&client(), &key, TIME, [1; 16]).expect("it can be signed");
    assert_eq!(public_half(&key).expect("it is sound"), certificate.public_key);
    assert!(public_half("nonsense").is_err());
}
