//! TLS and join identities as the state keeps them, `pibake keys`, and what openssl, ssh and docker make of them.

#[cfg(unix)]
mod commands;
mod desk;
mod identities;
