//! What is in use and whose a byte is, before dumpe2fs, e2fsck, debugfs and the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use pibake::disk::range::ByteRange;
use pibake::disk::ranges;
use pibake::fs::error::FsError;
use pibake::fs::ext4::{owners, usage};
use pibake::fs::owner::Owner;
use pibake::fs::usage::Remark;

use crate::support::check::assert_same;
use crate::support::content;
use crate::support::disk::{Workspace, fixture};
use crate::support::kernel::{Mount, snapshot};
use crate::support::matrix::{self, Aging, Recipe};
use crate::support::tier::oracles_for;
use crate::support::tools::{assert_fsck_clean, raw, run};
use crate::support::tree::Fields;
use crate::used::{FIXTURES, blocks, free_by_dumpe2fs};

const ALL_FIELDS: Fields = Fields { attributes: true, links: true };

const fn recipe(name: &'static str, mke2fs: &'static [&'static str]) -> Recipe {
    Recipe { name, mib: 40, mke2fs, aging: Aging::Garbage }
}

/// Beside those that the editor takes.
const MORE: [Recipe; 8] = [
    recipe("meta_bg", &["-b", "1024", "-g", "1024", "-O", "meta_bg,^resize_inode,^64bit"]),
    recipe("meta_bg, no flex_bg", &["-b", "1024", "-g", "512", "-O", "meta_bg,^resize_inode,^flex_bg,64bit"]),
    recipe("sparse_super2", &["-b", "4096", "-g", "2048", "-O", "sparse_super2,^resize_inode"]),
    recipe("sparse_super2, one copy", &["-b", "1024", "-O", "sparse_super2", "-E", "num_backup_sb=1"]),
    recipe("no sparse_super", &["-b", "2048", "-g", "1024", "-O", "^sparse_super,^resize_inode,^64bit"]),
    recipe("ext3", &["-b", "1024", "-O", "none,has_journal,filetype,dir_index,sparse_super,large_file"]),
    recipe("inline_data, ea_inode", &["-b", "4096", "-O", "inline_data,ea_inode"]),
    recipe("large_dir, orphan_file", &["-b", "4096", "-O", "large_dir,orphan_file"]),
];

/// The used bytes of an image in the midst of garbage.
fn among_garbage(image: &[u8], used: &[ByteRange]) -> Vec<u8> {
    let mut copy = content::bytes(99, image.len()).to_vec();
    for range in used {
        let range = range.start() as usize..range.end() as usize;
        copy[range.clone()].copy_from_slice(&image[range]);
    }
    copy
}

#[test]
fn dumpe2fs_and_fsck_agree_on_every_kind_of_filesystem() {
    if !oracles_for("dumpe2fs_and_fsck_agree_on_every_kind_of_filesystem") {
        return;
    }
    let known = [
        matrix::PI_GEN,
        matrix::WIDE,
        matrix::ORPHAN,
        matrix::UNINIT,
        matrix::LAZY,
        matrix::PLAIN,
        matrix::ONE_KIB,
        matrix::TWO_KIB,
        matrix::FRAGMENTED,
        matrix::FULL,
        matrix::BLOCK_MAPPED,
    ];
    let space = Workspace::new();
    let image = space.path("image");
    for recipe in known.iter().chain(&MORE) {
        let base = matrix::build(recipe);
        let found = usage(&base.bytes, &[]).unwrap_or_else(|error| panic!("{}: {error}", recipe.name));
        assert_eq!(found.remarks, [], "{}", recipe.name);
        fs::write(&image, &base.bytes).expect("writing the image");
        compare_with_dumpe2fs(&image, &base.bytes, recipe.name);
        fs::write(&image, among_garbage(&base.bytes, &found.ranges)).expect("writing the copy");
        assert_fsck_clean(&image, recipe.name);
        let mount = Mount::new(&image);
        assert_same(&base.tree, &snapshot(mount.path()), ALL_FIELDS, recipe.name);
        mount.close();
    }
}

fn compare_with_dumpe2fs(image: &Path, bytes: &Vec<u8>, name: &str) {
    let head = run("dumpe2fs", &[&"-h", &image]);
    let block: u64 =
        head.lines().find_map(|line| line.strip_prefix("Block size:")).unwrap().trim().parse().unwrap();
    let found = usage(bytes, &[]).expect("surveying");
    let used = blocks(&found.ranges, block);
    let free = free_by_dumpe2fs(image);
    let wanted: BTreeSet<u64> = (0..found.size / block).filter(|block| !free.contains(block)).collect();
    let differ: Vec<u64> = used.symmetric_difference(&wanted).copied().take(20).collect();
    assert!(differ.is_empty(), "{name}: differing blocks: {differ:?}");
}

#[test]
fn resized_filesystems_too() {
    if !oracles_for("resized_filesystems_too") {
        return;
    }
    let space = Workspace::new();
    let image = space.path("image");
    for recipe in [&matrix::PI_GEN, &matrix::ONE_KIB, &matrix::UNINIT, &MORE[2]] {
        fs::write(&image, matrix::build(recipe).bytes).expect("writing the image");
        for size in ["200M", "70M"] {
            File::options()
                .write(true)
                .open(&image)
                .and_then(|file| file.set_len(200 << 20))
                .expect("sizing");
            run("e2fsck", &[&"-fy", &image]);
            run("resize2fs", &[&image, &size]);
            let bytes = fs::read(&image).expect("reading the image");
            compare_with_dumpe2fs(&image, &bytes, recipe.name);
            let copy = space.path("copy");
            fs::write(&copy, among_garbage(&bytes, &usage(&bytes, &[]).unwrap().ranges)).expect("writing");
            assert_fsck_clean(&copy, recipe.name);
        }
    }
}

/// Features that not every kernel mounts.
#[test]
fn features_that_change_no_bitmap_are_surveyed() {
    if !oracles_for("features_that_change_no_bitmap_are_surveyed") {
        return;
    }
    let space = Workspace::new();
    let (image, tree) = (space.path("image"), space.path("tree"));
    fs::create_dir(&tree).expect("making a directory");
    fs::write(tree.join("file"), content::bytes(1, 700_000)).expect("writing a file");
    for features in ["quota,project", "casefold", "encrypt", "verity", "mmp", "quota,mmp,casefold,verity"] {
        fs::write(&image, content::bytes(2, 40 << 20)).expect("writing garbage");
        let options: [&dyn AsRef<std::ffi::OsStr>; 9] =
            [&"-qF", &"-t", &"ext4", &"-E", &"nodiscard", &"-O", &features, &"-d", &tree];
        run("mke2fs", &[&options[..], &[&image]].concat());
        // mke2fs counts quotas before it fills the tree.
        raw("e2fsck", &[&"-fy", &image]);
        let bytes = fs::read(&image).expect("reading the image");
        compare_with_dumpe2fs(&image, &bytes, features);
        let found = usage(&bytes, &[]).expect("surveying");
        assert_eq!(found.remarks, [], "{features}");
        fs::write(&image, among_garbage(&bytes, &found.ranges)).expect("writing the copy");
        assert_fsck_clean(&image, features);
    }
}

#[test]
fn bigalloc_is_refused() {
    if !oracles_for("bigalloc_is_refused") {
        return;
    }
    let bytes = matrix::build(&recipe("bigalloc", &["-b", "4096", "-O", "bigalloc", "-C", "16384"])).bytes;
    assert!(
        matches!(usage(&bytes, &[]), Err(FsError::Unsupported { feature }) if feature.contains("bigalloc"))
    );
}

/// Cards that were pulled out while files were being written: after the journal was replayed, the copy of what
/// was in use is what the card itself is then.
#[test]
fn a_pulled_card_loses_nothing() {
    if !oracles_for("a_pulled_card_loses_nothing") {
        return;
    }
    let space = Workspace::new();
    let (image, copy) = (space.path("image"), space.path("copy"));
    let mut grown = 0;
    for recipe in [&matrix::PI_GEN, &matrix::WIDE, &matrix::UNINIT, &matrix::ONE_KIB] {
        fs::write(&image, matrix::build(recipe).bytes).expect("writing the image");
        let mount = Mount::new(&image);
        for round in 0..12 {
            let path = mount.path().join(format!("round-{round}"));
            let mut file = File::create(&path).expect("creating a file");
            file.write_all(&content::bytes(round, 150_000 + 90_000 * round as usize))
                .expect("writing a file");
            file.sync_all().expect("flushing");
            if round % 3 == 2 {
                fs::remove_file(mount.path().join(format!("round-{}", round - 1))).expect("removing a file");
            }
            let pulled = fs::read(&image).expect("reading the image");
            let found = usage(&pulled, &[]).expect("surveying");
            assert!(matches!(found.remarks[..], [Remark::Unreplayed { .. }]), "{:?}", found.remarks);
            grown += u32::from(ranges::total(&found.ranges) > ranges::total(&on_medium(pulled.clone())));
            let trees = [&pulled, &among_garbage(&pulled, &found.ranges)].map(|bytes| {
                fs::write(&copy, bytes).expect("writing the copy");
                let status = raw("e2fsck", &[&"-fy", &copy]).status.code();
                assert!(matches!(status, Some(0 | 1)), "{}: e2fsck -fy: {status:?}", recipe.name);
                assert_fsck_clean(&copy, recipe.name);
                let mount = Mount::new(&copy);
                let tree = snapshot(mount.path());
                mount.close();
                tree
            });
            assert_same(&trees[0], &trees[1], ALL_FIELDS, recipe.name);
        }
        mount.close();
    }
    assert!(grown > 10, "the journal hardly ever mattered: {grown} times");
}

/// What the bitmaps say when nobody looks at the journal.
fn on_medium(mut image: Vec<u8>) -> Vec<ByteRange> {
    // s_feature_compat loses has_journal; the superblock's checksum, crc32c, is made anew where there is one.
    image[1024 + 0x5c] &= !4;
    if image[1024 + 0x65] & 4 != 0 {
        let sum = !crc32c::crc32c(&image[1024..1024 + 0x3fc]);
        image[1024 + 0x3fc..1024 + 0x400].copy_from_slice(&sum.to_le_bytes());
    }
    usage(&image, &[]).map(|usage| usage.ranges).unwrap_or_default()
}

#[test]
fn debugfs_names_the_same_owners() {
    if !oracles_for("debugfs_names_the_same_owners") {
        return;
    }
    let space = Workspace::new();
    let image = space.path("image");
    for recipe in
        [&matrix::PI_GEN, &matrix::ONE_KIB, &matrix::BLOCK_MAPPED, &matrix::FRAGMENTED, &MORE[0], &MORE[5]]
    {
        let bytes = matrix::build(recipe).bytes;
        fs::write(&image, &bytes).expect("writing the image");
        let mut random = fastrand::Rng::with_seed(5);
        let head = run("dumpe2fs", &[&"-h", &image]);
        let block: u64 =
            head.lines().find_map(|line| line.strip_prefix("Block size:")).unwrap().trim().parse().unwrap();
        let used: Vec<u64> = blocks(&usage(&bytes, &[]).unwrap().ranges, block).into_iter().collect();
        let chosen: Vec<u64> = (0..1000).map(|_| used[random.usize(..used.len())]).collect();
        let offsets: Vec<u64> = chosen.iter().map(|at| at * block + random.u64(..block)).collect();
        let found = owners(&bytes, &offsets).expect("looking for owners");
        let by_debugfs = owners_by_debugfs(&image, &chosen);
        let mut files = 0;
        for (at, owner) in chosen.iter().zip(&found) {
            let names = &by_debugfs[at];
            match owner {
                Owner::File { path } | Owner::Directory { path } => {
                    assert!(
                        names.contains(path),
                        "{}: block {at}: {path}, debugfs says {names:?}",
                        recipe.name
                    );
                    files += 1;
                }
                Owner::Metadata { .. } => {
                    assert!(names.is_empty(), "{}: block {at}: {owner}, debugfs says {names:?}", recipe.name);
                }
                Owner::Free | Owner::Unknown => panic!("{}: block {at} is {owner}", recipe.name),
            }
        }
        assert!(files > 20, "{}: hardly any file was met: {files}", recipe.name);
    }
}

/// The names of every block's inode; none for blocks of no inode, and of inodes without a name.
fn owners_by_debugfs(image: &Path, chosen: &[u64]) -> BTreeMap<u64, BTreeSet<String>> {
    let list = |numbers: &mut dyn Iterator<Item = u64>| {
        numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(" ")
    };
    let icheck = run("debugfs", &[&"-R", &format!("icheck {}", list(&mut chosen.iter().copied())), &image]);
    let inodes: BTreeMap<u64, u64> = pairs(&icheck).map(|(at, inode)| (at, inode.parse().unwrap())).collect();
    let wanted: BTreeSet<u64> = inodes.values().copied().collect();
    let ncheck = run("debugfs", &[&"-R", &format!("ncheck {}", list(&mut wanted.into_iter())), &image]);
    let mut names: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for (inode, name) in pairs(&ncheck) {
        let name = name.trim_end_matches('/').replacen("//", "/", 1);
        names.entry(inode).or_default().insert(if name.is_empty() { "/".to_owned() } else { name });
    }
    let of = |at: &u64| inodes.get(at).and_then(|inode| names.get(inode)).cloned().unwrap_or_default();
    chosen.iter().map(|at| (*at, of(at))).collect()
}

/// Lines of a number, a tab, and something that is there.
fn pairs(text: &str) -> impl Iterator<Item = (u64, &str)> {
    let pairs = text.lines().filter_map(|line| line.split_once('\t'));
    pairs
        .filter_map(|(number, rest)| Some((number.parse().ok()?, rest)))
        .filter(|(_, rest)| *rest != "<block not found>")
}

#[test]
fn every_used_byte_of_the_fixtures_has_an_owner() {
    for name in FIXTURES {
        let bytes = fixture(&format!("ext4-{name}"));
        let found = usage(&bytes, &[]).expect("surveying");
        let offsets: Vec<u64> =
            found.ranges.iter().flat_map(|range| (range.start()..range.end()).step_by(1024)).collect();
        let owners = owners(&bytes, &offsets).expect("looking for owners");
        let lost = owners.iter().filter(|owner| matches!(owner, Owner::Free | Owner::Unknown)).count();
        assert_eq!(lost, 0, "{name}");
        assert!(owners.iter().any(|owner| matches!(owner, Owner::File { .. })), "{name}");
    }
}
