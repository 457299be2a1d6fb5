//! Random operations against the shadow model: oracles (a) to (g).

use crate::support::check::{assert_same, editor_snapshot, open, room, view};
use crate::support::disk::{GuardedDisk, Workspace, fixture, write_sparse};
use crate::support::kernel::{self, Mount};
use crate::support::matrix::{self, Base, Recipe};
use crate::support::op::Op;
use crate::support::picker::{Picker, Room};
use crate::support::tier::{oracles, oracles_for};
use crate::support::tools::{assert_fsck_clean, fsck_complaints};
use crate::support::tree::{Fields, Kind, Tree};

/// Seeds a filesystem is tried with in the oracle tier.
const SEEDS: u64 = 100;
/// And over a committed fixture, in every `cargo test`.
const FIXTURE_SEEDS: u64 = 12;

/// What a run of operations left.
struct Outcome {
    disk: GuardedDisk,
    tree: Tree,
    ops: Vec<Op>,
    room: Room,
}

fn run_random(name: &str, bytes: &[u8], tree: &Tree, seed: u64) -> Outcome {
    let mut disk = GuardedDisk::new(bytes);
    let mut tree = tree.clone();
    let mut ops = Vec::new();
    let mut picker = Picker::new(seed);
    let mut editor = open(disk.window());
    for _ in 0..5 + seed % 70 {
        let op = picker.pick(&tree, room(&editor));
        ops.push(op);
        let story = Story { name, seed, ops: &ops };
        let op = &story.ops[story.ops.len() - 1];
        op.edit(&mut editor).unwrap_or_else(|error| panic!("{op:?}: {error}"));
        op.model(&mut tree);
    }
    let story = Story { name, seed, ops: &ops };
    let all = Fields { attributes: true, links: false };
    assert_same(&tree, &editor_snapshot(&editor), all, "the editor's own reader");
    let room = room(&editor);
    editor.finish().expect("finishing");
    disk.assert_guards();
    drop(story);
    Outcome { disk, tree, ops, room }
}

/// Same operations, same bytes.
fn assert_repeatable(base: &[u8], outcome: &Outcome) {
    let mut disk = GuardedDisk::new(base);
    let mut editor = open(disk.window());
    for op in &outcome.ops {
        op.edit(&mut editor).expect("it worked the first time");
    }
    editor.finish().expect("finishing");
    assert!(disk.filesystem() == outcome.disk.filesystem(), "the same operations gave other bytes");
}

/// The kernel reads all of it, writes where the operations wrote, and e2fsck finds nothing before and after.
fn assert_kernel_agrees(outcome: &Outcome, seed: u64) {
    let space = Workspace::new();
    let image = space.path("edited");
    write_sparse(&image, outcome.disk.filesystem());
    assert_fsck_clean(&image, "after the operations");
    if !outcome.can_be_mounted() {
        return;
    }
    let mount = Mount::new(&image);
    assert_same(
        &outcome.tree,
        &kernel::snapshot(mount.path()),
        Fields { attributes: true, links: true },
        "the kernel",
    );
    let mut rng = fastrand::Rng::with_seed(seed);
    if outcome.has_room() {
        let mut folders = touched_folders(outcome);
        rng.shuffle(&mut folders);
        folders.truncate(3);
        kernel::churn(mount.path(), &folders, &mut rng);
    }
    mount.close();
    // A tree of extents that the kernel left taller than needed is remarked upon, and is no fault.
    let complaints: Vec<String> = fsck_complaints(&image)
        .into_iter()
        .filter(|line| !line.contains("extent tree (at level"))
        .filter(|line| !line.contains("Optimize? no"))
        .collect();
    assert!(complaints.is_empty(), "e2fsck, after the kernel wrote:\n{}", complaints.join("\n"));
}

impl Outcome {
    /// The kernel takes no blocks larger than a page, and 4 KiB is the smallest page.
    fn can_be_mounted(&self) -> bool {
        self.room.block_size <= 4096
    }

    /// Whether the kernel can write what [`kernel::churn`] writes.
    fn has_room(&self) -> bool {
        self.room.free_blocks * self.room.block_size > 2 << 20 && self.room.free_inodes > 80
    }
}

fn touched_folders(outcome: &Outcome) -> Vec<String> {
    let is_folder = |path: &&str| outcome.tree.node(path).is_some_and(|node| node.kind == Kind::Directory);
    let mut folders: Vec<String> = outcome
        .tree
        .paths()
        .filter(|path| path.contains("/new-"))
        .filter_map(|path| {
            path.rsplit_once('/').map(|(folder, _)| if folder.is_empty() { "/" } else { folder })
        })
        .filter(is_folder)
        .map(str::to_owned)
        .collect();
    folders.sort();
    folders.dedup();
    folders
}

/// Tells which operations led to a failure.
struct Story<'a> {
    name: &'a str,
    seed: u64,
    ops: &'a [Op],
}

impl Drop for Story<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}, seed {}: {:#?}", self.name, self.seed, self.ops);
        }
    }
}

fn against_the_kernel(recipe: &Recipe) {
    if !oracles_for(recipe.name) {
        return;
    }
    let Base { name, bytes, tree } = matrix::build(recipe);
    let viewable = recipe.is_viewable();
    if viewable {
        assert_view_agrees(&tree, &bytes);
    }
    for seed in 0..SEEDS {
        let outcome = run_random(name, &bytes, &tree, seed);
        let _story = Story { name, seed, ops: &outcome.ops };
        if viewable {
            assert_view_agrees(&outcome.tree, outcome.disk.filesystem());
        }
        assert_kernel_agrees(&outcome, seed);
        if seed % 4 == 0 {
            assert_repeatable(&bytes, &outcome);
        }
    }
}

fn assert_view_agrees(tree: &Tree, bytes: &[u8]) {
    assert_same(tree, &view(bytes), Fields { attributes: false, links: false }, "ext4-view");
}

fn over_a_fixture(name: &str) {
    let bytes = fixture(name);
    let tree = {
        let mut disk = GuardedDisk::new(&bytes);
        editor_snapshot(&open(disk.window()))
    };
    assert_view_agrees(&tree, &bytes);
    for seed in 0..FIXTURE_SEEDS {
        let outcome = run_random(name, &bytes, &tree, seed);
        let _story = Story { name, seed, ops: &outcome.ops };
        assert_view_agrees(&outcome.tree, outcome.disk.filesystem());
        assert_repeatable(&bytes, &outcome);
        if oracles() {
            assert_kernel_agrees(&outcome, seed);
        }
    }
}

#[test]
fn fixture_pigen() {
    over_a_fixture("ext4-pigen");
}

#[test]
fn fixture_64bit() {
    over_a_fixture("ext4-64bit");
}

#[test]
fn fixture_orphan() {
    over_a_fixture("ext4-orphan");
}

#[test]
fn fixture_uninit() {
    over_a_fixture("ext4-uninit");
}

#[test]
fn fixture_lazy() {
    over_a_fixture("ext4-lazy");
}

#[test]
fn fixture_plain() {
    over_a_fixture("ext4-plain");
}

#[test]
fn fixture_1k() {
    over_a_fixture("ext4-1k");
}

#[test]
fn fixture_16k() {
    over_a_fixture("ext4-16k");
}

#[test]
fn fixture_blockmap() {
    over_a_fixture("ext4-blockmap");
}

#[test]
fn fixture_fragmented() {
    over_a_fixture("ext4-fragmented");
}

#[test]
fn kernel_pi_gen() {
    against_the_kernel(&matrix::PI_GEN);
}

#[test]
fn kernel_wide() {
    against_the_kernel(&matrix::WIDE);
}

#[test]
fn kernel_orphan() {
    against_the_kernel(&matrix::ORPHAN);
}

#[test]
fn kernel_uninit() {
    against_the_kernel(&matrix::UNINIT);
}

#[test]
fn kernel_lazy() {
    against_the_kernel(&matrix::LAZY);
}

#[test]
fn kernel_plain() {
    against_the_kernel(&matrix::PLAIN);
}

#[test]
fn kernel_one_kib() {
    against_the_kernel(&matrix::ONE_KIB);
}

#[test]
fn kernel_two_kib() {
    against_the_kernel(&matrix::TWO_KIB);
}

#[test]
fn kernel_fragmented() {
    against_the_kernel(&matrix::FRAGMENTED);
}

#[test]
fn kernel_full() {
    against_the_kernel(&matrix::FULL);
}

#[test]
fn kernel_block_mapped() {
    against_the_kernel(&matrix::BLOCK_MAPPED);
}
