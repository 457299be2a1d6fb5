//! The ext4 editor against outside oracles and a shadow model.
//!
//! Without tools this runs what needs none: random operations over committed fixtures, read back through
//! `ext4-view` and the editor's own reader, refusals, and damaged metadata. With `PIBAKE_TIER=oracles` it
//! also runs everything that takes e2fsprogs, root and the kernel's ext4; a tool that is missing then is a
//! failure. `tests/ext4/README.md` says which test answers which oracle of the design.

mod support;

mod damage;
mod edges;
mod fsops;
mod growth;
mod htree;
mod impossible;
mod random;
mod recovery;
mod refusals;
mod space;
#[path = "../tier.rs"]
mod tier;
mod usage;
mod used;
