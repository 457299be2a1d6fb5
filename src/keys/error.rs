//! Why keys could not be made, read or used.

/// An error about keys; none holds any of a private one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A library or the system would not make it.
    #[error("making {what}: {why}")]
    Making {
        /// What: "a key", "a certificate" …
        what: &'static str,
        /// What stood in the way.
        why: String,
    },
    /// It is not what it should be.
    #[error("{what} {why}")]
    Damaged {
        /// What: "the certificate" …
        what: &'static str,
        /// "is no PEM", "has no end" …
        why: String,
    },
    /// It is sound, and of a kind that cannot be used here.
    #[error("{what} is not supported; {instead}")]
    Unsupported {
        /// What it is.
        what: String,
        /// What would do.
        instead: &'static str,
    },
    /// It is a certificate of something that may not sign others.
    #[error("the certificate is none of a CA (no basicConstraints with CA:TRUE)")]
    NotAuthority,
    /// What the CA signed elsewhere could pass for what is signed here.
    #[error("the CA is not limited as pibake's own is: {missing}")]
    Unlimited {
        /// Which limits it lacks.
        missing: String,
    },
    /// Certificate and key are not one pair.
    #[error("the CA's certificate and private key do not belong together")]
    NoPair,
    /// The authority's own time is over.
    #[error("the CA's certificate has ended before {time}, the bake time")]
    Ended {
        /// Seconds since 1970.
        time: i64,
    },
    /// The bake time is before the authority's.
    #[error("the bake time {time} is before {begin}, when the CA's certificate begins")]
    TooEarly {
        /// The bake time, in seconds since 1970.
        time: i64,
        /// When the certificate begins, in seconds since 1970.
        begin: i64,
    },
    /// It cannot be a client's name.
    #[error("{name:?} is no name for a client: letters, digits, `.`, `_` and `-`, up to 64")]
    Name {
        /// The name.
        name: String,
    },
    /// It does not open what it was to open.
    #[error("wrong passphrase")]
    WrongPassphrase,
}

/// A library's refusal to make something.
pub(super) fn making<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> KeyError {
    move |error| KeyError::Making { what, why: error.to_string() }
}

/// What is wrong with something that was read.
pub(super) fn damaged(what: &'static str, why: impl Into<String>) -> KeyError {
    KeyError::Damaged { what, why: why.into() }
}
