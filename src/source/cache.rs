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
use super::lock::{Lock, PART, replace, unfinished};
use super::stamp::Stamp;
use super::unpack::unpack;

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

/// What is written beside an image.
#[derive(Serialize, Deserialize)]
struct Sidecar {
    version: u32,
    /// Bytes of the image.
    size: u64,
    /// SHA-256 of the image in hexadecimal digits.
    sha256: String,
    /// The image file's, when it was last found right.
    stamp: Stamp,
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

    /// The image, unpacked from `packed` unless it is there already.
    ///
    /// # Errors
    /// Whatever is wrong with the packed file, no space, or an interrupt; then no entry is left behind.
    pub(super) fn obtain(
        &self,
        packed: Packed<'_>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Cached, SourceError> {
        if let Some(cached) = self.unchanged()? {
            return Ok(cached);
        }
        let _lock = Lock::take(&self.lock, interrupt, || {
            let name = subject_of(packed.path);
            progress.event(Event::Note(format!("waiting for another pibake that unpacks {name}")));
        })?;
        self.sweep().map_err(SourceError::io("cleaning up", &self.dir))?;
        // Somebody else may have made it while this one waited.
        if let Some(cached) = self.unchanged()? {
            return Ok(cached);
        }
        if let Some(cached) = self.rechecked(progress, interrupt)? {
            return Ok(cached);
        }
        self.make(packed, progress, interrupt)
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
            self.write_sidecar(&Sidecar { stamp: cached.stamp, ..sidecar })?;
            return Ok(Some(cached));
        }
        let note = format!("{} is not what was unpacked there: unpacking again", self.image.display());
        progress.event(Event::Note(note));
        Ok(None)
    }

    fn make(
        &self,
        packed: Packed<'_>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Cached, SourceError> {
        let source = Stamp::of(&packed.file.metadata().map_err(SourceError::io("looking at", packed.path))?);
        let (file, part) = unfinished(&self.image).map_err(SourceError::io("making", &self.image))?;
        let unpacked = unpack(packed, &file, &self.image, progress, interrupt)?;
        let still = packed.file.metadata().map_err(SourceError::io("looking at", packed.path))?;
        if Stamp::of(&still) != source {
            return Err(SourceError::Changed { path: packed.path.into() });
        }
        let placed = part.persist(&self.image).map_err(io::Error::from);
        placed.and_then(|()| sync_dir(&self.dir)).map_err(SourceError::io("placing", &self.image))?;
        // Only now: renaming a file changes its change time.
        let stamp = Stamp::of(&file.metadata().map_err(SourceError::io("looking at", &self.image))?);
        let sha256 = data_encoding::HEXLOWER.encode(&unpacked.sha256);
        self.write_sidecar(&Sidecar { version: VERSION, size: unpacked.size, sha256, stamp })?;
        Ok(Cached { file, path: self.image.clone(), stamp })
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

    fn write_sidecar(&self, sidecar: &Sidecar) -> Result<(), SourceError> {
        let bytes = serde_json::to_vec(sidecar).map_err(io::Error::from);
        bytes
            .and_then(|bytes| replace(&self.sidecar, &bytes))
            .map_err(SourceError::io("writing", &self.sidecar))
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

/// Makes a rename in `dir` last.
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
