//! An X.509 certificate (RFC 5280), read.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;

use super::error::{KeyError, damaged};

const WHAT: &str = "the certificate";

/// A certificate: its text, and what is to be known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pem: String,
    der: Vec<u8>,
    /// Whose it is, as `O=plexi, CN=pi1`.
    pub subject: String,
    /// From when it is valid, in seconds since 1970.
    pub not_before: i64,
    /// Until when it is valid, in seconds since 1970.
    pub not_after: i64,
    /// DNS names and addresses that it is for.
    pub names: BTreeSet<String>,
    /// What it may be used for.
    pub purpose: Purpose,
    /// The public key: DER of its SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
}

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Signing certificates.
    Authority {
        /// Whether authorities below it are ruled out (pathlen 0).
        last: bool,
        /// Whether it may sign certificates and do nothing else.
        only_certificates: bool,
    },
    /// Being a TLS server, and nothing else.
    Server,
    /// Being a TLS client, and nothing else.
    Client,
    /// Any other.
    Other,
}

impl Certificate {
    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        for block in Pem::iter_from_buffer(text.as_bytes()) {
            let block = block.map_err(|_| damaged(WHAT, "is no PEM"))?;
            if block.label == "CERTIFICATE" {
                return Self::from_der(block.contents);
            }
        }
        Err(damaged(WHAT, "is missing: there is no PEM block `CERTIFICATE`"))
    }

    fn from_der(der: Vec<u8>) -> Result<Self, KeyError> {
        let (rest, parsed) =
            X509Certificate::from_der(&der).map_err(|_| damaged(WHAT, "is no X.509 certificate"))?;
        if !rest.is_empty() {
            return Err(damaged(WHAT, "has something behind its end"));
        }
        // A part of a name that is empty is against X.501, and libraries that meet one do not return.
        if parsed.subject().iter().any(|part| part.iter().next().is_none()) {
            return Err(damaged(WHAT, "has a name with an empty part"));
        }
        let names = names(&parsed)?;
        let purpose = purpose(&parsed)?;
        let (subject, public_key) = (parsed.subject().to_string(), parsed.public_key().raw.to_vec());
        let (not_before, not_after) =
            (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
        let pem = to_pem(&der);
        Ok(Self { pem, der, subject, not_before, not_after, names, purpose, public_key })
    }

    /// The certificate alone, as PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The certificate, as DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 over the DER, as openssl prints it: `AB:CD:…`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digits = HEXLOWER.encode(&Sha256::digest(&self.der)).to_uppercase();
        let pairs = digits.as_bytes().chunks(2).map(String::from_utf8_lossy);
        pairs.collect::<Vec<_>>().join(":")
    }

    /// Whether this authority's certificate can be used by cards of a bake time (seconds since 1970).
    ///
    /// # Errors
    /// When the time is before it begins, or after it has ended.
    pub fn check_time(&self, time: i64) -> Result<(), KeyError> {
        if time < self.not_before {
            return Err(KeyError::TooEarly { time, begin: self.not_before });
        }
        if time > self.not_after { Err(KeyError::Ended { time }) } else { Ok(()) }
    }

    /// Whether `authority` signed it, under its present name.
    #[must_use]
    pub fn is_signed_by(&self, authority: &Certificate) -> bool {
        let (Ok((_, this)), Ok((_, signer))) =
            (X509Certificate::from_der(&self.der), X509Certificate::from_der(&authority.der))
        else {
            return false;
        };
        this.issuer().as_raw() == signer.subject().as_raw()
            && this.verify_signature(Some(signer.public_key())).is_ok()
    }
}

fn names(parsed: &X509Certificate<'_>) -> Result<BTreeSet<String>, KeyError> {
    let found = parsed.subject_alternative_name().map_err(|_| damaged(WHAT, "has unreadable names"))?;
    let Some(found) = found else { return Ok(BTreeSet::new()) };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    };
    Ok(found.value.general_names.iter().filter_map(name).collect())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(|bytes| IpAddr::from(Ipv4Addr::from(bytes)));
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| IpAddr::from(Ipv6Addr::from(bytes)))).ok()
}

fn purpose(parsed: &X509Certificate<'_>) -> Result<Purpose, KeyError> {
    let unreadable = |_| damaged(WHAT, "has unreadable limits");
    let basic = parsed.basic_constraints().map_err(unreadable)?;
    let usage = parsed.key_usage().map_err(unreadable)?;
    let may_sign = usage.as_ref().is_none_or(|usage| usage.value.key_cert_sign());
    if let Some(basic) = basic.filter(|basic| basic.value.ca && may_sign) {
        return Ok(Purpose::Authority {
            last: basic.value.path_len_constraint == Some(0),
            // Bit 5 of RFC 5280's KeyUsage, and no other.
            only_certificates: usage.is_some_and(|usage| usage.value.flags == 1 << 5),
        });
    }
    let Some(extended) = parsed.extended_key_usage().map_err(unreadable)? else { return Ok(Purpose::Other) };
    let usage = extended.value;
    let more = usage.any
        || usage.code_signing
        || usage.email_protection
        || usage.time_stamping
        || usage.ocsp_signing
        || !usage.other.is_empty();
    Ok(match (usage.server_auth, usage.client_auth) {
        (true, false) if !more => Purpose::Server,
        (false, true) if !more => Purpose::Client,
        _ => Purpose::Other,
    })
}

/// RFC 7468.
fn to_pem(der: &[u8]) -> String {
    let base64 = data_encoding::BASE64.encode(der);
    let lines = base64.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let lines = lines.collect::<Vec<_>>().join("\n");
    format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
}
