//! TLS and join identities as the state keeps them, `pibake keys`, and what openssl, ssh and docker make of them
//! (tier `oracles`).

#[cfg(unix)]
mod commands;
mod desk;
mod identities;
#[cfg(unix)]
mod openssl;
#[cfg(unix)]
mod ssh;
#[cfg(unix)]
mod tools;
