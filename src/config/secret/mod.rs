//! Secrets: where they come from, fetching them once a run, and turning them into what a card holds.

mod derive;
mod outside;
mod resolve;
mod source;
#[cfg(test)]
mod tests;

pub use derive::{hash_password, wifi_psk};
pub use outside::{Run, ThisMachine};
pub use resolve::{Ask, Outside, Request, Resolver, SecretErrors, placeholders};
pub use source::parse_source;

pub(super) use derive::{check_password, check_psk};
