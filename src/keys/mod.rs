//! Who trusts whom, as key material: one TLS authority for dockerd's port 2376, one SSH authority for joining.
//!
//! The two never stand in for each other (joining.md, "Trust" and "TLS"). Nothing here reads or writes files:
//! the state keeps what is made here. What is normally random and no key (serial numbers, nonces) is handed in,
//! so that the same inputs give the same bytes.

pub mod authority;
pub mod certificate;
pub mod join;
pub mod leaf;
pub mod passphrase;

mod error;
mod import;
mod private_key;

pub use error::KeyError;

#[cfg(test)]
mod tests;
