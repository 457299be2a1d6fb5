//! What a filesystem says of a file.

/// What kind of thing stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, FIFO or socket.
    Special,
}

/// Mode and owner of something to be made. FAT keeps neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Meta {
    /// The twelve permission bits (07777).
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Meta {
    /// Owned by root:root.
    #[must_use]
    pub const fn root(mode: u16) -> Self {
        Self { mode, uid: 0, gid: 0 }
    }
}

/// What a filesystem says of what stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: FileType,
    /// Size in bytes.
    pub size: u64,
    /// Mode and owner; on FAT 0755 or 0644 and root.
    pub meta: Meta,
    /// Last modification, seconds since 1970; `None` where the reader does not say.
    pub mtime: Option<i64>,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name's bytes (UTF-8 on FAT).
    pub name: Vec<u8>,
    /// What it is.
    pub kind: FileType,
}
