//! An entry of the cache in the making: unpacked, flushed, and only then given its name.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::interrupt::Interrupt;
use crate::progress::Progress;

use super::arrival::Arrival;
use super::cache::{Cached, Sidecar};
use super::decode::{Layout, Packed};
use super::error::SourceError;
use super::format::Packing;
use super::lock::{Lock, Unfinished};
use super::stamp::Stamp;
use super::unpack::unpack;

/// All that is needed to make an entry, in any thread. Every file is made before the work begins, and by
/// whoever asked for it: a process that opens a card as root meanwhile would make them root's.
pub(super) struct Making {
    // Removed, unless finished, before the lock goes: the order of these fields matters.
    image: Unfinished,
    sidecar: Unfinished,
    image_path: PathBuf,
    source: File,
    source_path: PathBuf,
    source_stamp: Stamp,
    packing: Packing,
    layout: Layout,
    _lock: Lock,
}

impl Making {
    /// Prepares the entry with these two files, whose lock is held, from `packed` as it was when it had
    /// `source_stamp`; nothing is unpacked yet.
    ///
    /// # Errors
    /// When the packed file cannot be read, or the cache not be written.
    pub(super) fn new(
        packed: Packed<'_>,
        source_stamp: Stamp,
        (image, sidecar): (&Path, &Path),
        lock: Lock,
    ) -> Result<Self, SourceError> {
        let unfinished = |path: &Path| Unfinished::make(path).map_err(SourceError::io("making", path));
        let source = packed.file.try_clone().map_err(SourceError::io("opening", packed.path))?;
        Ok(Self {
            layout: Layout::of(packed)?,
            image: unfinished(image)?,
            sidecar: unfinished(sidecar)?,
            image_path: image.to_owned(),
            source,
            source_stamp,
            source_path: packed.path.to_owned(),
            packing: packed.packing,
            _lock: lock,
        })
    }

    /// Where the pieces end that can be read while the rest is made; none when all has to be there first.
    pub(super) fn ends(&self) -> Vec<u64> {
        self.layout.ends()
    }

    /// What the image is read from, now and when it has its name.
    ///
    /// # Errors
    /// When the system gives out no more file descriptors.
    pub(super) fn image_file(&self) -> Result<File, SourceError> {
        self.image.file.try_clone().map_err(SourceError::io("opening", &self.image_path))
    }

    /// The name that the image is going to have.
    pub(super) fn image_path(&self) -> &Path {
        &self.image_path
    }

    /// The published file's.
    pub(super) fn source_path(&self) -> &Path {
        &self.source_path
    }

    /// Makes the entry; `arrival` hears of every piece that can be read.
    ///
    /// # Errors
    /// Whatever is wrong with the packed file or with what it holds, no space, or an interrupt; then nothing
    /// is left behind.
    pub(super) fn run(
        self,
        arrival: &Arrival,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Cached, SourceError> {
        let packed = Packed { path: &self.source_path, packing: self.packing, file: &self.source };
        let target = (&self.image.file, self.image_path.as_path());
        let unpacked = unpack(packed, &self.layout, arrival, target, progress, interrupt);
        // A file that changes underneath looks damaged at best.
        if !matches!(unpacked, Err(SourceError::Interrupted(_)))
            && stamp_of(&self.source, &self.source_path)? != self.source_stamp
        {
            return Err(SourceError::Changed { path: self.source_path });
        }
        let unpacked = unpacked?;
        let Self { _lock, image, sidecar, image_path: path, .. } = self;
        let placed = image.place().and_then(|file| sync_dir(&path).map(|()| file));
        let file = placed.map_err(SourceError::io("placing", &path))?;
        // Only now: renaming a file changes its change time.
        let stamp = stamp_of(&file, &path)?;
        let bytes = Sidecar::new(unpacked.size, &unpacked.sha256, stamp).to_bytes();
        let written = bytes.and_then(|bytes| sidecar.place_with(&bytes));
        written.map_err(SourceError::io("writing the sidecar of", &path))?;
        Ok(Cached { file, path, stamp })
    }
}

fn stamp_of(file: &File, path: &Path) -> Result<Stamp, SourceError> {
    Ok(Stamp::of(&file.metadata().map_err(SourceError::io("looking at", path))?))
}

/// Makes a rename to `path` last.
fn sync_dir(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}
