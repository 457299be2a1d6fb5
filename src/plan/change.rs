//! The words a plan is written in.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::fs::metadata::Meta;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;

/// A file's bytes, or where to stream them from.
#[derive(Clone)]
pub enum Content {
    /// Bytes anybody may see.
    Bytes(Vec<u8>),
    /// Bytes made from a secret: never printed, never digested, and only in files of mode 0600 or narrower
    /// (the FAT and `shadow` excepted, which cannot be or are not).
    Secret(Zeroizing<Vec<u8>>),
    /// A file of this machine, streamed; it must still have this size and digest when it is read.
    HostFile {
        /// Where it lies.
        path: PathBuf,
        /// Size in bytes.
        size: u64,
        /// SHA-256 of the content.
        sha256: [u8; 32],
    },
}

impl Content {
    /// Size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Secret(bytes) => bytes.len() as u64,
            Content::HostFile { size, .. } => *size,
        }
    }

    /// Whether it was made from a secret.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self, Content::Secret(_))
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Bytes(bytes) => write!(f, "Bytes({:?})", String::from_utf8_lossy(bytes)),
            Content::Secret(bytes) => write!(f, "Secret({} bytes)", bytes.len()),
            Content::HostFile { path, size, .. } => write!(f, "HostFile({}, {size} bytes)", path.display()),
        }
    }
}

/// A regular file to be made or replaced.
#[derive(Clone, Debug)]
pub struct FileSpec {
    /// What it holds.
    pub content: Content,
    /// Mode and owner (ignored on FAT).
    pub meta: Meta,
    /// Whether the ext4 IMMUTABLE flag is set on it, last of all.
    pub immutable: bool,
    /// Extended attributes by full name, `security.capability` for example.
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

impl FileSpec {
    /// A plain file.
    #[must_use]
    pub fn new(content: Content, meta: Meta) -> Self {
        Self { content, meta, immutable: false, xattrs: BTreeMap::new() }
    }
}

/// What happens at a path. Missing parent directories are made root:root 0755; symbolic links in the
/// parents are followed inside the image root, one at the path itself is replaced, never followed.
#[derive(Clone, Debug)]
pub enum Action {
    /// A directory is there with this mode and owner, made if need be.
    Directory(Meta),
    /// A regular file is there, whatever was there before (not a directory).
    File(FileSpec),
    /// A symbolic link is there, root:root, whatever was there before (not a directory).
    Symlink {
        /// The target as written into the link.
        target: String,
    },
    /// Mode and owner of what is there change; it must be there.
    SetMeta(Meta),
    /// The entry gets another name in the same directory; nothing may have that name yet.
    Rename {
        /// The new name.
        to: String,
    },
    /// A file, a link or a whole tree goes; absent is fine.
    Remove,
}

/// One change, with where it comes from and why, for `pibake plan`.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which filesystem.
    pub volume: Volume,
    /// Where in it.
    pub path: FsPath,
    /// What happens.
    pub action: Action,
    /// What asked for it: `overlay NAME`, `[user]`, `image` …
    pub origin: String,
    /// Why, in a few words, for a person.
    pub why: String,
}

/// Everything that will be written for a node.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The node's name.
    pub node: String,
    /// Changes in the order they are applied: at most one per volume and path, after renames.
    pub changes: Vec<Change>,
    /// What happens to the disk around the filesystems.
    pub disk: DiskPlan,
    /// Seconds since 1970 that every time written comes from.
    pub bake_time: i64,
    /// Size in bytes of the smallest card that holds what is there when the first boot is over: packages
    /// and container images unpacked.
    pub card_size: u64,
    /// Things a person should know that are no errors.
    pub warnings: Vec<String>,
    /// Tells whether two plans write the same, keyed with the state seed; made with stand-ins for the
    /// secrets and the bake time, so that `pibake plan`, which asks for neither, gets it too.
    pub digest: [u8; 32],
}

/// Changes outside the filesystems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskPlan {
    /// The new MBR disk signature; `None` leaves the image's own.
    pub disk_id: Option<u32>,
    /// The image's size in bytes: the base image's own when nothing asks for more, else a multiple of
    /// 4 MiB, and the root partition and its ext4 then reach to the end.
    pub image_size: u64,
}
