//! Which filesystems are read and which are edited: the feature words of the superblock
//! (Documentation/filesystems/ext4/super.rst) against what this room implements.

use super::super::error::FsError;

pub(super) const COMPAT_HAS_JOURNAL: u32 = 0x4;
pub(super) const COMPAT_RESIZE_INODE: u32 = 0x10;
pub(super) const COMPAT_DIR_INDEX: u32 = 0x20;
const COMPAT_SPARSE_SUPER2: u32 = 0x200;
const COMPAT_FAST_COMMIT: u32 = 0x400;

pub(super) const INCOMPAT_FILETYPE: u32 = 0x2;
pub(super) const INCOMPAT_RECOVER: u32 = 0x4;
pub(super) const INCOMPAT_EXTENTS: u32 = 0x40;
pub(super) const INCOMPAT_64BIT: u32 = 0x80;
pub(super) const INCOMPAT_FLEX_BG: u32 = 0x200;
pub(super) const INCOMPAT_CSUM_SEED: u32 = 0x2000;

pub(super) const RO_SPARSE_SUPER: u32 = 0x1;
pub(super) const RO_LARGE_FILE: u32 = 0x2;
pub(super) const RO_HUGE_FILE: u32 = 0x8;
pub(super) const RO_GDT_CSUM: u32 = 0x10;
pub(super) const RO_DIR_NLINK: u32 = 0x20;
pub(super) const RO_EXTRA_ISIZE: u32 = 0x40;
pub(super) const RO_METADATA_CSUM: u32 = 0x400;
pub(super) const RO_ORPHAN_PRESENT: u32 = 0x10000;

const INCOMPAT_ACCEPTED: u32 = INCOMPAT_FILETYPE
    | INCOMPAT_RECOVER
    | INCOMPAT_EXTENTS
    | INCOMPAT_64BIT
    | INCOMPAT_FLEX_BG
    | INCOMPAT_CSUM_SEED;

const RO_ACCEPTED: u32 = RO_SPARSE_SUPER
    | RO_LARGE_FILE
    | RO_HUGE_FILE
    | RO_GDT_CSUM
    | RO_DIR_NLINK
    | RO_EXTRA_ISIZE
    | RO_METADATA_CSUM
    | RO_ORPHAN_PRESENT;

/// Names as e2fsprogs prints them, for bits that are refused.
const INCOMPAT_NAMES: &[(u32, &str)] = &[
    (0x1, "compression"),
    (0x8, "journal_dev"),
    (0x10, "meta_bg"),
    (0x100, "mmp"),
    (0x400, "ea_inode"),
    (0x1000, "dirdata"),
    (0x4000, "large_dir"),
    (0x8000, "inline_data"),
    (0x10000, "encrypt"),
    (0x20000, "casefold"),
];

const RO_NAMES: &[(u32, &str)] = &[
    (0x4, "btree_dir"),
    (0x80, "has_snapshot"),
    (0x100, "quota"),
    (0x200, "bigalloc"),
    (0x800, "replica"),
    (0x1000, "read-only"),
    (0x2000, "project"),
    (0x4000, "shared_blocks"),
    (0x8000, "verity"),
];

/// Those that tune2fs can take from a filesystem.
const REMOVABLE: &[&str] = &["mmp", "quota", "project", "fast_commit"];

/// The three feature words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features {
    /// May be ignored by who does not know them.
    pub(super) compat: u32,
    /// Must be known to read.
    pub(super) incompat: u32,
    /// Must be known to write.
    pub(super) ro_compat: u32,
}

/// What a filesystem is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Only reading.
    Read,
    /// Changing it.
    Edit,
}

impl Features {
    pub(super) fn has_compat(self, bit: u32) -> bool {
        self.compat & bit != 0
    }

    pub(super) fn has_incompat(self, bit: u32) -> bool {
        self.incompat & bit != 0
    }

    pub(super) fn has_ro(self, bit: u32) -> bool {
        self.ro_compat & bit != 0
    }

    /// Refuses what is not implemented, by name. State (a dirty journal, orphans) is not judged here.
    pub(super) fn check(self, purpose: Purpose) -> Result<(), FsError> {
        refuse(self.incompat & !INCOMPAT_ACCEPTED, INCOMPAT_NAMES, "incompat")?;
        for (bit, name) in
            [(INCOMPAT_FILETYPE, "no filetype feature"), (INCOMPAT_EXTENTS, "no extents feature")]
        {
            if !self.has_incompat(bit) {
                return Err(FsError::unsupported(format!("{name} (ext2 or ext3)")));
            }
        }
        // bigalloc changes what a bit of a bitmap means, so it matters to readers of bitmaps too.
        refuse(self.ro_compat & 0x200, RO_NAMES, "ro_compat")?;
        if purpose == Purpose::Edit {
            refuse(self.ro_compat & !RO_ACCEPTED, RO_NAMES, "ro_compat")?;
            if self.has_compat(COMPAT_FAST_COMMIT) {
                return Err(FsError::unsupported(with_way_out("fast_commit")));
            }
        }
        if self.has_compat(COMPAT_SPARSE_SUPER2) {
            return Err(FsError::unsupported(with_way_out("sparse_super2")));
        }
        Ok(())
    }
}

fn refuse(bits: u32, names: &[(u32, &str)], word: &str) -> Result<(), FsError> {
    if bits == 0 {
        return Ok(());
    }
    let known = names.iter().find(|(bit, _)| bits & bit != 0).map(|(_, name)| with_way_out(name));
    Err(FsError::unsupported(known.unwrap_or_else(|| format!("the unknown {word} feature {bits:#x}"))))
}

/// Names a feature and how to get rid of it.
fn with_way_out(name: &str) -> String {
    if REMOVABLE.contains(&name) {
        format!("{name} (tune2fs -O ^{name} turns it off)")
    } else {
        format!("{name} (it has to be made without: mke2fs -O ^{name})")
    }
}

#[cfg(test)]
mod tests {
    use super::{
        COMPAT_FAST_COMMIT, Features, INCOMPAT_EXTENTS, INCOMPAT_FILETYPE, Purpose, RO_METADATA_CSUM,
    };

    const PLAIN: Features = Features {
        compat: 0x3c,
        incompat: INCOMPAT_FILETYPE | INCOMPAT_EXTENTS,
        ro_compat: RO_METADATA_CSUM,
    };

    #[test]
    fn accepts_the_plain_and_names_the_refused() {
        assert!(PLAIN.check(Purpose::Edit).is_ok());
        for (bit, name) in super::INCOMPAT_NAMES {
            let features = Features { incompat: PLAIN.incompat | bit, ..PLAIN };
            assert!(features.check(Purpose::Read).unwrap_err().to_string().contains(name), "{name}");
        }
        for (bit, name) in super::RO_NAMES {
            let features = Features { ro_compat: PLAIN.ro_compat | bit, ..PLAIN };
            assert!(features.check(Purpose::Edit).unwrap_err().to_string().contains(name), "{name}");
        }
        let fast = Features { compat: COMPAT_FAST_COMMIT, ..PLAIN };
        assert!(fast.check(Purpose::Read).is_ok());
        assert!(fast.check(Purpose::Edit).unwrap_err().to_string().contains("fast_commit"));
    }

    #[test]
    fn refuses_every_unknown_bit_and_ext3() {
        for shift in 0..32 {
            let bit = 1_u32 << shift;
            let named = |names: &[(u32, &str)]| names.iter().any(|(known, _)| *known == bit);
            if super::INCOMPAT_ACCEPTED & bit == 0 && !named(super::INCOMPAT_NAMES) {
                let error =
                    Features { incompat: PLAIN.incompat | bit, ..PLAIN }.check(Purpose::Read).unwrap_err();
                assert!(error.to_string().contains("unknown incompat"), "{error}");
            }
            if super::RO_ACCEPTED & bit == 0 && !named(super::RO_NAMES) {
                let error =
                    Features { ro_compat: PLAIN.ro_compat | bit, ..PLAIN }.check(Purpose::Edit).unwrap_err();
                assert!(error.to_string().contains("unknown ro_compat"), "{error}");
            }
        }
        let ext3 = Features { incompat: INCOMPAT_FILETYPE, ..PLAIN };
        assert!(ext3.check(Purpose::Read).unwrap_err().to_string().contains("extents"));
    }
}
