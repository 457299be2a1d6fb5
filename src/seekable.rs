//! Zstandard's seekable format: independent frames, and a table of their sizes in a skippable frame at the end.
//!
//! Any zstd decoder reads such a file as one stream; with the table, any byte can be had by decoding one
//! frame. The format is `contrib/seekable_format/zstd_seekable_compression_format.md` of the zstd project,
//! version 0.1.0; numbers are little-endian.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use sha2::{Digest, Sha256};
use zstd::zstd_safe::compress_bound;

use crate::disk::block::{BlockRead, past_end};

/// `Skippable_Magic_Number` of the seek table's frame.
const SKIPPABLE_MAGIC: u32 = 0x184D_2A5E;
/// `Seekable_Magic_Number`, the last four bytes of the file.
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;
/// Bytes before the entries: magic number and size of the skippable frame.
const HEADER: u64 = 8;
/// Bytes after the entries: number of frames, descriptor, magic number.
const FOOTER: u64 = 9;
/// `Checksum_Flag` of the descriptor: entries end with four more bytes.
const CHECKSUM_FLAG: u8 = 0x80;
/// Bits of the descriptor that must be zero.
const RESERVED: u8 = 0x7c;
/// The largest frame that is decoded: memory is what it takes.
const MAX_FRAME: u32 = 64 << 20;
/// The most frames of a file: of 1 MiB, as they are here, a card of 4 TiB.
const MAX_FRAMES: u64 = 4 << 20;
/// Compressed bytes beyond what compressing costs at worst: encoders that flush often need some.
const SLACK: usize = 64 << 10;
/// How many bytes of decoded frames are kept.
const KEPT: u64 = 16 << 20;

/// Why a file cannot be read as seekable zstd.
#[derive(Debug, thiserror::Error)]
pub enum SeekableError {
    /// It does not end with a seek table.
    #[error("no zstd seek table at the end of the file")]
    Missing,
    /// It has a seek table that makes no sense.
    #[error("corrupt zstd seek table: {0}")]
    Corrupt(String),
    /// It has a seek table of a kind that is not read.
    #[error("unsupported zstd seek table: {0}")]
    Unsupported(String),
    /// It could not be read.
    #[error("reading the zstd seek table")]
    Io(#[from] io::Error),
}

/// The sizes of one frame, as the table says them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameSize {
    /// Bytes in the file.
    pub compressed: u32,
    /// Bytes it decodes to.
    pub decoded: u32,
}

/// The skippable frame that ends a seekable file; `None` with more frames than the format can count.
#[must_use]
pub fn seek_table(frames: &[FrameSize]) -> Option<Vec<u8>> {
    let count = u32::try_from(frames.len()).ok()?;
    let size = u32::try_from(frames.len() as u64 * 8 + FOOTER).ok()?;
    let mut table = Vec::with_capacity(frames.len() * 8 + 17);
    table.extend(SKIPPABLE_MAGIC.to_le_bytes());
    table.extend(size.to_le_bytes());
    for frame in frames {
        table.extend(frame.compressed.to_le_bytes());
        table.extend(frame.decoded.to_le_bytes());
    }
    table.extend(count.to_le_bytes());
    table.push(0);
    table.extend(SEEKABLE_MAGIC.to_le_bytes());
    Some(table)
}

/// Where a frame lies in the file and in what it decodes to.
#[derive(Clone, Copy, Debug)]
struct Frame {
    at: u64,
    decoded_at: u64,
    size: FrameSize,
}

/// What a frame must decode to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameContent {
    /// Nothing but zeros.
    Zeros,
    /// What has this SHA-256.
    Sha256([u8; 32]),
}

impl FrameContent {
    fn is_of(self, decoded: &[u8]) -> bool {
        match self {
            Self::Zeros => decoded.iter().all(|byte| *byte == 0),
            Self::Sha256(digest) => Sha256::digest(decoded).as_slice() == digest,
        }
    }
}

/// A frame that is being decoded, or was: readers that come meanwhile wait for the one that came first.
type Slot = OnceLock<Result<Vec<u8>, Fault>>;

/// What became of a frame, for everybody who waited for it.
#[derive(Debug)]
struct Fault {
    kind: io::ErrorKind,
    what: String,
}

/// A seekable zstd file, read as what it decodes to. Several readers decode frames at the same time, no frame is
/// decoded twice at once, and the frames used last are kept.
#[derive(Debug)]
pub struct SeekableZst {
    file: File,
    frames: Vec<Frame>,
    size: u64,
    /// What each frame must decode to, when that is known.
    contents: Vec<FrameContent>,
    /// The one used last stands last.
    kept: Mutex<VecDeque<(usize, Arc<Slot>)>>,
}

impl SeekableZst {
    /// Reads the seek table of `file` and checks that it accounts for every byte.
    ///
    /// # Errors
    /// When there is none, it is corrupt or unsupported, or the file cannot be read.
    pub fn open(file: File) -> Result<Self, SeekableError> {
        let file_size = file.metadata()?.len();
        let (entries, entry_size) = read_table(&file, file_size)?;
        let table = HEADER + entries.len() as u64 + FOOTER;
        let mut frames = Vec::with_capacity(entries.len() / entry_size);
        let (mut at, mut decoded_at) = (0u64, 0u64);
        for entry in entries.chunks_exact(entry_size) {
            let size = FrameSize { compressed: le32(entry, 0), decoded: le32(entry, 4) };
            if size.decoded > MAX_FRAME {
                return Err(SeekableError::Unsupported(format!(
                    "the frame at offset {at} decodes to {} bytes, more than {MAX_FRAME}",
                    size.decoded
                )));
            }
            frames.push(Frame { at, decoded_at, size });
            // Neither sum can overflow: there are fewer than 2^32 frames of less than 2^32 bytes.
            at += u64::from(size.compressed);
            decoded_at += u64::from(size.decoded);
        }
        if at + table != file_size {
            return Err(SeekableError::Corrupt(format!(
                "its frames end at offset {at}, the table starts at {}",
                file_size - table
            )));
        }
        Ok(Self { file, frames, size: decoded_at, contents: Vec::new(), kept: Mutex::default() })
    }

    /// The same file, each frame of which must decode to what is said here.
    ///
    /// # Errors
    /// `Corrupt` when there are not as many frames as that.
    pub fn with_contents(self, contents: Vec<FrameContent>) -> Result<Self, SeekableError> {
        let (frames, known) = (self.frames.len(), contents.len());
        if frames != known {
            return Err(SeekableError::Corrupt(format!("{frames} frames, {known} are known")));
        }
        Ok(Self { contents, ..self })
    }

    /// The sizes of the frames, in order.
    pub fn frames(&self) -> impl Iterator<Item = FrameSize> {
        self.frames.iter().map(|frame| frame.size)
    }

    fn decoded(&self, index: usize) -> io::Result<Arc<Slot>> {
        let slot = self.slot(index);
        let made = slot.get_or_init(|| self.decode(index).map_err(Fault::from));
        if let Err(fault) = made {
            let error = io::Error::new(fault.kind, fault.what.clone());
            // What could not be read now may be read another time.
            self.kept().retain(|(_, held)| !Arc::ptr_eq(held, &slot));
            return Err(error);
        }
        Ok(slot)
    }

    /// A panic while holding the lock leaves the queue whole.
    fn kept(&self) -> std::sync::MutexGuard<'_, VecDeque<(usize, Arc<Slot>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a frame is, or is to be put. Frames that were not used for the longest time give way.
    fn slot(&self, index: usize) -> Arc<Slot> {
        let mut kept = self.kept();
        let held = kept.iter().position(|(held, _)| *held == index).and_then(|at| kept.remove(at));
        let (_, slot) = held.unwrap_or_default();
        kept.push_back((index, Arc::clone(&slot)));
        let len = |index: usize| u64::from(self.frames[index].size.decoded);
        let mut bytes: u64 = kept.iter().map(|(held, _)| len(*held)).sum();
        while bytes > KEPT && kept.len() > 1 {
            bytes -= kept.pop_front().map_or(0, |(held, _)| len(held));
        }
        slot
    }

    fn decode(&self, index: usize) -> io::Result<Vec<u8>> {
        let frame = &self.frames[index];
        let corrupt = |what: String| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the zstd frame {index} at offset {}: {what}", frame.at),
            )
        };
        let (packed, len) = (frame.size.compressed as usize, frame.size.decoded as usize);
        if packed > compress_bound(len).saturating_add(SLACK) {
            return Err(corrupt(format!("{packed} bytes for {len} are no compression")));
        }
        let mut compressed = vec![0; packed];
        self.file.read_exact_at(&mut compressed, frame.at)?;
        let decoded = zstd::bulk::decompress(&compressed, len).map_err(|error| corrupt(error.to_string()))?;
        if decoded.len() != len {
            return Err(corrupt(format!("{} bytes instead of {len}", decoded.len())));
        }
        match self.contents.get(index) {
            Some(content) if !content.is_of(&decoded) => {
                Err(corrupt("it does not decode to what it should".to_owned()))
            }
            _ => Ok(decoded),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self { kind: error.kind(), what: error.to_string() }
    }
}

impl BlockRead for SeekableZst {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.size) {
            return Err(past_end(offset, buf.len(), self.size));
        }
        while !buf.is_empty() {
            // The last frame that starts at or before the offset: it holds the byte, as empty frames that
            // start there come before it.
            let index = self.frames.partition_point(|frame| frame.decoded_at <= offset) - 1;
            let slot = self.decoded(index)?;
            let frame = slot.get().and_then(|made| made.as_ref().ok()).map_or(&[][..], Vec::as_slice);
            let skip = usize::try_from(offset - self.frames[index].decoded_at).map_err(io::Error::other)?;
            let len = buf.len().min(frame.len() - skip);
            let (now, rest) = buf.split_at_mut(len);
            now.copy_from_slice(&frame[skip..skip + len]);
            offset += len as u64;
            buf = rest;
        }
        Ok(())
    }
}

/// The table's entries, and the size of one.
fn read_table(file: &File, file_size: u64) -> Result<(Vec<u8>, usize), SeekableError> {
    let footer_at = file_size.checked_sub(FOOTER).ok_or(SeekableError::Missing)?;
    let mut footer = [0; FOOTER as usize];
    file.read_exact_at(&mut footer, footer_at)?;
    if le32(&footer, 5) != SEEKABLE_MAGIC {
        return Err(SeekableError::Missing);
    }
    let descriptor = footer[4];
    if descriptor & RESERVED != 0 {
        return Err(SeekableError::Unsupported(format!("descriptor {descriptor:#04x}")));
    }
    let entry_size = if descriptor & CHECKSUM_FLAG == 0 { 8 } else { 12 };
    let count = u64::from(le32(&footer, 0));
    let entries = count * entry_size;
    let header_at = footer_at
        .checked_sub(entries + HEADER)
        .ok_or_else(|| SeekableError::Corrupt(format!("{entries} bytes of entries do not fit the file")))?;
    if count > MAX_FRAMES {
        return Err(SeekableError::Unsupported(format!("{count} frames, more than {MAX_FRAMES}")));
    }
    let mut table = vec![0; (HEADER + entries) as usize];
    file.read_exact_at(&mut table, header_at)?;
    if le32(&table, 0) != SKIPPABLE_MAGIC || u64::from(le32(&table, 4)) != entries + FOOTER {
        return Err(SeekableError::Corrupt(format!("no skippable frame of its size at offset {header_at}")));
    }
    table.drain(..HEADER as usize);
    Ok((table, entry_size as usize))
}

/// The number at `at`, which the caller knows to be inside.
fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::fs::FileExt;

    use sha2::{Digest, Sha256};

    use super::{FrameContent, FrameSize, SeekableError, SeekableZst, seek_table};
    use crate::disk::block::BlockRead;

    fn content(len: usize) -> Vec<u8> {
        (0..len).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect()
    }

    /// A seekable file of frames of these sizes.
    fn archive(sizes: &[usize]) -> Vec<u8> {
        let content = content(sizes.iter().sum());
        let (mut bytes, mut frames, mut at) = (Vec::new(), Vec::new(), 0);
        for size in sizes {
            let frame = zstd::bulk::compress(&content[at..at + size], 3).unwrap();
            frames.push(FrameSize {
                compressed: u32::try_from(frame.len()).unwrap(),
                decoded: u32::try_from(*size).unwrap(),
            });
            bytes.extend(frame);
            at += size;
        }
        bytes.extend(seek_table(&frames).unwrap());
        bytes
    }

    fn open(bytes: &[u8]) -> Result<SeekableZst, SeekableError> {
        let mut file: File = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        SeekableZst::open(file)
    }

    #[test]
    fn reads_any_range_across_frames_and_empty_ones() {
        let sizes = [1000, 0, 1, 4096, 0, 0, 333];
        let content = content(sizes.iter().sum());
        let image = open(&archive(&sizes)).unwrap();
        assert_eq!(image.size(), content.len() as u64);
        assert_eq!(image.frames().count(), sizes.len());
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..500 {
            let start = random.usize(..=content.len());
            let end = random.usize(start..=content.len());
            let mut buf = vec![0; end - start];
            image.read_at(start as u64, &mut buf).unwrap();
            assert!(buf == content[start..end]);
        }
        assert!(image.read_at(content.len() as u64, &mut [0]).is_err());
        assert!(image.read_at(u64::MAX, &mut [0]).is_err());
    }

    #[test]
    fn any_decoder_reads_it_as_one_stream() {
        let mut decoded = Vec::new();
        zstd::Decoder::new(archive(&[1000, 0, 5000]).as_slice()).unwrap().read_to_end(&mut decoded).unwrap();
        assert!(decoded == content(6000));
    }

    #[test]
    fn an_archive_of_nothing_is_empty() {
        assert_eq!(open(&archive(&[])).unwrap().size(), 0);
    }

    #[test]
    fn a_checksum_in_the_entries_is_passed_over() {
        let frame = zstd::bulk::compress(&content(100), 3).unwrap();
        let mut bytes = frame.clone();
        bytes.extend(0x184D_2A5Eu32.to_le_bytes());
        bytes.extend(21u32.to_le_bytes());
        bytes.extend(u32::try_from(frame.len()).unwrap().to_le_bytes());
        bytes.extend(100u32.to_le_bytes());
        bytes.extend([1, 2, 3, 4]);
        bytes.extend(1u32.to_le_bytes());
        bytes.push(0x80);
        bytes.extend(0x8F92_EAB1u32.to_le_bytes());
        let mut buf = [0; 100];
        open(&bytes).unwrap().read_at(0, &mut buf).unwrap();
        assert_eq!(buf.as_slice(), content(100));
    }

    #[test]
    fn no_prefix_and_no_flipped_bit_panics_or_goes_unnoticed_in_the_table() {
        let bytes = archive(&[1000, 1, 4096]);
        for len in 0..bytes.len() {
            assert!(open(&bytes[..len]).is_err(), "{len} bytes");
        }
        let table = bytes.len() - (8 + 3 * 8 + 9);
        for at in table..bytes.len() {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                // Bits 0 and 1 of the descriptor mean nothing; a wrong decoded size shows in the whole size,
                // and when that frame is decoded.
                let Ok(image) = open(&bytes) else { continue };
                if image.size() != 5097 {
                    continue;
                }
                let mut buf = vec![0; 5097];
                if image.read_at(0, &mut buf).is_ok() {
                    assert!(buf == content(5097), "byte {at} bit {bit}");
                }
            }
        }
    }

    #[test]
    fn says_missing_corrupt_and_unsupported() {
        assert!(matches!(open(b"not zstd at all"), Err(SeekableError::Missing)));
        let good = archive(&[10, 10]);
        let mut more = vec![0];
        more.extend(&good);
        assert!(matches!(open(&more), Err(SeekableError::Corrupt(_))));
        let mut reserved = good.clone();
        let descriptor = good.len() - 5;
        reserved[descriptor] = 0x04;
        assert!(matches!(open(&reserved), Err(SeekableError::Unsupported(_))));
        let huge = [FrameSize { compressed: 0, decoded: 65 << 20 }];
        assert!(matches!(open(&seek_table(&huge).unwrap()), Err(SeekableError::Unsupported(_))));
    }

    #[test]
    fn readers_together_read_what_one_reads() {
        let sizes = [3000; 40];
        let content = content(sizes.iter().sum());
        let image = open(&archive(&sizes)).unwrap();
        std::thread::scope(|scope| {
            for seed in 0..8 {
                let (image, content) = (&image, &content);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    for _ in 0..300 {
                        let start = random.usize(..content.len());
                        let end = random.usize(start..=content.len().min(start + 9000));
                        let mut buf = vec![0; end - start];
                        image.read_at(start as u64, &mut buf).unwrap();
                        assert!(buf == content[start..end]);
                    }
                });
            }
        });
        // Frames this small are all kept, and none of them twice.
        assert_eq!(image.kept().len(), sizes.len());
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_goes() {
        let size = 6 << 20;
        let image = open(&archive(&[size; 4])).unwrap();
        let mut byte = [0];
        let kept = |image: &SeekableZst| image.kept().iter().map(|(index, _)| *index).collect::<Vec<_>>();
        for (frame, expected) in [(0, &[0][..]), (1, &[0, 1]), (0, &[1, 0]), (2, &[0, 2]), (3, &[2, 3])] {
            image.read_at(frame * size as u64, &mut byte).unwrap();
            assert_eq!(kept(&image), expected);
        }
    }

    #[test]
    fn a_frame_is_what_is_known_of_it_or_an_error() {
        let bytes = archive(&[1000, 1000]);
        let whole = content(2000);
        let digest = |frame: &[u8]| FrameContent::Sha256(Sha256::digest(frame).into());
        let mut contents: Vec<FrameContent> = whole.chunks(1000).map(digest).collect();
        let mut buf = vec![0; 2000];
        let known = |contents: &[FrameContent]| open(&bytes).unwrap().with_contents(contents.to_vec());
        known(&contents).unwrap().read_at(0, &mut buf).unwrap();
        contents.swap(0, 1);
        for wrong in [contents.clone(), vec![FrameContent::Zeros; 2]] {
            let image = known(&wrong).unwrap();
            for _ in 0..2 {
                let error = image.read_at(1500, &mut buf[..1]).unwrap_err().to_string();
                assert!(error.contains("frame 1 at offset"), "{error}");
            }
        }
        assert!(matches!(known(&contents[..1]), Err(SeekableError::Corrupt(_))));
        let mut file = zstd::bulk::compress(&[0; 100], 3).unwrap();
        let compressed = u32::try_from(file.len()).unwrap();
        file.extend(seek_table(&[FrameSize { compressed, decoded: 100 }]).unwrap());
        let image = open(&file).unwrap().with_contents(vec![FrameContent::Zeros]).unwrap();
        image.read_at(0, &mut buf[..100]).unwrap();
    }

    #[test]
    fn what_a_table_claims_is_not_allocated() {
        // A frame that takes a hundred times what it holds, and a table of more frames than any card has.
        let mut bytes = vec![0; 1 << 20];
        bytes.extend(seek_table(&[FrameSize { compressed: 1 << 20, decoded: 10 }]).unwrap());
        let error = open(&bytes).unwrap().read_at(0, &mut [0]).unwrap_err().to_string();
        assert!(error.contains("no compression"), "{error}");
        let file: File = tempfile::tempfile().unwrap();
        let frames = (4u64 << 20) + 1;
        file.set_len(17 + 8 * frames).unwrap();
        let mut footer = u32::try_from(frames).unwrap().to_le_bytes().to_vec();
        footer.push(0);
        footer.extend(0x8F92_EAB1u32.to_le_bytes());
        file.write_all_at(&footer, 8 + 8 * frames).unwrap();
        assert!(matches!(SeekableZst::open(file), Err(SeekableError::Unsupported(_))));
    }
}
