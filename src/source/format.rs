//! Telling what a file is by its content: the formats an image is published in, and the things people
//! give by mistake.

use std::fmt;

/// How many bytes from the start of a file [`recognise`] wants to see: an ISO 9660 volume descriptor lies
/// at 32 KiB.
pub const HEAD: usize = 64 << 10;

/// How an image is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A disk image as it is.
    Raw,
    /// Packed.
    Packed(Packing),
}

/// How an image is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// The .xz file format 1.2.
    Xz,
    /// RFC 8878.
    Zst,
    /// RFC 1952.
    Gz,
    /// PKWARE's APPNOTE, zip64 included.
    Zip,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Format::Raw => f.write_str("raw"),
            Format::Packed(packing) => packing.fmt(f),
        }
    }
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Packing::Xz => "xz",
            Packing::Zst => "zstd",
            Packing::Gz => "gzip",
            Packing::Zip => "zip",
        })
    }
}

/// What the first bytes of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A disk image, or a packed file that may hold one.
    Image(Format),
    /// Something else: what it looks like, with its article.
    Other(&'static str),
}

/// Recognises a file by its first [`HEAD`] bytes (all of them, when the file is shorter).
///
/// A raw image has no magic number of its own: it is one when nothing else claims the bytes and its first
/// sector is a partition table that makes sense, or a GPT header follows.
#[must_use]
pub fn recognise(head: &[u8]) -> Content {
    if head.is_empty() {
        return Content::Other("an empty file");
    }
    if let [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] = head {
        // A skippable frame, which may come before any other.
        return Content::Image(Format::Packed(Packing::Zst));
    }
    if let Some((_, _, packing)) = PACKED.iter().find(|(offset, magic, _)| has(head, *offset, magic)) {
        return Content::Image(Format::Packed(*packing));
    }
    if let Some((_, _, what)) = KNOWN.iter().find(|(offset, magic, _)| has(head, *offset, magic)) {
        return Content::Other(what);
    }
    if is_bare_fat(head) {
        return Content::Other("a bare FAT filesystem without a partition table");
    }
    if is_mbr(head) || is_gpt(head) {
        return Content::Image(Format::Raw);
    }
    if has(head, 1080, &[0x53, 0xef]) {
        return Content::Other("a bare ext2, ext3 or ext4 filesystem without a partition table");
    }
    Content::Other(text(head).unwrap_or_else(|| {
        if head.iter().all(|byte| *byte == 0) {
            "zeros: a blank disk without a partition table"
        } else {
            "data of no known kind, without a partition table"
        }
    }))
}

/// The end in bytes of the furthest partition an MBR names, extended ones included. `None` without an MBR,
/// and for a protective one, whose only entry may claim any length.
#[must_use]
pub fn furthest_partition_end(head: &[u8]) -> Option<u64> {
    if !is_mbr(head) {
        return None;
    }
    entries(head)
        .filter(|entry| !matches!(entry.kind, 0 | 0xee))
        .map(|entry| (u64::from(entry.start) + u64::from(entry.sectors)) * 512)
        .max()
}

/// Archives an image may be published in.
const PACKED: [(usize, &[u8], Packing); 6] = [
    (0, b"\xfd7zXZ\0", Packing::Xz),
    (0, b"\x28\xb5\x2f\xfd", Packing::Zst),
    (0, b"\x1f\x8b", Packing::Gz),
    (0, b"PK\x03\x04", Packing::Zip),
    (0, b"PK\x05\x06", Packing::Zip),
    (0, b"PK\x06\x06", Packing::Zip),
];

/// What people give by mistake. ISO 9660 comes first: images made to be put on sticks as well carry an MBR.
const KNOWN: [(usize, &[u8], &str); 28] = [
    (32769, b"CD001", "an ISO 9660 image (a CD or DVD), not one for an SD card"),
    (257, b"ustar", "a tar archive"),
    (0, b"%PDF-", "a PDF document"),
    (0, b"\x7fELF", "an ELF program"),
    (0, b"MZ", "a Windows or EFI program"),
    (0, b"hsqs", "a squashfs filesystem"),
    (0, b"QFI\xfb", "a QEMU qcow2 image: convert it to raw first"),
    (0, b"KDMV", "a VMware disk: convert it to raw first"),
    (0, b"vhdxfile", "a Hyper-V disk: convert it to raw first"),
    (64, b"\x7f\x10\xda\xbe", "a VirtualBox disk: convert it to raw first"),
    (0, b"\x3a\xff\x26\xed", "an Android sparse image"),
    (0, b"LUKS\xba\xbe", "an encrypted LUKS volume"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive: unpack it first"),
    (0, b"Rar!\x1a\x07", "a RAR archive: unpack it first"),
    (0, b"BZh", "a bzip2 file: unpack it first"),
    (0, b"LZIP", "an lzip file: unpack it first"),
    (0, b"\x04\x22\x4d\x18", "an lz4 file: unpack it first"),
    (0, b"\x5d\x00\x00", "an old .lzma file: unpack it first"),
    (0, b"!<arch>\n", "a Debian package or ar archive"),
    (0, b"070701", "a cpio archive"),
    (0, b"\x27\x05\x19\x56", "a U-Boot image"),
    (0, b"\xd0\x0d\xfe\xed", "a device tree"),
    (0, b"\x89PNG", "a picture"),
    (0, b"\xff\xd8\xff", "a picture"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file it points to"),
    (0, b"-----BEGIN PGP", "a PGP signature or key"),
    (0, b"SQLite format 3\0", "an SQLite database"),
    (0, b"d8:announce", "a torrent, not the file it leads to"),
];

fn has(head: &[u8], offset: usize, magic: &[u8]) -> bool {
    head.get(offset..).is_some_and(|rest| rest.starts_with(magic))
}

/// One of the four entries of an MBR.
struct Entry {
    status: u8,
    kind: u8,
    start: u32,
    sectors: u32,
}

impl Entry {
    fn is_empty(&self) -> bool {
        self.kind == 0
    }

    fn makes_sense(&self) -> bool {
        self.start > 0 && self.sectors > 0 && self.start.checked_add(self.sectors - 1).is_some()
    }
}

fn entries(head: &[u8]) -> impl Iterator<Item = Entry> {
    let table = head.get(446..510).unwrap_or_default();
    table.as_chunks::<16>().0.iter().map(|entry| Entry {
        status: entry[0],
        kind: entry[4],
        start: u32::from_le_bytes([entry[8], entry[9], entry[10], entry[11]]),
        sectors: u32::from_le_bytes([entry[12], entry[13], entry[14], entry[15]]),
    })
}

/// The signature alone is also at the end of every boot sector, so the entries have to make sense.
fn is_mbr(head: &[u8]) -> bool {
    has(head, 510, &[0x55, 0xaa])
        && entries(head)
            .all(|entry| matches!(entry.status, 0 | 0x80) && (entry.is_empty() || entry.makes_sense()))
        && entries(head).any(|entry| !entry.is_empty())
}

/// A GPT header in the second sector, of 512 or of 4096 bytes.
fn is_gpt(head: &[u8]) -> bool {
    has(head, 512, b"EFI PART") || has(head, 4096, b"EFI PART")
}

/// A boot sector that says FAT, exFAT or NTFS where those say it.
fn is_bare_fat(head: &[u8]) -> bool {
    has(head, 510, &[0x55, 0xaa])
        && (has(head, 0, &[0xeb]) || has(head, 0, &[0xe9]))
        && (has(head, 54, b"FAT")
            || has(head, 82, b"FAT32")
            || has(head, 3, b"EXFAT")
            || has(head, 3, b"NTFS"))
}

/// What kind of text it is, if it is any.
fn text(head: &[u8]) -> Option<&'static str> {
    let sample = &head[..head.len().min(4096)];
    let readable = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x20..=0x7e | 0x80..);
    if !sample.iter().all(readable) || std::str::from_utf8(sample).is_err_and(|e| e.error_len().is_some()) {
        return None;
    }
    let lower = String::from_utf8_lossy(sample).to_ascii_lowercase();
    let start = lower.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    Some(if start.starts_with("<!doctype html") || start.starts_with("<html") || lower.contains("<html") {
        "an HTML page: the download went wrong"
    } else if lower.contains("<bmap") {
        "a .bmap block map, which goes beside an image but is none"
    } else if start.starts_with("<?xml") {
        "an XML file"
    } else {
        "a text file"
    })
}

#[cfg(test)]
mod tests {
    use super::{Content, Format, Packing, furthest_partition_end, recognise};

    fn mbr(entries: &[[u32; 3]]) -> Vec<u8> {
        let mut head = vec![0; 65536];
        for (index, [kind, start, sectors]) in entries.iter().enumerate() {
            let at = 446 + 16 * index;
            head[at + 4] = *kind as u8;
            head[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
            head[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
        }
        head[510..512].copy_from_slice(&[0x55, 0xaa]);
        head
    }

    fn placed(offset: usize, bytes: &[u8]) -> Vec<u8> {
        let mut head = vec![0; 65536];
        head[offset..offset + bytes.len()].copy_from_slice(bytes);
        head
    }

    fn other(head: &[u8]) -> &'static str {
        match recognise(head) {
            Content::Other(what) => what,
            Content::Image(format) => panic!("taken for {format}"),
        }
    }

    #[test]
    fn partition_tables_are_images() {
        assert_eq!(recognise(&mbr(&[[0x0c, 8192, 1000], [0x83, 9192, 1000]])), Content::Image(Format::Raw));
        assert_eq!(recognise(&mbr(&[[0xee, 1, u32::MAX]])), Content::Image(Format::Raw));
        assert_eq!(recognise(&placed(512, b"EFI PART")), Content::Image(Format::Raw));
        assert_eq!(recognise(&placed(4096, b"EFI PART")), Content::Image(Format::Raw));
        // Short files must not be read past their end.
        assert_eq!(recognise(&mbr(&[[0x83, 1, 1]])[..512]), Content::Image(Format::Raw));
    }

    #[test]
    fn a_boot_signature_alone_is_no_partition_table() {
        assert_eq!(other(&mbr(&[])), "data of no known kind, without a partition table");
        assert_eq!(other(&mbr(&[[0x83, 0, 1000]])), "data of no known kind, without a partition table");
        assert_eq!(other(&mbr(&[[0x83, 2048, 0]])), "data of no known kind, without a partition table");
        assert_eq!(other(&mbr(&[[0x83, u32::MAX, 2]])), "data of no known kind, without a partition table");
        let mut status = mbr(&[[0x83, 2048, 100]]);
        status[446 + 16] = 0x41;
        assert_eq!(other(&status), "data of no known kind, without a partition table");
    }

    #[test]
    fn mistakes_are_named() {
        for (head, want) in [
            (Vec::new(), "empty"),
            (vec![0; 65536], "zeros"),
            (b"<!DOCTYPE html>\n<html><body>404</body></html>".to_vec(), "HTML"),
            (b"\xef\xbb\xbf  <HTML>".to_vec(), "HTML"),
            (b"<?xml version=\"1.0\" ?>\n<!-- comment -->\n<bmap version=\"2.0\">".to_vec(), ".bmap"),
            (b"<?xml version=\"1.0\"?><plist/>".to_vec(), "XML"),
            (b"4d3c5e... 2025-05-13-raspios.img.xz\n".to_vec(), "text"),
            ("Größe: 2 GB\n".as_bytes().to_vec(), "text"),
            (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "LFS"),
            (b"%PDF-1.7".to_vec(), "PDF"),
            (b"\x7fELF\x02\x01".to_vec(), "ELF"),
            (b"QFI\xfb\0\0\0\x03".to_vec(), "qcow2"),
            (placed(257, b"ustar\0"), "tar"),
            (placed(0, b"hsqs"), "squashfs"),
            (placed(1080, &[0x53, 0xef]), "ext4"),
            (placed(32769, b"CD001"), "ISO 9660"),
            ((0..=255u8).cycle().map(|b| b.wrapping_mul(151)).take(4096).collect(), "no known kind"),
        ] {
            assert!(other(&head).contains(want), "{want}: {}", other(&head));
        }
    }

    #[test]
    fn an_iso_for_sticks_is_still_an_iso() {
        let mut head = mbr(&[[0x17, 64, 100_000]]);
        head[32769..32774].copy_from_slice(b"CD001");
        assert!(other(&head).contains("ISO 9660"));
    }

    #[test]
    fn a_fat_boot_sector_is_no_partition_table() {
        // Boot code where an MBR has entries, chosen so that it would pass for one.
        let mut head = mbr(&[[0x0c, 8192, 1000]]);
        head[..3].copy_from_slice(&[0xeb, 0x3c, 0x90]);
        head[54..62].copy_from_slice(b"FAT16   ");
        assert!(other(&head).contains("bare FAT"));
    }

    #[test]
    fn archives_are_known_by_their_magic_numbers() {
        for (magic, packing) in [
            (b"\xfd7zXZ\0".as_slice(), Packing::Xz),
            (b"\x28\xb5\x2f\xfd", Packing::Zst),
            (b"\x5e\x2a\x4d\x18\x04\0\0\0", Packing::Zst),
            (b"\x1f\x8b\x08", Packing::Gz),
            (b"PK\x03\x04", Packing::Zip),
        ] {
            assert_eq!(recognise(magic), Content::Image(Format::Packed(packing)));
        }
    }

    #[test]
    fn the_furthest_end_counts_every_partition_but_a_protective_one() {
        assert_eq!(
            furthest_partition_end(&mbr(&[[0x83, 9192, 1000], [0x0c, 8192, 1000]])),
            Some(10192 * 512)
        );
        assert_eq!(furthest_partition_end(&mbr(&[[0xee, 1, u32::MAX]])), None);
        assert_eq!(furthest_partition_end(b"short"), None);
    }
}
