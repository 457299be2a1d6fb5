//! `NAME.json`: what a backup is of, and the digests of all its parts.
//!
//! It comes from other people's disks as much as the backup does: nothing in it is trusted before it was compared
//! with something, and its numbers are checked against each other when it is read. It holds no secret.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::archive::Archived;
use super::bmap::Bmap;
use super::digest::Sha256;
use super::error::BackupError;
use crate::inventory::survey::Survey;

/// What says that a JSON document is a manifest.
pub const FORMAT: &str = "pibake-backup";
/// The version of the format; a reader refuses every other one.
pub const VERSION: u32 = 1;
/// The largest manifest that is read, in bytes.
pub const MAX_FILE: u64 = 64 << 20;
/// The largest frame, in bytes: memory is what it takes.
const MAX_FRAME: u64 = 64 << 20;

/// A manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The pibake that made it.
    pub pibake: String,
    /// What its files are called.
    pub name: String,
    /// When reading began, as RFC 3339 writes it, in UTC.
    pub started: String,
    /// When all of it was written, likewise.
    pub finished: String,
    /// Where it is from.
    pub source: Origin,
    /// Size of the image in bytes.
    pub image_size: u64,
    /// Bytes of it that are in the archive: what was in use and could be read.
    pub used: u64,
    /// The archive.
    pub archive: ArchiveFile,
    /// What its frames decode to.
    pub frames: Frames,
    /// The bmap.
    pub bmap: BmapFile,
    /// What `pibake inspect` said of the image.
    pub holds: Survey,
    /// What whoever restores it should know: a journal that is not replayed, swap that was left out.
    pub notes: Vec<String>,
    /// What was in use and could not be read; zeros in the archive. Empty but after `--rescue`.
    pub holes: Vec<Hole>,
}

/// Where a backup is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Origin {
    /// A card in a reader, or another disk.
    Card {
        /// The name it had.
        path: PathBuf,
        /// Its model.
        model: Option<String>,
        /// Its serial number; of a USB reader its own, not the card's.
        serial: Option<String>,
        /// Its size in bytes.
        size: u64,
    },
    /// An image file.
    File {
        /// Its name.
        path: PathBuf,
    },
    /// A running node.
    Node {
        /// What ssh was told to connect to.
        host: String,
        /// The account there.
        user: Option<String>,
        /// The name of the node in its cluster, when it was asked for by that.
        node: Option<String>,
        /// The disk on it.
        device: String,
        /// How long its filesystem stood still, in milliseconds.
        frozen_ms: u64,
    },
}

/// The archive's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveFile {
    /// Its name, in the manifest's directory.
    pub file: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Sha256,
}

/// What the archive's frames decode to, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frames {
    /// Bytes in each; the last may have fewer.
    pub size: u64,
    /// The SHA-256 of each; null of one that is zeros because nothing in it was in use.
    pub sha256: Vec<Option<Sha256>>,
}

/// The bmap's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BmapFile {
    /// Its name, in the manifest's directory.
    pub file: String,
    /// Its SHA-256.
    pub sha256: Sha256,
}

/// A range that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hole {
    /// Where in the image it starts, in bytes.
    pub start: u64,
    /// Its length in bytes.
    pub len: u64,
    /// What lies there, each said once: partitions and the files in them.
    pub holds: Vec<String>,
}

/// What only whoever made a backup knows of it.
#[derive(Clone, Debug)]
pub struct About {
    /// What its files are called.
    pub name: String,
    /// When reading began, RFC 3339.
    pub started: String,
    /// When all of it was written, RFC 3339.
    pub finished: String,
    /// Where it is from.
    pub source: Origin,
    /// What the image holds.
    pub holds: Survey,
    /// What whoever restores it should know.
    pub notes: Vec<String>,
    /// What could not be read.
    pub holes: Vec<Hole>,
}

impl Manifest {
    /// The manifest of an archive that was written. Of what an earlier pibake put into the system only the few
    /// words are kept that say which node it is.
    #[must_use]
    pub fn new(about: About, archived: &Archived) -> Self {
        let mut holds = about.holds;
        if let Some(system) = &mut holds.system {
            system.manifest = system.manifest.take().map(in_few_words);
        }
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            pibake: env!("CARGO_PKG_VERSION").to_owned(),
            name: about.name,
            started: about.started,
            finished: about.finished,
            source: about.source,
            image_size: archived.map.image_size,
            used: archived.map.mapped(),
            archive: ArchiveFile {
                file: archived.file.clone(),
                size: archived.size,
                sha256: archived.sha256,
            },
            frames: Frames { size: archived.frame_size, sha256: archived.frames.clone() },
            bmap: BmapFile { file: archived.bmap_file.clone(), sha256: archived.bmap_sha256 },
            holds,
            notes: about.notes,
            holes: about.holes,
        }
    }

    /// The file.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists; nothing in it can fail to be written.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Reads a manifest file.
    ///
    /// # Errors
    /// `Missing`, what the system answers, or as [`Manifest::parse`].
    pub fn read(path: &Path) -> Result<Self, BackupError> {
        let file = File::open(path).map_err(BackupError::io(path))?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(BackupError::io(path))?;
        Self::parse(&bytes)
    }

    /// Reads a manifest and checks that it agrees with itself.
    ///
    /// # Errors
    /// `Corrupt`, or `Unsupported` for another format or version.
    pub fn parse(bytes: &[u8]) -> Result<Self, BackupError> {
        if bytes.len() as u64 > MAX_FILE {
            return Err(BackupError::unsupported("manifest", format!("more than {MAX_FILE} bytes")));
        }
        check_kind(bytes)?;
        let manifest: Self = serde_json::from_slice(bytes)
            .map_err(|error| BackupError::corrupt("manifest", error.to_string()))?;
        match manifest.fault() {
            Some(why) => Err(BackupError::corrupt("manifest", why)),
            None => Ok(manifest),
        }
    }

    /// What contradicts itself.
    fn fault(&self) -> Option<String> {
        let size = self.image_size;
        if self.holds.size != size {
            return Some(format!(
                "the image has {size} bytes, and {} where it is described",
                self.holds.size
            ));
        }
        if self.frames.size == 0 || self.frames.size > MAX_FRAME {
            return Some(format!("frames of {} bytes", self.frames.size));
        }
        let (frames, expected) = (self.frames.sha256.len() as u64, size.div_ceil(self.frames.size));
        if frames != expected {
            return Some(format!("{frames} frames instead of {expected}"));
        }
        if self.used > size {
            return Some(format!("{} bytes are in use of {size}", self.used));
        }
        let inside =
            |hole: &Hole| hole.len > 0 && hole.start.checked_add(hole.len).is_some_and(|end| end <= size);
        if let Some(hole) = self.holes.iter().find(|hole| !inside(hole)) {
            return Some(format!("a hole of {} bytes at offset {}", hole.len, hole.start));
        }
        [&self.archive.file, &self.bmap.file]
            .into_iter()
            .find(|name| !is_plain(name))
            .map(|name| format!("{name:?} is no file's name"))
    }

    /// Reads the bmap that belongs to this backup, and checks that it does.
    ///
    /// # Errors
    /// `Corrupt` when it is that of another image or was changed, or as [`Bmap::parse`].
    pub fn check_bmap(&self, bytes: &[u8]) -> Result<Bmap, BackupError> {
        let map = Bmap::parse(bytes)?;
        if (map.image_size, map.mapped()) != (self.image_size, self.used) {
            let why = format!(
                "it is of another image: {} of {} bytes in use instead of {} of {}",
                map.mapped(),
                map.image_size,
                self.used,
                self.image_size
            );
            return Err(BackupError::corrupt("bmap", why));
        }
        if Sha256::of(bytes) != self.bmap.sha256 {
            return Err(BackupError::corrupt("bmap", "it is not the one that the manifest names"));
        }
        Ok(map)
    }
}

/// The parts of a JSON document that say what it is; whatever else it holds.
#[derive(Deserialize)]
struct Kind {
    format: Option<Value>,
    version: Option<Value>,
}

fn check_kind(bytes: &[u8]) -> Result<(), BackupError> {
    let kind: Kind =
        serde_json::from_slice(bytes).map_err(|error| BackupError::corrupt("manifest", error.to_string()))?;
    if kind.format.as_ref().and_then(Value::as_str) != Some(FORMAT) {
        return Err(BackupError::unsupported("manifest", format!("it does not say {FORMAT:?}")));
    }
    match kind.version.as_ref().and_then(Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => Ok(()),
        Some(version) => Err(BackupError::unsupported("manifest", format!("version {version}"))),
        None => Err(BackupError::corrupt("manifest", "it has no version")),
    }
}

/// The name of a file beside the manifest, and of nothing elsewhere.
fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

/// The numbers and short texts of a system's own manifest, and of its lists how long they are.
fn in_few_words(manifest: Value) -> Value {
    let Value::Object(entries) = manifest else { return Value::Null };
    let few = entries.into_iter().filter_map(|(key, value)| match value {
        Value::Array(list) => Some((key, list.len().into())),
        Value::Object(_) | Value::Null => None,
        Value::String(text) if text.len() > 256 => None,
        word => Some((key, word)),
    });
    Value::Object(few.take(16).collect())
}
