//! pibake bakes Raspberry Pi cards: one stock image and one cluster file in, proven cards out.
//!
//! Data flows one way through rooms that know nothing of the rooms to their right:
//!
//! ```text
//! source ─► disk ─► fs ─► inventory ─► plan ─► apply (fs edits over cow) ─► prove ─► sink ─► receipt
//!                                       ▲
//!                 config, state ────────┘
//! ```
//!
//! `src/README.md` draws the whole; `tests/integration/arrows.rs` rejects an import that points the wrong way.

pub mod apply;
pub mod audit;
pub mod backup;
pub mod check;
pub mod cli;
pub mod commands;
pub mod config;
pub mod container;
pub mod cow;
pub mod deb;
pub mod device;
pub mod disk;
pub mod error;
pub mod fetch;
pub mod fit;
pub mod fs;
pub mod interrupt;
pub mod inventory;
pub mod invoker;
pub mod keys;
pub mod live;
pub mod node;
pub mod plan;
pub mod progress;
pub mod prove;
pub mod seed;
pub mod seekable;
pub mod sink;
pub mod source;
pub mod state;
#[cfg(test)]
#[path = "../tests/tier.rs"]
mod tier;
pub mod usage;
