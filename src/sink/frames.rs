//! Compressed frames, and the cache that keeps those of a base image.
//!
//! A cache file is, in order: the frames; for each its length (u32) and SHA-256; then a footer of magic
//! number (8 bytes), size of the base (u64), number of frames (u32) and SHA-256 of everything since the last
//! frame. Numbers are little-endian. Its name says what else decides the bytes: the base's digest, frame
//! size, level and zstd version, so that a cache of another kind is never looked at.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write};
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use super::error::SinkError;
use super::in_order::in_order;
use super::outfile::OutFile;
use crate::disk::block::BlockRead;
use crate::interrupt::Interrupt;

/// Bytes of the image in one frame. A changed block costs compressing this much again, and reading any byte
/// decoding this much; smaller frames compress worse.
pub const FRAME: u64 = 1 << 20;
/// zstd's own default level.
const LEVEL: i32 = 3;
const MAGIC: [u8; 8] = *b"pibakfr1";
const ENTRY: usize = 4 + 32;
const FOOTER: usize = 8 + 8 + 4 + 32;

/// Number of frames of an image.
#[must_use]
pub fn frame_count(size: u64) -> usize {
    usize::try_from(size.div_ceil(FRAME)).unwrap_or(usize::MAX)
}

/// Where frame `index` of an image starts, and its length.
#[must_use]
pub fn frame_range(index: usize, size: u64) -> (u64, u64) {
    let start = (index as u64).saturating_mul(FRAME).min(size);
    (start, FRAME.min(size - start))
}

/// Compresses frames; the same bytes always give the same frame.
pub struct FrameMaker {
    compressor: Compressor<'static>,
    raw: Vec<u8>,
}

impl FrameMaker {
    /// A maker with buffers of its own.
    ///
    /// # Errors
    /// When zstd cannot be set up.
    pub fn new() -> io::Result<Self> {
        let mut compressor = Compressor::new(LEVEL)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self { compressor, raw: Vec::new() })
    }

    /// Frame `index` of `image`.
    ///
    /// # Errors
    /// When the image cannot be read.
    pub fn make(&mut self, image: &dyn BlockRead, index: usize) -> Result<Vec<u8>, SinkError> {
        let (offset, len) = frame_range(index, image.size());
        let failed = |source| SinkError::Image { offset, source };
        // At most FRAME bytes, which fit everywhere.
        self.raw.resize(len as usize, 0);
        if image.is_hole(offset, len) {
            self.raw.fill(0);
        } else {
            image.read_at(offset, &mut self.raw).map_err(failed)?;
        }
        self.compressor.compress(&self.raw).map_err(failed)
    }

    /// The frame of these bytes.
    ///
    /// # Errors
    /// When zstd refuses.
    pub fn compress(&mut self, raw: &[u8]) -> io::Result<Vec<u8>> {
        self.compressor.compress(raw)
    }
}

/// The compressed frames of one base image.
#[derive(Debug)]
pub struct FrameCache {
    file: File,
    path: PathBuf,
    base_size: u64,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: u64,
    len: u32,
    sha256: [u8; 32],
}

impl FrameCache {
    /// Where the frames of a base lie under the cache directory.
    #[must_use]
    pub fn path(cache_dir: &Path, base_sha256: &[u8; 32]) -> PathBuf {
        let mut name = data_encoding::HEXLOWER.encode(base_sha256);
        // Writing into a string cannot fail.
        let _ = write!(name, "-{FRAME}-{LEVEL}-{}.frames", zstd::zstd_safe::version_number());
        cache_dir.join("frames").join(name)
    }

    /// Opens the frames of the base of this size; `None` when they are missing, cut short or damaged.
    #[must_use]
    pub fn open(path: &Path, base_size: u64) -> Option<Self> {
        let file = File::open(path).ok()?;
        let file_size = file.metadata().ok()?.len();
        let tail_len =
            (frame_count(base_size) as u64).checked_mul(ENTRY as u64)?.checked_add(FOOTER as u64)?;
        let tail_at = file_size.checked_sub(tail_len)?;
        let mut tail = vec![0; usize::try_from(tail_len).ok()?];
        file.read_exact_at(&mut tail, tail_at).ok()?;
        let (signed, digest) = tail.split_at(tail.len() - 32);
        let (index, footer) = signed.split_at(signed.len() - (FOOTER - 32));
        if footer != footer_fields(base_size) || Sha256::digest(signed).as_slice() != digest {
            return None;
        }
        let mut at = 0;
        let mut entries = Vec::with_capacity(frame_count(base_size));
        for entry in index.chunks_exact(ENTRY) {
            let (len, sha256) = entry.split_first_chunk::<4>()?;
            let len = u32::from_le_bytes(*len);
            entries.push(Entry { at, len, sha256: sha256.try_into().ok()? });
            at += u64::from(len);
        }
        (at == tail_at).then(|| Self { file, path: path.to_owned(), base_size, entries })
    }

    /// Compresses every frame of `base` into a new cache file. Whoever does the same at the same time does
    /// no harm: the last one's file stays, and both hold the same.
    ///
    /// # Errors
    /// When the base cannot be read, the cache cannot be written, or the run was asked to stop.
    pub fn build(
        path: &Path,
        base: &dyn BlockRead,
        threads: NonZero<usize>,
        interrupt: &Interrupt,
        mut advance: impl FnMut(u64),
    ) -> Result<Self, SinkError> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(SinkError::file("creating", dir))?;
        }
        let out = OutFile::create(path, false)?;
        let writing = || SinkError::file("writing", path);
        let mut index = Vec::new();
        let mut done = 0;
        in_order(
            frame_count(base.size()),
            threads,
            || FrameMaker::new().map_err(SinkError::file("compressing into", path)),
            |maker, piece| {
                interrupt.check()?;
                let frame = maker.make(base, piece)?;
                let digest: [u8; 32] = Sha256::digest(&frame).into();
                Ok((frame, digest))
            },
            |(frame, digest)| {
                // A frame of 1 MiB compresses to little more than that at worst.
                index.extend((frame.len() as u32).to_le_bytes());
                index.extend(digest);
                done = (done + FRAME).min(base.size());
                advance(done);
                out.file().write_all(&frame).map_err(writing())
            },
        )?;
        index.extend(footer_fields(base.size()));
        let digest = Sha256::digest(&index);
        index.extend(digest);
        out.file().write_all(&index).map_err(writing())?;
        out.publish()?;
        Self::open(path, base.size()).ok_or_else(|| writing()(io::ErrorKind::InvalidData.into()))
    }

    /// Size of the base in bytes.
    #[must_use]
    pub fn base_size(&self) -> u64 {
        self.base_size
    }

    /// Frame `index`; `None` when it is damaged or cannot be read.
    #[must_use]
    pub fn frame(&self, index: usize) -> Option<Vec<u8>> {
        let entry = self.entries.get(index)?;
        // Not more than the file holds, which `open` has checked.
        let mut frame = vec![0; entry.len as usize];
        self.file.read_exact_at(&mut frame, entry.at).ok()?;
        (Sha256::digest(&frame).as_slice() == entry.sha256).then_some(frame)
    }

    /// Takes the file away, so that the next bake makes it anew.
    pub fn discard(&self) {
        // It stays where it cannot be removed; its damaged frames are still told from the good ones.
        let _ = fs::remove_file(&self.path);
    }
}

fn footer_fields(base_size: u64) -> Vec<u8> {
    let mut fields = MAGIC.to_vec();
    fields.extend(base_size.to_le_bytes());
    fields.extend((frame_count(base_size) as u32).to_le_bytes());
    fields
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::num::NonZero;
    use std::path::Path;

    use super::{FRAME, FrameCache, FrameMaker, frame_count, frame_range};
    use crate::interrupt::Interrupt;
    use crate::sink::error::SinkError;

    fn base() -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        let mut base = vec![0; (3 * FRAME + 1000) as usize];
        for byte in &mut base[..FRAME as usize] {
            *byte = random.u8(..16);
        }
        base
    }

    fn build(path: &Path, base: &Vec<u8>, threads: usize) -> Result<FrameCache, SinkError> {
        FrameCache::build(path, base, NonZero::new(threads).unwrap(), &Interrupt::default(), |_| {})
    }

    #[test]
    fn frames_cover_the_image() {
        assert_eq!(frame_count(0), 0);
        assert_eq!(frame_count(FRAME), 1);
        assert_eq!(frame_count(FRAME + 1), 2);
        assert_eq!(frame_range(1, FRAME + 1), (FRAME, 1));
        assert_eq!(frame_range(9, FRAME), (FRAME, 0));
    }

    #[test]
    fn what_is_cached_is_what_would_be_made_whatever_the_threads() {
        let dir = tempfile::tempdir().unwrap();
        let base = base();
        let path = FrameCache::path(dir.path(), &[9; 32]);
        let cache = build(&path, &base, 1).unwrap();
        let mut maker = FrameMaker::new().unwrap();
        for index in 0..4 {
            let frame = cache.frame(index).unwrap();
            assert!(frame == maker.make(&base, index).unwrap());
            let (offset, len) = frame_range(index, base.len() as u64);
            let decoded = zstd::bulk::decompress(&frame, FRAME as usize).unwrap();
            assert!(decoded == base[offset as usize..][..len as usize]);
        }
        assert!(cache.frame(4).is_none());
        let first = fs::read(&path).unwrap();
        build(&path, &base, 3).unwrap();
        assert!(fs::read(&path).unwrap() == first);
    }

    #[test]
    fn every_truncation_and_every_flipped_byte_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let base = vec![5u8; FRAME as usize + 1];
        let path = dir.path().join("small.frames");
        build(&path, &base, 1).unwrap();
        let good = fs::read(&path).unwrap();
        for len in 0..good.len() {
            fs::write(&path, &good[..len]).unwrap();
            assert!(FrameCache::open(&path, base.len() as u64).is_none(), "{len} bytes");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            fs::write(&path, &bad).unwrap();
            let whole = FrameCache::open(&path, base.len() as u64)
                .is_some_and(|cache| cache.frame(0).is_some() && cache.frame(1).is_some());
            assert!(!whole, "byte {at}");
        }
        fs::write(&path, &good).unwrap();
        assert!(FrameCache::open(&path, base.len() as u64 + 1).is_none());
        assert!(FrameCache::open(&path, base.len() as u64).is_some());
    }

    #[test]
    fn an_interrupted_build_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = FrameCache::path(dir.path(), &[9; 32]);
        let interrupt = Interrupt::default();
        interrupt.request();
        let threads = NonZero::new(2).unwrap();
        let error = FrameCache::build(&path, &base(), threads, &interrupt, |_| {}).unwrap_err();
        assert!(matches!(error, SinkError::Interrupted(_)));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }
}
