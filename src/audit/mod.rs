//! What a card holds, against what was put into it: its own manifest, path by path, and whether it was used since.
//!
//! Nothing of a plan is needed, nor any secret: the manifest (`/usr/share/pibake/manifest.json`) has digests of
//! all that is not secret. It is not signed; that it is the one of a flash is known by the digests of the receipt
//! as long as the card was not used, and by the plan it names afterwards.

pub mod manifest;
pub mod paths;
pub mod signs;
pub mod stock;

mod lives;
