//! `pibake check`: running nodes, asked over ssh, compared with what the cluster file says they are.
//!
//! Nothing here changes a node or trusts it: [`ask`] runs the user's own OpenSSH client with the host keys that
//! the state keeps, [`facts`] reads the answer as untrusted text, and [`compare`] and [`swarm`] are pure.

pub mod ask;
pub mod compare;
pub mod facts;
pub mod finding;
pub mod swarm;
#[cfg(test)]
mod tests;
