//! A compressed image file: independent zstd frames and a seek table, so that it can be streamed by any zstd
//! and read at any offset.
//!
//! Frames in which a node is no different from its base are compressed once per base and kept in the cache.
//! The bytes are the same whatever the number of threads and whatever the cache held.

use std::io::Write;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::edited::Edited;
use super::error::SinkError;
use super::frames::{FRAME, FrameCache, FrameMaker, frame_count, frame_range};
use super::in_order::{cores, in_order};
use super::outfile::OutFile;
use super::track::Track;
use crate::disk::block::{BlockRead, FileBlocks};
use crate::disk::range::ByteRange;
use crate::interrupt::Interrupt;
use crate::progress::{Event, Phase, Progress};
use crate::seekable::{FrameSize, seek_table};

/// What was written into a compressed image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compressed {
    /// Size of the image in bytes.
    pub size: u64,
    /// Size of the file in bytes.
    pub stored: u64,
    /// Frames of the image.
    pub frames: usize,
    /// Frames that were taken from the cache.
    pub cached: usize,
}

/// Writes the image into the empty file `out`, using all cores. It is not yet on the disk: publishing flushes it.
///
/// # Errors
/// When the base or the image cannot be read, the file cannot be written, or the run was asked to stop.
/// A cache that cannot be written is no error: a note says so and everything is compressed.
pub fn write_zst(
    edited: &Edited<'_>,
    cache_dir: &Path,
    out: &OutFile,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Compressed, SinkError> {
    let job = Job { edited, out, progress, interrupt, threads: cores() };
    let cache = job.cache(cache_dir)?;
    job.write(cache.as_ref())
}

struct Job<'a> {
    edited: &'a Edited<'a>,
    out: &'a OutFile,
    progress: &'a dyn Progress,
    interrupt: &'a Interrupt,
    threads: NonZero<usize>,
}

impl Job<'_> {
    /// The frames of the base, made if need be.
    fn cache(&self, cache_dir: &Path) -> Result<Option<FrameCache>, SinkError> {
        let base_file = self.edited.base_file;
        let base = std::fs::File::open(base_file)
            .and_then(FileBlocks::new)
            .map_err(SinkError::file("opening", base_file))?;
        let path = FrameCache::path(cache_dir, &self.edited.base_sha256);
        if let Some(cache) = FrameCache::open(&path, base.size()) {
            return Ok(Some(cache));
        }
        let track = self.track(format!("frames of {}", base_file.display()), base.size());
        let built = FrameCache::build(&path, &base, self.threads, self.interrupt, |done| {
            track.advance(done);
        });
        drop(track);
        match built {
            Ok(cache) => Ok(Some(cache)),
            Err(error @ SinkError::File { .. }) => {
                self.progress.event(Event::Note(format!("compressed frames are not kept: {error}")));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn write(&self, cache: Option<&FrameCache>) -> Result<Compressed, SinkError> {
        let size = self.edited.image.size();
        let mut frames = Vec::new();
        let (mut stored, mut cached) = (0, 0);
        let damaged = AtomicBool::new(false);
        let writing = || SinkError::file("writing", self.out.dest());
        let track = self.track(self.out.dest().display().to_string(), size);
        in_order(
            frame_count(size),
            self.threads,
            || FrameMaker::new().map_err(SinkError::file("compressing into", self.out.dest())),
            |maker, index| self.frame(maker, index, cache, &damaged),
            |made: Made| {
                let (start, len) = frame_range(frames.len(), size);
                // Both are about 1 MiB at most.
                frames.push(FrameSize { compressed: made.frame.len() as u32, decoded: len as u32 });
                stored += made.frame.len() as u64;
                cached += usize::from(made.cached);
                track.advance(start + len);
                self.out.file().write_all(&made.frame).map_err(writing())
            },
        )?;
        if let (true, Some(cache)) = (damaged.load(Ordering::Relaxed), cache) {
            cache.discard();
            self.progress.event(Event::Note(
                "the cache of compressed frames was damaged: it will be made anew".into(),
            ));
        }
        let table = seek_table(&frames).ok_or_else(|| writing()(std::io::ErrorKind::FileTooLarge.into()))?;
        self.out.file().write_all(&table).map_err(writing())?;
        Ok(Compressed { size, stored: stored + table.len() as u64, frames: frames.len(), cached })
    }

    fn frame(
        &self,
        maker: &mut FrameMaker,
        index: usize,
        cache: Option<&FrameCache>,
        damaged: &AtomicBool,
    ) -> Result<Made, SinkError> {
        self.interrupt.check()?;
        let (start, len) = frame_range(index, self.edited.image.size());
        if let (Some(cache), Some(range)) = (cache, ByteRange::with_len(start, len))
            && self.same_frame(range, cache)
        {
            match cache.frame(index) {
                Some(frame) => return Ok(Made { frame, cached: true }),
                None => damaged.store(true, Ordering::Relaxed),
            }
        }
        Ok(Made { frame: maker.make(self.edited.image, index)?, cached: false })
    }

    /// Whether a frame of the image is the base's of the same number: unchanged, and not cut at the base's
    /// end when the image goes on.
    fn same_frame(&self, range: ByteRange, cache: &FrameCache) -> bool {
        let whole = range.len() == FRAME || self.edited.image.size() == cache.base_size();
        whole && self.edited.is_base(range, cache.base_size())
    }

    fn track(&self, subject: String, total: u64) -> Track<'_> {
        Track::start(self.progress, Phase::Baking, subject, total)
    }
}

struct Made {
    frame: Vec<u8>,
    cached: bool,
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::num::NonZero;
    use std::path::Path;

    use super::{Compressed, Job, write_zst};
    use crate::disk::block::BlockRead;
    use crate::disk::range::ByteRange;
    use crate::interrupt::Interrupt;
    use crate::progress::Silent;
    use crate::seekable::SeekableZst;
    use crate::sink::edited::Edited;
    use crate::sink::error::SinkError;
    use crate::sink::frames::{FRAME, FrameCache};
    use crate::sink::outfile::OutFile;

    struct Bed {
        dir: tempfile::TempDir,
        image: Vec<u8>,
        changed: Vec<ByteRange>,
    }

    impl Bed {
        /// A base of five frames and a half; an image of seven, with changes in two of the base's and one
        /// beyond its end.
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let mut random = fastrand::Rng::with_seed(3);
            let mut image: Vec<u8> = (0..5 * FRAME + FRAME / 2).map(|_| random.u8(..4)).collect();
            fs::write(dir.path().join("base.img"), &image).unwrap();
            image.resize((7 * FRAME) as usize, 0);
            let changed: Vec<ByteRange> = [FRAME - 4096, 3 * FRAME, 6 * FRAME]
                .into_iter()
                .map(|start| ByteRange::with_len(start, 4096).unwrap())
                .collect();
            for range in &changed {
                image[range.start() as usize..range.end() as usize].fill(0xee);
            }
            Self { dir, image, changed }
        }

        fn write(&self, name: &str, cache: &Path) -> (Compressed, Vec<u8>) {
            let base_file = self.dir.path().join("base.img");
            let edited = Edited {
                image: &self.image,
                changed: self.changed.clone(),
                base_file: &base_file,
                base_sha256: [1; 32],
            };
            let out = OutFile::create(&self.dir.path().join(name), false).unwrap();
            let compressed = write_zst(&edited, cache, &out, &Silent, &Interrupt::default()).unwrap();
            let mut bytes = Vec::new();
            out.open_again().unwrap().read_to_end(&mut bytes).unwrap();
            let image = SeekableZst::open(out.open_again().unwrap()).unwrap();
            let mut read = vec![0; image.size() as usize];
            image.read_at(0, &mut read).unwrap();
            assert!(read == self.image);
            (compressed, bytes)
        }
    }

    #[test]
    fn unchanged_frames_come_from_the_cache_and_the_bytes_are_always_the_same() {
        let bed = Bed::new();
        let cache = bed.dir.path().join("cache");
        let (first, bytes) = bed.write("first", &cache);
        assert_eq!((first.frames, first.cached, first.size), (7, 3, 7 * FRAME));
        assert_eq!(first.stored, bytes.len() as u64);
        let (second, again) = bed.write("second", &cache);
        assert_eq!(second.cached, 3);
        assert!(bytes == again);
        let decoded = zstd::decode_all(bytes.as_slice()).unwrap();
        assert!(decoded == bed.image);
    }

    #[test]
    fn threads_do_not_change_the_bytes() {
        let bed = Bed::new();
        let base_file = bed.dir.path().join("base.img");
        let edited = Edited {
            image: &bed.image,
            changed: bed.changed.clone(),
            base_file: &base_file,
            base_sha256: [1; 32],
        };
        let written: Vec<Vec<u8>> = [1, 2, 5]
            .into_iter()
            .map(|threads| {
                let out = OutFile::create(&bed.dir.path().join("out"), false).unwrap();
                let (progress, interrupt) = (&Silent, &Interrupt::default());
                let threads = NonZero::new(threads).unwrap();
                Job { edited: &edited, out: &out, progress, interrupt, threads }.write(None).unwrap();
                let mut bytes = Vec::new();
                out.open_again().unwrap().read_to_end(&mut bytes).unwrap();
                bytes
            })
            .collect();
        assert!(written[0] == written[1] && written[1] == written[2]);
        let (_, with_cache) = bed.write("cached", &bed.dir.path().join("cache"));
        assert!(with_cache == written[0]);
    }

    #[test]
    fn a_damaged_cache_is_noticed_and_made_anew() {
        let bed = Bed::new();
        let cache = bed.dir.path().join("cache");
        let (_, bytes) = bed.write("first", &cache);
        let path = FrameCache::path(&cache, &[1; 32]);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        let third = good.len() / 2;
        bad[third] ^= 1;
        fs::write(&path, &bad).unwrap();
        let (compressed, again) = bed.write("second", &cache);
        assert!(again == bytes);
        assert_eq!(compressed.cached, 2);
        assert!(!path.exists());
        fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert!(bed.write("third", &cache).1 == bytes);
        assert!(fs::read(&path).unwrap() == good);
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_done_without() {
        let bed = Bed::new();
        let cache = bed.dir.path().join("base.img");
        let (compressed, _) = bed.write("out", &cache);
        assert_eq!(compressed.cached, 0);
    }

    #[test]
    fn stops_when_asked() {
        let bed = Bed::new();
        let base_file = bed.dir.path().join("base.img");
        let edited =
            Edited { image: &bed.image, changed: Vec::new(), base_file: &base_file, base_sha256: [1; 32] };
        let interrupt = Interrupt::default();
        interrupt.request();
        let out = OutFile::create(&bed.dir.path().join("out"), false).unwrap();
        let error = write_zst(&edited, &bed.dir.path().join("cache"), &out, &Silent, &interrupt).unwrap_err();
        assert!(matches!(error, SinkError::Interrupted(_)));
    }
}
