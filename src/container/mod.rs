//! Container images in archives: what `docker save` writes, and OCI layouts in a tar.
//!
//! An archive is read once from its first byte to its last ([`read`]): every member is measured and hashed
//! as it goes by, only small JSON texts are kept, and afterwards every digest the texts name is compared.
//! Nothing is unpacked to a disk, and no member can make this program use memory or time without bound.
//!
//! Sources: the OCI image-spec (image layout, index, manifest, config, annotations), and for Docker's own
//! form the Docker image specification v1.2 ("combined image JSON + filesystem changeset format").

mod archive;
mod catalogue;
mod config;
mod docker;
mod error;
mod legacy;
mod members;
mod name;
mod oci;
#[cfg(test)]
mod oracles;
mod packing;
mod recognise;
mod repack;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

pub use archive::{Stop, read};
pub use error::{ContainerError, Problem};
pub use name::{familiar, names_registry};
pub use packing::Packing;
pub use repack::repack;

/// What a container image runs on (OCI image-spec, "platform").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `arm`, `arm64`, `amd64`.
    pub architecture: String,
    /// `v6`, `v7`, `v8`; empty when it is not said.
    pub variant: String,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

/// One image of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerImage {
    /// `name:tag`, as a stack would say it; an image may have several names, or none.
    pub names: Vec<String>,
    /// What it runs on.
    pub platform: Platform,
    /// Bytes of its layers, unpacked.
    pub unpacked: u64,
    /// SHA-256 of its configuration in hexadecimal digits: what Docker shows as the image's id.
    pub id: String,
    /// The configuration, JSON.
    pub config: Vec<u8>,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
}

impl ContainerImage {
    /// Its first name, or the beginning of its id, for a person.
    #[must_use]
    pub fn label(&self) -> &str {
        match self.names.first() {
            Some(name) => name,
            None => self.id.get(..12).unwrap_or(&self.id),
        }
    }
}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The member of the archive that holds it.
    pub member: String,
    /// How the member is packed.
    pub packing: Packing,
    /// Bytes of the member.
    pub size: u64,
    /// Bytes of it unpacked.
    pub unpacked: u64,
    /// SHA-256 of it unpacked (the configuration's `diff_ids`).
    pub diff_id: [u8; 32],
}

/// How an archive says what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// By a `manifest.json`: what `docker save` has written since 1.10, the one that every Docker loads.
    Docker,
    /// By an `index.json` alone: an OCI layout, which most Dockers refuse.
    Oci,
    /// By `repositories` alone: `docker save` before 1.10, which newer Dockers refuse.
    Legacy,
}

/// An archive of images on this machine.
#[derive(Clone, Debug)]
pub struct ImageArchive {
    /// Where it lies.
    pub path: PathBuf,
    /// The file name it was given with.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    /// How it is packed as a whole.
    pub packing: Packing,
    /// How it says what is in it.
    pub form: Form,
    /// What is in it; never empty.
    pub images: Vec<ContainerImage>,
    /// Platforms that the archive it was made from had besides; empty for one that was only read.
    pub left_out: Vec<Platform>,
}

impl ImageArchive {
    /// Whether every Docker from 17.06 on loads it as it is: its own form, and nothing packed with zstd,
    /// which Docker reads since version 23 only.
    #[must_use]
    pub fn loads_everywhere(&self) -> bool {
        let packings = self.images.iter().flat_map(|image| &image.layers).map(|layer| layer.packing);
        self.form == Form::Docker && packings.chain([self.packing]).all(|packing| packing != Packing::Zst)
    }

    /// Bytes of its images' layers, unpacked, each layer once: what Docker keeps of it.
    #[must_use]
    pub fn unpacked(&self) -> u64 {
        let layers = self.images.iter().flat_map(|image| &image.layers);
        let once: std::collections::BTreeMap<_, _> =
            layers.map(|layer| (layer.diff_id, layer.unpacked)).collect();
        once.values().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes))
    }
}
