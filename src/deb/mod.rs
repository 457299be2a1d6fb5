//! Debian packages: what they are called, what they need, and whether a set of them is complete
//! (deb-control(5), deb-version(7), deb(5), Debian Policy chapter 7).
//!
//! [`file::read`] looks into a `.deb`, [`status::read`] into dpkg's list of what is installed,
//! [`Package::from_paragraph`] into one paragraph of an archive's `Packages`. [`index::Index`] finds what
//! satisfies a relation, and [`closure::check`] says what stands in the way of installing a set.

pub mod closure;
pub mod control;
pub mod file;
pub mod index;
pub mod status;
#[cfg(test)]
pub(crate) mod testing;

use std::fmt;
use std::path::PathBuf;

use debian_control::lossy::Relations;
use debversion::Version;

/// A binary package as its control file describes it: in a `.deb`, in an archive's `Packages`, or in
/// dpkg's status.
#[derive(Clone, Debug)]
pub struct Package {
    /// `docker.io`; letters, digits and `+-.` only.
    pub name: String,
    /// `20.10.24+dfsg1-1+deb12u1`.
    pub version: Version,
    /// `arm64`, `all`, …; letters, digits and `-` only.
    pub architecture: String,
    /// `Multi-Arch`: `same`, `foreign`, `allowed`; empty when there is none.
    pub multi_arch: String,
    /// `Pre-Depends` and `Depends`.
    pub depends: Relations,
    /// `Breaks` and `Conflicts`.
    pub conflicts: Relations,
    /// `Provides`.
    pub provides: Relations,
    /// `Replaces`.
    pub replaces: Relations,
    /// Size on the disk once it is installed, in KiB.
    pub installed_size: u64,
}

impl Package {
    /// Whether it runs on `native`: built for it, or for all.
    #[must_use]
    pub fn fits(&self, native: &str) -> bool {
        self.architecture == native || self.architecture == "all"
    }
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// A `.deb` file of this machine.
#[derive(Clone, Debug)]
pub struct DebFile {
    /// What is in it.
    pub package: Package,
    /// Where it lies.
    pub path: PathBuf,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    /// Whether a part of it is compressed with zstd, which Debian's dpkg unpacks from Bookworm on.
    pub zstd: bool,
}
