//! The room as a whole, against archives made here and served from this machine's own loopback.

mod archive;
mod bundles;
mod downloads;
mod keys;
mod resolving;
mod server;
mod signatures;
mod sourcing;
