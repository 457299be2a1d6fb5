//! Everything that matters of a tar's members, measured while they go by.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, Cursor, Read};

use sha2::{Digest, Sha256};

use super::error::{Problem, corrupt};
use super::members::{Kind, Members};
use super::packing::{MAGIC, Packing, fill};

/// Bytes of one JSON text that is kept; Docker and containerd read no larger ones either.
const TEXT_MAX: u64 = 4 << 20;

/// Bytes of all texts together.
const TEXTS_MAX: u64 = 64 << 20;

/// Members that are remembered; an image has at most 127 layers.
const MEMBERS_MAX: usize = 1 << 16;

/// Bytes that all members may have unpacked: more than any card.
const UNPACKED_MAX: u64 = 256 << 30;

/// Directories by which a root filesystem is known.
const ROOT_DIRECTORIES: [&str; 12] =
    ["bin", "boot", "dev", "etc", "home", "lib", "proc", "root", "sbin", "sys", "usr", "var"];

/// A member with content.
#[derive(Debug)]
pub(super) struct Blob {
    pub(super) size: u64,
    pub(super) sha256: [u8; 32],
    pub(super) packing: Packing,
    /// Size and SHA-256 of it unpacked; `None` when it cannot be.
    pub(super) unpacked: Option<(u64, [u8; 32])>,
    /// The content of one that may be a JSON text.
    pub(super) text: Option<Vec<u8>>,
}

/// What is in a tar.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    blobs: BTreeMap<String, Blob>,
    links: BTreeMap<String, String>,
    root_directories: BTreeSet<&'static str>,
    texts: u64,
    unpacked: u64,
}

impl Catalogue {
    /// Goes through all members.
    pub(super) fn take(members: &mut Members<'_>) -> Result<Self, Problem> {
        let mut found = Self::default();
        while let Some(member) = members.next()? {
            found.note_top(&member.path);
            // Nothing of an archive of images lies deeper than blobs/sha256/DIGEST.
            if member.path.is_empty() || member.path.split('/').count() > 3 {
                found.add_unpacked(member.size)?;
                continue;
            }
            match member.kind {
                Kind::File => {
                    let blob = found.measure(&member.path, member.size, members)?;
                    found.add(member.path, blob)?;
                }
                Kind::Link(target) => drop(found.links.insert(member.path, target)),
                Kind::Directory | Kind::Other => {}
            }
            if found.blobs.len() + found.links.len() > MEMBERS_MAX {
                return Err(found.crowded());
            }
        }
        Ok(found)
    }

    /// Whether there is a file or a link of this name.
    pub(super) fn has(&self, path: &str) -> bool {
        self.blobs.contains_key(path) || self.links.contains_key(path)
    }

    /// Whether the top looks like a root filesystem's.
    pub(super) fn is_root_filesystem(&self) -> bool {
        self.root_directories.len() >= 4 && self.root_directories.contains("etc")
    }

    /// Whether nothing was found at all.
    pub(super) fn is_empty(&self) -> bool {
        self.blobs.is_empty() && self.links.is_empty() && self.root_directories.is_empty()
    }

    /// The names of the files, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.blobs.keys().map(String::as_str)
    }

    /// A member by its name, and the name it really has: links are followed.
    pub(super) fn blob(&self, path: &str) -> Result<(&str, &Blob), Problem> {
        let mut at = path;
        // A circle of links ends the search as well.
        for _ in 0..8 {
            if let Some((name, blob)) = self.blobs.get_key_value(at) {
                return Ok((name, blob));
            }
            at = self.links.get(at).ok_or_else(|| Problem::Missing(format!("{path:?}")))?;
        }
        Err(corrupt(format!("{path:?} is a link that leads nowhere")))
    }

    /// The text of a member.
    pub(super) fn text(&self, path: &str) -> Result<&[u8], Problem> {
        let (_, blob) = self.blob(path)?;
        let text = blob.text.as_deref();
        text.ok_or_else(|| corrupt(format!("{path:?} is no JSON text, or has more than {TEXT_MAX} bytes")))
    }

    /// A JSON text as a value of some type.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        parse(path, self.text(path)?)
    }

    /// The same member twice is fine; of two different ones each program would take another.
    fn add(&mut self, path: String, blob: Blob) -> Result<(), Problem> {
        match self.blobs.get(&path) {
            Some(earlier) if earlier.sha256 != blob.sha256 => {
                Err(corrupt(format!("{path:?} is in it twice, and not the same")))
            }
            _ => {
                self.blobs.insert(path, blob);
                Ok(())
            }
        }
    }

    fn note_top(&mut self, path: &str) {
        let top = path.split('/').next().unwrap_or_default();
        self.root_directories.extend(ROOT_DIRECTORIES.iter().filter(|name| **name == top));
    }

    fn crowded(&self) -> Problem {
        if self.is_root_filesystem() {
            return Problem::Exported;
        }
        Problem::TooLarge(format!("it has more than {MEMBERS_MAX} members"))
    }

    fn measure(&mut self, path: &str, size: u64, members: &mut Members<'_>) -> Result<Blob, Problem> {
        let mut raw = Hashing { inner: members, hash: Sha256::new() };
        let mut head = [0; MAGIC];
        let len = fill(&mut raw, &mut head).map_err(|error| raw.inner.problem(&error, "a member"))?;
        let head = &head[..len];
        let packing = Packing::of(head);
        if packing != Packing::Plain {
            let unpacked = self.unpack(packing, head, &mut raw)?;
            let sha256 = raw.finish()?;
            return Ok(Blob { size, sha256, packing, unpacked, text: None });
        }
        let mut text = None;
        if size <= TEXT_MAX && may_be_text(path, head) {
            self.texts += size;
            if self.texts > TEXTS_MAX {
                return Err(Problem::TooLarge(format!("its texts have more than {TEXTS_MAX} bytes")));
            }
            let mut bytes = head.to_vec();
            raw.read_to_end(&mut bytes).map_err(|error| raw.inner.problem(&error, "a member"))?;
            text = Some(bytes);
        } else {
            self.add_unpacked(size)?;
        }
        let sha256 = raw.finish()?;
        Ok(Blob { size, sha256, packing, unpacked: Some((size, sha256)), text })
    }

    /// Size and SHA-256 of what the member holds unpacked; `None` when it cannot be unpacked, which is a
    /// damage only if it is a layer.
    fn unpack(
        &mut self,
        packing: Packing,
        head: &[u8],
        raw: &mut Hashing<'_, '_>,
    ) -> Result<Option<(u64, [u8; 32])>, Problem> {
        let packed = BufReader::with_capacity(64 << 10, Cursor::new(head).chain(raw));
        let Ok(mut reader) = packing.unpack(packed) else { return Ok(None) };
        let (mut hash, mut size, mut buf) = (Sha256::new(), 0, vec![0; 64 << 10]);
        loop {
            match reader.read(&mut buf) {
                Ok(0) => return Ok(Some((size, hash.finalize().into()))),
                Ok(len) => {
                    self.add_unpacked(len as u64)?;
                    size += len as u64;
                    hash.update(&buf[..len]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Ok(None),
            }
        }
    }

    fn add_unpacked(&mut self, size: u64) -> Result<(), Problem> {
        self.unpacked = self.unpacked.saturating_add(size);
        if self.unpacked > UNPACKED_MAX {
            return Err(Problem::TooLarge(format!("its members have more than {} GiB", UNPACKED_MAX >> 30)));
        }
        Ok(())
    }
}

/// A JSON text as a value of some type.
pub(super) fn parse<T: serde::de::DeserializeOwned>(path: &str, text: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(text)
        .map_err(|error| corrupt(format!("{path:?} is not what it should be: {error}")))
}

/// The names that JSON texts have; of blobs, which are named by their digest, the first byte has to do.
fn may_be_text(path: &str, head: &[u8]) -> bool {
    matches!(path, "repositories" | "oci-layout")
        || path.ends_with(".json")
        || path.ends_with("/json")
        || path.starts_with("blobs/sha256/") && matches!(head.first(), Some(b'{' | b'['))
}

/// A member, hashed as it is while it is read.
struct Hashing<'a, 'b> {
    inner: &'a mut Members<'b>,
    hash: Sha256,
}

impl Hashing<'_, '_> {
    /// Reads what is left; the digest of all.
    fn finish(mut self) -> Result<[u8; 32], Problem> {
        io::copy(&mut self, &mut io::sink()).map_err(|error| self.inner.problem(&error, "a member"))?;
        Ok(self.hash.finalize().into())
    }
}

impl Read for Hashing<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buf)?;
        self.hash.update(&buf[..len]);
        Ok(len)
    }
}
