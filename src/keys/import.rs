//! Taking over an authority that was made elsewhere.

use super::authority::{Authority, leaf_key};
use super::certificate::{Certificate, Purpose};
use super::error::KeyError;
use super::leaf::Leaf;
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
        let authority = Authority::pair(certificate, private_key::read(key)?)?;
        // A name that cannot be repeated in what it signs is found out now, and not at the next bake.
        let (leaf, time) = (Leaf::client("trial")?, authority.certificate().not_before);
        authority.issue(&leaf, &leaf_key()?, time, [0; 16])?;
        Ok(authority)
    }
}
