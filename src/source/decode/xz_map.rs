//! Where the blocks of an .xz file lie, read from its end: each stream closes with an index of its blocks
//! and a footer that says how long the index is (.xz file format 1.2.1, sections 2.1 and 4).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crc::{CRC_32_ISO_HDLC, Crc};

use super::xz::MAGIC;

/// Size of a stream's header and of its footer, in bytes.
const EDGE: usize = 12;

/// Indexes larger than this, in bytes, are left to be gone through in order; so are files with more blocks
/// or more padding. A terabyte in blocks of 24 MiB needs far less.
const INDEX_LIMIT: u64 = 1 << 20;
const BLOCKS_LIMIT: usize = 1 << 18;
const PADDING_LIMIT: u64 = 64 << 10;

const CRC32: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// One block: what can be decoded without anything before it but its stream's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The header of its stream, which says what check its blocks carry.
    pub(super) stream_header: [u8; EDGE],
    /// Offset of its first byte in the file.
    pub(super) offset: u64,
    /// Length in the file, its check included, its padding not.
    pub(super) unpadded: u64,
    /// Offset in the image of the first byte it unpacks to.
    pub(super) image_offset: u64,
    /// Number of bytes it unpacks to.
    pub(super) unpacked: u64,
}

impl Block {
    /// Length in the file, padding included.
    pub(super) fn packed(&self) -> u64 {
        padded(self.unpadded)
    }

    /// The index of a stream with this block alone.
    pub(super) fn index(&self) -> Vec<u8> {
        let mut index = vec![0, 1];
        for mut number in [self.unpadded, self.unpacked] {
            while number >= 0x80 {
                index.push(number as u8 | 0x80);
                number >>= 7;
            }
            index.push(number as u8);
        }
        index.resize(index.len().next_multiple_of(4), 0);
        index.extend(CRC32.checksum(&index).to_le_bytes());
        index
    }
}

/// Section 3.3: blocks are padded to multiples of four bytes.
fn padded(size: u64) -> u64 {
    size.next_multiple_of(4)
}

/// All blocks in order, or `None` when the file does not make sense from its end.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn read_map(file: &File) -> io::Result<Option<Vec<Block>>> {
    let mut blocks = Vec::new();
    let mut end = file.metadata()?.len();
    while end > 0 {
        let Some(stream) = read_stream(file, end)? else { return Ok(None) };
        end = stream.start;
        if blocks.len() + stream.records.len() > BLOCKS_LIMIT {
            return Ok(None);
        }
        blocks.extend(stream.into_blocks().rev());
    }
    blocks.reverse();
    let mut image_offset = 0u64;
    for block in &mut blocks {
        block.image_offset = image_offset;
        let Some(next) = image_offset.checked_add(block.unpacked) else { return Ok(None) };
        image_offset = next;
    }
    Ok(Some(blocks))
}

/// One stream, as its index has it.
struct StreamIndex {
    header: [u8; EDGE],
    /// Offset of the header in the file.
    start: u64,
    /// Unpadded and unpacked size of each block; the first below 2^63, so that padding fits.
    records: Vec<(u64, u64)>,
}

impl StreamIndex {
    fn into_blocks(self) -> impl DoubleEndedIterator<Item = Block> {
        let mut offset = self.start + EDGE as u64;
        let blocks: Vec<Block> = self
            .records
            .into_iter()
            .map(|(unpadded, unpacked)| {
                let block = Block { stream_header: self.header, offset, unpadded, image_offset: 0, unpacked };
                offset += block.packed();
                block
            })
            .collect();
        blocks.into_iter()
    }
}

/// The stream that ends, padding included, at `end`.
fn read_stream(file: &File, end: u64) -> io::Result<Option<StreamIndex>> {
    let Some(end) = before_padding(file, end)? else { return Ok(None) };
    let Some(footer_at) = end.checked_sub(EDGE as u64) else { return Ok(None) };
    let footer: [u8; EDGE] = read(file, footer_at)?;
    let Some(index_len) = index_len(&footer) else { return Ok(None) };
    let Some(index_at) = footer_at.checked_sub(index_len) else { return Ok(None) };
    let mut index = vec![0; index_len as usize];
    file.read_exact_at(&mut index, index_at)?;
    let Some(records) = parse_index(&index) else { return Ok(None) };

    let packed =
        records.iter().try_fold(EDGE as u64, |sum, (unpadded, _)| sum.checked_add(padded(*unpadded)));
    let Some(start) = packed.and_then(|packed| index_at.checked_sub(packed)) else { return Ok(None) };
    let header: [u8; EDGE] = read(file, start)?;
    // Section 2.1.1: magic number, flags and their CRC32; the footer has the same flags.
    let whole = header.starts_with(MAGIC)
        && header[6..8] == footer[8..10]
        && header[8..] == CRC32.checksum(&header[6..8]).to_le_bytes();
    Ok(whole.then_some(StreamIndex { header, start, records }))
}

/// Where the padding before `end` begins.
fn before_padding(file: &File, mut end: u64) -> io::Result<Option<u64>> {
    let limit = end.saturating_sub(PADDING_LIMIT);
    while let Some(word_at) = end.checked_sub(4) {
        if read::<4>(file, word_at)? != [0; 4] {
            return Ok(Some(end));
        }
        if word_at < limit {
            break;
        }
        end = word_at;
    }
    Ok(None)
}

fn read<const N: usize>(file: &File, offset: u64) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// Section 2.1.2: CRC32 of what follows, length of the index in units of four bytes less one, flags, magic.
fn index_len(footer: &[u8; EDGE]) -> Option<u64> {
    let [c0, c1, c2, c3, s0, s1, s2, s3, _, _, b'Y', b'Z'] = *footer else { return None };
    let whole = CRC32.checksum(&footer[4..10]) == u32::from_le_bytes([c0, c1, c2, c3]);
    let len = (u64::from(u32::from_le_bytes([s0, s1, s2, s3])) + 1) * 4;
    (whole && len <= INDEX_LIMIT).then_some(len)
}

/// Section 4: an indicator of zero, the number of records, the records, padding, and a CRC32.
fn parse_index(index: &[u8]) -> Option<Vec<(u64, u64)>> {
    let (content, crc) = index.split_last_chunk::<4>()?;
    if CRC32.checksum(content) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut rest = 1..content.len();
    if *content.first()? != 0 {
        return None;
    }
    let count = read_number(content, &mut rest)?;
    // A record takes two bytes at least, so no more is allocated than was read.
    if count > (rest.len() / 2) as u64 {
        return None;
    }
    let mut records = Vec::with_capacity(usize::try_from(count).ok()?);
    for _ in 0..count {
        let unpadded = read_number(content, &mut rest)?;
        if unpadded == 0 {
            return None;
        }
        records.push((unpadded, read_number(content, &mut rest)?));
    }
    (rest.len() < 4 && content[rest].iter().all(|byte| *byte == 0)).then_some(records)
}

/// Section 1.2: seven bits a byte, the lowest first, at most nine bytes.
fn read_number(bytes: &[u8], rest: &mut Range<usize>) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let byte = bytes[rest.clone()].first()?;
        rest.start += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use liblzma::stream::{Check, MtStreamBuilder};
    use liblzma::write::XzEncoder;

    use super::{Block, parse_index, read_map, read_number};

    fn xz(len: usize, block: u64) -> Vec<u8> {
        let stream = MtStreamBuilder::new().threads(2).check(Check::Crc32).block_size(block).encoder();
        let mut encoder = XzEncoder::new_stream(Vec::new(), stream.unwrap());
        encoder.write_all(&vec![7; len]).unwrap();
        encoder.finish().unwrap()
    }

    fn map(bytes: &[u8]) -> Option<Vec<Block>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        read_map(&file).unwrap()
    }

    #[test]
    fn blocks_of_all_streams_are_found_in_order() {
        let (one, two) = (xz(2500, 1000), xz(700, 1000));
        let blocks = map(&[one.as_slice(), &[0; 8], &two, &[0; 4]].concat()).unwrap();
        let places: Vec<_> = blocks.iter().map(|block| (block.image_offset, block.unpacked)).collect();
        assert_eq!(places, [(0, 1000), (1000, 1000), (2000, 500), (2500, 700)]);
        assert_eq!(blocks[0].offset, 12);
        assert_eq!(blocks[1].offset, 12 + blocks[0].packed());
        assert_eq!(blocks[3].offset, one.len() as u64 + 8 + 12);
        assert_eq!(map(&xz(0, 1000)), Some(Vec::new()));
    }

    #[test]
    fn what_makes_no_sense_from_its_end_has_no_map() {
        let whole = xz(2500, 1000);
        assert_eq!(map(&whole[..whole.len() - 4]), None);
        assert_eq!(map(&whole[4..]), None);
        assert_eq!(map(&[whole.as_slice(), b"junk"].concat()), None);
        assert_eq!(map(&[0; 400]), None);
        assert_eq!(map(&[whole.as_slice(), &[0; 100_000]].concat()), None, "too much padding");
        assert_eq!(map(b"YZ"), None);
    }

    #[test]
    fn no_damaged_byte_of_the_frame_goes_unnoticed_or_panics() {
        let whole = xz(2500, 1000);
        let blocks = map(&whole).unwrap();
        let body = 12..(blocks[2].offset + blocks[2].packed()) as usize;
        for at in (0..whole.len()).filter(|at| !body.contains(at)) {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                assert_eq!(map(&damaged), None, "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn an_index_made_is_an_index_read() {
        for (unpadded, unpacked) in [(1, 0), (127, 128), (16384, u64::MAX >> 1)] {
            let block = Block { stream_header: [0; 12], offset: 0, unpadded, image_offset: 0, unpacked };
            assert_eq!(parse_index(&block.index()), Some(vec![(unpadded, unpacked)]));
        }
    }

    #[test]
    fn numbers_end_within_nine_bytes() {
        assert_eq!(read_number(&[0x80, 0x01], &mut (0..2)), Some(128));
        assert_eq!(read_number(&[0xff; 9], &mut (0..9)), None);
        assert_eq!(read_number(&[0x80], &mut (0..1)), None);
        assert!(File::open("/dev/null").is_ok_and(|file| read_map(&file).unwrap().is_some()));
    }
}
