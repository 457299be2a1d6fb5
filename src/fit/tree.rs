//! A digest of all files of a filesystem, through the reader that shares no code with what changed it.

use std::io;

use sha2::{Digest, Sha256};

use crate::disk::block::BlockRead;
use crate::fs::FsReader;
use crate::fs::error::FsError;
use crate::fs::ext4::Ext4Reader;
use crate::fs::hash::HashSink;
use crate::fs::metadata::FileType;
use crate::fs::path::FsPath;
use crate::interrupt::Interrupt;

/// Larger files go by their size: a sparse one may claim any.
const MAX_CONTENT: u64 = 64 << 20;

/// Whether what files hold is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Names, types, sizes, modes, owners, times and links.
    Names,
    /// What is in them, too.
    Contents,
}

/// All files of a filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tree {
    /// How many there are, directories included.
    pub(super) paths: u64,
    digest: [u8; 32],
}

/// Reads the filesystem that fills `device`.
pub(super) fn tree<D: BlockRead + 'static>(
    device: D,
    depth: Depth,
    interrupt: &Interrupt,
) -> Result<Tree, FsError> {
    let reader = Ext4Reader::open(device)?;
    let mut hash = Sha256::new();
    let mut paths = 0;
    let mut pending = vec![FsPath::root()];
    while let Some(dir) = pending.pop() {
        for entry in reader.read_dir(&dir)? {
            interrupt.check().map_err(io::Error::other)?;
            paths += 1;
            hash.update((entry.name.len() as u64).to_le_bytes());
            hash.update(&entry.name);
            // A name that is no text has no path here: it counts by itself.
            let path = std::str::from_utf8(&entry.name).ok().and_then(|name| dir.join(name).ok());
            let Some(path) = path else { continue };
            read_entry(&reader, &path, depth, &mut hash)?;
            if entry.kind == FileType::Directory {
                pending.push(path);
            }
        }
        hash.update([0xff; 8]);
    }
    Ok(Tree { paths, digest: hash.finalize().into() })
}

fn read_entry(reader: &Ext4Reader, path: &FsPath, depth: Depth, hash: &mut Sha256) -> Result<(), FsError> {
    let Some(stat) = reader.stat_no_follow(path)? else { return Ok(()) };
    hash.update(format!("{stat:?}"));
    match stat.kind {
        FileType::Symlink => hash.update(reader.read_link(path)?),
        FileType::File if depth == Depth::Contents && stat.size <= MAX_CONTENT => {
            reader.read_to(path, &mut HashSink(hash))?;
        }
        _ => {}
    }
    Ok(())
}
