//! `.deb` files (deb(5)): an `ar` archive of a version, the control files and the data, in this order.
//!
//! The `ar` part is read here because it is 60 bytes a member and what reads it must not trust its
//! numbers; names are never long in a `.deb`.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;
use liblzma::stream::Stream;
use sha2::{Digest, Sha256};

use super::control::{ControlError, fields};
use super::{DebFile, Package};

/// Unpacked control files: a kilobyte in most packages, a megabyte where there are many conffiles.
const MAX_CONTROL_TAR: u64 = 64 << 20;
/// The control file itself.
const MAX_CONTROL: u64 = 1 << 20;
/// Memory that a decoder may take: `xz -9` needs 65 MiB, `zstd --ultra` windows of 128 MiB.
const MAX_MEMORY: u64 = 160 << 20;
const MAX_WINDOW_LOG: u32 = 27;
/// A `.deb` has three members; extensions may put a few between.
const MAX_MEMBERS: usize = 16;

/// Why a file is no package that can be used.
#[derive(Debug, thiserror::Error)]
#[error("the package {path}", path = path.display())]
pub struct DebError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub source: Fault,
}

/// What is wrong with a file that should be a package.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It could not be read.
    #[error("reading it")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("it is no Debian package")]
    NotADeb,
    /// It is damaged.
    #[error("it is damaged: {0}")]
    Corrupt(String),
    /// It is of a form that is not known here.
    #[error("{0} is not known here")]
    Unsupported(String),
    /// Its control file describes no package.
    #[error("its control file")]
    Control(#[from] ControlError),
}

/// Looks into a `.deb`, reading the whole of it once.
///
/// # Errors
/// [`DebError`].
pub fn read(path: &Path) -> Result<DebFile, DebError> {
    let wrong = |source: Fault| DebError { path: path.to_owned(), source };
    let file = File::open(path).map_err(|error| wrong(error.into()))?;
    let mut input = Hashing { file: BufReader::with_capacity(256 << 10, file), hash: Sha256::new(), read: 0 };
    let (package, zstd) = look(&mut input).map_err(wrong)?;
    io::copy(&mut input, &mut io::sink()).map_err(|error| wrong(error.into()))?;
    let sha256 = input.hash.finalize().into();
    Ok(DebFile { package, path: path.to_owned(), size: input.read, sha256, zstd })
}

/// What is in it, and whether zstd is needed to unpack it.
fn look(input: &mut impl Read) -> Result<(Package, bool), Fault> {
    let mut magic = Vec::new();
    input.by_ref().take(8).read_to_end(&mut magic)?;
    if magic != b"!<arch>\n" {
        return Err(Fault::NotADeb);
    }
    version(input)?;
    let mut package = None;
    let mut zstd = false;
    for _ in 0..MAX_MEMBERS {
        let Some(member) = member(input)? else { break };
        zstd |= member.name.ends_with(".tar.zst");
        if member.name.starts_with("control.tar") && package.is_none() {
            let mut content = input.by_ref().take(member.size);
            package = Some(control(&member.name, &mut content)?);
            let rest = content.limit();
            skip(input, rest + member.size % 2)?;
            continue;
        }
        skip(input, member.size)?;
        if member.name.starts_with("data.tar") {
            return Ok((package.ok_or_else(|| Fault::Corrupt("it has no control files".to_owned()))?, zstd));
        }
        skip(input, member.size % 2)?;
    }
    Err(match package {
        Some(_) => Fault::Corrupt("it has no data".to_owned()),
        None => Fault::NotADeb,
    })
}

/// The first member: `2.0`, and a new first number for what older programs cannot read.
fn version(input: &mut impl Read) -> Result<(), Fault> {
    match member(input)? {
        Some(member) if member.name == "debian-binary" && member.size <= 64 => {
            let mut text = String::new();
            let len = input.by_ref().take(member.size + member.size % 2).read_to_string(&mut text)?;
            match text.trim_end().split_once('.') {
                _ if (len as u64) < member.size => Err(early()),
                Some(("2", _)) => Ok(()),
                _ => Err(Fault::Unsupported(format!("version {:?} of the format", text.trim_end()))),
            }
        }
        _ => Err(Fault::NotADeb),
    }
}

struct Member {
    name: String,
    size: u64,
}

/// The next member's header; `None` at the end.
fn member(input: &mut impl Read) -> Result<Option<Member>, Fault> {
    let mut header = Vec::new();
    input.by_ref().take(60).read_to_end(&mut header)?;
    if header.is_empty() {
        return Ok(None);
    }
    let text = |from, to| header.get(from..to).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let (Some(name), Some(size), Some("`\n")) = (text(0, 16), text(48, 58), text(58, 60)) else {
        return Err(if header.len() < 60 {
            early()
        } else {
            Fault::Corrupt("a member without header".to_owned())
        });
    };
    let size = size.trim_end().parse().map_err(|_| Fault::Corrupt(format!("a member of {size:?} bytes")))?;
    let name = name.trim_end();
    Ok(Some(Member { name: name.strip_suffix('/').unwrap_or(name).to_owned(), size }))
}

fn skip(input: &mut impl Read, len: u64) -> Result<(), Fault> {
    if io::copy(&mut input.by_ref().take(len), &mut io::sink())? < len { Err(early()) } else { Ok(()) }
}

fn early() -> Fault {
    Fault::Corrupt("it ends early".to_owned())
}

/// The package that a `control.tar` describes.
fn control(name: &str, content: &mut dyn Read) -> Result<Package, Fault> {
    let unpacked: Box<dyn Read + '_> = match name.strip_prefix("control.tar").unwrap_or_default() {
        "" => Box::new(content),
        ".gz" => Box::new(MultiGzDecoder::new(content)),
        ".xz" => {
            let stream = Stream::new_stream_decoder(MAX_MEMORY, 0).map_err(io::Error::from)?;
            Box::new(XzDecoder::new_stream(content, stream))
        }
        ".zst" => {
            let mut decoder = zstd::Decoder::new(content)?;
            decoder.window_log_max(MAX_WINDOW_LOG)?;
            Box::new(decoder)
        }
        _ => return Err(Fault::Unsupported(name.to_owned())),
    };
    // An error of a decoder tells of the bytes, not of the disk they lie on.
    let corrupt = |error: io::Error| Fault::Corrupt(format!("{name}: {error}"));
    let mut archive = tar::Archive::new(unpacked.take(MAX_CONTROL_TAR));
    for entry in archive.entries().map_err(corrupt)? {
        let entry = entry.map_err(corrupt)?;
        let path = entry.path_bytes();
        if path.strip_prefix(b"./").unwrap_or(&path) == b"control" {
            let size = entry.size();
            let mut text = Vec::new();
            let read = entry.take(MAX_CONTROL).read_to_end(&mut text).map_err(corrupt)? as u64;
            if read < size {
                let why = if size > MAX_CONTROL { "is too long" } else { "ends early" };
                return Err(Fault::Corrupt(format!("its control file {why}")));
            }
            // Names of maintainers in Latin-1 have been seen.
            return Ok(Package::from_paragraph(&fields(&String::from_utf8_lossy(&text))?)?);
        }
    }
    Err(Fault::Corrupt(format!("{name} has no control file")))
}

/// A file hashed while it is read.
struct Hashing {
    file: BufReader<File>,
    hash: Sha256,
    read: u64,
}

impl Read for Hashing {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read(buf)?;
        self.hash.update(&buf[..len]);
        self.read += len as u64;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use sha2::{Digest, Sha256};

    use super::{DebFile, Fault, read};
    use crate::deb::testing::{deb, deb_of};

    const CONTROL: &str = "Package: a\nVersion: 1-2\nArchitecture: armhf\nInstalled-Size: 7\n";

    fn look(bytes: &[u8]) -> Result<DebFile, Fault> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.deb");
        fs::write(&path, bytes).unwrap();
        read(&path).map_err(|error| error.source)
    }

    /// The fault in words, with what is behind it.
    fn fault(bytes: &[u8]) -> String {
        format!("{:#}", anyhow::Error::from(look(bytes).unwrap_err()))
    }

    #[test]
    fn reads_every_compression() {
        for (suffix, zstd) in [("", false), (".gz", false), (".xz", false), (".zst", true)] {
            let bytes = deb(CONTROL, suffix);
            let found = look(&bytes).unwrap_or_else(|fault| panic!("{suffix}: {fault}"));
            assert_eq!((found.package.to_string().as_str(), found.package.installed_size), ("a 1-2", 7));
            assert_eq!((found.size, found.zstd), (bytes.len() as u64, zstd));
            assert_eq!(found.sha256[..], Sha256::digest(&bytes)[..]);
        }
    }

    #[test]
    fn what_is_missing_or_something_else_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let error = read(&dir.path().join("none.deb")).unwrap_err();
        assert!(matches!(error.source, Fault::Io(_)) && error.to_string().ends_with("none.deb"));
        for bytes in [&b""[..], b"PK\x03\x04", b"!<arch>\n", &deb_of(&[("hello.o", b"x")])] {
            assert!(matches!(look(bytes), Err(Fault::NotADeb)), "{bytes:?}");
        }
        let v3 = deb_of(&[("debian-binary", b"3.0\n")]);
        assert!(fault(&v3).contains("version \"3.0\" of the format is not known"));
        let lzma = deb_of(&[("debian-binary", b"2.0\n"), ("control.tar.lzma", b"x"), ("data.tar", b"")]);
        assert!(fault(&lzma).contains("control.tar.lzma is not known"));
        let bare = deb_of(&[("debian-binary", b"2.0\n"), ("data.tar", b"")]);
        assert!(fault(&bare).contains("no control files"));
        assert!(fault(&deb("Package: a\n", ".gz")).contains("a has no field Version"));
    }

    #[test]
    fn a_file_cut_short_or_spoilt_is_damaged_wherever() {
        for suffix in ["", ".gz", ".xz", ".zst"] {
            let whole = deb(CONTROL, suffix);
            for len in 8..whole.len() - 1 {
                let fault = look(&whole[..len]).unwrap_err();
                assert!(
                    matches!(fault, Fault::Corrupt(_) | Fault::NotADeb | Fault::Io(_)),
                    "{suffix} {len}: {fault}"
                );
            }
            for at in 0..whole.len() {
                let mut spoilt = whole.clone();
                spoilt[at] ^= 0x55;
                // Some bytes do not matter here; what counts is that no number is believed.
                drop(look(&spoilt));
            }
        }
        let mut huge = deb(CONTROL, ".gz");
        huge[8 + 48..8 + 58].copy_from_slice(b"9999999999");
        assert!(matches!(look(&huge), Err(Fault::NotADeb)));
    }
}
