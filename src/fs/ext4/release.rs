//! Giving back what an inode holds.

use super::super::error::FsError;
use super::inode::Inode;
use super::store::Store;
use crate::disk::block::BlockWrite;

impl<D: BlockWrite> Store<D> {
    /// Ends an inode, with all it has.
    pub(super) fn destroy(&mut self, mut inode: Inode) -> Result<(), FsError> {
        self.release_map(&inode)?;
        self.release_attributes(&mut inode)?;
        self.release_inode(inode.number, inode.is_dir())
    }

    /// Gives back all blocks of an inode's map; neither map nor inode is touched.
    fn release_map(&mut self, inode: &Inode) -> Result<(), FsError> {
        let mut runs = Vec::new();
        self.walk_map(inode, &mut |piece| {
            runs.push(piece.run());
            Ok(())
        })?;
        runs.into_iter().try_for_each(|(start, len)| self.release(start, len))
    }
}
