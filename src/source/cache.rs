//! Unpacked images, each kept once: `images/<sha256 of the published file>.img`, with a sidecar that says
//! what its content must be, and a lock.
//!
//! An image gets its name only whole and flushed; the sidecar is written after it. An entry is used unread
//! while its stamp is the one the sidecar names. When it is not, the content decides: hashed once, it is
//! accepted again or made anew. What a killed run leaves is a `.part` file, which the next run removes.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::interrupt::Interrupt;
use crate::progress::{Event, Progress};

use super::decode::Packed;
use super::digests::parse_digest;
use super::error::SourceError;
use super::hash::{sha256_of, subject_of};
use super::lock::{Lock, PART, replace};
use super::making::Making;
use super::stamp::Stamp;

const VERSION: u32 = 1;

/// The unpacked form of one published file.
pub(super) struct Entry {
    dir: PathBuf,
    image: PathBuf,
    sidecar: PathBuf,
    lock: PathBuf,
}

/// An entry's image, open, and the stamp under which its content was found right.
pub(super) struct Cached {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) stamp: Stamp,
}

/// What a cache has of an entry.
pub(super) enum Obtained {
    /// All of it.
    Cached(Cached),
    /// Nothing yet.
    Missing(Making),
}

/// What is written beside an image.
#[derive(Serialize, Deserialize)]
pub(super) struct Sidecar {
    version: u32,
    /// Bytes of the image.
    size: u64,
    /// SHA-256 of the image in hexadecimal digits.
    sha256: String,
    /// The image file's, when it was last found right.
    stamp: Stamp,
}

impl Sidecar {
    /// For an image of this size and content in a file with this stamp.
    pub(super) fn new(size: u64, sha256: &[u8; 32], stamp: Stamp) -> Self {
        Self { version: VERSION, size, sha256: data_encoding::HEXLOWER.encode(sha256), stamp }
    }

    /// The way it is written.
    pub(super) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec(self)?)
    }
}

impl Entry {
    /// The entry of the published file with this digest; its directory is made.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub(super) fn of(cache_dir: &Path, source_sha256: &[u8; 32]) -> Result<Self, SourceError> {
        let dir = cache_dir.join("images");
        fs::create_dir_all(&dir).map_err(SourceError::io("making", &dir))?;
        let name = data_encoding::HEXLOWER.encode(source_sha256);
        let file = |extension: &str| dir.join(format!("{name}.{extension}"));
        Ok(Self { image: file("img"), sidecar: file("json"), lock: file("lock"), dir })
    }

    /// The image if it is there already, else what is to be made from `packed`, which has to have the stamp
    /// `source`.
    ///
    /// # Errors
    /// When the packed file or the cache cannot be used, or on an interrupt.
    pub(super) fn obtain(
        &self,
        packed: Packed<'_>,
        source: Stamp,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Obtained, SourceError> {
        if let Some(cached) = self.unchanged()? {
            return Ok(Obtained::Cached(cached));
        }
        let lock = Lock::take(&self.lock, interrupt, || {
            let name = subject_of(packed.path);
            progress.event(Event::Note(format!("waiting for another pibake that unpacks {name}")));
        })?;
        self.sweep().map_err(SourceError::io("cleaning up", &self.dir))?;
        // Somebody else may have made it while this one waited.
        if let Some(cached) = self.unchanged()? {
            return Ok(Obtained::Cached(cached));
        }
        if let Some(cached) = self.rechecked(progress, interrupt)? {
            return Ok(Obtained::Cached(cached));
        }
        Making::new(packed, source, (&self.image, &self.sidecar), lock).map(Obtained::Missing)
    }

    /// The image, if nothing has touched it since its content was found right.
    fn unchanged(&self) -> Result<Option<Cached>, SourceError> {
        let Some(sidecar) = self.read_sidecar() else { return Ok(None) };
        Ok(self.open_image()?.filter(|cached| cached.stamp == sidecar.stamp))
    }

    /// The image, if its content is right although something touched it.
    fn rechecked(
        &self,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Option<Cached>, SourceError> {
        let Some(sidecar) = self.read_sidecar() else { return Ok(None) };
        let Some(cached) = self.open_image()? else { return Ok(None) };
        let right = cached.file.metadata().is_ok_and(|metadata| metadata.len() == sidecar.size)
            && Some(sha256_of(&cached.file, &self.image, progress, interrupt)?)
                == parse_digest(&sidecar.sha256);
        if right {
            let bytes = Sidecar { stamp: cached.stamp, ..sidecar }.to_bytes();
            let written = bytes.and_then(|bytes| replace(&self.sidecar, &bytes));
            written.map_err(SourceError::io("writing", &self.sidecar))?;
            return Ok(Some(cached));
        }
        let note = format!("{} is not what was unpacked there: unpacking again", self.image.display());
        progress.event(Event::Note(note));
        Ok(None)
    }

    fn open_image(&self) -> Result<Option<Cached>, SourceError> {
        let file = match File::open(&self.image) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(SourceError::io("opening", &self.image))?,
        };
        let stamp = Stamp::of(&file.metadata().map_err(SourceError::io("looking at", &self.image))?);
        Ok(Some(Cached { file, path: self.image.clone(), stamp }))
    }

    /// A sidecar that cannot be read or understood is as good as none: the image is made anew.
    fn read_sidecar(&self) -> Option<Sidecar> {
        let sidecar: Sidecar = serde_json::from_slice(&fs::read(&self.sidecar).ok()?).ok()?;
        (sidecar.version == VERSION).then_some(sidecar)
    }

    /// Removes what killed runs left unfinished: the `.part` files whose lock nobody holds. This entry's
    /// own lock is held here, and its own files are about to be made anew.
    fn sweep(&self) -> io::Result<()> {
        for found in fs::read_dir(&self.dir)? {
            let path = found?.path();
            if path.extension().is_none_or(|extension| extension != PART) {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let Some((digest, _)) = name.split_once('.').filter(|(digest, _)| parse_digest(digest).is_some())
            else {
                continue;
            };
            let lock = self.dir.join(format!("{digest}.lock"));
            if lock == self.lock || Lock::try_take(&lock)?.is_some() {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}
