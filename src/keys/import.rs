//! Taking over an authority that was made elsewhere.

use super::authority::Authority;
use super::certificate::{Certificate, Purpose};
use super::error::KeyError;
use super::private_key;

impl Authority {
    /// Puts one together from a certificate and a key that something else made.
    ///
    /// # Errors
    /// When they are damaged, unsupported or no pair, when the certificate is none of a CA, or when the CA could sign more
    /// than leaves and `accept_unlimited` is not said: then a node's key may already pass for a client.
    pub fn import(certificate: &str, key: &str, accept_unlimited: bool) -> Result<Self, KeyError> {
        let certificate = Certificate::from_pem(certificate)?;
        let Purpose::Authority { last, only_certificates } = certificate.purpose else {
            return Err(KeyError::NotAuthority);
        };
        let limits = [(last, "pathlen 0"), (only_certificates, "keyUsage keyCertSign alone")];
        let missing: Vec<&str> = limits.into_iter().filter(|(has, _)| !has).map(|(_, name)| name).collect();
        if !missing.is_empty() && !accept_unlimited {
            return Err(KeyError::Unlimited { missing: missing.join(" and ") });
        }
        Authority::pair(certificate, private_key::read(key)?)
    }
}
