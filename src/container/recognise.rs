//! What is given by mistake in the place of an archive of images, told by its content.

use std::path::Path;

use tar::Header;

use super::catalogue::Catalogue;
use super::error::Problem;
use super::members::{BLOCK, sound};

/// Bytes from the beginning that [`check_tar`] wants to see.
pub(super) const HEAD: usize = 4096;

/// Beginnings of other things, with their articles.
const KNOWN: [(&[u8], &str); 15] = [
    (b"!<arch>\n", "a Debian package"),
    (b"\xfd7zXZ\0", "an xz file (unpack it first: `xz -d`)"),
    (b"BZh", "a bzip2 file (unpack it first: `bzip2 -d`)"),
    (b"\x04\x22\x4d\x18", "an lz4 file (unpack it first: `lz4 -d`)"),
    (b"PK\x03\x04", "a zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"\x7fELF", "a program"),
    (b"#!", "a script"),
    (b"hsqs", "a squashfs filesystem"),
    (b"%PDF-", "a PDF document"),
    (b"version https://git-lfs", "a Git LFS pointer (`git lfs pull` gets the file)"),
    (b"FROM ", "a Dockerfile (`docker build` it first)"),
    (b"{", "a JSON text"),
    (b"[", "a JSON text"),
    (b"-----BEGIN ", "a key or a certificate"),
];

/// Refuses what does not begin with a tar's first header.
pub(super) fn check_tar(head: &[u8]) -> Result<(), Problem> {
    if head.is_empty() {
        return Err(Problem::SomethingElse("an empty file".to_owned()));
    }
    if let Some(first) = head.get(..BLOCK)
        && (sound(Header::from_byte_slice(first)) || first.iter().all(|byte| *byte == 0))
    {
        return Ok(());
    }
    // Known by the mark of a tar, and its header is wrong or cut off.
    if head.get(257..262) == Some(b"ustar") {
        return Err(Problem::Corrupt("the header of its first member has a wrong checksum".to_owned()));
    }
    Err(Problem::SomethingElse(looks_like(head).to_owned()))
}

fn looks_like(head: &[u8]) -> &'static str {
    if let Some((_, what)) = KNOWN.iter().find(|(magic, _)| head.starts_with(magic)) {
        return what;
    }
    let begins = String::from_utf8_lossy(head).trim_start().to_ascii_lowercase();
    if begins.starts_with("<!doctype html") || begins.starts_with("<html") {
        return "an HTML page (a download that went wrong?)";
    }
    if begins.lines().any(|line| line.starts_with("from "))
        && begins.lines().any(|line| line.starts_with("run "))
    {
        return "a Dockerfile (`docker build` it first)";
    }
    let printable = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace() || *byte >= 0x80;
    if head.iter().all(printable) { "a text" } else { "data of no known kind" }
}

/// What is wrong with a directory.
pub(super) fn directory(path: &Path) -> Problem {
    let has = |name: &str| path.join(name).is_file();
    Problem::SomethingElse(if has("oci-layout") {
        "an OCI layout as a directory (pack it: `tar -C DIRECTORY -cf FILE .`)".to_owned()
    } else if has("Dockerfile") {
        "a directory with a Dockerfile (`docker build` it first)".to_owned()
    } else {
        "a directory".to_owned()
    })
}

/// What a whole tar is that lists no images.
pub(super) fn tar_without_images(found: &Catalogue) -> Problem {
    if found.is_root_filesystem() {
        return Problem::Exported;
    }
    let named = |name: &str| found.names().any(|path| path.rsplit('/').next() == Some(name));
    Problem::SomethingElse(if found.is_empty() {
        "an empty tar archive".to_owned()
    } else if found.names().any(|path| path.ends_with("/oci-layout")) {
        "an OCI layout packed with the directory around it (pack it: `tar -C DIRECTORY -cf FILE .`)"
            .to_owned()
    } else if named("Dockerfile") {
        "a tar archive with a Dockerfile (`docker build` it first)".to_owned()
    } else {
        "a tar archive without manifest.json or index.json".to_owned()
    })
}
