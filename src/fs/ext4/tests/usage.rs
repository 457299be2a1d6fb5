//! What is in use: by the bitmaps, and by what a journal or a swap file adds and takes away.

use super::super::bytes::put_u32;
use super::super::facts::Ext4Facts;
use super::super::usage::usage;
use super::{ALL, LEGACY, PI, SMALL, edit, path, unpack};
use crate::disk::ranges;
use crate::fs::error::FsError;
use crate::fs::metadata::Meta;
use crate::fs::usage::Remark;

/// Offsets in the superblock, which begins at byte 1024.
const STATE: usize = 1024 + 0x3a;
pub(super) const INCOMPAT: usize = 1024 + 0x60;
const RO_COMPAT: usize = 1024 + 0x64;
const FREE_BLOCKS: usize = 1024 + 0xc;

/// Seals a superblock that was changed.
pub(super) fn seal(image: &mut [u8]) {
    if image[RO_COMPAT + 1] & 4 != 0 {
        let sum = super::super::checksum::crc32c(!0, &image[1024..1024 + 0x3fc]);
        put_u32(image, 1024 + 0x3fc, sum);
    }
}

fn mismatches(image: &Vec<u8>) -> Vec<String> {
    let remarks = usage(image, &[]).unwrap().remarks;
    remarks.iter().filter(|remark| remark.is_mismatch()).map(Remark::to_string).collect()
}

#[test]
fn used_and_free_make_the_whole() {
    for fixture in ALL {
        let image = unpack(fixture);
        let usage = usage(&image, &[]).unwrap();
        let space = Ext4Facts::open(&image).unwrap().space();
        assert_eq!(usage.remarks, []);
        assert_eq!(usage.size, image.len() as u64);
        assert_eq!(ranges::total(&usage.ranges) + space.free_blocks * space.block_size, usage.size);
        assert_eq!(usage.ranges, ranges::union(usage.ranges.clone()), "sorted and merged");
    }
}

#[test]
fn what_is_not_in_use_may_hold_anything() {
    for fixture in ALL {
        let image = unpack(fixture);
        let mut copy = vec![0xa5; image.len()];
        for range in usage(&image, &[]).unwrap().ranges {
            let range = range.start() as usize..range.end() as usize;
            copy[range.clone()].copy_from_slice(&image[range]);
        }
        super::audit::audit(&copy);
    }
}

#[test]
fn a_bitmap_in_doubt_counts_whole_and_is_told() {
    for fixture in ALL {
        let image = unpack(fixture);
        let facts = Ext4Facts::open(image.clone()).unwrap();
        let (geometry, descriptor) = (&facts.store.geometry, &facts.store.groups[0].descriptor);
        let block = geometry.block_size as usize;
        let mut broken = image.clone();
        broken[descriptor.block_bitmap() as usize * block + 20] ^= 0x10;
        let told = mismatches(&broken);
        assert!(told.len() == 1 && told[0].contains("group 0: ") && told[0].contains("e2fsck"), "{told:?}");
        let group = u64::from(geometry.group_blocks(0)) * block as u64;
        assert!(ranges::total(&usage(&broken, &[]).unwrap().ranges) >= group);
        // The inodes' bitmap changes nothing in what is used, and is told all the same.
        let mut broken = image.clone();
        broken[descriptor.inode_bitmap() as usize * block + 3] ^= 0x10;
        assert!(mismatches(&broken)[0].contains("inode"), "{:?}", mismatches(&broken));
        assert_eq!(usage(&broken, &[]).unwrap().ranges, usage(&image, &[]).unwrap().ranges);
    }
}

#[test]
fn a_wrong_count_in_the_superblock_is_told() {
    let mut image = unpack(LEGACY);
    image[FREE_BLOCKS] ^= 1;
    assert!(mismatches(&image)[0].contains("the superblock counts"), "{:?}", mismatches(&image));
    // While it is mounted the kernel does not keep it.
    image[INCOMPAT] |= 4;
    assert_eq!(mismatches(&image), [""; 0]);
}

#[test]
fn a_filesystem_that_distrusts_itself_counts_whole() {
    for (state, word) in [(2, "errors"), (0, "cleanly")] {
        let mut image = unpack(SMALL);
        image[STATE] = state;
        seal(&mut image);
        assert!(mismatches(&image)[0].contains(word));
        let usage = usage(&image, &[]).unwrap();
        assert_eq!(ranges::total(&usage.ranges), image.len() as u64);
    }
}

#[test]
fn what_cannot_be_surveyed_is_refused_by_name() {
    let mut bigalloc = unpack(SMALL);
    bigalloc[RO_COMPAT + 1] |= 2;
    seal(&mut bigalloc);
    assert!(
        matches!(usage(&bigalloc, &[]), Err(FsError::Unsupported { feature }) if feature.contains("bigalloc"))
    );
    let mut damaged = unpack(SMALL);
    damaged[1024 + 0x68] ^= 1;
    assert!(matches!(usage(&damaged, &[]), Err(FsError::Corrupt { .. })));
    assert!(matches!(usage(vec![0; 4096], &[]), Err(FsError::Corrupt { .. })));
}

/// Puts a transaction into the empty journal of `PI`: copies of `blocks`, with a commit behind them if asked for.
pub(super) fn log(image: &mut [u8], blocks: &[(u64, Vec<u8>)], commit: bool) {
    log_at(image, 1, blocks, commit);
}

/// As [`log`], from a block of the journal on, behind whose last block it goes on at 1.
pub(super) fn log_at(image: &mut [u8], first: u64, blocks: &[(u64, Vec<u8>)], commit: bool) {
    let facts = Ext4Facts::open(image.to_vec()).unwrap();
    let inode = facts.store.read_inode(facts.store.superblock.journal_inode()).unwrap();
    let place = |logical| facts.store.block_of(&inode, logical).unwrap().unwrap() as usize * 4096;
    let head = place(0);
    let last = u64::from(u32::from_be_bytes([0x10, 0x11, 0x12, 0x13].map(|at| image[head + at]))) - 1;
    let at = |number: u64| place((first + number - 2) % last + 1);
    let be =
        |image: &mut [u8], at: usize, value: u32| image[at..at + 4].copy_from_slice(&value.to_be_bytes());
    assert_eq!(image[head + 0x28..head + 0x2c], [0; 4], "tags are of the plainest kind");
    let sequence =
        u32::from_be_bytes([image[head + 0x18], image[head + 0x19], image[head + 0x1a], image[head + 0x1b]]);
    be(image, head + 0x1c, first as u32);
    let block = |image: &mut [u8], logical, kind| {
        be(image, at(logical), 0xc03b_3998);
        be(image, at(logical) + 4, kind);
        be(image, at(logical) + 8, sequence);
    };
    block(image, 1, 1);
    for (place, (target, bytes)) in (0..).zip(blocks) {
        let tag = at(1) + 12 + place * 8 + if place > 0 { 16 } else { 0 };
        be(image, tag, *target as u32);
        let last = if place + 1 == blocks.len() { 8 } else { 0 };
        be(image, tag + 4, last | if place > 0 { 2 } else { 0 });
        let copy = at(2 + place as u64);
        image[copy..copy + 4096].copy_from_slice(bytes);
    }
    if commit {
        block(image, 2 + blocks.len() as u64, 2);
    }
    image[INCOMPAT] |= 4;
    seal(image);
}

#[test]
fn a_journal_adds_what_its_bitmaps_show() {
    let before = unpack(PI);
    let after = edit(PI, |editor| {
        editor.create(&path("/new"), Meta::root(0o644), &mut &[7; 50_000][..], 50_000).unwrap();
    });
    let facts = Ext4Facts::open(before.clone()).unwrap();
    let bitmap = facts.store.groups[0].descriptor.block_bitmap();
    let copy = after[bitmap as usize * 4096..][..4096].to_vec();
    for commit in [true, false] {
        let mut dirty = before.clone();
        log(&mut dirty, &[(1, vec![0; 4096]), (bitmap, copy.clone())], commit);
        let used = usage(&dirty, &[]).unwrap();
        assert_eq!(used.remarks, [Remark::Unreplayed { blocks: 2 }]);
        assert_eq!(used.ranges, usage(&after, &[]).unwrap().ranges);
    }
    // A journal that shows less takes nothing away.
    let mut dirty = before.clone();
    log(&mut dirty, &[(bitmap, vec![0; 4096])], true);
    assert_eq!(usage(&dirty, &[]).unwrap().ranges, usage(&before, &[]).unwrap().ranges);
}

#[test]
fn a_journal_that_makes_it_larger_is_refused() {
    let mut image = unpack(PI);
    let mut first = image[..4096].to_vec();
    first[1024 + 4] ^= 1;
    seal(&mut first);
    log(&mut image, &[(0, first)], true);
    assert!(matches!(usage(&image, &[]), Err(FsError::NotClean { why }) if why.contains("size")));
}

#[test]
fn a_swap_file_keeps_its_header_only() {
    let mut swap = vec![0x5a; 200_000];
    swap[4086..4096].copy_from_slice(b"SWAPSPACE2");
    for fixture in ALL {
        let image = edit(fixture, |editor| {
            for name in ["/swap", "/plain"] {
                let content = if name == "/swap" { swap.clone() } else { vec![1; 200_000] };
                editor.create(&path(name), Meta::root(0o600), &mut &content[..], 200_000).unwrap();
            }
        });
        let block = Ext4Facts::open(&image).unwrap().space().block_size;
        let whole = usage(&image, &[]).unwrap();
        let names = ["/swap", "/plain", "/none", "/etc", "/etc/hosts"].map(path);
        let hollow = usage(&image, &names).unwrap();
        let bytes = 200_000_u64.next_multiple_of(block) - 4096;
        assert_eq!(hollow.remarks, [Remark::Hollow { path: path("/swap"), bytes }]);
        assert_eq!(ranges::total(&hollow.ranges) + bytes, ranges::total(&whole.ranges));
        assert_eq!(ranges::without(&hollow.ranges, &whole.ranges), []);
    }
}

#[test]
fn no_bytes_make_it_fail_otherwise_than_by_saying_so() {
    let mut random = fastrand::Rng::with_seed(9);
    let mut surveyed = 0;
    for fixture in ALL {
        let image = unpack(fixture);
        for _ in 0..400 {
            let mut image = image.clone();
            for _ in 0..random.usize(1..6) {
                // Superblock and descriptors, and with fewer of them the rest.
                let end = if random.bool() { 8192 } else { image.len() };
                let at = random.usize(1024..end);
                image[at] = random.u8(..);
            }
            if random.bool() {
                image[INCOMPAT] |= 4;
            }
            seal(&mut image);
            if let Ok(usage) = usage(&image, &[path("/etc/big"), path("/swap")]) {
                assert!(usage.ranges.iter().all(|range| range.end() <= image.len() as u64));
                surveyed += 1;
            }
        }
    }
    assert!(surveyed > 200, "hardly any was surveyed: {surveyed}");
}
