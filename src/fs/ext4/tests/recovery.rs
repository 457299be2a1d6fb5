//! Recovering: what is committed comes to its place, what is not does not, and orphans go.

use super::super::bytes::put_u32;
use super::super::facts::Ext4Facts;
use super::super::inode::Inode;
use super::super::recover::{Recovered, recover};
use super::super::store::Store;
use super::usage::{INCOMPAT, log, log_at, seal};
use super::{ALL, LEGACY, PI, edit, path, stamp, unpack};
use crate::fs::FsReader;
use crate::fs::error::FsError;
use crate::fs::metadata::Meta;

const LAST_ORPHAN: usize = 1024 + 0xe8;

fn refusal(mut image: Vec<u8>) -> FsError {
    let before = image.clone();
    let error = recover(&mut image, &stamp()).unwrap_err();
    assert!(image == before, "it wrote before it failed: {error}");
    error
}

#[test]
fn nothing_to_do_is_nothing_written() {
    for fixture in ALL {
        let mut image = unpack(fixture);
        assert_eq!(recover(&mut image, &stamp()).unwrap(), Recovered::default());
        assert!(image == unpack(fixture));
    }
}

fn unreplayed(commit: bool) -> (Vec<u8>, Vec<u8>) {
    unreplayed_at(1, commit)
}

/// A fixture whose journal holds, from a block on, everything that an edit changed, which its places do not have.
fn unreplayed_at(first: u64, commit: bool) -> (Vec<u8>, Vec<u8>) {
    let before = unpack(PI);
    let after = edit(PI, |editor| {
        editor.create(&path("/new"), Meta::root(0o644), &mut &[7; 50_000][..], 50_000).unwrap();
    });
    let mut changed: Vec<(u64, Vec<u8>)> = before
        .chunks(4096)
        .zip(after.chunks(4096))
        .enumerate()
        .filter(|(_, (old, new))| old != new)
        .map(|(at, (_, new))| (at as u64, new.to_vec()))
        .collect();
    // As the kernel's copy of the superblock does, this one says that the journal is needed.
    changed[0].1[INCOMPAT] |= 4;
    seal(&mut changed[0].1);
    let mut dirty = before;
    log_at(&mut dirty, first, &changed, commit);
    (dirty, after)
}

#[test]
fn a_committed_transaction_comes_to_its_place() {
    let (mut image, after) = unreplayed(true);
    let found = recover(&mut image, &stamp()).unwrap();
    assert_eq!(found.transactions, 1);
    assert!(found.blocks > 10, "{found:?}");
    super::audit::audit(&image);
    let facts = Ext4Facts::open(&image).unwrap();
    assert_eq!(facts.read(&path("/new"), 1 << 20).unwrap(), [7; 50_000]);
    assert_eq!(facts.space(), Ext4Facts::open(&after).unwrap().space());
    let once = image.clone();
    assert_eq!(recover(&mut image, &stamp()).unwrap(), Recovered::default());
    assert!(image == once);
}

#[test]
fn a_log_goes_on_from_its_beginning() {
    let (mut straight, _) = unreplayed(true);
    let wanted = recover(&mut straight, &stamp()).unwrap();
    for first in [1023, 1022, 1015, 1005] {
        let (mut image, _) = unreplayed_at(first, true);
        assert_eq!(recover(&mut image, &stamp()).unwrap(), wanted, "from {first}");
        super::audit::audit(&image);
        let facts = Ext4Facts::open(&image).unwrap();
        assert_eq!(facts.read(&path("/new"), 1 << 20).unwrap(), [7; 50_000]);
    }
}

#[test]
fn a_transaction_that_was_cut_off_is_dropped() {
    let (mut image, _) = unreplayed(false);
    let found = recover(&mut image, &stamp()).unwrap();
    assert_eq!(found, Recovered::default());
    super::audit::audit(&image);
    assert!(Ext4Facts::open(&image).unwrap().stat(&path("/new")).unwrap().is_none());
}

#[test]
fn copies_of_what_no_journal_changes_are_refused() {
    let facts = Ext4Facts::open(unpack(PI)).unwrap();
    let journal = facts.store.read_inode(8).unwrap();
    let own = facts.store.block_of(&journal, 7).unwrap().unwrap();
    for target in [own, 10_000_000] {
        let mut image = unpack(PI);
        log(&mut image, &[(target, vec![0; 4096])], true);
        let error = refusal(image).to_string();
        assert!(error.contains("journal block 2 is a copy of block"), "{error}");
    }
}

#[test]
fn states_that_only_e2fsck_can_put_right_are_refused() {
    let (dirty, _) = unreplayed(true);
    let mut errors = dirty.clone();
    errors[1024 + 0x3a] |= 2;
    seal(&mut errors);
    assert!(matches!(refusal(errors), FsError::NotClean { why } if why.contains("errors")));
    let mut clean = dirty;
    clean[INCOMPAT] &= !4;
    seal(&mut clean);
    assert!(matches!(refusal(clean), FsError::NotClean { why } if why.contains("transactions")));
    let mut none = unpack(LEGACY);
    none[INCOMPAT] |= 4;
    assert!(matches!(refusal(none), FsError::Corrupt { what } if what.contains("it has none")));
}

/// A fixture with an inode changed.
fn with_inode(image: Vec<u8>, number: u32, change: impl FnOnce(&mut Inode)) -> Vec<u8> {
    let mut store = Store::open(image, super::super::features::Purpose::Recover).unwrap();
    let mut inode = store.read_inode(number).unwrap();
    change(&mut inode);
    store.write_inode(&mut inode).unwrap();
    store.device
}

fn orphaned(fixture: &[u8], first: u32) -> Vec<u8> {
    let mut image = unpack(fixture);
    put_u32(&mut image, LAST_ORPHAN, first);
    seal(&mut image);
    image
}

fn number_of(fixture: &[u8], name: &str) -> u32 {
    Ext4Facts::open(unpack(fixture)).unwrap().store.resolve(&path(name), false).unwrap().number
}

#[test]
fn files_are_cut_to_their_size() {
    for fixture in ALL {
        for size in [0, 1, 4096, 12_289, 300_000, 307_200, 99_000_000] {
            let number = number_of(fixture, "/etc/big");
            let mut image = with_inode(orphaned(fixture, number), number, |inode| inode.set_size(size));
            let found = recover(&mut image, &stamp()).unwrap();
            assert_eq!(found, Recovered { orphans_truncated: 1, ..Recovered::default() });
            super::audit::audit(&image);
            let whole = Ext4Facts::open(unpack(fixture)).unwrap().read(&path("/etc/big"), 1 << 20).unwrap();
            if size < 400_000 {
                let rest = Ext4Facts::open(&image).unwrap().read(&path("/etc/big"), 1 << 20).unwrap();
                assert_eq!(rest, whole[..size as usize], "{size} bytes");
            }
        }
    }
}

#[test]
fn chains_that_make_no_sense_are_damage() {
    for fixture in ALL {
        let (big, hosts) = (number_of(fixture, "/etc/big"), number_of(fixture, "/etc/hosts"));
        let circle = with_inode(orphaned(fixture, big), big, |inode| inode.set_next_orphan(hosts));
        let circle = with_inode(circle, hosts, |inode| inode.set_next_orphan(big));
        let tty = number_of(fixture, "/etc/tty");
        for (image, word) in [
            (circle, "orphaned twice"),
            (orphaned(fixture, 2), "reserved"),
            (orphaned(fixture, u32::MAX), "inode number"),
            (orphaned(fixture, tty), "nothing that could be cut"),
            (orphaned(fixture, 256), "it is free"),
        ] {
            let error = refusal(image);
            assert!(matches!(&error, FsError::Corrupt { what } if what.contains(word)), "{word}: {error}");
        }
    }
}

#[test]
fn no_bytes_in_a_journal_make_it_panic() {
    let mut random = fastrand::Rng::with_seed(6);
    let (dirty, _) = unreplayed(true);
    let facts = Store::open(dirty.clone(), super::super::features::Purpose::Survey).unwrap();
    let inode = facts.read_inode(8).unwrap();
    let places: Vec<usize> =
        (0..8).map(|at| facts.block_of(&inode, at).unwrap().unwrap() as usize * 4096).collect();
    let mut done = 0;
    for _ in 0..300 {
        let mut image = dirty.clone();
        for _ in 0..random.usize(1..4) {
            let at = places[random.usize(..places.len())] + random.usize(..96);
            image[at] = random.u8(..);
        }
        done += u32::from(recover(&mut image, &stamp()).is_ok());
    }
    assert!(done > 20, "hardly any was recovered: {done}");
}
