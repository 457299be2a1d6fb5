//! From a path to an inode, never leaving the filesystem.

use super::super::error::FsError;
use super::super::path::FsPath;
use super::inode::{Inode, MAP_SIZE, ROOT};
use super::store::Store;
use crate::disk::block::BlockRead;
use crate::fs::metadata::FileType;

/// Links followed on the way before they count as a loop: the kernel's number.
const MOST_LINKS: u32 = 40;
/// The longest target the kernel reads, in bytes.
pub(super) const LONGEST_TARGET: u64 = 4095;

impl<D: BlockRead> Store<D> {
    /// What a path leads to; a link in its last component is followed only when asked for. `NotFound` and
    /// `NotADirectory` say that nothing is there.
    pub(super) fn resolve(&self, path: &FsPath, follow_last: bool) -> Result<Inode, FsError> {
        let mut above: Vec<Inode> = Vec::new();
        let mut here = self.read_root()?;
        let mut left: Vec<Vec<u8>> = path.components().rev().map(|name| name.as_bytes().to_vec()).collect();
        let mut links = 0;
        while let Some(name) = left.pop() {
            if name == b".." {
                // The directories passed are remembered, so `..` needs no trust in what a directory says.
                here = above.pop().ok_or_else(|| FsError::BadName {
                    path: path.clone(),
                    why: "a symbolic link on the way leads above the root of the image".to_owned(),
                })?;
                continue;
            }
            let place =
                self.find_name(&here, &name)?.ok_or_else(|| FsError::NotFound { path: path.clone() })?;
            let found = self.read_named(place.inode)?;
            match found.kind() {
                Some(FileType::Directory) => above.push(std::mem::replace(&mut here, found)),
                Some(FileType::Symlink) if follow_last || !left.is_empty() => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(FsError::SymlinkLoop { path: path.clone() });
                    }
                    let target = self.link_target(&found)?;
                    if target.first() == Some(&b'/') {
                        above.clear();
                        here = self.read_root()?;
                    }
                    let names =
                        target.rsplit(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
                    left.extend(names.map(<[u8]>::to_vec));
                }
                _ if left.is_empty() => return Ok(found),
                _ => return Err(FsError::NotADirectory { path: path.clone() }),
            }
        }
        Ok(here)
    }

    /// The directory that holds a path's last component. The root has none.
    pub(super) fn resolve_parent(&self, path: &FsPath) -> Result<Option<Inode>, FsError> {
        let Some(parent) = path.parent() else { return Ok(None) };
        let dir = self.resolve(&parent, true).map_err(|error| match error {
            FsError::NotFound { .. } => FsError::NotFound { path: parent.clone() },
            other => other,
        })?;
        if dir.is_dir() { Ok(Some(dir)) } else { Err(FsError::NotADirectory { path: parent }) }
    }

    /// Reads an inode that a name leads to.
    pub(super) fn read_named(&self, number: u32) -> Result<Inode, FsError> {
        let inode = self.read_inode(number)?;
        if inode.links() == 0 || inode.kind().is_none() {
            return Err(FsError::corrupt(format!(
                "a name leads to inode {number}, which holds no file; run e2fsck"
            )));
        }
        Ok(inode)
    }

    fn read_root(&self) -> Result<Inode, FsError> {
        let root = self.read_named(ROOT)?;
        if root.is_dir() { Ok(root) } else { Err(FsError::corrupt("the root is no directory; run e2fsck")) }
    }

    /// A link's target.
    pub(super) fn link_target(&self, link: &Inode) -> Result<Vec<u8>, FsError> {
        let wrong = || {
            FsError::corrupt(format!("inode {}: a link of {} bytes; run e2fsck", link.number, link.size()))
        };
        let size = link.size();
        if link.is_fast_symlink(self.geometry.block_size) {
            // Size is below 60 here, so it is an index.
            return if size < MAP_SIZE as u64 {
                Ok(link.map()[..size as usize].to_vec())
            } else {
                Err(wrong())
            };
        }
        if size > LONGEST_TARGET.min(u64::from(self.geometry.block_size)) {
            return Err(wrong());
        }
        let block = self.block_of(link, 0)?.ok_or_else(wrong)?;
        let mut bytes = self.read_block(block, || format!("inode {}", link.number))?;
        bytes.truncate(size as usize);
        Ok(bytes)
    }
}
