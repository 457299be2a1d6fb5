//! TLS and join identities as the state keeps them.

mod desk;
mod identities;
