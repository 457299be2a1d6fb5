//! The TLS authority of a cluster, and what it signs (joining.md, "TLS").

use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SerialNumber,
};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::certificate::Certificate;
use super::error::{KeyError, making};
use super::leaf::Leaf;
use super::private_key;

const DAY: i64 = 86_400;

/// How long before its making a CA's certificate begins: clocks of nodes without a battery are off by days.
const BACKDATED: i64 = 2 * DAY;
/// Twenty years, with their leap days.
const AUTHORITY_LASTS: i64 = 20 * 365 * DAY + 5 * DAY;

/// A node's certificate cannot be renewed without its card. What it proves is checked by the operator's own client.
const SERVER_LASTS: i64 = 5 * 365 * DAY;

/// dockerd knows no revocation lists: a client's certificate ends by itself or with the CA.
const CLIENT_LASTS: i64 = 2 * 365 * DAY;

/// A certificate authority: its certificate and its private key.
pub struct Authority {
    certificate: Certificate,
    key: KeyPair,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.certificate.subject)
    }
}

impl Authority {
    /// Makes one that can sign leaves and nothing else. `time` is in seconds since 1970.
    ///
    /// # Errors
    /// When no key can be made, or the time is beyond all calendars.
    pub fn make(cluster: &str, time: i64, serial: [u8; 16]) -> Result<Self, KeyError> {
        let key = KeyPair::generate().map_err(making("a key"))?;
        let mut params = CertificateParams::default();
        params.not_before = date(time - BACKDATED)?;
        params.not_after = date(time - BACKDATED + AUTHORITY_LASTS)?;
        params.serial_number = Some(positive(serial));
        params.distinguished_name = authority_name(cluster);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let made = params.self_signed(&key).map_err(making("a certificate"))?;
        Ok(Self { certificate: Certificate::from_pem(&made.pem())?, key })
    }

    /// Puts one together again.
    ///
    /// # Errors
    /// When the certificate or the key (PKCS #8) is damaged, or they are not a pair.
    pub fn open(certificate: &str, key: &str) -> Result<Self, KeyError> {
        let key = private_key::read(key)?;
        Self::pair(Certificate::from_pem(certificate)?, key)
    }

    pub(super) fn pair(certificate: Certificate, key: KeyPair) -> Result<Self, KeyError> {
        if key.subject_public_key_info() == certificate.public_key {
            Ok(Self { certificate, key })
        } else {
            Err(KeyError::NoPair)
        }
    }

    /// Its certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Its private key, PEM (PKCS #8).
    #[must_use]
    pub fn key(&self) -> Zeroizing<String> {
        Zeroizing::new(self.key.serialize_pem())
    }

    /// Signs a leaf's certificate for the public half of `key` (PEM). It begins with the authority, so that no node whose
    /// clock stands at its bake finds it too young.
    ///
    /// # Errors
    /// When the key cannot be read, or a name is none.
    pub fn issue(
        &self,
        leaf: &Leaf,
        key: &str,
        time: i64,
        serial: [u8; 16],
    ) -> Result<Certificate, KeyError> {
        let key = private_key::read(key)?;
        let params = self.params(leaf, time, serial)?;
        let authority = self.certificate.der().into();
        let issuer = Issuer::from_ca_cert_der(&authority, &self.key).map_err(making("a certificate"))?;
        let signed = params.signed_by(&key, &issuer).map_err(making("a certificate"))?;
        let certificate = Certificate::from_pem(&signed.pem())?;
        if certificate.is_signed_by(&self.certificate) {
            Ok(certificate)
        } else {
            let (what, instead) = ("the form of the CA's name".to_owned(), "use a CA with a plain name");
            Err(KeyError::Unsupported { what, instead })
        }
    }

    fn params(&self, leaf: &Leaf, time: i64, serial: [u8; 16]) -> Result<CertificateParams, KeyError> {
        let (lasts, usage) = match leaf {
            Leaf::Server { .. } => (SERVER_LASTS, ExtendedKeyUsagePurpose::ServerAuth),
            Leaf::Client { .. } => (CLIENT_LASTS, ExtendedKeyUsagePurpose::ClientAuth),
        };
        let mut params = CertificateParams::default();
        params.not_before = date(self.certificate.not_before)?;
        params.not_after = date(self.certificate.not_after.min(time + lasts))?;
        params.serial_number = Some(positive(serial));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, leaf.name());
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        params.subject_alt_names = leaf.alternative_names()?;
        Ok(params)
    }
}

/// Makes a private key for a leaf: PEM (PKCS #8).
///
/// # Errors
/// When the system has no random numbers.
pub fn leaf_key() -> Result<Zeroizing<String>, KeyError> {
    Ok(Zeroizing::new(KeyPair::generate().map_err(making("a key"))?.serialize_pem()))
}

/// The public half of a private key (PEM): DER of its SubjectPublicKeyInfo.
///
/// # Errors
/// When it cannot be read.
pub fn public_half(key: &str) -> Result<Vec<u8>, KeyError> {
    let key = private_key::read(key)?;
    Ok(key.subject_public_key_info())
}

fn authority_name(cluster: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, cluster);
    name.push(DnType::CommonName, "pibake TLS CA");
    name
}

fn date(time: i64) -> Result<OffsetDateTime, KeyError> {
    OffsetDateTime::from_unix_timestamp(time).map_err(making("a certificate"))
}

/// A serial number of 16 bytes in DER, which is positive and does not begin with a zero byte.
fn positive(mut serial: [u8; 16]) -> SerialNumber {
    serial[0] = serial[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&serial)
}
