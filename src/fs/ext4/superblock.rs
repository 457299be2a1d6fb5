//! The superblock: 1024 bytes at byte 1024 (Documentation/filesystems/ext4/super.rst).

use super::super::error::FsError;
use super::bytes::{high32, join, low32, put_u16, put_u32, u16_at, u32_at};
use super::checksum::{Checksums, DescriptorSum, crc32c};
use super::features::{
    COMPAT_SPARSE_SUPER2, Features, INCOMPAT_64BIT, INCOMPAT_CSUM_SEED, INCOMPAT_FLEX_BG, INCOMPAT_META_BG,
    INCOMPAT_RECOVER, RO_GDT_CSUM, RO_LARGE_FILE, RO_METADATA_CSUM, RO_ORPHAN_PRESENT, RO_SPARSE_SUPER,
};
use super::geometry::{Copies, Geometry};
use super::hash::HashKind;

/// Where the superblock begins, in bytes.
pub(super) const OFFSET: u64 = 1024;
/// Its length in bytes.
pub(super) const SIZE: usize = 1024;

const INODES: usize = 0x0;
const BLOCKS_LO: usize = 0x4;
const RESERVED_BLOCKS_LO: usize = 0x8;
const FREE_BLOCKS_LO: usize = 0xc;
const FREE_INODES: usize = 0x10;
const FIRST_DATA_BLOCK: usize = 0x14;
const LOG_BLOCK_SIZE: usize = 0x18;
const LOG_CLUSTER_SIZE: usize = 0x1c;
const BLOCKS_PER_GROUP: usize = 0x20;
const INODES_PER_GROUP: usize = 0x28;
const MTIME: usize = 0x2c;
const WTIME: usize = 0x30;
const MOUNT_COUNT: usize = 0x34;
const MAGIC: usize = 0x38;
const STATE: usize = 0x3a;
const REVISION: usize = 0x4c;
const FIRST_INODE: usize = 0x54;
const INODE_SIZE: usize = 0x58;
const BLOCK_GROUP: usize = 0x5a;
const COMPAT: usize = 0x5c;
const INCOMPAT: usize = 0x60;
const RO_COMPAT: usize = 0x64;
const UUID: usize = 0x68;
const RESERVED_GDT_BLOCKS: usize = 0xce;
const JOURNAL_INODE: usize = 0xe0;
const LAST_ORPHAN: usize = 0xe8;
const HASH_SEED: usize = 0xec;
const HASH_VERSION: usize = 0xfc;
const DESCRIPTOR_SIZE: usize = 0xfe;
const FIRST_META_BLOCK: usize = 0x104;
const BLOCKS_HI: usize = 0x150;
const RESERVED_BLOCKS_HI: usize = 0x154;
const FREE_BLOCKS_HI: usize = 0x158;
const WANT_EXTRA_ISIZE: usize = 0x15e;
const FLAGS: usize = 0x160;
const LOG_GROUPS_PER_FLEX: usize = 0x174;
const CHECKSUM_TYPE: usize = 0x175;
/// The fields on errors: `EXT4_S_ERR_START` to `EXT4_S_ERR_END` in the kernel's `fs/ext4/ext4.h`.
const ERRORS: std::ops::Range<usize> = 0x194..0x200;
const OVERHEAD: usize = 0x248;
const BACKUP_GROUPS: usize = 0x24c;
const CHECKSUM_SEED: usize = 0x270;
const WTIME_HI: usize = 0x274;
const MTIME_HI: usize = 0x275;
const ORPHAN_FILE: usize = 0x280;
const CHECKSUM: usize = 0x3fc;

const STATE_VALID: u16 = 0x1;
const STATE_ERROR: u16 = 0x2;
const FLAG_SIGNED_HASH: u32 = 0x1;
const CHECKSUM_CRC32C: u8 = 1;
/// The smallest group mke2fs makes; without it a tiny number would make a table of groups of any size.
const MIN_BLOCKS_PER_GROUP: u32 = 256;

/// The superblock's bytes, with names for what pibake looks at; all other fields stay as they are.
#[derive(Clone)]
pub(super) struct Superblock {
    raw: Vec<u8>,
}

impl Superblock {
    /// Takes the bytes at [`OFFSET`], when they are a superblock whose checksum holds.
    pub(super) fn parse(raw: [u8; SIZE]) -> Result<Self, FsError> {
        let superblock = Self { raw: raw.to_vec() };
        if superblock.u16(MAGIC) != 0xef53 {
            return Err(FsError::corrupt("no ext4 superblock at byte 1024 (the magic number is missing)"));
        }
        if superblock.u32(REVISION) == 0 {
            return Err(FsError::unsupported("revision 0 (an ext2 filesystem of the nineties)"));
        }
        if superblock.features().has_ro(RO_METADATA_CSUM) {
            let kind = superblock.raw[CHECKSUM_TYPE];
            if kind != CHECKSUM_CRC32C {
                return Err(FsError::unsupported(format!("checksum type {kind}")));
            }
            if superblock.u32(CHECKSUM) != crc32c(!0, &superblock.raw[..CHECKSUM]) {
                return Err(FsError::corrupt("the superblock's checksum does not match; run e2fsck"));
            }
        }
        Ok(superblock)
    }

    /// The bytes with a fresh checksum, to be written at [`OFFSET`].
    pub(super) fn sealed(&self) -> Vec<u8> {
        let mut raw = self.raw.clone();
        if self.features().has_ro(RO_METADATA_CSUM) {
            let sum = crc32c(!0, &raw[..CHECKSUM]);
            put_u32(&mut raw, CHECKSUM, sum);
        }
        raw
    }

    /// The bytes of the copy that `group` holds. As e2fsprogs does, a copy never claims to be clean.
    pub(super) fn sealed_backup(&self, group: u32) -> Vec<u8> {
        let mut copy = self.clone();
        let state = copy.u16(STATE);
        put_u16(&mut copy.raw, STATE, state & !STATE_VALID);
        put_u16(&mut copy.raw, BLOCK_GROUP, (group & 0xffff) as u16);
        copy.sealed()
    }

    /// The feature words.
    pub(super) fn features(&self) -> Features {
        Features { compat: self.u32(COMPAT), incompat: self.u32(INCOMPAT), ro_compat: self.u32(RO_COMPAT) }
    }

    /// Refuses a filesystem whose state says that something else must look at it first.
    pub(super) fn check_state(&self) -> Result<(), FsError> {
        if self.needs_recovery() {
            return Err(not_clean("its journal needs recovery; boot it once or run e2fsck on it"));
        }
        self.check_trust()?;
        if self.has_orphans() {
            return Err(not_clean("it lists orphaned inodes; boot it once or run e2fsck -f on it"));
        }
        Ok(())
    }

    /// Refuses a filesystem that only e2fsck can put right.
    pub(super) fn check_trust(&self) -> Result<(), FsError> {
        self.distrust().map_or(Ok(()), |why| Err(not_clean(why)))
    }

    /// Whether it lists inodes that nobody but the kernel used any more.
    pub(super) fn has_orphans(&self) -> bool {
        self.last_orphan() != 0 || self.lists_orphans_in_file()
    }

    /// The first inode of the chain of orphans; 0 without any.
    pub(super) fn last_orphan(&self) -> u32 {
        self.u32(LAST_ORPHAN)
    }

    /// Whether the orphan file may list some.
    pub(super) fn lists_orphans_in_file(&self) -> bool {
        self.features().has_ro(RO_ORPHAN_PRESENT)
    }

    /// The orphan file's inode.
    pub(super) fn orphan_file(&self) -> u32 {
        self.u32(ORPHAN_FILE)
    }

    /// Records that no inode is orphaned.
    pub(super) fn clear_orphans(&mut self) {
        self.put(LAST_ORPHAN, 0);
        let bits = self.u32(RO_COMPAT) & !RO_ORPHAN_PRESENT;
        self.put(RO_COMPAT, bits);
    }

    /// Records that the journal was replayed.
    pub(super) fn clear_recovery(&mut self) {
        let bits = self.u32(INCOMPAT) & !INCOMPAT_RECOVER;
        self.put(INCOMPAT, bits);
    }

    /// Takes over what another superblock knows of errors: the kernel writes that past the journal.
    pub(super) fn adopt_errors(&mut self, other: &Self) {
        self.raw[ERRORS].copy_from_slice(&other.raw[ERRORS]);
    }

    /// Whether the journal must be replayed before the filesystem is what its owner left.
    pub(super) fn needs_recovery(&self) -> bool {
        self.features().has_incompat(INCOMPAT_RECOVER)
    }

    /// Why the bitmaps may be wrong, whatever the journal holds.
    pub(super) fn distrust(&self) -> Option<&'static str> {
        if self.u16(STATE) & STATE_ERROR != 0 {
            Some("the kernel marked it as having errors; run e2fsck -f on it")
        } else if self.u16(STATE) & STATE_VALID == 0 {
            Some("it was not unmounted cleanly; run e2fsck on it")
        } else {
            None
        }
    }

    /// Blocks in the filesystem, as the superblock has it.
    pub(super) fn blocks(&self) -> u64 {
        let wide = self.features().has_incompat(INCOMPAT_64BIT);
        join(self.u32(BLOCKS_LO), if wide { self.u32(BLOCKS_HI) } else { 0 })
    }

    /// What the checksums start from.
    pub(super) fn checksums(&self) -> Checksums {
        let features = self.features();
        let kind = if features.has_ro(RO_METADATA_CSUM) {
            DescriptorSum::Crc32c
        } else if features.has_ro(RO_GDT_CSUM) {
            DescriptorSum::Crc16
        } else {
            DescriptorSum::None
        };
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&self.raw[UUID..UUID + 16]);
        let seed = features.has_incompat(INCOMPAT_CSUM_SEED).then(|| self.u32(CHECKSUM_SEED));
        Checksums::new(kind, uuid, seed)
    }

    /// The geometry, checked against the size of the medium in bytes.
    pub(super) fn geometry(&self, medium: u64) -> Result<Geometry, FsError> {
        let features = self.features();
        let geometry = Geometry {
            block_size: self.block_size()?,
            blocks: self.blocks(),
            first_data_block: self.u32(FIRST_DATA_BLOCK),
            blocks_per_group: self.u32(BLOCKS_PER_GROUP),
            inodes_per_group: self.u32(INODES_PER_GROUP),
            inode_size: u32::from(self.u16(INODE_SIZE)),
            first_inode: self.u32(FIRST_INODE),
            descriptor_size: if features.has_incompat(INCOMPAT_64BIT) {
                u32::from(self.u16(DESCRIPTOR_SIZE))
            } else {
                32
            },
            reserved_descriptor_blocks: u32::from(self.u16(RESERVED_GDT_BLOCKS)),
            copies: if features.has_compat(COMPAT_SPARSE_SUPER2) {
                Copies::Two([self.u32(BACKUP_GROUPS), self.u32(BACKUP_GROUPS + 4)])
            } else if features.has_ro(RO_SPARSE_SUPER) {
                Copies::Sparse
            } else {
                Copies::All
            },
            first_meta_block: features.has_incompat(INCOMPAT_META_BG).then(|| self.u32(FIRST_META_BLOCK)),
            groups_per_flex: match self.raw[LOG_GROUPS_PER_FLEX] {
                log @ 1..=31 if features.has_incompat(INCOMPAT_FLEX_BG) => 1 << log,
                _ => 1,
            },
        };
        check_numbers(&geometry, features.has_incompat(INCOMPAT_64BIT))?;
        check_extent(&geometry, medium)?;
        if u64::from(geometry.groups()) * u64::from(geometry.inodes_per_group) != u64::from(self.u32(INODES))
        {
            return Err(bad("s_inodes_count", self.u32(INODES)));
        }
        Ok(geometry)
    }

    fn block_size(&self) -> Result<u32, FsError> {
        let log = self.u32(LOG_BLOCK_SIZE);
        if self.u32(LOG_CLUSTER_SIZE) != log {
            return Err(bad("s_log_cluster_size", self.u32(LOG_CLUSTER_SIZE)));
        }
        match log {
            0..=4 => Ok(1024 << log),
            5..=6 => Err(FsError::unsupported(format!("blocks of {} KiB", 1_u32 << log))),
            _ => Err(bad("s_log_block_size", log)),
        }
    }

    /// Records the numbers that growing changes. `blocks` were `old_blocks`: the share kept for root stays
    /// the same part of the whole.
    pub(super) fn set_grown(&mut self, geometry: &Geometry, old_blocks: u64) {
        let kept = join(self.u32(RESERVED_BLOCKS_LO), self.u32(RESERVED_BLOCKS_HI));
        let kept = (u128::from(kept) * u128::from(geometry.blocks) / u128::from(old_blocks.max(1))) as u64;
        self.put_wide(RESERVED_BLOCKS_LO, RESERVED_BLOCKS_HI, kept);
        self.put_wide(BLOCKS_LO, BLOCKS_HI, geometry.blocks);
        self.put(INODES, geometry.inodes());
        put_u16(&mut self.raw, RESERVED_GDT_BLOCKS, (geometry.reserved_descriptor_blocks & 0xffff) as u16);
        // A cache of the kernel's; zero makes it count anew.
        self.put(OVERHEAD, 0);
    }

    /// Free blocks.
    pub(super) fn free_blocks(&self) -> u64 {
        join(self.u32(FREE_BLOCKS_LO), self.u32(FREE_BLOCKS_HI))
    }

    /// Records the free blocks.
    pub(super) fn set_free_blocks(&mut self, free: u64) {
        self.put_wide(FREE_BLOCKS_LO, FREE_BLOCKS_HI, free);
    }

    /// Free inodes.
    pub(super) fn free_inodes(&self) -> u32 {
        self.u32(FREE_INODES)
    }

    /// Records the free inodes.
    pub(super) fn set_free_inodes(&mut self, free: u32) {
        self.put(FREE_INODES, free);
    }

    /// Records when the filesystem was last written, seconds since 1970.
    pub(super) fn set_written(&mut self, time: i64) {
        let time = time.clamp(0, 0xff_ffff_ffff) as u64;
        self.put(WTIME, low32(time));
        self.raw[WTIME_HI] = (high32(time) & 0xff) as u8;
    }

    /// When the filesystem was last written, seconds since 1970.
    pub(super) fn written(&self) -> i64 {
        self.time(WTIME, WTIME_HI)
    }

    /// When it was last mounted, seconds since 1970; 0 when it never was.
    pub(super) fn mounted(&self) -> i64 {
        self.time(MTIME, MTIME_HI)
    }

    /// How often it was mounted since its last check.
    pub(super) fn mounts(&self) -> u16 {
        self.u16(MOUNT_COUNT)
    }

    fn time(&self, low: usize, high: usize) -> i64 {
        i64::from(self.u32(low)) | i64::from(self.raw[high]) << 32
    }

    /// Records that a file of 2 GiB or more exists.
    pub(super) fn set_large_file(&mut self) {
        let bits = self.u32(RO_COMPAT) | RO_LARGE_FILE;
        self.put(RO_COMPAT, bits);
    }

    /// The journal's inode; 0 when the journal is on another device.
    pub(super) fn journal_inode(&self) -> u32 {
        self.u32(JOURNAL_INODE)
    }

    /// Bytes new inodes use beyond the first 128.
    pub(super) fn extra_isize(&self) -> u16 {
        let room = self.u16(INODE_SIZE).saturating_sub(128);
        // 32 is what every field the kernel knows today takes.
        match self.u16(WANT_EXTRA_ISIZE) {
            want if (4..=room).contains(&want) && want % 4 == 0 => want,
            _ => room.min(32),
        }
    }

    /// What names are hashed with in directories.
    pub(super) fn hash_seed(&self) -> [u32; 4] {
        [0, 4, 8, 12].map(|at| self.u32(HASH_SEED + at))
    }

    /// The hash new directory indexes are made with.
    pub(super) fn default_hash(&self) -> HashKind {
        HashKind::from_code(self.raw[HASH_VERSION]).unwrap_or(HashKind::HalfMd4)
    }

    /// Whether names are hashed as signed characters. Without either flag the machine's own `char` decides,
    /// and a Raspberry Pi's is unsigned.
    pub(super) fn hash_is_signed(&self) -> bool {
        self.u32(FLAGS) & FLAG_SIGNED_HASH != 0
    }

    fn u16(&self, at: usize) -> u16 {
        u16_at(&self.raw, at)
    }

    fn u32(&self, at: usize) -> u32 {
        u32_at(&self.raw, at)
    }

    fn put(&mut self, at: usize, value: u32) {
        put_u32(&mut self.raw, at, value);
    }

    fn put_wide(&mut self, low: usize, high: usize, value: u64) {
        self.put(low, low32(value));
        if self.features().has_incompat(INCOMPAT_64BIT) {
            self.put(high, high32(value));
        }
    }
}

fn not_clean(why: &str) -> FsError {
    FsError::NotClean { why: why.to_owned() }
}

fn bad(field: &str, value: u32) -> FsError {
    FsError::corrupt(format!("the superblock's {field} is {value}"))
}

fn check_numbers(geometry: &Geometry, wide: bool) -> Result<(), FsError> {
    let bits = geometry.block_size * 8;
    if geometry.first_data_block != u32::from(geometry.block_size == 1024) {
        return Err(bad("s_first_data_block", geometry.first_data_block));
    }
    let per_group = geometry.blocks_per_group;
    if !(MIN_BLOCKS_PER_GROUP..=bits).contains(&per_group) || !per_group.is_multiple_of(8) {
        return Err(bad("s_blocks_per_group", per_group));
    }
    let size = geometry.inode_size;
    if !size.is_power_of_two() || !(128..=geometry.block_size).contains(&size) {
        return Err(bad("s_inode_size", size));
    }
    let inodes = geometry.inodes_per_group;
    if !(geometry.block_size / size..=bits).contains(&inodes) || !inodes.is_multiple_of(8) {
        return Err(bad("s_inodes_per_group", inodes));
    }
    if geometry.inode_table_blocks() >= per_group {
        return Err(bad("s_inodes_per_group", inodes));
    }
    if !(11..=inodes).contains(&geometry.first_inode) {
        return Err(bad("s_first_ino", geometry.first_inode));
    }
    let descriptor = geometry.descriptor_size;
    if wide && (!descriptor.is_power_of_two() || !(64..=1024).contains(&descriptor)) {
        return Err(bad("s_desc_size", descriptor));
    }
    Ok(())
}

fn check_extent(geometry: &Geometry, medium: u64) -> Result<(), FsError> {
    let blocks = geometry.blocks;
    if blocks > medium / u64::from(geometry.block_size) {
        return Err(FsError::corrupt(format!(
            "the superblock counts {blocks} blocks of {} bytes, and the partition has only {medium} bytes",
            geometry.block_size
        )));
    }
    let groups = blocks
        .saturating_sub(u64::from(geometry.first_data_block))
        .div_ceil(u64::from(geometry.blocks_per_group));
    if groups == 0 || groups * u64::from(geometry.inodes_per_group) > u64::from(u32::MAX) {
        return Err(FsError::corrupt(format!("the superblock counts {blocks} blocks, in {groups} groups")));
    }
    if let Some(first) = geometry.first_meta_block.filter(|first| *first > geometry.descriptor_blocks()) {
        return Err(bad("s_first_meta_bg", first));
    }
    if u64::from(geometry.head_blocks(0)) >= u64::from(geometry.group_blocks(0)) {
        return Err(bad("s_reserved_gdt_blocks", geometry.reserved_descriptor_blocks));
    }
    Ok(())
}
