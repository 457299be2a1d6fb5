//! The filesystems the random operations run over: made by mke2fs and filled by the kernel.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

use nix::fcntl::{FallocateFlags, fallocate};

use super::content;
use super::disk::Workspace;
use super::kernel::{Mount, snapshot};
use super::tools::{assert_fsck_clean, run};
use super::tree::Tree;

const MIB: u64 = 1 << 20;

/// How a filesystem is made.
pub(crate) struct Recipe {
    /// Its name in messages.
    pub(crate) name: &'static str,
    /// Size in MiB.
    pub(crate) mib: u64,
    /// Arguments of mke2fs.
    pub(crate) mke2fs: &'static [&'static str],
    /// What happens to it after it is filled.
    pub(crate) aging: Aging,
}

impl Recipe {
    /// Whether ext4-view can be a witness: version 1.0 reads neither the holes of a block map nor inodes of
    /// 128 bytes. There the kernel alone is.
    pub(crate) fn is_viewable(&self) -> bool {
        self.aging != Aging::BlockMapped && !self.mke2fs.contains(&"128")
    }
}

/// What a filesystem went through before the tests get it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aging {
    /// Nothing more.
    None,
    /// The medium held garbage, and inode tables were never initialised.
    Garbage,
    /// No two free blocks lie side by side.
    Fragmented,
    /// A few hundred blocks are free.
    Full,
    /// Made without extents, which were turned on afterwards: the files are block-mapped.
    BlockMapped,
}

/// Options of pi-gen since 2022, but small groups, so that there are several.
pub(crate) const PI_GEN: Recipe = Recipe {
    name: "pi-gen",
    mib: 48,
    mke2fs: &["-b", "4096", "-I", "256", "-N", "6144", "-g", "4096", "-O", "^huge_file,^64bit"],
    aging: Aging::None,
};
pub(crate) const WIDE: Recipe = Recipe {
    name: "64bit",
    mib: 48,
    mke2fs: &["-b", "4096", "-N", "6144", "-g", "2048", "-O", "64bit,huge_file"],
    aging: Aging::None,
};
pub(crate) const ORPHAN: Recipe = Recipe {
    name: "orphan_file and csum_seed",
    mib: 48,
    mke2fs: &["-b", "4096", "-N", "4096", "-O", "^huge_file,^64bit,orphan_file,metadata_csum_seed"],
    aging: Aging::None,
};
pub(crate) const UNINIT: Recipe = Recipe {
    name: "uninit_bg without metadata_csum",
    mib: 48,
    mke2fs: &[
        "-b",
        "4096",
        "-N",
        "6144",
        "-g",
        "2048",
        "-G",
        "4",
        "-O",
        "^metadata_csum,uninit_bg,^64bit",
        "-E",
        "lazy_itable_init=1,nodiscard",
    ],
    aging: Aging::Garbage,
};
pub(crate) const LAZY: Recipe = Recipe {
    name: "lazy groups with metadata_csum",
    mib: 48,
    mke2fs: &[
        "-b",
        "4096",
        "-N",
        "6144",
        "-g",
        "2048",
        "-G",
        "2",
        "-O",
        "^huge_file,^64bit",
        "-E",
        "lazy_itable_init=1,nodiscard",
    ],
    aging: Aging::Garbage,
};
pub(crate) const PLAIN: Recipe = Recipe {
    name: "no checksums",
    mib: 48,
    mke2fs: &["-b", "4096", "-N", "4096", "-O", "^metadata_csum,^64bit,^huge_file"],
    aging: Aging::None,
};
pub(crate) const ONE_KIB: Recipe = Recipe {
    name: "1 KiB blocks",
    mib: 40,
    mke2fs: &["-b", "1024", "-N", "4096", "-O", "^64bit"],
    aging: Aging::None,
};
pub(crate) const TWO_KIB: Recipe = Recipe {
    name: "2 KiB blocks, 128-byte inodes, no flex_bg",
    mib: 40,
    mke2fs: &["-b", "2048", "-I", "128", "-N", "4096", "-g", "4096", "-O", "^flex_bg,^64bit"],
    aging: Aging::None,
};
pub(crate) const FRAGMENTED: Recipe = Recipe {
    name: "fragmented",
    mib: 24,
    mke2fs: &["-b", "1024", "-N", "3072", "-O", "^huge_file,^64bit", "-J", "size=1"],
    aging: Aging::Fragmented,
};
pub(crate) const FULL: Recipe = Recipe {
    name: "nearly full",
    mib: 24,
    mke2fs: &["-b", "4096", "-N", "1024", "-O", "^huge_file,^64bit"],
    aging: Aging::Full,
};
pub(crate) const BLOCK_MAPPED: Recipe = Recipe {
    name: "block-mapped files",
    mib: 48,
    mke2fs: &["-b", "1024", "-N", "4096", "-O", "^extent,^64bit,^flex_bg"],
    aging: Aging::BlockMapped,
};

/// A filesystem made after a recipe, and what is in it as the kernel tells it.
pub(crate) struct Base {
    /// The recipe's name.
    pub(crate) name: &'static str,
    /// The filesystem.
    pub(crate) bytes: Vec<u8>,
    /// What is in it.
    pub(crate) tree: Tree,
}

/// Makes a filesystem. Needs root and e2fsprogs.
pub(crate) fn build(recipe: &Recipe) -> Base {
    let space = Workspace::new();
    let image = space.path("base");
    let file = File::create(&image).expect("creating the image");
    file.set_len(recipe.mib * MIB).expect("sizing the image");
    if recipe.aging == Aging::Garbage {
        let garbage = content::bytes(7, MIB as usize);
        for index in 0..recipe.mib {
            file.write_all_at(&garbage, index * MIB).expect("writing garbage");
        }
    }
    let mut args: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"-q", &"-F", &"-t", &"ext4"];
    args.extend(recipe.mke2fs.iter().map(|arg| arg as &dyn AsRef<std::ffi::OsStr>));
    args.push(&image);
    run("mke2fs", &args);
    let mount = Mount::new(&image);
    populate(mount.path());
    // The old block maps have no unwritten blocks, and ext4-view 1.0 takes what the medium holds for them.
    if !matches!(recipe.aging, Aging::BlockMapped | Aging::Garbage) {
        reserve(&mount.path().join("home/pi/reserved"));
    }
    match recipe.aging {
        Aging::Fragmented => fragment(mount.path()),
        Aging::Full => fill(mount.path()),
        Aging::None | Aging::Garbage | Aging::BlockMapped => {}
    }
    mount.close();
    if recipe.aging == Aging::BlockMapped {
        run("tune2fs", &[&"-O", &"extent", &image]);
    }
    assert_fsck_clean(&image, "as made");
    let bytes = fs::read(&image).expect("reading the image");
    let mount = Mount::new(&image);
    let tree = snapshot(mount.path());
    mount.close();
    Base { name: recipe.name, bytes, tree }
}

/// A little of everything a root filesystem holds.
fn populate(root: &Path) {
    for folder in ["etc/deep/er/still", "usr/lib", "var/lib/many", "home/pi", "empty"] {
        fs::create_dir_all(root.join(folder)).expect("making a directory");
    }
    for (index, size) in
        [0, 1, 59, 60, 1023, 1024, 1025, 4095, 4096, 4097, 60_000, 700_000].iter().enumerate()
    {
        fs::write(root.join(format!("etc/size-{size}")), content::bytes(index as u64, *size))
            .expect("writing a file");
    }
    for index in 0..400 {
        fs::write(
            root.join(format!("var/lib/many/entry-{index:04}-of-a-directory-with-an-index")),
            index.to_string(),
        )
        .expect("writing a file");
    }
    symlink("usr/lib", root.join("lib")).expect("making a link");
    symlink("/etc/size-60", root.join("etc/absolute")).expect("making a link");
    symlink("../nowhere", root.join("etc/dangling")).expect("making a link");
    symlink(content::target(59), root.join("etc/fast-59")).expect("making a link");
    symlink(content::target(60), root.join("etc/slow-60")).expect("making a link");
    symlink(content::target(1000), root.join("etc/slow-1000")).expect("making a link");
    fs::hard_link(root.join("etc/size-4097"), root.join("usr/lib/second-name")).expect("making a hard link");
    fs::hard_link(root.join("etc/size-4097"), root.join("usr/lib/third-name")).expect("making a hard link");
    let sparse = File::create(root.join("home/pi/sparse")).expect("creating a file");
    sparse.set_len(300_000).expect("sizing a file");
    sparse.write_all_at(b"island", 150_000).expect("writing a file");
    tag(root);
    run("mkfifo", &[&root.join("home/pi/fifo")]);
    run("mknod", &[&root.join("home/pi/null"), &"c", &"1", &"3"]);
    run("chown", &[&"-R", &"100000:70000", &root.join("home/pi")]);
    run("chattr", &[&"+i", &root.join("etc/size-1025")]);
}

/// A file of blocks that are allocated and were never written.
pub(crate) fn reserve(path: &Path) {
    let file = File::create(path).expect("creating a file");
    fallocate(&file, FallocateFlags::empty(), 0, 100_000).expect("allocating blocks");
}

/// Extended attributes: in the inode, in blocks of their own, and in a block that three files share.
fn tag(root: &Path) {
    let set = |name: &str, value: &str, path: &str| {
        run("setfattr", &[&"-n", &name, &"-v", &value, &root.join(path)])
    };
    set("user.small", "in the inode", "etc/size-1");
    set("trusted.small", "t", "etc/deep");
    set("security.capability", "0x0100000200040000000000000000000000000000", "usr/lib/second-name");
    for file in ["etc/size-1023", "etc/size-1024", "etc/size-4095"] {
        set("user.shared", &"s".repeat(700), file);
    }
    set("user.own", &"o".repeat(600), "etc/size-60000");
    set("user.own", &"d".repeat(500), "usr/lib");
}

/// Fills the filesystem with one file and punches out every second block of it.
fn fragment(root: &Path) {
    let block = 1024;
    let (file, size) = fill_with(&root.join("holes"));
    for offset in (0..size / 2).step_by(2 * block as usize) {
        fallocate(
            &file,
            FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE,
            i64::try_from(offset).expect("small"),
            block,
        )
        .expect("punching a hole");
    }
}

/// Leaves about 1.2 MiB free.
fn fill(root: &Path) {
    let (file, size) = fill_with(&root.join("ballast"));
    file.set_len(size - 1_200_000).expect("cutting the file");
}

/// Writes one file until nothing more goes in.
fn fill_with(path: &Path) -> (File, u64) {
    let file = File::create(path).expect("creating a file");
    let chunk = content::bytes(3, 64 << 10);
    let mut size = 0;
    while file.write_all_at(&chunk, size).is_ok() {
        size += chunk.len() as u64;
    }
    file.sync_all().expect("flushing the file");
    file.set_len(size).expect("cutting the file");
    (file, size)
}
