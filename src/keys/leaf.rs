//! Whom a TLS certificate below the authority is for.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rcgen::SanType;

use super::certificate::{Certificate, Purpose};
use super::error::{KeyError, making};

/// A certificate with less left, in seconds, is made anew (design.md section 5: 90 days).
const RENEWED: i64 = 90 * 86_400;

/// RFC 5280, ub-common-name.
const NAME_MAX: usize = 64;

/// Who, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// A node's dockerd.
    Server {
        /// The node's name.
        node: String,
        /// Further names that it is reached under.
        names: Vec<String>,
        /// Addresses that it is reached under.
        addresses: Vec<IpAddr>,
    },
    /// The operator, or a program of his.
    Client {
        /// A name for people.
        name: String,
    },
}

impl Leaf {
    /// A client of this name.
    ///
    /// # Errors
    /// When the name could not be a file's: up to 64 letters, digits, `.`, `_` and `-`, a letter or digit first.
    pub fn client(name: &str) -> Result<Self, KeyError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if first && name.len() <= NAME_MAX && name.bytes().all(plain) {
            Ok(Leaf::Client { name: name.to_owned() })
        } else {
            Err(KeyError::Name { name: name.to_owned() })
        }
    }

    /// What its certificate calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Leaf::Server { node, .. } => node,
            Leaf::Client { name } => name,
        }
    }

    /// Every name and address that its certificate is for.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        match self {
            Leaf::Server { node, names, addresses } => {
                let addresses = addresses.iter().map(ToString::to_string);
                names.iter().cloned().chain([node.clone()]).chain(addresses).collect()
            }
            Leaf::Client { .. } => BTreeSet::new(),
        }
    }

    /// What its certificate may be used for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        match self {
            Leaf::Server { .. } => Purpose::Server,
            Leaf::Client { .. } => Purpose::Client,
        }
    }

    /// Whether a certificate still serves it: signed by `authority` for it, and with time left from `time` (seconds since
    /// 1970).
    #[must_use]
    pub fn is_served_by(&self, certificate: &Certificate, authority: &Certificate, time: i64) -> bool {
        // Where the authority itself ends, making it anew would give the same again.
        let lasts = certificate.not_after >= time + RENEWED
            || certificate.not_after == authority.not_after && certificate.not_after > time;
        lasts
            && certificate.purpose == self.purpose()
            && certificate.names == self.names()
            && certificate.is_signed_by(authority)
    }

    /// The names as the certificate holds them, sorted, so that the same names give the same bytes.
    pub(super) fn alternative_names(&self) -> Result<Vec<SanType>, KeyError> {
        let name = |name: String| match name.parse::<IpAddr>() {
            Ok(address) => Ok(SanType::IpAddress(address)),
            Err(_) => name.try_into().map(SanType::DnsName).map_err(making("a certificate")),
        };
        self.names().into_iter().map(name).collect()
    }
}
