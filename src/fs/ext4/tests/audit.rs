//! A consistency check in the manner of e2fsck: every block has one owner and is marked used, nothing else is,
//! and all counts agree with what a walk over all files finds.

use std::collections::{BTreeMap, BTreeSet};

use super::super::facts::Ext4Facts;
use super::super::inode::{Inode, RESIZE, ROOT};
use super::super::map::Piece;
use super::super::store::Store;
use super::{ALL, unpack};
use crate::disk::block::BlockRead;

/// Panics where something does not add up.
pub(in crate::fs::ext4) fn audit(image: &Vec<u8>) {
    let facts = Ext4Facts::open(image).unwrap();
    facts.used_ranges().unwrap();
    let store = &facts.store;
    let inodes = inodes_in_use(store);
    check_blocks(store, &inodes);
    check_names(store, &inodes);
}

fn inodes_in_use<D: BlockRead>(store: &Store<D>) -> Vec<Inode> {
    let mut inodes = Vec::new();
    for group in 0..store.geometry.groups() {
        let mut directories = 0;
        for (start, len) in store.inode_bitmap(group).unwrap().set_runs(0) {
            for index in start..start + len {
                let number = group * store.geometry.inodes_per_group + index + 1;
                let inode = store.read_inode(number).unwrap();
                if inode.links() > 0 || number >= store.geometry.first_inode {
                    assert!(inode.links() > 0, "inode {number} is in use and has no links");
                    directories += u32::from(inode.is_dir());
                    inodes.push(inode);
                }
            }
        }
        assert_eq!(store.groups[group as usize].descriptor.used_directories(), directories, "group {group}");
    }
    inodes
}

fn check_blocks<D: BlockRead>(store: &Store<D>, inodes: &[Inode]) {
    let mut owners: BTreeMap<u64, u32> = BTreeMap::new();
    let mut own = |block: u64, owner: u32| {
        let other = owners.insert(block, owner);
        assert_eq!(other, None, "block {block} of inode {owner}");
    };
    for (start, len) in &store.metadata {
        (*start..start + len).for_each(|block| own(block, 0));
    }
    let mut shared = BTreeSet::new();
    for inode in inodes {
        let mut count = 0;
        store
            .walk_map(inode, &mut |piece| {
                let (start, len) = match piece {
                    Piece::Data(extent) => (extent.start, u64::from(extent.len)),
                    Piece::Tree(block) => (block, 1),
                };
                count += len;
                // The resize inode's blocks are metadata, but for its list.
                let metadata = inode.number == RESIZE && store.touches_metadata(start, len);
                if !metadata {
                    (start..start + len).for_each(|block| own(block, inode.number));
                }
                Ok(())
            })
            .unwrap();
        let attributes = inode.xattr_block();
        if attributes != 0 {
            count += 1;
            if shared.insert(attributes) {
                own(attributes, inode.number);
            }
        }
        store.attributes(inode).unwrap();
        assert_eq!(inode.blocks(store.geometry.block_size), count, "blocks of inode {}", inode.number);
    }
    for group in 0..store.geometry.groups() {
        let bitmap = store.block_bitmap(group).unwrap();
        for index in 0..store.geometry.group_blocks(group) {
            let block = store.geometry.group_start(group) + u64::from(index);
            assert_eq!(bitmap.is_set(index), owners.contains_key(&block), "block {block}, group {group}");
        }
    }
}

fn check_names<D: BlockRead>(store: &Store<D>, inodes: &[Inode]) {
    let mut links: BTreeMap<u32, u32> = BTreeMap::new();
    *links.entry(ROOT).or_default() += 2;
    for dir in inodes.iter().filter(|inode| inode.is_dir()) {
        let mut names = Vec::new();
        store
            .list_names(dir, &mut |name, _, number| {
                names.push((name.to_vec(), number));
                true
            })
            .unwrap();
        for (name, number) in names {
            let text = String::from_utf8_lossy(&name).into_owned();
            let found = store.find_name(dir, &name).unwrap();
            assert_eq!(found.map(|place| place.inode), Some(number), "{text} is listed and not found");
            let is_dir = store.read_named(number).unwrap().is_dir();
            *links.entry(number).or_default() += if is_dir { 2 } else { 1 };
            if is_dir {
                *links.entry(dir.number).or_default() += 1;
            }
        }
    }
    for inode in
        inodes.iter().filter(|inode| inode.number == ROOT || inode.number >= store.geometry.first_inode)
    {
        // The orphan file has no name.
        let counted = links.get(&inode.number).copied().unwrap_or(1);
        assert_eq!(u32::from(inode.links()), counted, "links of inode {}", inode.number);
    }
}

#[test]
fn the_fixtures_are_sound() {
    for fixture in ALL {
        audit(&unpack(fixture));
    }
}

#[test]
#[should_panic(expected = "blocks of inode")]
fn a_wrong_count_is_found() {
    let mut image = unpack(super::LEGACY);
    let facts = Ext4Facts::open(image.clone()).unwrap();
    let inode = facts.store.resolve(&super::path("/etc/big"), false).unwrap();
    let at = facts.store.inode_offset(inode.number).unwrap();
    image[usize::try_from(at).unwrap() + 0x1c] ^= 2;
    audit(&image);
}
