//! Backups: an image with its free space left out, as three files.
//!
//! - `NAME.img.zst`, the [`archive`]: a plain zstd stream of independent frames with a seek table, which `zstd -dc`
//!   unpacks anywhere;
//! - `NAME.img.bmap`, the [`bmap`]: bmaptool's XML 2.0, with a digest of every range in use;
//! - `NAME.json`, the [`manifest`]: what it is a backup of, and the digests of both others and of every frame.
//!
//! What was not in use, and what could not be read, is zeros in the archive and no range of the bmap. The files
//! appear under their names only when all three are whole, the manifest last. They hold private keys, so only
//! their owner may read them.

pub mod archive;
pub mod bmap;
pub mod digest;
pub mod error;
pub mod manifest;
pub mod names;
pub mod open;
mod reading;

#[cfg(test)]
mod tests;
