//! Base images: opened as published, checked, and given out as raw images that can be read anywhere.
//!
//! The invariant of this room: what it gives out is, byte for byte, what the published file with that digest
//! holds. A packed image is unpacked once into the cache, and may be read while that goes on; a raw one is
//! used where it lies. Neither is ever written to.

mod arrival;
mod arriving;
mod cache;
mod decode;
mod digests;
pub mod error;
pub mod format;
mod hash;
mod in_place;
mod lock;
mod making;
mod sparse;
mod stamp;
mod unpack;

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::block::BlockRead;
use crate::interrupt::Interrupt;
use crate::progress::{Event, Progress};

use arrival::Arrival;
use arriving::Arriving;
use cache::{Cached, Entry, Obtained};
use decode::Packed;
use digests::KnownDigests;
use error::SourceError;
use format::{Content, Format, HEAD, Packing, furthest_partition_end, recognise};
use hash::sha256_of;
pub use in_place::{InPlace, Unchanged, open_in_place};
use sparse::SparseFile;
use stamp::Stamp;
use unpack::cut_short;

/// What is to be opened, and with whose help.
pub struct OpenImage<'a> {
    /// The file as published.
    pub path: &'a Path,
    /// What its SHA-256 must be, when known.
    pub expected_sha256: Option<[u8; 32]>,
    /// Where unpacked images and known digests are kept; made if need be.
    pub cache_dir: &'a Path,
    /// Hears how far it is, for as long as the image arrives.
    pub progress: &'a Arc<dyn Progress>,
    /// Stops it, for as long as the image arrives.
    pub interrupt: &'a Interrupt,
}

/// A raw image, ready to be read by several readers at once.
pub struct BaseImage {
    /// Its bytes, with the holes known.
    pub blocks: Arc<dyn BlockRead>,
    /// The raw file itself: the published one if that is raw, else its unpacked form in the cache, which has
    /// this name when it is [`whole`](BaseImage::whole). May be cloned from then, must not be written to.
    pub file: PathBuf,
    /// SHA-256 of the file as published.
    pub source_sha256: [u8; 32],
    /// Bytes of the raw image.
    pub size: u64,
    /// How it was published.
    pub format: Format,
    standing: Standing,
}

/// How far the raw file is.
enum Standing {
    /// There, with this stamp.
    Whole(Stamp),
    /// Being unpacked.
    Arriving(Arc<Arriving>),
}

impl BaseImage {
    /// Waits until the raw file is whole: every check of the published file has passed, and the image is in
    /// the cache for the next run. To be asked before a result made from an image that arrives is handed
    /// over; implies [`still_same`](BaseImage::still_same).
    ///
    /// # Errors
    /// Whatever is wrong with the published file, no space in the cache, an interrupt, or as `still_same`.
    pub fn whole(&self) -> Result<(), SourceError> {
        if let Standing::Arriving(arriving) = &self.standing {
            arriving.wait()?;
        }
        self.still_same()
    }

    /// Checks that the raw file is the one that was opened, unwritten to: to be asked before a result made
    /// from it is handed over. Does not wait: of an image that still arrives it says only that nothing has
    /// gone wrong so far.
    ///
    /// # Errors
    /// [`SourceError::Changed`], why the file cannot be looked at, or why it could not be unpacked.
    pub fn still_same(&self) -> Result<(), SourceError> {
        let stamp = match &self.standing {
            Standing::Whole(stamp) => *stamp,
            Standing::Arriving(arriving) => match arriving.stamp()? {
                Some(stamp) => stamp,
                None => return Ok(()),
            },
        };
        let now = fs::metadata(&self.file).map_err(SourceError::io("looking at", &self.file))?;
        if Stamp::of(&now) == stamp { Ok(()) } else { Err(SourceError::Changed { path: self.file.clone() }) }
    }
}

impl fmt::Debug for BaseImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BaseImage({}, {} bytes, {})", self.file.display(), self.size, self.format)
    }
}

/// Opens a base image: recognises it by its content, checks its digest, and unpacks it into the cache unless
/// it is there already.
///
/// # Errors
/// Whatever is wrong with the file, no space in the cache, or an interrupt. Nothing half-done stays behind.
pub fn open(request: &OpenImage<'_>) -> Result<BaseImage, SourceError> {
    let image = open_arriving(request)?;
    image.whole()?;
    Ok(image)
}

/// Opens a base image as [`open`] does, but gives it out as soon as it can be read anywhere: an .xz file of
/// several blocks while these are unpacked in the background, the ones that are read first. Its digest has
/// been checked by then, and it is known to be a disk image as long as its partition table says. Formats
/// whose size shows only at the end are unpacked whole before.
///
/// What goes wrong later is told to whoever reads (as [`error::NotUnpacked`] in an [`io::Error`]), and by
/// [`BaseImage::whole`], which has to be asked before anything made from the image is handed over. When the
/// image and its `blocks` are dropped before that, unpacking is stopped.
///
/// # Errors
/// As [`open`].
pub fn open_arriving(request: &OpenImage<'_>) -> Result<BaseImage, SourceError> {
    let (file, metadata) = open_file(request.path)?;
    let format = recognise_file(&file, request.path)?;
    let stamp = Stamp::of(&metadata);
    let source_sha256 = published_digest(request, &file, stamp)?;
    if let Some(expected) = request.expected_sha256.filter(|expected| *expected != source_sha256) {
        let path = request.path.to_owned();
        return Err(SourceError::DigestMismatch { path, expected, actual: source_sha256 });
    }
    let (blocks, file, standing) = match format {
        Format::Raw => there(Cached { file, path: request.path.to_owned(), stamp })?,
        Format::Packed(packing) => unpacked(request, (packing, stamp), &file, &source_sha256)?,
    };
    let size = blocks.size();
    Ok(BaseImage { blocks, file, source_sha256, size, format, standing })
}

/// What is read, the raw file's name, and how far that file is.
type Opened = (Arc<dyn BlockRead>, PathBuf, Standing);

fn there(raw: Cached) -> Result<Opened, SourceError> {
    let blocks = SparseFile::new(raw.file).map_err(SourceError::io("seeking in", &raw.path))?;
    Ok((Arc::new(blocks), raw.path, Standing::Whole(raw.stamp)))
}

/// The unpacked form of a packed file, which had this stamp when its digest was checked: from the cache, or
/// on its way there.
fn unpacked(
    request: &OpenImage<'_>,
    (packing, stamp): (Packing, Stamp),
    file: &File,
    source_sha256: &[u8; 32],
) -> Result<Opened, SourceError> {
    let packed = Packed { path: request.path, packing, file };
    let entry = Entry::of(request.cache_dir, source_sha256)?;
    let (progress, interrupt) = (request.progress.as_ref(), request.interrupt);
    let making = match entry.obtain(packed, stamp, progress, interrupt)? {
        Obtained::Cached(cached) => return there(cached),
        Obtained::Missing(making) => making,
    };
    if making.ends().is_empty() {
        return there(making.run(&Arrival::new([], false), progress, interrupt)?);
    }
    // The digest was compared with it.
    let trusted = request.expected_sha256.is_some();
    let arriving = Arc::new(Arriving::start(making, trusted, request.progress, interrupt)?);
    let path = arriving.path().to_owned();
    Ok((Arc::clone(&arriving) as Arc<dyn BlockRead>, path, Standing::Arriving(arriving)))
}

/// Opens a regular file. Asking first keeps a FIFO from being waited for.
fn open_file(path: &Path) -> Result<(File, Metadata), SourceError> {
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(SourceError::NotFound { path: path.to_owned() });
        }
        found => found.map_err(SourceError::io("looking at", path))?,
    };
    if !found.is_file() {
        let kind = found.file_type();
        let what = match () {
            () if kind.is_dir() => "a directory",
            () if kind.is_block_device() => "a block device",
            () => "a device, pipe or socket",
        };
        return Err(SourceError::NotAFile { path: path.to_owned(), what });
    }
    let file = File::open(path).map_err(SourceError::io("opening", path))?;
    let metadata = file.metadata().map_err(SourceError::io("looking at", path))?;
    Ok((file, metadata))
}

/// What the file is; a raw image must reach as far as its partitions do.
fn recognise_file(file: &File, path: &Path) -> Result<Format, SourceError> {
    let head = read_head(file).map_err(SourceError::io("reading", path))?;
    let format = match recognise(&head) {
        Content::Image(format) => format,
        Content::Other(what) => {
            return Err(SourceError::LooksLike { path: path.into(), packed: false, what });
        }
    };
    let size = file.metadata().map_err(SourceError::io("looking at", path))?.len();
    match furthest_partition_end(&head) {
        Some(needed) if format == Format::Raw && needed > size => Err(cut_short(path, size, needed)),
        _ => Ok(format),
    }
}

fn read_head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD];
    let mut filled = 0;
    while filled < HEAD {
        match file.read_at(&mut head[filled..], filled as u64) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => match read? {
                0 => break,
                read => filled += read,
            },
        }
    }
    head.truncate(filled);
    Ok(head)
}

/// The SHA-256 of the published file: known from before, or found by reading it all.
fn published_digest(request: &OpenImage<'_>, file: &File, stamp: Stamp) -> Result<[u8; 32], SourceError> {
    let known = KnownDigests::of(request.cache_dir);
    if let Some(digest) = known.find(&stamp) {
        return Ok(digest);
    }
    let digest = sha256_of(file, request.path, request.progress.as_ref(), request.interrupt)?;
    let now = file.metadata().map_err(SourceError::io("looking at", request.path))?;
    if Stamp::of(&now) != stamp {
        return Err(SourceError::Changed { path: request.path.to_owned() });
    }
    let made = fs::create_dir_all(request.cache_dir).map_err(SourceError::io("making", request.cache_dir));
    if let Err(error) = made.and_then(|()| known.remember(&stamp, &digest, request.interrupt)) {
        // Not being able to remember costs time, not correctness.
        request.progress.event(Event::Note(format!("the digest is not remembered: {error}")));
    }
    Ok(digest)
}
