//! The block map that tells bmaptool what of an image is in use: XML 2.0, as its `BmapCreate.py` documents it.
//!
//! The file's own checksum is taken with zeros in its place. A checksum is that of the image's bytes, of which the
//! last block may have fewer. Ranges are not merged where one ends at the end of a frame, so that each can be
//! hashed by whoever makes the frame.

use std::fmt::Write as _;
use std::ops::Range;

use roxmltree::{Document, Node, ParsingOptions};

use super::digest::Sha256;
use super::error::BackupError;
use crate::disk::range::ByteRange;

/// Bytes in a block of the maps that pibake writes.
pub const BLOCK: u64 = 4096;
/// The largest file that is read or written.
pub const MAX_FILE: u64 = 64 << 20;
/// Elements and texts of a file as large as that.
const MAX_NODES: u32 = 3_000_000;
/// Blocks larger than this are nobody's.
const MAX_BLOCK: u64 = 64 << 20;

/// What of an image is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bmap {
    /// Bytes of the image.
    pub image_size: u64,
    /// Bytes of a block.
    pub block_size: u64,
    /// The ranges in use, in rising order; none overlaps the next.
    pub ranges: Vec<MappedRange>,
}

/// A range in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedRange {
    /// The bytes of the image: from the start of a block to the end of one, or of the image.
    pub range: ByteRange,
    /// Their SHA-256.
    pub sha256: Sha256,
}

impl Bmap {
    /// Bytes in use.
    #[must_use]
    pub fn mapped(&self) -> u64 {
        self.ranges.iter().map(|mapped| mapped.range.len()).sum()
    }

    /// The file.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let zeros = "0".repeat(64);
        let text = self.with_checksum(&zeros);
        // The same length, so nothing else moves.
        self.with_checksum(&Sha256::of(text.as_bytes()).to_string())
    }

    fn with_checksum(&self, checksum: &str) -> String {
        let blocks = |bytes: u64| bytes.div_ceil(self.block_size);
        let mapped: u64 = self.ranges.iter().map(|mapped| blocks(mapped.range.len())).sum();
        let mut text = format!(
            "<?xml version=\"1.0\" ?>\n<!-- What of an image is in use: `bmaptool copy` writes no more than that. -->\n\
             <bmap version=\"2.0\">\n    <ImageSize> {} </ImageSize>\n    <BlockSize> {} </BlockSize>\n    \
             <BlocksCount> {} </BlocksCount>\n    <MappedBlocksCount> {mapped} </MappedBlocksCount>\n    \
             <ChecksumType> sha256 </ChecksumType>\n    <BmapFileChecksum> {checksum} </BmapFileChecksum>\n    \
             <BlockMap>\n",
            self.image_size,
            self.block_size,
            blocks(self.image_size),
        );
        for MappedRange { range, sha256 } in &self.ranges {
            let (first, last) = (range.start() / self.block_size, blocks(range.end()).saturating_sub(1));
            let which = if first == last { first.to_string() } else { format!("{first}-{last}") };
            // Writing into a string cannot fail.
            let _ = writeln!(text, "        <Range chksum=\"{sha256}\"> {which} </Range>");
        }
        text += "    </BlockMap>\n</bmap>\n";
        text
    }

    /// Reads a file, pibake's or bmaptool's, and checks that it agrees with itself and with its own checksum.
    ///
    /// # Errors
    /// `Corrupt`, or `Unsupported` for versions before 2 and other checksums than SHA-256.
    pub fn parse(bytes: &[u8]) -> Result<Self, BackupError> {
        if bytes.len() as u64 > MAX_FILE {
            return Err(BackupError::unsupported("bmap", format!("{} bytes", bytes.len())));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| corrupt(error.to_string()))?;
        let options =
            ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
        let document =
            Document::parse_with_options(text, options).map_err(|error| corrupt(error.to_string()))?;
        let root = document.root_element();
        if root.tag_name().name() != "bmap" {
            return Err(corrupt(format!("it is {:?}, not a bmap", root.tag_name().name())));
        }
        check_kind(root)?;
        check_checksum(text, root)?;
        let (image_size, block_size) = (number(root, "ImageSize")?, number(root, "BlockSize")?);
        if block_size == 0 || block_size > MAX_BLOCK {
            return Err(corrupt(format!("blocks of {block_size} bytes")));
        }
        let blocks = image_size.div_ceil(block_size);
        if number(root, "BlocksCount")? != blocks {
            return Err(corrupt(format!("{image_size} bytes are {blocks} blocks, it says another number")));
        }
        let mut map = Self { image_size, block_size, ranges: Vec::new() };
        for node in child(root, "BlockMap")?.children().filter(Node::is_element) {
            map.take(node)?;
        }
        let mapped: u64 = map.ranges.iter().map(|mapped| mapped.range.len().div_ceil(block_size)).sum();
        if number(root, "MappedBlocksCount")? != mapped {
            return Err(corrupt(format!("{mapped} blocks are in its ranges, it says another number")));
        }
        Ok(map)
    }
}

/// Refuses what this reader does not know.
fn check_kind(root: Node<'_, '_>) -> Result<(), BackupError> {
    let version = root.attribute("version").unwrap_or("none").trim();
    if version.split('.').next() != Some("2") {
        return Err(BackupError::unsupported("bmap", format!("version {version}")));
    }
    match value(child(root, "ChecksumType")?) {
        "sha256" => Ok(()),
        other => Err(BackupError::unsupported("bmap", format!("checksums by {other}"))),
    }
}

/// Compares the file with its own checksum.
fn check_checksum(text: &str, root: Node<'_, '_>) -> Result<(), BackupError> {
    let node = child(root, "BmapFileChecksum")?;
    let said = value(node);
    let wanted = Sha256::parse(said).ok_or_else(|| corrupt("its checksum is none"))?;
    let at = digits(text, node, said).ok_or_else(|| corrupt("its checksum is written oddly"))?;
    let zeroed = [&text[..at.start], &"0".repeat(at.len()), &text[at.end..]].concat();
    let found = Sha256::of(zeroed.as_bytes());
    if found == wanted { Ok(()) } else { Err(corrupt("it is not what its own checksum says")) }
}

/// Where in the file the digits of an element stand.
fn digits(text: &str, node: Node<'_, '_>, digits: &str) -> Option<Range<usize>> {
    let within = node.range();
    let start = within.start + text.get(within)?.find(digits)?;
    Some(start..start + digits.len())
}

impl Bmap {
    /// Takes one range, which must begin behind the one before.
    fn take(&mut self, node: Node<'_, '_>) -> Result<(), BackupError> {
        let text = value(node);
        if !node.has_tag_name("Range") {
            return Err(corrupt(format!("{:?} among its ranges", node.tag_name().name())));
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let ends = first.trim().parse::<u64>().ok().zip(last.trim().parse::<u64>().ok());
        let range = ends.and_then(|(first, last)| {
            let start = first.checked_mul(self.block_size)?;
            let end = last.checked_add(1)?.checked_mul(self.block_size)?;
            ByteRange::new(start, end.min(self.image_size)).filter(|range| !range.is_empty())
        });
        let blocks = self.image_size.div_ceil(self.block_size);
        let behind = self.ranges.last().map_or(0, |before| before.range.end());
        let fits = |range: &ByteRange| range.start() >= behind && ends.is_some_and(|(_, last)| last < blocks);
        let range = range.filter(fits).ok_or_else(|| corrupt(format!("its range {text:?} cannot be")))?;
        let sha256 = node.attribute("chksum").and_then(Sha256::parse);
        let sha256 = sha256.ok_or_else(|| corrupt(format!("its range {text:?} has no SHA-256")))?;
        self.ranges.push(MappedRange { range, sha256 });
        Ok(())
    }
}

fn number(root: Node<'_, '_>, name: &str) -> Result<u64, BackupError> {
    let text = value(child(root, name)?);
    text.parse().map_err(|_| corrupt(format!("its {name} is {text:?}")))
}

fn child<'a, 'input>(root: Node<'a, 'input>, name: &str) -> Result<Node<'a, 'input>, BackupError> {
    let mut found = root.children().filter(|node| node.has_tag_name(name));
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(corrupt(format!("it has no {name}"))),
        (Some(_), Some(_)) => Err(corrupt(format!("it has several {name}"))),
    }
}

fn value<'a>(node: Node<'a, '_>) -> &'a str {
    node.text().unwrap_or_default().trim()
}

fn corrupt(why: impl Into<String>) -> BackupError {
    BackupError::corrupt("bmap", why)
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Bmap, MappedRange};
    use crate::backup::digest::Sha256;
    use crate::backup::error::BackupError;
    use crate::disk::range::ByteRange;

    fn map() -> Bmap {
        let mapped = |start, end| MappedRange {
            range: ByteRange::new(start, end).unwrap(),
            sha256: Sha256::of(&[start as u8]),
        };
        // The image ends within a block; two ranges touch.
        let ranges = vec![mapped(0, BLOCK), mapped(2 * BLOCK, 5 * BLOCK), mapped(5 * BLOCK, 7 * BLOCK + 100)];
        Bmap { image_size: 7 * BLOCK + 100, block_size: BLOCK, ranges }
    }

    fn resealed(text: &str) -> String {
        let at = text.find("<BmapFileChecksum> ").unwrap() + 19;
        let zeroed = format!("{}{}{}", &text[..at], "0".repeat(64), &text[at + 64..]);
        format!("{}{}{}", &text[..at], Sha256::of(zeroed.as_bytes()), &text[at + 64..])
    }

    #[test]
    fn what_is_written_is_read() {
        let map = map();
        let text = map.to_xml();
        assert!(
            text.contains("<MappedBlocksCount> 7 <") && text.contains("> 2-4 <") && text.contains("> 0 <")
        );
        assert_eq!(Bmap::parse(text.as_bytes()).unwrap(), map);
        assert_eq!(resealed(&text), text);
        assert_eq!(map.mapped(), 6 * BLOCK + 100);
        let empty = Bmap { image_size: 0, block_size: BLOCK, ranges: Vec::new() };
        assert_eq!(Bmap::parse(empty.to_xml().as_bytes()).unwrap(), empty);
    }

    #[test]
    fn no_prefix_and_no_flipped_bit_is_taken_for_another_map() {
        let map = map();
        let text = map.to_xml();
        // Without its last line break it is another file, and its checksum says so.
        for len in 0..text.len() {
            assert!(Bmap::parse(&text.as_bytes()[..len]).is_err(), "{len} bytes");
        }
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                // A letter of the checksum itself may change between lower and upper case.
                if let Ok(read) = Bmap::parse(&bytes) {
                    assert_eq!(read, map, "byte {at} bit {bit}");
                }
            }
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let text = map().to_xml();
        let spoilt = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            Bmap::parse(resealed(&text.replacen(from, to, 1)).as_bytes()).unwrap_err()
        };
        for (from, to, says) in [
            ("<BlockSize> 4096", "<BlockSize> 0", "blocks of 0"),
            ("<BlockSize> 4096", "<BlockSize> 18446744073709551615", "blocks of"),
            ("<ImageSize> 28772", "<ImageSize> 18446744073709551615", "blocks"),
            ("> 2-4 <", "> 4-2 <", "cannot be"),
            ("> 2-4 <", "> 0-4 <", "cannot be"),
            ("> 2-4 <", "> 2-x <", "cannot be"),
            ("> 2-4 <", "> 2-18446744073709551615 <", "cannot be"),
            ("> 5-7 <", "> 5-8 <", "cannot be"),
            ("> 5-7 <", "> 5-6 <", "another number"),
            ("<MappedBlocksCount> 7", "<MappedBlocksCount> -7", "MappedBlocksCount"),
            ("<Range chksum", "<Range sum", "no SHA-256"),
            ("<BlocksCount> 8", "<Blocks> 8", "BlocksCount"),
        ] {
            let error = spoilt(from, to).to_string();
            assert!(error.contains(says) || error.contains("corrupt bmap"), "{from}: {error}");
        }
        for (from, to) in [("version=\"2.0\"", "version=\"1.4\""), ("sha256 <", "sha1 <")] {
            assert!(matches!(spoilt(from, to), BackupError::Unsupported { .. }), "{from}");
        }
        let bomb = text.replacen("<bmap", "<!DOCTYPE x [<!ENTITY a \"aa\">]>\n<bmap", 1);
        assert!(Bmap::parse(bomb.as_bytes()).is_err());
    }
}
