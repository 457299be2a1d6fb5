//! A manifest, read: what `plan` writes as `/usr/share/pibake/manifest.json`.

use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::fs::FsReader;
use crate::fs::error::FsError;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;

/// The form of the file that is understood here.
const FORMAT: u64 = 1;
/// More than a thousand times what a card has.
const MAX: u64 = 16 << 20;

/// What was put into a card.
#[derive(Clone, Debug, Deserialize)]
pub struct Manifest {
    /// The cluster.
    pub cluster: String,
    /// The node.
    pub node: String,
    /// The plan's digest, hexadecimal.
    pub plan: String,
    /// As RFC 3339 writes it.
    bake_time: String,
    /// What was captured, of a card that is no bake.
    restored: Option<Value>,
    /// Every path that was written or removed.
    pub paths: Vec<Entry>,
}

/// A path, and what was put there.
#[derive(Clone, Debug, Deserialize)]
pub struct Entry {
    /// Which filesystem.
    pub volume: Volume,
    /// The path.
    pub path: FsPath,
    /// What stands there.
    pub kind: Kind,
    /// The permission bits, octal digits.
    pub mode: Option<String>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// `immutable`, for a file that has the flag.
    #[serde(default)]
    pub flags: Vec<String>,
    /// Bytes of a file that is not secret.
    pub size: Option<u64>,
    /// SHA-256 of a file that is not secret, hexadecimal.
    pub sha256: Option<String>,
    /// Where a link leads.
    pub target: Option<String>,
}

/// What was done at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A regular file was written.
    File,
    /// A directory was made.
    Directory,
    /// A symbolic link was made.
    Link,
    /// Mode and owner were set.
    Meta,
    /// What stood there was removed, or was given another name.
    Removed,
}

/// Why there is no manifest to go by.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The card has none: pibake did not bake it, or it is lost.
    #[error("it has no manifest of what pibake put into it")]
    Missing,
    /// It cannot be read.
    #[error("reading its manifest")]
    Read(#[from] FsError),
    /// It is not what pibake writes.
    #[error("its manifest is damaged")]
    Damaged(#[from] serde_json::Error),
    /// A later pibake wrote it.
    #[error("its manifest has form {0}, which this pibake does not know")]
    Unknown(u64),
    /// Its time is none.
    #[error("its manifest is damaged: {0:?} is no bake time")]
    Time(String),
}

impl Manifest {
    /// Where a card has it, in its root filesystem.
    pub const PATH: &str = "/usr/share/pibake/manifest.json";

    /// The manifest of a card, from its root filesystem.
    ///
    /// # Errors
    /// When there is none, or none that can be read.
    pub fn of(root: &dyn FsReader) -> Result<Self, ManifestError> {
        let path = FsPath::new(Self::PATH).map_err(|error| FsError::corrupt(error.to_string()))?;
        match root.read(&path, MAX) {
            Ok(bytes) => Self::parse(&bytes),
            Err(FsError::NotFound { .. }) => Err(ManifestError::Missing),
            Err(error) => Err(error.into()),
        }
    }

    /// A manifest from the bytes of its file.
    ///
    /// # Errors
    /// When it is not one, or of a form not known here.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let value: Value = serde_json::from_slice(bytes)?;
        if let Some(form) = value["format"].as_u64().filter(|form| *form != FORMAT) {
            return Err(ManifestError::Unknown(form));
        }
        let manifest: Self = serde_json::from_value(value)?;
        manifest.time()?;
        Ok(manifest)
    }

    fn time(&self) -> Result<i64, ManifestError> {
        let time = OffsetDateTime::parse(&self.bake_time, &Rfc3339);
        Ok(time.map_err(|_| ManifestError::Time(self.bake_time.clone()))?.unix_timestamp())
    }

    /// The bake time, seconds since 1970.
    #[must_use]
    pub fn bake_time(&self) -> i64 {
        // Looked at when it was parsed.
        self.time().unwrap_or_default()
    }

    /// Whether the card was captured, and made the node's afterwards.
    #[must_use]
    pub fn is_restored(&self) -> bool {
        self.restored.is_some()
    }

    /// Whether something was put at a path of the root filesystem.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.paths.iter().any(|entry| entry.volume == Volume::Root && entry.path.as_str() == path)
    }
}

#[cfg(test)]
mod tests {
    use super::{Manifest, ManifestError};

    #[test]
    fn what_is_no_manifest_is_told_from_one_of_later() {
        let parse = |text: &str| Manifest::parse(text.as_bytes());
        let good = r#"{"format":1,"cluster":"lab","node":"pi1","plan":"00","bake_time":"2026-11-20T09:00:00Z",
            "paths":[{"volume":"root","path":"/etc/hosts","kind":"removed"}]}"#;
        let manifest = parse(good).unwrap();
        assert_eq!(manifest.bake_time(), 1_795_165_200);
        assert!(manifest.has("/etc/hosts") && !manifest.has("/etc"));
        assert!(matches!(parse(&good.replace(":1,", ":2,")), Err(ManifestError::Unknown(2))));
        assert!(matches!(parse(&good.replace("2026-11", "then")), Err(ManifestError::Time(_))));
        for (from, to) in [("/etc/hosts", "/etc/../hosts"), ("removed", "gone"), ("root", "swap"), ("}]", "")]
        {
            assert!(matches!(parse(&good.replace(from, to)), Err(ManifestError::Damaged(_))), "{to}");
        }
    }
}
