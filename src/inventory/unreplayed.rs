//! An ext4 filesystem as it lies on the medium, without what its journal holds: what a card shows that was
//! pulled out while it was in use. Good enough to say what it is, never to be edited.

use std::io;

use crate::disk::block::BlockRead;

/// Byte offset of the superblock; names and offsets as in the kernel's `fs/ext4/ext4.h`.
const SUPERBLOCK: u64 = 1024;
const SUPERBLOCK_LEN: usize = 1024;
const S_FEATURE_INCOMPAT: usize = 0x60;
const S_FEATURE_RO_COMPAT: usize = 0x64;
const S_CHECKSUM: usize = 0x3fc;
const INCOMPAT_RECOVER: u8 = 0x4;
const RO_COMPAT_METADATA_CSUM: u8 = 0x4;

/// A medium whose superblock does not ask for its journal to be replayed: `ext4-view` replays only
/// journals of filesystems with 64-bit block numbers, which no Raspberry Pi OS has.
pub(super) struct Unreplayed<D> {
    medium: D,
    superblock: [u8; SUPERBLOCK_LEN],
}

impl<D: BlockRead> Unreplayed<D> {
    pub(super) fn new(medium: D) -> io::Result<Self> {
        let mut superblock = [0; SUPERBLOCK_LEN];
        medium.read_at(SUPERBLOCK, &mut superblock)?;
        superblock[S_FEATURE_INCOMPAT] &= !INCOMPAT_RECOVER;
        // Bit 0x400 of the field, in its second byte.
        if superblock[S_FEATURE_RO_COMPAT + 1] & RO_COMPAT_METADATA_CSUM != 0 {
            // The kernel does not invert the sum at the end, as the function does.
            let sum = !crc32c::crc32c(&superblock[..S_CHECKSUM]);
            superblock[S_CHECKSUM..].copy_from_slice(&sum.to_le_bytes());
        }
        Ok(Self { medium, superblock })
    }
}

impl<D: BlockRead> BlockRead for Unreplayed<D> {
    fn size(&self) -> u64 {
        self.medium.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.medium.read_at(offset, buf)?;
        let end = offset + buf.len() as u64;
        let (start, stop) = (offset.max(SUPERBLOCK), end.min(SUPERBLOCK + SUPERBLOCK_LEN as u64));
        if start < stop {
            let from = &self.superblock[(start - SUPERBLOCK) as usize..(stop - SUPERBLOCK) as usize];
            buf[(start - offset) as usize..(stop - offset) as usize].copy_from_slice(from);
        }
        Ok(())
    }
}
