//! Every path of a manifest, compared with what stands there.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::lives::{may_change, may_go};
use super::manifest::{Entry, Kind, Manifest};
use crate::fs::FsReader;
use crate::fs::error::FsError;
use crate::fs::hash::HashSink;
use crate::fs::metadata::{FileType, Stat};
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::interrupt::{Interrupt, Interrupted};
use crate::inventory::find::{Pair, RootFs};

/// `FS_IMMUTABLE_FL` of the kernel's `include/uapi/linux/fs.h`.
const IMMUTABLE: u32 = 0x10;

/// What was compared, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Paths compared.
    pub paths: usize,
    /// Those that are not as they were baked.
    pub findings: Vec<Finding>,
}

/// A path that is not as it was baked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which filesystem.
    pub volume: Volume,
    /// The path.
    pub path: FsPath,
    /// What differs; never the content itself.
    pub what: String,
    /// Whether a node that runs does that, so that nothing is wrong.
    pub expected: bool,
}

impl Audit {
    /// What nobody but a person, a fault or a stranger did.
    pub fn wrong(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !finding.expected)
    }
}

/// Compares every path of `manifest` with the card. When it was `used`, what its system changes or deletes by
/// itself is expected. Of a secret file presence, mode and owner are compared, of a file on FAT the content.
///
/// # Errors
/// When the run was asked to stop. What cannot be read is a finding.
pub fn audit(
    manifest: &Manifest,
    pair: &Pair,
    used: bool,
    interrupt: &Interrupt,
) -> Result<Audit, Interrupted> {
    let mut audit = Audit::default();
    for entry in &manifest.paths {
        interrupt.check()?;
        audit.paths += 1;
        let subject = Subject { entry, pair };
        let Some((fault, what)) = subject.look() else { continue };
        let expected = used
            && match fault {
                Fault::Missing => may_go(entry),
                Fault::Differs => may_change(entry, manifest),
                Fault::Back => true,
                Fault::Foreign => false,
            };
        audit.findings.push(Finding { volume: entry.volume, path: entry.path.clone(), what, expected });
    }
    Ok(audit)
}

/// What kind of difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Nothing is there.
    Missing,
    /// It has other content, mode or owner.
    Differs,
    /// It was removed, and something is there again.
    Back,
    /// Something else is there, or it cannot be read.
    Foreign,
}

/// A path under comparison.
struct Subject<'a> {
    entry: &'a Entry,
    pair: &'a Pair,
}

impl Subject<'_> {
    fn reader(&self) -> &dyn FsReader {
        match self.entry.volume {
            Volume::Root => self.pair.ext4.reader(),
            Volume::Boot => &self.pair.fat,
        }
    }

    /// What differs, if something does.
    fn look(&self) -> Option<(Fault, String)> {
        self.compare().unwrap_or_else(|error| Some((Fault::Foreign, format!("it cannot be read: {error}"))))
    }

    fn compare(&self) -> Result<Option<(Fault, String)>, FsError> {
        let Entry { path, kind, .. } = self.entry;
        // A link to a directory stands for it.
        let found = match kind {
            Kind::Directory => self.reader().stat(path)?,
            _ => self.reader().stat_no_follow(path)?,
        };
        let Some(stat) = found else {
            let missing = || Some((Fault::Missing, "it is not there".to_owned()));
            return Ok(if *kind == Kind::Removed { None } else { missing() });
        };
        let foreign = |what: &str| Ok(Some((Fault::Foreign, what.to_owned())));
        let differs = |what: Option<String>| what.map(|what| (Fault::Differs, what));
        match (kind, stat.kind) {
            (Kind::Removed, _) => Ok(Some((Fault::Back, "it was removed, and is there again".to_owned()))),
            (Kind::File, FileType::File) => Ok(differs(self.file(&stat)?)),
            (Kind::File, _) => foreign("it is no regular file"),
            (Kind::Directory, FileType::Directory) | (Kind::Meta, _) => Ok(differs(self.meta(&stat))),
            (Kind::Directory, _) => foreign("it is no directory"),
            (Kind::Link, FileType::Symlink) => Ok(differs(self.link()?)),
            (Kind::Link, _) => foreign("it is no symbolic link"),
        }
    }

    fn file(&self, stat: &Stat) -> Result<Option<String>, FsError> {
        let Entry { path, size, sha256, .. } = self.entry;
        if let Some(size) = size.filter(|size| *size != stat.size) {
            return Ok(Some(format!("it has {} bytes, not {size}", stat.size)));
        }
        if let Some(expected) = sha256
            && data_encoding::HEXLOWER.encode(&digest(self.reader(), path)?) != *expected
        {
            return Ok(Some("its content is another".to_owned()));
        }
        Ok(match self.meta(stat) {
            None => self.flag()?,
            differs => differs,
        })
    }

    fn link(&self) -> Result<Option<String>, FsError> {
        let found = self.reader().read_link(&self.entry.path)?;
        let same = self.entry.target.as_ref().is_none_or(|target| target.as_bytes() == found);
        Ok((!same).then(|| format!("it leads to {:?}", String::from_utf8_lossy(&found))))
    }

    /// FAT keeps neither mode nor owner.
    fn meta(&self, stat: &Stat) -> Option<String> {
        let Entry { volume, mode, uid, gid, .. } = self.entry;
        if *volume == Volume::Boot {
            return None;
        }
        let found = stat.meta;
        let is_mode = |mode: &String| u16::from_str_radix(mode, 8) == Ok(found.mode);
        let same = mode.as_ref().is_none_or(is_mode)
            && uid.is_none_or(|uid| uid == found.uid)
            && gid.is_none_or(|gid| gid == found.gid);
        (!same).then(|| format!("it has mode {:04o} and owner {}:{}", found.mode, found.uid, found.gid))
    }

    /// A filesystem that was not unmounted shows no flags.
    fn flag(&self) -> Result<Option<String>, FsError> {
        let (Volume::Root, RootFs::Clean(facts)) = (self.entry.volume, &self.pair.ext4) else {
            return Ok(None);
        };
        let wanted = self.entry.flags.iter().any(|flag| flag == "immutable");
        let immutable = facts.flags(&self.entry.path)? & IMMUTABLE != 0;
        let told = if wanted { "it is not immutable" } else { "it is immutable" };
        Ok((immutable != wanted).then(|| told.to_owned()))
    }
}

/// SHA-256 of a regular file's content.
pub(super) fn digest(reader: &dyn FsReader, path: &FsPath) -> Result<[u8; 32], FsError> {
    let mut hash = Sha256::new();
    reader.read_to(path, &mut HashSink(&mut hash))?;
    Ok(hash.finalize().into())
}
