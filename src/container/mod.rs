//! Container images in archives: what `docker save` writes, and OCI layouts in a tar.

use std::fmt;
use std::path::PathBuf;

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
#[derive(Clone, Debug)]
pub struct ContainerImage {
    /// `name:tag`, as a stack would say it; an image may have several names, or none.
    pub names: Vec<String>,
    /// What it runs on.
    pub platform: Platform,
    /// Bytes of its layers, unpacked.
    pub unpacked: u64,
}

/// An archive of images on this machine.
#[derive(Clone, Debug)]
pub struct ImageArchive {
    /// Where it lies.
    pub path: PathBuf,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    /// What is in it; never empty.
    pub images: Vec<ContainerImage>,
}
