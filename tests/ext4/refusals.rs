//! What must be refused, by name, with not one byte written: oracle (h).

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use pibake::disk::block::{BlockRead, BlockWrite};
use pibake::fs::error::FsError;
use pibake::fs::ext4::Ext4Editor;

use crate::support::check::{open, stamp};
use crate::support::disk::{Workspace, fixture};
use crate::support::kernel::Mount;
use crate::support::tier::oracles_for;
use crate::support::tools::{raw, run};

/// Fields of the superblock: bytes from the filesystem's start.
const STATE: usize = 1024 + 0x3a;
const COMPAT: usize = 1024 + 0x5c;
const INCOMPAT: usize = 1024 + 0x60;
const RO_COMPAT: usize = 1024 + 0x64;
const LAST_ORPHAN: usize = 1024 + 0xe8;

/// A medium on which a write is an error.
struct ReadOnly(Vec<u8>);

impl BlockRead for ReadOnly {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buf)
    }
}

impl BlockWrite for ReadOnly {
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        panic!("{} bytes were written at {offset} of a filesystem that is to be refused", data.len());
    }
}

/// Why an image is refused; it must be.
#[track_caller]
fn refusal(bytes: Vec<u8>) -> FsError {
    match Ext4Editor::open(ReadOnly(bytes), stamp()) {
        Ok(_) => panic!("it was accepted"),
        Err(error) => error,
    }
}

/// A filesystem without checksums, so that bits can be set by hand.
fn with_bit(field: usize, bit: u32) -> Vec<u8> {
    let mut bytes = fixture("ext4-plain");
    let value = u32::from_le_bytes(bytes[field..field + 4].try_into().expect("four bytes"));
    bytes[field..field + 4].copy_from_slice(&(value | bit).to_le_bytes());
    bytes
}

#[track_caller]
fn assert_feature(error: &FsError, names: &[&str]) {
    let FsError::Unsupported { feature } = error else { panic!("not called unsupported: {error}") };
    assert!(names.iter().any(|name| feature.contains(name)), "{feature:?} names none of {names:?}");
}

#[test]
fn incompatible_features_are_named() {
    let features: [(u32, &[&str]); 10] = [
        (0x1, &["compression"]),
        (0x8, &["journal_dev"]),
        (0x10, &["meta_bg"]),
        (0x100, &["mmp"]),
        (0x400, &["ea_inode"]),
        (0x1000, &["dirdata"]),
        (0x4000, &["largedir", "large_dir"]),
        (0x8000, &["inline_data"]),
        (0x1_0000, &["encrypt"]),
        (0x2_0000, &["casefold"]),
    ];
    for (bit, names) in features {
        assert_feature(&refusal(with_bit(INCOMPAT, bit)), names);
    }
}

#[test]
fn read_only_compatible_features_are_named() {
    let features: [(u32, &[&str]); 8] = [
        (0x80, &["has_snapshot", "snapshot"]),
        (0x100, &["quota"]),
        (0x200, &["bigalloc"]),
        (0x800, &["replica"]),
        (0x1000, &["read-only", "readonly", "read_only"]),
        (0x2000, &["project"]),
        (0x4000, &["shared_blocks"]),
        (0x8000, &["verity"]),
    ];
    for (bit, names) in features {
        assert_feature(&refusal(with_bit(RO_COMPAT, bit)), names);
    }
    assert_feature(&refusal(with_bit(COMPAT, 0x400)), &["fast_commit"]);
}

#[test]
fn unknown_bits_are_refused() {
    for shift in 18..32 {
        assert!(
            matches!(refusal(with_bit(INCOMPAT, 1 << shift)), FsError::Unsupported { .. }),
            "incompat bit {shift}"
        );
    }
    for shift in 17..32 {
        assert!(
            matches!(refusal(with_bit(RO_COMPAT, 1 << shift)), FsError::Unsupported { .. }),
            "ro_compat bit {shift}"
        );
    }
}

#[test]
fn unclean_filesystems_say_the_way_out() {
    let journal = refusal(with_bit(INCOMPAT, 0x4));
    assert!(matches!(&journal, FsError::NotClean { why } if why.contains("e2fsck")), "{journal}");
    let mut bytes = fixture("ext4-plain");
    bytes[STATE] |= 2;
    assert!(matches!(refusal(bytes), FsError::NotClean { .. }), "error state");
    let mut bytes = fixture("ext4-plain");
    bytes[STATE] = 0;
    assert!(matches!(refusal(bytes), FsError::NotClean { .. }), "not unmounted cleanly");
    let mut bytes = fixture("ext4-plain");
    bytes[LAST_ORPHAN] = 12;
    assert!(matches!(refusal(bytes), FsError::NotClean { .. }), "an orphan inode");
    assert!(
        matches!(refusal(with_bit(RO_COMPAT, 0x1_0000)), FsError::NotClean { .. }),
        "orphans in the orphan file"
    );
}

#[test]
fn what_is_no_ext4_is_refused() {
    for bytes in [
        Vec::new(),
        vec![0; 1000],
        vec![0; 1 << 20],
        vec![0xff; 1 << 20],
        fixture("ext4-pigen")[..1 << 20].to_vec(),
    ] {
        refusal(bytes);
    }
}

/// Real filesystems with every feature that is refused, as mke2fs makes them.
#[test]
fn features_made_by_mke2fs_are_refused() {
    if !oracles_for("features_made_by_mke2fs_are_refused") {
        return;
    }
    let features = [
        ("quota", "quota"),
        ("project", "project"),
        ("verity", "verity"),
        ("encrypt", "encrypt"),
        ("casefold", "casefold"),
        ("inline_data", "inline_data"),
        ("ea_inode", "ea_inode"),
        ("large_dir", "dir"),
        ("mmp", "mmp"),
        ("meta_bg,^resize_inode", "meta_bg"),
        ("bigalloc", "bigalloc"),
        ("fast_commit", "fast_commit"),
    ];
    let space = Workspace::new();
    let image = space.path("image");
    for (option, name) in features {
        make(&image, &["-O", option]);
        assert_feature(&refusal(fs::read(&image).expect("reading")), &[name]);
    }
    make(&image, &[]);
    run("debugfs", &[&"-w", &"-R", &"ssv state 3", &image]);
    assert!(matches!(refusal(fs::read(&image).expect("reading")), FsError::NotClean { .. }), "error state");
}

/// What a card looks like that was pulled while in use: the journal is full, and a deleted file is open.
#[test]
fn a_live_filesystem_is_refused() {
    if !oracles_for("a_live_filesystem_is_refused") {
        return;
    }
    for features in ["^orphan_file", "orphan_file"] {
        let space = Workspace::new();
        let image = space.path("image");
        make(&image, &["-O", features]);
        let mount = Mount::new(&image);
        let open_file = fs::File::create(mount.path().join("orphan")).expect("creating a file");
        (&open_file).write_all(b"still open").expect("writing");
        fs::remove_file(mount.path().join("orphan")).expect("removing");
        run("sync", &[&"-f", &mount.path()]);
        let live = fs::read(&image).expect("reading");
        assert!(matches!(refusal(live), FsError::NotClean { .. }), "{features}: a journal to be replayed");
        drop(open_file);
        mount.close();
        open(fs::read(&image).expect("reading"));
    }
}

fn make(image: &Path, options: &[&str]) {
    let file = fs::File::create(image).expect("creating an image");
    file.set_len(16 << 20).expect("sizing an image");
    let mut args: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"-q", &"-F", &"-t", &"ext4"];
    args.extend(options.iter().map(|option| option as &dyn AsRef<std::ffi::OsStr>));
    args.push(&image);
    let output = raw("mke2fs", &args);
    assert!(output.status.success(), "mke2fs {options:?}: {}", String::from_utf8_lossy(&output.stderr));
}
