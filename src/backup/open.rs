//! A backup opened to be restored. Everything of it that can be compared is compared before any of it is used, but for
//! what its frames decode to, which is when they are read.
//!
//! The names in the manifest are not followed: its files are those that lie beside the archive under its name, so that
//! a backup may be renamed, and cannot lead elsewhere. Links are followed as in any path that somebody gives.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::bmap::{self, Bmap};
use super::digest::Sha256;
use super::error::BackupError;
use super::manifest::{self, Manifest};
use super::names::Names;
use crate::disk::block::BlockRead as _;
use crate::disk::range::ByteRange;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::seekable::{FrameContent, FrameSize, SeekableZst};
use crate::source::error::SourceError;
use crate::source::{InPlace, Unchanged};

/// A backup whose files belong together.
#[derive(Debug)]
pub struct Backup {
    /// The image; a frame that does not decode to what the manifest says is an error when it is read.
    pub image: SeekableZst,
    /// The archive's file.
    pub file: Unchanged,
    /// What it is a backup of.
    pub manifest: Manifest,
    /// What of it is in use; `None` when there is no bmap beside it.
    pub map: Option<Bmap>,
}

/// Why a backup is not restored.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its archive could not be read.
    #[error("checking {}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What was wrong.
        source: SourceError,
    },
    /// One of its files is not what it should be.
    #[error("checking {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: BackupError,
    },
}

/// Whether a manifest lies beside an archive.
///
/// # Errors
/// When that cannot be told.
pub fn has_manifest(names: &Names) -> io::Result<bool> {
    fs::exists(&names.manifest)
}

/// Opens the backup of an archive that has a manifest.
///
/// # Errors
/// When one of the three files contradicts another, or itself; what the system answers; or an interrupt.
pub fn open(
    archive: InPlace,
    names: &Names,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Backup, OpenError> {
    let manifest = read(&names.manifest, "manifest", manifest::MAX_FILE)
        .and_then(|bytes| Manifest::parse(&bytes))
        .map_err(about(&names.manifest))?;
    let InPlace { image, file } = archive;
    check_shape(&manifest, &file, &image).map_err(about(&names.archive))?;
    let map = map_of(&manifest, names).map_err(about(&names.bmap))?;
    let digest = file
        .sha256(progress, interrupt)
        .map_err(|source| OpenError::Archive { path: names.archive.clone(), source })?;
    if Sha256(digest) != manifest.archive.sha256 {
        let why =
            format!("its SHA-256 is {}, {} where it was recorded", Sha256(digest), manifest.archive.sha256);
        return Err(about(&names.archive)(BackupError::corrupt("archive", why)));
    }
    let contents = manifest.frames.sha256.iter().map(content_of).collect();
    let image = image
        .with_contents(contents)
        .map_err(|error| about(&names.archive)(BackupError::corrupt("archive", error.to_string())))?;
    Ok(Backup { image, file, manifest, map })
}

/// Checks a bmap that lies beside an archive without a manifest, as far as it is of a kind that is read: it has to be
/// one of an image of `size` bytes.
///
/// # Errors
/// When it is that of another image, or damaged.
pub fn check_lone_bmap(names: &Names, size: u64) -> Result<(), OpenError> {
    let map = match read(&names.bmap, "bmap", bmap::MAX_FILE).and_then(|bytes| Bmap::parse(&bytes)) {
        Err(BackupError::Missing(_) | BackupError::Unsupported { .. }) => return Ok(()),
        map => map.map_err(about(&names.bmap))?,
    };
    if map.image_size == size {
        return Ok(());
    }
    let why = format!("it is of an image of {} bytes, and this one has {size}", map.image_size);
    Err(about(&names.bmap)(BackupError::corrupt("bmap", why)))
}

fn about(path: &Path) -> impl FnOnce(BackupError) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::File { path, source }
}

fn content_of(digest: &Option<Sha256>) -> FrameContent {
    digest.map_or(FrameContent::Zeros, |digest| FrameContent::Sha256(digest.0))
}

/// A small file, which must be a regular one: opening another may wait for somebody.
fn read(path: &Path, what: &'static str, limit: u64) -> Result<Vec<u8>, BackupError> {
    let metadata = fs::metadata(path).map_err(BackupError::io(path))?;
    if !metadata.is_file() {
        return Err(BackupError::unsupported(what, "it is no regular file"));
    }
    let file = File::open(path).map_err(BackupError::io(path))?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(BackupError::io(path))?;
    Ok(bytes)
}

/// Compares what needs no reading: sizes, and how many frames there are.
fn check_shape(manifest: &Manifest, file: &Unchanged, image: &SeekableZst) -> Result<(), BackupError> {
    let corrupt = |why: String| Err(BackupError::corrupt("archive", why));
    let recorded = manifest.archive.size;
    if file.size() != recorded {
        return corrupt(format!("it has {} bytes, {recorded} where it was recorded", file.size()));
    }
    if image.size() != manifest.image_size {
        return corrupt(format!(
            "it decodes to {} bytes, the manifest says {}",
            image.size(),
            manifest.image_size
        ));
    }
    // The manifest has made sure that there are as many as its image needs.
    let whole = |(index, frame): &(usize, FrameSize)| {
        let start = manifest.frames.size.saturating_mul(*index as u64);
        u64::from(frame.decoded) == manifest.frames.size.min(manifest.image_size.saturating_sub(start))
    };
    match image.frames().enumerate().find(|frame| !whole(frame)) {
        Some((index, frame)) => corrupt(format!(
            "frame {index} decodes to {} bytes, the manifest says another number",
            frame.decoded
        )),
        None => Ok(()),
    }
}

/// The bmap, if it is there: it has to be the one that the manifest names, and to leave out what that calls empty.
fn map_of(manifest: &Manifest, names: &Names) -> Result<Option<Bmap>, BackupError> {
    let bytes = match read(&names.bmap, "bmap", bmap::MAX_FILE) {
        Err(BackupError::Missing(_)) => return Ok(None),
        bytes => bytes?,
    };
    let map = manifest.check_bmap(&bytes)?;
    let empty = |range: ByteRange| {
        let frames = range.start() / manifest.frames.size..range.end().div_ceil(manifest.frames.size);
        frames.into_iter().find(|index| {
            let frame = usize::try_from(*index).ok().and_then(|index| manifest.frames.sha256.get(index));
            frame.is_none_or(Option::is_none)
        })
    };
    match map.ranges.iter().find_map(|mapped| empty(mapped.range).map(|frame| (mapped.range, frame))) {
        Some((range, frame)) => {
            let why = format!("{range} are in use, and frame {frame} of the archive is said to be empty");
            Err(BackupError::corrupt("bmap", why))
        }
        None => Ok(Some(map)),
    }
}
