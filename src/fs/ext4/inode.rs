//! Inodes: what a file is, apart from its name (Documentation/filesystems/ext4/inodes.rst).

use super::super::metadata::{FileType, Meta};
use super::bytes::{high16, high32, join, low16, low32, put_u16, put_u32, u16_at, u32_at};
use super::checksum::crc32c;

/// The root directory's number.
pub(super) const ROOT: u32 = 2;
/// The number of the inode that holds reserved descriptor blocks.
pub(super) const RESIZE: u32 = 7;

const MODE: usize = 0x0;
const UID: usize = 0x2;
const SIZE_LO: usize = 0x4;
const ATIME: usize = 0x8;
const CTIME: usize = 0xc;
const MTIME: usize = 0x10;
const DTIME: usize = 0x14;
const GID: usize = 0x18;
const LINKS: usize = 0x1a;
const BLOCKS_LO: usize = 0x1c;
const FLAGS: usize = 0x20;
const MAP: usize = 0x28;
const GENERATION: usize = 0x64;
const XATTR_BLOCK_LO: usize = 0x68;
const SIZE_HI: usize = 0x6c;
const BLOCKS_HI: usize = 0x74;
const XATTR_BLOCK_HI: usize = 0x76;
const UID_HI: usize = 0x78;
const GID_HI: usize = 0x7a;
const CHECKSUM_LO: usize = 0x7c;
const EXTRA_ISIZE: usize = 0x80;
const CHECKSUM_HI: usize = 0x82;
const CTIME_EXTRA: usize = 0x84;
const MTIME_EXTRA: usize = 0x88;
const ATIME_EXTRA: usize = 0x8c;
const CRTIME: usize = 0x90;
const CRTIME_EXTRA: usize = 0x94;

/// Bytes every inode has.
const BASE: usize = 128;
/// Bytes of the block map: 15 block numbers, an extent tree's root, or a short link's target.
pub(super) const MAP_SIZE: usize = 60;

/// Directory with a hashed index.
pub(super) const FLAG_INDEX: u32 = 0x1000;
/// `i_blocks` counts filesystem blocks instead of sectors.
const FLAG_HUGE_FILE: u32 = 0x4_0000;
/// The block map is an extent tree.
pub(super) const FLAG_EXTENTS: u32 = 0x8_0000;
/// May not be changed, removed or linked.
pub(super) const FLAG_IMMUTABLE: u32 = 0x10;

const S_IFMT: u16 = 0xf000;
const S_IFREG: u16 = 0x8000;
const S_IFDIR: u16 = 0x4000;
const S_IFLNK: u16 = 0xa000;

/// One inode's bytes and its number.
#[derive(Clone, Debug)]
pub(super) struct Inode {
    /// From 1.
    pub(super) number: u32,
    raw: Vec<u8>,
}

impl Inode {
    /// Takes an inode's bytes (at least 128).
    pub(super) fn new(number: u32, raw: Vec<u8>) -> Self {
        Self { number, raw }
    }

    /// An inode with nothing in it but its extra size; every byte of an earlier life is gone.
    pub(super) fn blank(number: u32, size: u32, extra: u16) -> Self {
        let mut inode = Self::new(number, vec![0; size as usize]);
        if inode.raw.len() > BASE {
            put_u16(&mut inode.raw, EXTRA_ISIZE, extra);
        }
        inode
    }

    /// The bytes as they are.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.raw
    }

    /// Where extended attributes may lie inside the inode: behind the extra fields.
    pub(super) fn xattr_space(&self) -> Option<std::ops::Range<usize>> {
        let start = BASE + self.extra_size()?;
        (start + 4 < self.raw.len()).then_some(start..self.raw.len())
    }

    /// The bytes of [`Inode::xattr_space`], to be changed.
    pub(super) fn xattr_bytes_mut(&mut self) -> &mut [u8] {
        match self.xattr_space() {
            Some(space) => &mut self.raw[space],
            None => &mut [],
        }
    }

    /// What it is; `None` for a mode no file has.
    pub(super) fn kind(&self) -> Option<FileType> {
        match u16_at(&self.raw, MODE) & S_IFMT {
            S_IFREG => Some(FileType::File),
            S_IFDIR => Some(FileType::Directory),
            S_IFLNK => Some(FileType::Symlink),
            0x1000 | 0x2000 | 0x6000 | 0xc000 => Some(FileType::Special),
            _ => None,
        }
    }

    pub(super) fn is_dir(&self) -> bool {
        self.kind() == Some(FileType::Directory)
    }

    /// Sets the kind (not a special file), permission bits and owner.
    pub(super) fn set_kind(&mut self, kind: FileType, meta: Meta) {
        let bits = match kind {
            FileType::Directory => S_IFDIR,
            FileType::Symlink => S_IFLNK,
            FileType::File | FileType::Special => S_IFREG,
        };
        put_u16(&mut self.raw, MODE, bits);
        self.set_permissions(meta.mode);
        self.set_owner(meta.uid, meta.gid);
    }

    /// Permission bits and owner.
    pub(super) fn meta(&self) -> Meta {
        let wide = |low, high| u32::from(u16_at(&self.raw, high)) << 16 | u32::from(u16_at(&self.raw, low));
        Meta { mode: u16_at(&self.raw, MODE) & 0o7777, uid: wide(UID, UID_HI), gid: wide(GID, GID_HI) }
    }

    pub(super) fn set_permissions(&mut self, mode: u16) {
        let kind = u16_at(&self.raw, MODE) & S_IFMT;
        put_u16(&mut self.raw, MODE, kind | mode & 0o7777);
    }

    pub(super) fn set_owner(&mut self, uid: u32, gid: u32) {
        for (low, high, id) in [(UID, UID_HI, uid), (GID, GID_HI, gid)] {
            put_u16(&mut self.raw, low, low16(id));
            put_u16(&mut self.raw, high, high16(id));
        }
    }

    /// Size in bytes.
    pub(super) fn size(&self) -> u64 {
        join(u32_at(&self.raw, SIZE_LO), u32_at(&self.raw, SIZE_HI))
    }

    pub(super) fn set_size(&mut self, size: u64) {
        put_u32(&mut self.raw, SIZE_LO, low32(size));
        put_u32(&mut self.raw, SIZE_HI, high32(size));
    }

    pub(super) fn links(&self) -> u16 {
        u16_at(&self.raw, LINKS)
    }

    pub(super) fn set_links(&mut self, links: u16) {
        put_u16(&mut self.raw, LINKS, links);
    }

    /// The inode behind this one in the chain of orphans, which uses the time of deletion; 0 at its end.
    pub(super) fn next_orphan(&self) -> u32 {
        u32_at(&self.raw, DTIME)
    }

    /// Sets the inode behind this one in the chain of orphans; 0 takes it out.
    pub(super) fn set_next_orphan(&mut self, next: u32) {
        put_u32(&mut self.raw, DTIME, next);
    }

    pub(super) fn flags(&self) -> u32 {
        u32_at(&self.raw, FLAGS)
    }

    pub(super) fn has(&self, flag: u32) -> bool {
        self.flags() & flag != 0
    }

    pub(super) fn set_flag(&mut self, flag: u32, on: bool) {
        let flags = if on { self.flags() | flag } else { self.flags() & !flag };
        put_u32(&mut self.raw, FLAGS, flags);
    }

    /// Blocks it takes, of `block_size` bytes, extent tree and attribute block included.
    pub(super) fn blocks(&self, block_size: u32) -> u64 {
        let count = join(u32_at(&self.raw, BLOCKS_LO), u32::from(u16_at(&self.raw, BLOCKS_HI)));
        if self.has(FLAG_HUGE_FILE) { count } else { count / u64::from(block_size / 512) }
    }

    pub(super) fn set_blocks(&mut self, blocks: u64, block_size: u32) {
        let count = if self.has(FLAG_HUGE_FILE) { blocks } else { blocks * u64::from(block_size / 512) };
        put_u32(&mut self.raw, BLOCKS_LO, low32(count));
        put_u16(&mut self.raw, BLOCKS_HI, low16(high32(count)));
    }

    /// The 60 bytes that say where the content is.
    pub(super) fn map(&self) -> &[u8] {
        &self.raw[MAP..MAP + MAP_SIZE]
    }

    pub(super) fn map_mut(&mut self) -> &mut [u8] {
        &mut self.raw[MAP..MAP + MAP_SIZE]
    }

    pub(super) fn generation(&self) -> u32 {
        u32_at(&self.raw, GENERATION)
    }

    pub(super) fn set_generation(&mut self, generation: u32) {
        put_u32(&mut self.raw, GENERATION, generation);
    }

    /// The block of further extended attributes; 0 without one.
    pub(super) fn xattr_block(&self) -> u64 {
        join(u32_at(&self.raw, XATTR_BLOCK_LO), u32::from(u16_at(&self.raw, XATTR_BLOCK_HI)))
    }

    pub(super) fn set_xattr_block(&mut self, block: u64) {
        put_u32(&mut self.raw, XATTR_BLOCK_LO, low32(block));
        put_u16(&mut self.raw, XATTR_BLOCK_HI, low16(high32(block)));
    }

    /// Whether a link's target stands in the inode itself: then the map holds text, no block numbers. The
    /// kernel decides it the same way, by there being no blocks but the attributes'.
    pub(super) fn is_fast_symlink(&self, block_size: u32) -> bool {
        let attributes = u64::from(self.xattr_block() != 0);
        self.kind() == Some(FileType::Symlink)
            && !self.has(FLAG_EXTENTS)
            && self.blocks(block_size) <= attributes
    }

    /// Whether the map leads to blocks: not in short links, devices, FIFOs and sockets.
    pub(super) fn has_content_blocks(&self, block_size: u32) -> bool {
        match self.kind() {
            Some(FileType::File | FileType::Directory) => true,
            Some(FileType::Symlink) => !self.is_fast_symlink(block_size),
            Some(FileType::Special) | None => false,
        }
    }

    /// Last modification, seconds since 1970.
    pub(super) fn mtime(&self) -> i64 {
        let seconds = i64::from(u32_at(&self.raw, MTIME).cast_signed());
        if self.holds_extra(MTIME_EXTRA) {
            seconds + (i64::from(u32_at(&self.raw, MTIME_EXTRA) & 3) << 32)
        } else {
            seconds
        }
    }

    /// Last change of the inode, seconds since 1970.
    pub(super) fn set_ctime(&mut self, time: i64) {
        self.put_time(CTIME, CTIME_EXTRA, time);
    }

    /// Last modification, seconds since 1970.
    pub(super) fn set_mtime(&mut self, time: i64) {
        self.put_time(MTIME, MTIME_EXTRA, time);
    }

    /// Last modification and last access, seconds since 1970.
    pub(super) fn set_times(&mut self, time: i64) {
        self.set_mtime(time);
        self.put_time(ATIME, ATIME_EXTRA, time);
    }

    /// Creation, seconds since 1970, where the inode has room for it.
    pub(super) fn set_created(&mut self, time: i64) {
        if self.holds_extra(CRTIME) {
            self.put_time(CRTIME, CRTIME_EXTRA, time);
        }
    }

    fn put_time(&mut self, at: usize, extra_at: usize, time: i64) {
        let extra = self.holds_extra(extra_at);
        // Two more bits for the seconds reach the year 2446; without them it is 2038.
        let most = i64::from(i32::MAX) + if extra { 3 << 32 } else { 0 };
        let time = time.clamp(i64::from(i32::MIN), most);
        let low = low32(time.cast_unsigned());
        put_u32(&mut self.raw, at, low);
        if extra {
            let epoch = (time - i64::from(low.cast_signed())) >> 32;
            put_u32(&mut self.raw, extra_at, low32(epoch.cast_unsigned()) & 3);
        }
    }

    /// Whether both halves of the checksum match; `seed` is that of this inode.
    pub(super) fn is_sealed(&self, seed: u32) -> bool {
        let mut copy = self.clone();
        copy.seal(seed);
        copy.raw == self.raw
    }

    /// Puts the checksum over the whole inode, its own fields taken as zero.
    pub(super) fn seal(&mut self, seed: u32) {
        let high = self.holds_extra(CHECKSUM_HI);
        put_u16(&mut self.raw, CHECKSUM_LO, 0);
        if high {
            put_u16(&mut self.raw, CHECKSUM_HI, 0);
        }
        let sum = crc32c(seed, &self.raw);
        put_u16(&mut self.raw, CHECKSUM_LO, low16(sum));
        if high {
            put_u16(&mut self.raw, CHECKSUM_HI, high16(sum));
        }
    }

    /// Bytes of extra fields, when the inode is large enough to have any and the number makes sense.
    fn extra_size(&self) -> Option<usize> {
        if self.raw.len() <= BASE {
            return None;
        }
        let extra = usize::from(u16_at(&self.raw, EXTRA_ISIZE));
        (extra.is_multiple_of(4) && BASE + extra <= self.raw.len()).then_some(extra)
    }

    fn holds_extra(&self, at: usize) -> bool {
        let width = if at == CHECKSUM_HI { 2 } else { 4 };
        self.extra_size().is_some_and(|extra| at + width <= BASE + extra)
    }
}

/// The code of a kind in directory entries.
pub(super) fn entry_code(inode: &Inode) -> u8 {
    match u16_at(&inode.raw, MODE) & S_IFMT {
        S_IFREG => 1,
        S_IFDIR => 2,
        0x2000 => 3,
        0x6000 => 4,
        0x1000 => 5,
        0xc000 => 6,
        S_IFLNK => 7,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::metadata::{FileType, Meta};
    use super::{FLAG_EXTENTS, Inode};

    #[test]
    fn fields_come_back() {
        let mut inode = Inode::blank(12, 256, 32);
        let meta = Meta { mode: 0o4755, uid: 0x12_3456, gid: 0xffff_fffe };
        inode.set_kind(FileType::Directory, meta);
        inode.set_size(0x1_0000_0001);
        inode.set_blocks(3, 4096);
        inode.set_xattr_block(0x1234_5678_9abc);
        assert_eq!((inode.kind(), inode.meta()), (Some(FileType::Directory), meta));
        assert_eq!((inode.size(), inode.blocks(4096)), (0x1_0000_0001, 3));
        assert_eq!(inode.xattr_block(), 0x1234_5678_9abc);
        assert_eq!(inode.xattr_space(), Some(160..256));
    }

    #[test]
    fn times_reach_beyond_2038_where_there_is_room() {
        for time in [0, -1, i64::from(i32::MIN), 0x7fff_ffff, 0x8000_0000, 0x1_2345_6789, 0x3_7fff_ffff] {
            let mut inode = Inode::blank(12, 256, 32);
            inode.set_times(time);
            assert_eq!(inode.mtime(), time);
        }
        let mut short = Inode::blank(12, 128, 0);
        short.set_times(0x8000_0000);
        short.set_created(5);
        assert_eq!(short.mtime(), 0x7fff_ffff);
    }

    #[test]
    fn a_seal_covers_every_byte() {
        for (size, extra) in [(128, 0), (256, 32), (256, 0)] {
            let mut inode = Inode::blank(12, size, extra);
            inode.seal(77);
            for at in 0..size as usize {
                let mut raw = inode.bytes().to_vec();
                raw[at] ^= 0x10;
                assert!(!Inode::new(12, raw).is_sealed(77), "byte {at} of {size}");
            }
        }
    }

    #[test]
    fn fast_links_are_told_by_their_blocks() {
        let mut link = Inode::blank(12, 256, 32);
        link.set_kind(FileType::Symlink, Meta::root(0o777));
        link.set_size(59);
        assert!(link.is_fast_symlink(4096) && !link.has_content_blocks(4096));
        link.set_xattr_block(99);
        link.set_blocks(1, 4096);
        assert!(link.is_fast_symlink(4096));
        link.set_blocks(2, 4096);
        assert!(!link.is_fast_symlink(4096));
        link.set_blocks(0, 4096);
        link.set_flag(FLAG_EXTENTS, true);
        assert!(!link.is_fast_symlink(4096));
    }

    #[test]
    fn nonsense_extra_sizes_are_no_room() {
        for extra in [3, 129, 0xffff] {
            assert_eq!(Inode::blank(12, 256, extra).xattr_space(), None);
        }
    }
}
