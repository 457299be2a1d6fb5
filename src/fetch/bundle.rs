//! A bundle as a directory: the packages, `SHA256SUMS`, and `bundle.json`, which says what they are, for
//! what they were chosen and where they came from.
//!
//! pibake only ever removes or replaces what `bundle.json` says it put there. What is about to go is written
//! down before anything else is touched, so that a run that was cut short is cleaned up after by the next.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::inventory::types::{Arch, Release};

use super::error::FetchError;

const VERSION: u32 = 1;
const MANIFEST: &str = "bundle.json";
const SUMS: &str = "SHA256SUMS";

/// What `bundle.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of this format: 1.
    pub version: u32,
    /// The image that the bundle completes.
    pub image: Image,
    /// Its release.
    pub release: Release,
    /// Its architecture.
    pub arch: Arch,
    /// What was asked for.
    pub asked: Vec<String>,
    /// The archives that were read.
    pub archives: Vec<Source>,
    /// The packages, by name.
    pub packages: Vec<Entry>,
    /// Files of an earlier bundle that are still to go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leftover: Vec<String>,
}

/// An image as it was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its file's name.
    pub file: String,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// An archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// URI and suite.
    pub archive: String,
    /// Day of its Release file.
    pub date: String,
    /// Fingerprint of the key that signed it.
    pub key: String,
}

/// A package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it is built for.
    pub architecture: String,
    /// Its file's name in the bundle.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// In hexadecimal digits.
    pub sha256: String,
    /// URI, suite and component.
    pub archive: String,
}

impl Manifest {
    /// A bundle with nothing in it yet.
    #[must_use]
    pub fn new(image: Image, release: Release, arch: Arch, asked: Vec<String>) -> Self {
        let (archives, packages, leftover) = Default::default();
        Self { version: VERSION, image, release, arch, asked, archives, packages, leftover }
    }
}

/// A directory that is fit to take a bundle.
#[derive(Debug)]
pub struct Target {
    dir: PathBuf,
    /// Files that an earlier bundle put there.
    ours: BTreeSet<String>,
}

impl Target {
    /// Looks at a directory, which need not be there yet.
    ///
    /// # Errors
    /// When it holds a bundle of other packages, or something that is none.
    pub fn look(dir: &Path, asked: &[String]) -> Result<Self, FetchError> {
        let path = dir.join(MANIFEST);
        let occupied = |what: String| FetchError::Occupied { path: path.clone(), what };
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { dir: dir.to_owned(), ours: BTreeSet::new() });
            }
            Err(error) => return Err(FetchError::io("reading", &path)(error)),
        };
        let old: Manifest = serde_json::from_slice(&text)
            .ok()
            .filter(|old: &Manifest| old.version == VERSION)
            .ok_or_else(|| occupied("it is not of a bundle that this pibake knows".to_owned()))?;
        if let Some(other) = old.asked.iter().find(|name| !asked.contains(name)) {
            let both = old.asked.join(" ");
            return Err(occupied(format!(
                "the bundle there is of {both}: name {other} too, or remove the directory"
            )));
        }
        let files = old.packages.into_iter().map(|entry| entry.file).chain(old.leftover);
        Ok(Self { dir: dir.to_owned(), ours: files.filter(|file| is_deb_name(file)).collect() })
    }

    /// Makes the directory hold the bundle; `cached` has the file of each package, in their order.
    ///
    /// # Errors
    /// When a file of somebody else is in the way, or the system refuses.
    pub fn fill(&self, mut manifest: Manifest, cached: &[PathBuf]) -> Result<Manifest, FetchError> {
        for entry in &manifest.packages {
            self.check_free(entry)?;
        }
        fs::create_dir_all(&self.dir).map_err(FetchError::io("making", &self.dir))?;
        let new: BTreeSet<&String> = manifest.packages.iter().map(|entry| &entry.file).collect();
        let stale: Vec<String> = self.ours.iter().filter(|file| !new.contains(file)).cloned().collect();
        manifest.leftover.clone_from(&stale);
        self.write_manifest(&manifest)?;
        for (entry, source) in manifest.packages.iter().zip(cached) {
            let path = self.dir.join(&entry.file);
            if !holds(&path, entry)? {
                self.place(&path, |part| fs::copy(source, part.path()).map(drop))?;
            }
        }
        for file in &stale {
            let path = self.dir.join(file);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(FetchError::io("removing", &path)(error));
                }
                _ => {}
            }
        }
        let mut sums = String::new();
        for entry in &manifest.packages {
            let _ = writeln!(sums, "{}  {}", entry.sha256, entry.file);
        }
        self.place(&self.dir.join(SUMS), |part| part.write_all(sums.as_bytes()))?;
        manifest.leftover.clear();
        self.write_manifest(&manifest)?;
        Ok(manifest)
    }

    /// Whether a package's place is free, or taken by itself or by an earlier bundle's file.
    fn check_free(&self, entry: &Entry) -> Result<(), FetchError> {
        let path = self.dir.join(&entry.file);
        if self.ours.contains(&entry.file) || fs::symlink_metadata(&path).is_err() || holds(&path, entry)? {
            return Ok(());
        }
        let what = "another file is there, which no earlier bundle put there".to_owned();
        Err(FetchError::Occupied { path, what })
    }

    fn write_manifest(&self, manifest: &Manifest) -> Result<(), FetchError> {
        let path = self.dir.join(MANIFEST);
        self.place(&path, |part| {
            serde_json::to_writer_pretty(&mut *part, manifest)?;
            part.write_all(b"\n")
        })
    }

    /// Puts a file there whole or not at all.
    fn place(
        &self,
        path: &Path,
        write: impl FnOnce(&mut tempfile::NamedTempFile) -> io::Result<()>,
    ) -> Result<(), FetchError> {
        let mut builder = tempfile::Builder::new();
        // What is in a bundle is public; who may read it is the user's umask's to say.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let made = builder.prefix(".bundle-").tempfile_in(&self.dir);
        let mut part = made.map_err(FetchError::io("making a file in", &self.dir))?;
        write(&mut part).and_then(|()| part.as_file().sync_all()).map_err(FetchError::io("writing", path))?;
        part.persist(path).map(drop).map_err(|error| FetchError::io("placing", path)(error.error))
    }
}

/// What a package's file is called: as apt calls it, a colon of the version being `%3a`.
#[must_use]
pub fn file_name(name: &str, version: &str, architecture: &str) -> String {
    format!("{name}_{}_{architecture}.deb", version.replace(':', "%3a"))
}

/// Whether a name out of `bundle.json` is that of a file in the directory, and of a package.
fn is_deb_name(name: &str) -> bool {
    name.ends_with(".deb") && !name.starts_with('.') && !name.contains(['/', '\0'])
}

/// Whether the file at `path` is the package's.
fn holds(path: &Path, entry: &Entry) -> Result<bool, FetchError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(FetchError::io("looking at", path)(error)),
    };
    if !metadata.is_file() || metadata.len() != entry.size {
        return Ok(false);
    }
    let mut file = File::open(path).map_err(FetchError::io("opening", path))?;
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(data_encoding::HEXLOWER.encode(&digest.finalize()) == entry.sha256),
            Ok(read) => digest.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(FetchError::io("reading", path)(error)),
        }
    }
}
