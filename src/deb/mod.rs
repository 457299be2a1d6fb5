//! Debian packages: what they are called, what they need, and whether a set of them is complete
//! (deb-control(5), deb-version(7), Debian Policy chapter 7).

use std::path::PathBuf;

use debian_control::lossy::Relations;
use debversion::Version;

/// A binary package as its control file describes it: in a `.deb`, in an archive's `Packages`, or in
/// dpkg's status.
#[derive(Clone, Debug)]
pub struct Package {
    /// `docker.io`.
    pub name: String,
    /// `20.10.24+dfsg1-1+deb12u1`.
    pub version: Version,
    /// `arm64`, `all`, …
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
}
