//! Which filesystems are read and which are edited: the feature words of the superblock
//! (Documentation/filesystems/ext4/super.rst) against what this room implements.

use super::super::error::FsError;

pub(super) const COMPAT_HAS_JOURNAL: u32 = 0x4;
pub(super) const COMPAT_RESIZE_INODE: u32 = 0x10;
pub(super) const COMPAT_DIR_INDEX: u32 = 0x20;
pub(super) const COMPAT_SPARSE_SUPER2: u32 = 0x200;
const COMPAT_FAST_COMMIT: u32 = 0x400;
pub(super) const COMPAT_ORPHAN_FILE: u32 = 0x1000;

pub(super) const INCOMPAT_FILETYPE: u32 = 0x2;
pub(super) const INCOMPAT_RECOVER: u32 = 0x4;
pub(super) const INCOMPAT_META_BG: u32 = 0x10;
pub(super) const INCOMPAT_EXTENTS: u32 = 0x40;
pub(super) const INCOMPAT_64BIT: u32 = 0x80;
pub(super) const INCOMPAT_FLEX_BG: u32 = 0x200;
pub(super) const INCOMPAT_CSUM_SEED: u32 = 0x2000;

const INCOMPAT_MMP: u32 = 0x100;
const INCOMPAT_EA_INODE: u32 = 0x400;
const INCOMPAT_DIRDATA: u32 = 0x1000;
const INCOMPAT_LARGE_DIR: u32 = 0x4000;
const INCOMPAT_INLINE_DATA: u32 = 0x8000;
const INCOMPAT_ENCRYPT: u32 = 0x10000;
const INCOMPAT_CASEFOLD: u32 = 0x20000;

pub(super) const RO_SPARSE_SUPER: u32 = 0x1;
pub(super) const RO_LARGE_FILE: u32 = 0x2;
pub(super) const RO_HUGE_FILE: u32 = 0x8;
pub(super) const RO_GDT_CSUM: u32 = 0x10;
pub(super) const RO_DIR_NLINK: u32 = 0x20;
pub(super) const RO_EXTRA_ISIZE: u32 = 0x40;
pub(super) const RO_METADATA_CSUM: u32 = 0x400;
pub(super) const RO_ORPHAN_PRESENT: u32 = 0x10000;

const RO_QUOTA: u32 = 0x100;
const RO_BIGALLOC: u32 = 0x200;
const RO_READ_ONLY: u32 = 0x1000;
const RO_PROJECT: u32 = 0x2000;
const RO_VERITY: u32 = 0x8000;

const INCOMPAT_ACCEPTED: u32 = INCOMPAT_FILETYPE
    | INCOMPAT_RECOVER
    | INCOMPAT_EXTENTS
    | INCOMPAT_64BIT
    | INCOMPAT_FLEX_BG
    | INCOMPAT_CSUM_SEED;

/// Features that change neither what a bit of a bitmap means nor where bitmaps lie (`meta_bg` does, and is
/// implemented as far as that).
const INCOMPAT_SURVEYED: u32 = INCOMPAT_ACCEPTED
    | INCOMPAT_META_BG
    | INCOMPAT_MMP
    | INCOMPAT_EA_INODE
    | INCOMPAT_DIRDATA
    | INCOMPAT_LARGE_DIR
    | INCOMPAT_INLINE_DATA
    | INCOMPAT_ENCRYPT
    | INCOMPAT_CASEFOLD;

const RO_SURVEYED: u32 = RO_ACCEPTED | RO_QUOTA | RO_READ_ONLY | RO_PROJECT | RO_VERITY;

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
    (INCOMPAT_META_BG, "meta_bg"),
    (INCOMPAT_MMP, "mmp"),
    (INCOMPAT_EA_INODE, "ea_inode"),
    (INCOMPAT_DIRDATA, "dirdata"),
    (INCOMPAT_LARGE_DIR, "large_dir"),
    (INCOMPAT_INLINE_DATA, "inline_data"),
    (INCOMPAT_ENCRYPT, "encrypt"),
    (INCOMPAT_CASEFOLD, "casefold"),
];

const RO_NAMES: &[(u32, &str)] = &[
    (0x4, "btree_dir"),
    (0x80, "has_snapshot"),
    (RO_QUOTA, "quota"),
    (RO_BIGALLOC, "bigalloc"),
    (0x800, "replica"),
    (RO_READ_ONLY, "read-only"),
    (RO_PROJECT, "project"),
    (0x4000, "shared_blocks"),
    (RO_VERITY, "verity"),
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
    /// Changing it, after what was left undone on it was done.
    Recover,
    /// Only listing which blocks are in use.
    Survey,
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
        if purpose == Purpose::Survey {
            refuse(self.incompat & !INCOMPAT_SURVEYED, INCOMPAT_NAMES, "incompat")?;
            return refuse(self.ro_compat & !RO_SURVEYED, RO_NAMES, "ro_compat");
        }
        refuse(self.incompat & !INCOMPAT_ACCEPTED, INCOMPAT_NAMES, "incompat")?;
        for (bit, name) in
            [(INCOMPAT_FILETYPE, "no filetype feature"), (INCOMPAT_EXTENTS, "no extents feature")]
        {
            if !self.has_incompat(bit) {
                return Err(FsError::unsupported(format!("{name} (ext2 or ext3)")));
            }
        }
        // bigalloc changes what a bit of a bitmap means, so it matters to readers of bitmaps too.
        refuse(self.ro_compat & RO_BIGALLOC, RO_NAMES, "ro_compat")?;
        if purpose != Purpose::Read {
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
    fn a_survey_refuses_only_what_changes_the_bitmaps() {
        let survey = |incompat, ro_compat| {
            Features { incompat, ro_compat, ..PLAIN }
                .check(Purpose::Survey)
                .map_err(|error| error.to_string())
        };
        for (bit, name) in super::INCOMPAT_NAMES {
            assert_eq!(survey(*bit, 0).is_err(), ["compression", "journal_dev"].contains(name), "{name}");
        }
        for (bit, name) in super::RO_NAMES {
            let refused =
                ["btree_dir", "has_snapshot", "bigalloc", "replica", "shared_blocks"].contains(name);
            assert_eq!(survey(0, *bit).is_err(), refused, "{name}");
        }
        assert!(survey(0, 0x200).unwrap_err().contains("bigalloc"));
        assert!(survey(0x4000_0000, 0).unwrap_err().contains("unknown incompat"));
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
