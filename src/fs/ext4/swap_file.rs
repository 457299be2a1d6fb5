//! Swap files: blocks that are allocated and hold nothing worth keeping.

use super::super::error::FsError;
use super::super::metadata::FileType;
use super::super::path::FsPath;
use super::super::swap;
use super::super::usage::{Remark, Usage};
use super::inode::Inode;
use super::map::Piece;
use super::store::Store;
use crate::disk::block::BlockRead;
use crate::disk::range::ByteRange;
use crate::disk::ranges;

/// No page that a swap space was made for is longer.
const LONGEST_PAGE: u64 = 1 << 16;

impl<D: BlockRead> Store<D> {
    /// Takes the contents of a swap file out of what is in use, all but its header. Whatever else stands at
    /// the path, or nothing, changes nothing.
    pub(super) fn leave_out_swap(&self, path: &FsPath, usage: &mut Usage) -> Result<(), FsError> {
        let contents = match self.swap_contents(path) {
            Err(FsError::Io(error)) => return Err(error.into()),
            // What cannot be read cannot be told from a file, and is kept.
            contents => contents.unwrap_or_default(),
        };
        let before = ranges::total(&usage.ranges);
        usage.ranges = ranges::without(&usage.ranges, &ranges::union(contents));
        let bytes = before - ranges::total(&usage.ranges);
        if bytes > 0 {
            usage.remarks.push(Remark::Hollow { path: path.clone(), bytes });
        }
        Ok(())
    }

    /// Where the contents of a swap file lie.
    fn swap_contents(&self, path: &FsPath) -> Result<Vec<ByteRange>, FsError> {
        let inode = self.resolve(path, true)?;
        // A second name could be that of something else.
        if inode.kind() != Some(FileType::File) || inode.links() != 1 {
            return Ok(Vec::new());
        }
        let Some(page) = swap::page_size(&self.beginning(&inode)?)? else { return Ok(Vec::new()) };
        let block = u64::from(self.geometry.block_size);
        let kept = page.div_ceil(block);
        let mut contents = Vec::new();
        self.walk_map(&inode, &mut |piece| {
            if let Piece::Data(extent) = piece {
                let skipped = kept.saturating_sub(u64::from(extent.logical)).min(u64::from(extent.len));
                let (start, len) = (extent.start + skipped, u64::from(extent.len) - skipped);
                if self.touches_metadata(start, len) {
                    return Err(FsError::corrupt(format!("{path}: it lies on metadata; run e2fsck")));
                }
                contents.extend(ByteRange::with_len(start * block, len * block));
            }
            Ok(())
        })?;
        Ok(contents)
    }

    /// The first bytes of a file, as far as it has blocks for them.
    fn beginning(&self, inode: &Inode) -> Result<Vec<u8>, FsError> {
        let mut bytes = Vec::new();
        let end = inode.size().min(LONGEST_PAGE).div_ceil(u64::from(self.geometry.block_size));
        for logical in 0..end {
            let Some(block) = self.block_of(inode, logical)? else { break };
            bytes.extend(self.read_block(block, || format!("inode {}", inode.number))?);
        }
        Ok(bytes)
    }
}
