//! Filesystems that were not unmounted: the kernel's own recovery, e2fsck and the kernel's next writes judge ours.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use fastrand::Rng;
use pibake::cow::CowImage;
use pibake::disk::block::{BlockRead, BlockWrite};
use pibake::fs::error::FsError;
use pibake::fs::ext4::{Recovered, recover};

use crate::support::check::{assert_same, open, stamp};
use crate::support::content;
use crate::support::disk::{GuardedDisk, Workspace};
use crate::support::kernel::{Mount, churn, snapshot};
use crate::support::matrix::{self, Aging, Recipe};
use crate::support::op::NOW;
use crate::support::tier::oracles_for;
use crate::support::tools::{assert_fsck_clean, raw, run};
use crate::support::tree::{Fields, Tree};

const ALL_FIELDS: Fields = Fields { attributes: true, links: true };
/// `O_TMPFILE` and `O_PATH | O_NOFOLLOW`.
const TMPFILE: i32 = nix::libc::O_TMPFILE;
const ONLY_A_PATH: i32 = nix::libc::O_PATH | nix::libc::O_NOFOLLOW;

/// 1024 blocks of journal, so that a few rounds go round it.
const SMALL_JOURNAL: Recipe = Recipe {
    name: "a small journal",
    mib: 40,
    mke2fs: &["-b", "1024", "-N", "4096", "-O", "^64bit", "-J", "size=1"],
    aging: Aging::None,
};
const ORPHAN_1K: Recipe = Recipe {
    name: "orphan_file, 64bit, 1 KiB blocks",
    mib: 40,
    mke2fs: &["-b", "1024", "-N", "4096", "-O", "64bit,orphan_file,metadata_csum_seed", "-J", "size=2"],
    aging: Aging::None,
};

/// The filesystems, and with what they are mounted.
const CASES: [(&Recipe, &str); 9] = [
    (&matrix::PI_GEN, ""),
    (&matrix::WIDE, ""),
    (&matrix::ORPHAN, ""),
    (&ORPHAN_1K, ""),
    (&matrix::UNINIT, ""),
    (&matrix::PLAIN, ""),
    (&matrix::PLAIN, "journal_checksum"),
    (&SMALL_JOURNAL, ""),
    (&matrix::BLOCK_MAPPED, ""),
];

/// A filesystem in use, with files that have no name any more.
struct Busy {
    mount: Mount,
    held: Vec<File>,
}

impl Busy {
    /// Nothing is committed but when somebody asks for it, so that a copy is of one moment.
    fn new(image: &Path, options: &str) -> Self {
        Self { mount: Mount::with(image, &format!("commit=900,{options}")), held: Vec::new() }
    }

    /// Works a while. The last things done are only in memory.
    fn work(&mut self, round: u64, rng: &mut Rng) {
        let root = self.mount.path().to_owned();
        let dir = root.join(format!("round-{round}"));
        fs::create_dir(&dir).expect("making a directory");
        let inside = format!("/round-{round}");
        for index in 0..rng.usize(3..20) {
            fs::write(dir.join(format!("f{index}")), content::bytes(round, rng.usize(..120_000)))
                .expect("writing a file");
        }
        churn(&root, &[inside, "/etc/deep".to_owned()], rng);
        fs::remove_dir_all(root.join("etc/deep/kernel-dir")).expect("removing a directory");
        fs::remove_file(root.join("etc/deep/kernel-link")).expect("removing a link");
        self.orphan(&dir, round);
        if round > 1 {
            fs::remove_dir_all(root.join(format!("round-{}", round - 2))).expect("removing a directory");
        }
        File::open(&dir).and_then(|dir| dir.sync_all()).expect("flushing");
        fs::write(dir.join("lost"), b"never committed").expect("writing a file");
    }

    /// One of every kind loses its last name while it is held.
    fn orphan(&mut self, dir: &Path, round: u64) {
        let large = dir.join("large");
        fs::write(&large, content::bytes(round, 700_000)).expect("writing a file");
        run("setfattr", &[&"-n", &"user.own", &"-v", &"o".repeat(600), &large]);
        let sparse = File::create(dir.join("sparse")).expect("creating a file");
        (0..400).for_each(|at| sparse.write_all_at(b"island", at * 9000).expect("writing a file"));
        sparse.sync_all().expect("flushing");
        for (name, target) in [("fast", 20), ("slow", 500)] {
            std::os::unix::fs::symlink(content::target(target), dir.join(name)).expect("making a link");
        }
        fs::create_dir(dir.join("dir")).expect("making a directory");
        run("mknod", &[&dir.join("device"), &"c", &"1", &"3"]);
        run("mkfifo", &[&dir.join("fifo")]);
        // A block of attributes that three files share loses one of them.
        let shared = dir.join("shared");
        fs::write(&shared, b"shared").expect("writing a file");
        run("setfattr", &[&"-n", &"user.shared", &"-v", &"s".repeat(700), &shared]);
        for name in ["large", "sparse", "fast", "slow", "device", "fifo", "shared"] {
            let path = dir.join(name);
            self.held.push(hold(&path, ONLY_A_PATH));
            fs::remove_file(&path).expect("removing a file");
        }
        self.held.push(hold(&dir.join("dir"), 0));
        fs::remove_dir(dir.join("dir")).expect("removing a directory");
        let nameless = OpenOptions::new().write(true).custom_flags(TMPFILE).open(dir).expect("opening");
        nameless.write_all_at(&content::bytes(round, 30_000), 0).expect("writing a file");
        nameless.sync_all().expect("flushing");
        self.held.push(nameless);
    }

    fn close(self) {
        drop(self.held);
        self.mount.close();
    }
}

fn hold(path: &Path, flags: i32) -> File {
    OpenOptions::new().read(true).custom_flags(flags).open(path).expect("opening")
}

/// Recovers between two guards; a second time there must be nothing to do.
fn recovered(bytes: &[u8], who: &str) -> (Vec<u8>, Recovered) {
    let mut disk = GuardedDisk::new(bytes);
    let found = recover(disk.window(), &stamp()).unwrap_or_else(|error| panic!("{who}: {error}"));
    disk.assert_guards();
    let once = disk.filesystem().to_vec();
    let again = recover(disk.window(), &stamp()).unwrap_or_else(|error| panic!("{who}, again: {error}"));
    assert_eq!(again, Recovered::default(), "{who}");
    assert!(disk.filesystem() == once, "{who}: the second time something was written");
    open(disk.window()).finish().unwrap_or_else(|error| panic!("{who}, edited: {error}"));
    (once, found)
}

/// What the kernel finds in an image that it recovers, or not.
fn mounted(image: &Path, bytes: &[u8]) -> Tree {
    fs::write(image, bytes).expect("writing the image");
    let mount = Mount::new(image);
    let tree = snapshot(mount.path());
    mount.close();
    tree
}

/// Files that were cut have the time of that, which the kernel takes from the clock.
fn forget_cuts(ours: &mut Tree, kernels: &mut Tree) {
    let paths: Vec<String> = ours.paths().map(str::to_owned).collect();
    for path in paths {
        let node = ours.node_mut(&path).expect("listed");
        if node.mtime == Some(NOW) {
            node.mtime = None;
            kernels.node_mut(&path).into_iter().for_each(|node| node.mtime = None);
        }
    }
}

/// Recovers a copy of a filesystem in use and lets everybody look at it.
fn judge(space: &Workspace, pulled: &[u8], who: &str, rng: &mut Rng) -> Recovered {
    let (image, copy) = (space.path("ours"), space.path("kernels"));
    let (bytes, found) = recovered(pulled, who);
    fs::write(&image, &bytes).expect("writing the image");
    assert_fsck_clean(&image, who);
    let mut ours = mounted(&image, &bytes);
    let mut kernels = mounted(&copy, pulled);
    assert_fsck_clean(&copy, &format!("{who}, recovered by the kernel"));
    forget_cuts(&mut ours, &mut kernels);
    assert_same(&kernels, &ours, ALL_FIELDS, who);
    let mount = Mount::new(&image);
    churn(mount.path(), &["/etc".to_owned(), "/usr/lib".to_owned()], rng);
    mount.close();
    assert_fsck_clean(&image, &format!("{who}, then written by the kernel"));
    found
}

#[test]
fn pulled_cards_become_what_the_kernel_makes_of_them() {
    if !oracles_for("pulled_cards_become_what_the_kernel_makes_of_them") {
        return;
    }
    let space = Workspace::new();
    let image = space.path("image");
    for (recipe, options) in CASES {
        let who = format!("{} {options}", recipe.name);
        fs::write(&image, matrix::build(recipe).bytes).expect("writing the image");
        let mut rng = Rng::with_seed(1);
        let mut busy = Busy::new(&image, options);
        let mut all = Recovered::default();
        for round in 0..8 {
            busy.work(round, &mut rng);
            if round % 2 == 0 {
                continue;
            }
            let pulled = fs::read(&image).expect("reading the image");
            let found = judge(&space, &pulled, &format!("{who}, round {round}"), &mut rng);
            all.transactions += found.transactions;
            all.blocks += found.blocks;
            all.revoked += found.revoked;
            all.orphans_removed += found.orphans_removed;
        }
        busy.close();
        println!("{who}: {all:?}");
        assert!(all.transactions > 10 && all.blocks > 100 && all.orphans_removed > 30, "{who}: {all:?}");
        assert!(all.revoked > 0, "{who}: nothing was ever revoked: {all:?}");
    }
}

/// Transactions of which a part stands in front of where the log begins.
fn goes_round(pulled: &[u8], blocks: &[usize]) -> bool {
    let number = |index: usize, at: usize| {
        let at = blocks[index] * 1024 + at;
        u32::from_be_bytes([pulled[at], pulled[at + 1], pulled[at + 2], pulled[at + 3]])
    };
    let (sequence, start) = (number(0, 0x18), number(0, 0x1c) as usize);
    (1..start).any(|index| number(index, 0) == 0xc03b_3998 && number(index, 8) >= sequence)
}

#[test]
fn a_log_that_went_round_is_followed() {
    if !oracles_for("a_log_that_went_round_is_followed") {
        return;
    }
    let space = Workspace::new();
    let image = space.path("image");
    fs::write(&image, matrix::build(&SMALL_JOURNAL).bytes).expect("writing the image");
    let blocks = journal_blocks(&image);
    let mut rng = Rng::with_seed(6);
    let mut busy = Busy::new(&image, "");
    let mut rounds = 0;
    for round in 0..60 {
        busy.work(round, &mut rng);
        busy.held.clear();
        let pulled = fs::read(&image).expect("reading the image");
        if goes_round(&pulled, &blocks) {
            judge(&space, &pulled, &format!("round {round}"), &mut rng);
            rounds += 1;
        }
        if rounds == 4 {
            break;
        }
    }
    busy.close();
    assert_eq!(rounds, 4, "the log hardly ever went round");
}

#[test]
fn frozen_filesystems_lose_only_their_orphans() {
    if !oracles_for("frozen_filesystems_lose_only_their_orphans") {
        return;
    }
    let space = Workspace::new();
    let image = space.path("image");
    for recipe in [&matrix::PI_GEN, &matrix::ORPHAN, &matrix::PLAIN, &matrix::BLOCK_MAPPED] {
        fs::write(&image, matrix::build(recipe).bytes).expect("writing the image");
        let mut rng = Rng::with_seed(2);
        let mut busy = Busy::new(&image, "");
        busy.work(0, &mut rng);
        run("fsfreeze", &[&"-f", &busy.mount.path()]);
        let frozen = fs::read(&image).expect("reading the image");
        run("fsfreeze", &[&"-u", &busy.mount.path()]);
        let tree = snapshot(busy.mount.path());
        busy.close();
        let found = judge(&space, &frozen, recipe.name, &mut rng);
        assert_eq!((found.transactions, found.orphans_removed), (0, 9), "{}", recipe.name);
        let (bytes, _) = recovered(&frozen, recipe.name);
        assert_same(&tree, &mounted(&image, &bytes), ALL_FIELDS, recipe.name);
    }
}

/// A file whose size was set and whose blocks were not yet given back when the power went.
#[test]
fn files_that_were_being_cut_are_cut() {
    if !oracles_for("files_that_were_being_cut_are_cut") {
        return;
    }
    let space = Workspace::new();
    let image = space.path("image");
    for recipe in
        [&matrix::PI_GEN, &matrix::PLAIN, &matrix::FRAGMENTED, &matrix::BLOCK_MAPPED, &SMALL_JOURNAL]
    {
        let base = matrix::build(recipe);
        for size in [0_u64, 1, 5000, 40_960, 699_999, 700_000, 123_456_789] {
            fs::write(&image, &base.bytes).expect("writing the image");
            let files = ["/etc/size-700000", "/etc/size-60000", "/home/pi/sparse", "/etc/size-0"];
            let mut script = String::new();
            let mut next = 0;
            for file in files {
                let stat = run("debugfs", &[&"-R", &format!("stat {file}"), &image]);
                let number: u32 = stat
                    .split_whitespace()
                    .nth(1)
                    .and_then(|number| number.parse().ok())
                    .unwrap_or_else(|| panic!("{stat}"));
                script +=
                    &format!("set_inode_field {file} size {size}\nset_inode_field {file} dtime @{next}\n");
                next = number;
            }
            script += &format!("set_super_value last_orphan {next}\n");
            let commands = space.path("commands");
            fs::write(&commands, script).expect("writing");
            run("debugfs", &[&"-w", &"-f", &commands, &image]);
            let pulled = fs::read(&image).expect("reading the image");
            let who = format!("{}, {size} bytes", recipe.name);
            let found = judge(&space, &pulled, &who, &mut Rng::with_seed(3));
            assert_eq!(found.orphans_truncated, 4, "{who}");
        }
    }
}

/// A medium whose writes are counted.
struct Counted<'a> {
    image: &'a mut CowImage,
    writes: u32,
}

impl BlockRead for Counted<'_> {
    fn size(&self) -> u64 {
        self.image.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        self.image.read_at(offset, buf)
    }
}

impl BlockWrite for Counted<'_> {
    fn write_at(&mut self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.writes += 1;
        self.image.write_at(offset, data)
    }
}

/// The blocks of a journal, by debugfs.
fn journal_blocks(image: &Path) -> Vec<usize> {
    let text = run("debugfs", &[&"-R", &"blocks <8>", &image]);
    text.split_whitespace().map(|block| block.parse().expect("a number")).collect()
}

/// Whether the kernel mounts it.
fn kernel_mounts(image: &Path) -> bool {
    let folder = tempfile::tempdir().expect("making a mount point");
    let args: [&dyn AsRef<OsStr>; 6] = [&"-t", &"ext4", &"-o", &"loop", &image, &folder.path()];
    let mounts = raw("mount", &args).status.success();
    if mounts {
        run("umount", &[&folder.path()]);
    }
    mounts
}

/// A journal with checksums is recovered as the kernel does it, or not at all, and then nothing was written.
#[test]
fn flipped_bits_in_a_journal_are_found() {
    if !oracles_for("flipped_bits_in_a_journal_are_found") {
        return;
    }
    let space = Workspace::new();
    let (image, copy) = (space.path("image"), space.path("copy"));
    let (mut refused, mut done) = (0, 0);
    for (recipe, options) in [(&matrix::PI_GEN, ""), (&ORPHAN_1K, ""), (&matrix::PLAIN, "")] {
        fs::write(&image, matrix::build(recipe).bytes).expect("writing the image");
        let mut rng = Rng::with_seed(4);
        let mut busy = Busy::new(&image, options);
        (0..3).for_each(|round| busy.work(round, &mut rng));
        let pulled = fs::read(&image).expect("reading the image");
        busy.close();
        let size = if recipe.mke2fs.contains(&"1024") { 1024 } else { 4096 };
        let blocks = journal_blocks(&image);
        let used =
            blocks.iter().filter(|block| pulled[*block * size..][..size].iter().any(|byte| *byte != 0));
        let used: Vec<usize> = used.copied().collect();
        for case in 0..60 {
            let mut broken = pulled.clone();
            for _ in 0..rng.usize(1..4) {
                let block = *rng.choice(&used).expect("some");
                let near = if rng.bool() { 64 } else { size };
                broken[block * size + rng.usize(..near)] ^= 1 << rng.u8(..8);
            }
            let who = format!("{}, case {case}", recipe.name);
            let base: Arc<dyn BlockRead> = Arc::new(broken.clone());
            let mut cow = CowImage::new(base);
            let mut counted = Counted { image: &mut cow, writes: 0 };
            let outcome = recover(&mut counted, &stamp());
            let writes = counted.writes;
            match outcome {
                Err(FsError::Io(error)) => panic!("{who}: {error}"),
                // Without checksums what comes of it is anybody's.
                _ if std::ptr::eq(recipe, &matrix::PLAIN) => {}
                Err(error) => {
                    assert_eq!(writes, 0, "{who}: it wrote before it failed: {error}");
                    assert!(error.to_string().contains("journal"), "{who}: {error}");
                    refused += 1;
                }
                Ok(_) => {
                    done += 1;
                    let mut bytes = vec![0; broken.len()];
                    cow.read_at(0, &mut bytes).expect("reading");
                    fs::write(&copy, &broken).expect("writing the image");
                    assert!(kernel_mounts(&copy), "{who}: the kernel refuses it");
                    assert_same(&mounted(&copy, &broken), &mounted(&copy, &bytes), ALL_FIELDS, &who);
                }
            }
        }
    }
    assert!(refused > 20 && done > 5, "{refused} refused, {done} done");
}
