//! Damaged and hostile filesystems: whatever a byte says, the editor neither panics nor hangs.

use super::super::editor::{Ext4Editor, Keep};
use super::super::facts::Ext4Facts;
use super::{ALL, LEGACY, path, stamp, unpack};
use crate::fs::FsReader;
use crate::fs::error::FsError;
use crate::fs::metadata::Meta;

type Operation = dyn Fn(&mut Ext4Editor<Vec<u8>>) -> Result<(), FsError>;

const META: Meta = Meta::root(0o644);

/// Everything the editor can do, errors passed over.
fn exercise(image: Vec<u8>) {
    if let Ok(facts) = Ext4Facts::open(&image) {
        let _ = (facts.used_ranges(), facts.newest_mtime());
        for at in ["/", "/etc", "/etc/many", "/lib", "/etc/big", "/etc/longlink", "/etc/tty"] {
            let at = path(at);
            let _ = (facts.stat(&at), facts.read_dir(&at), facts.read_link(&at), facts.xattrs(&at));
            let _ = facts.read(&at, 1 << 20);
            let _ = facts.read_to(&at, &mut std::io::sink());
        }
    }
    let operations: [&Operation; 8] = [
        &|editor| editor.replace(&path("/etc/big"), META, &mut &b"x"[..], 1, Keep::Xattrs),
        &|editor| editor.remove_file(&path("/etc/longlink")),
        &|editor| editor.remove_file(&path("/etc/tty")),
        &|editor| editor.rename(&path("/etc/many/a-name-of-some-length-3"), &"n".repeat(250)),
        &|editor| editor.make_dir(&path("/etc/many/d"), META),
        &|editor| {
            editor.create(&path("/lib/f"), META, &mut std::io::Read::take(std::io::repeat(0), 9999), 9999)
        },
        &|editor| editor.set_xattr(&path("/etc/hosts"), "user.a", &[1; 300]),
        &|editor| editor.remove_dir(&path("/home/pi")),
    ];
    for operation in operations {
        if let Ok(mut editor) = Ext4Editor::open(image.clone(), stamp()) {
            let _ = operation(&mut editor);
            let _ = editor.finish();
        }
    }
}

/// Where the fixture's superblock, descriptors, tables, directories and maps lie: what is not file content.
fn structures(image: &Vec<u8>) -> Vec<usize> {
    let facts = Ext4Facts::open(image).unwrap();
    let size = facts.space().block_size;
    let used = facts.used_ranges().unwrap();
    let bytes = used.iter().flat_map(|range| range.start()..range.end());
    // Lines of digits are the content of the one large file.
    let interesting = bytes.map(|at| usize::try_from(at).unwrap());
    interesting.filter(|at| image[*at] != 0 && image[*at] != b'0' && *at as u64 % size < 600).collect()
}

#[test]
fn flipped_bits_and_wild_bytes() {
    let mut random = fastrand::Rng::with_seed(1);
    for fixture in ALL {
        let image = unpack(fixture);
        let places = structures(&image);
        let rounds = if fixture == LEGACY { 150 } else { 25 };
        for _ in 0..rounds {
            let mut broken = image.clone();
            for _ in 0..random.usize(1..6) {
                let at = places[random.usize(..places.len())];
                broken[at] = if random.bool() { random.u8(..) } else { broken[at] ^ 1 << random.u8(..8) };
            }
            exercise(broken);
        }
    }
}

/// Without checksums nothing stands between a wild number and its use: every byte of the inodes of a file, a
/// directory and a link, and of their maps, takes extreme values.
#[test]
fn extreme_numbers_in_inodes_and_maps() {
    let image = unpack(LEGACY);
    let facts = Ext4Facts::open(&image).unwrap();
    for name in ["/etc/big", "/etc/many", "/etc/longlink"] {
        let inode = facts.store.resolve(&path(name), false).unwrap();
        let at = usize::try_from(facts.store.inode_offset(inode.number).unwrap()).unwrap();
        for field in (0..128).step_by(4) {
            for value in [0_u32, 1, 0x7fff_ffff, 0xffff_ffff] {
                let mut broken = image.clone();
                broken[at + field..at + field + 4].copy_from_slice(&value.to_le_bytes());
                exercise(broken);
            }
        }
    }
}

#[test]
fn a_map_that_leads_round_in_circles_ends() {
    let image = unpack(LEGACY);
    let facts = Ext4Facts::open(&image).unwrap();
    let inode = facts.store.resolve(&path("/etc/big"), false).unwrap();
    let at = usize::try_from(facts.store.inode_offset(inode.number).unwrap()).unwrap() + 0x28;
    let mut broken = image.clone();
    let block = u32::from_le_bytes([image[at + 48], image[at + 49], image[at + 50], image[at + 51]]);
    let start = block as usize * 1024;
    for slot in broken[start..start + 1024].chunks_exact_mut(4) {
        slot.copy_from_slice(&block.to_le_bytes());
    }
    for slot in 12..15 {
        broken[at + slot * 4..at + slot * 4 + 4].copy_from_slice(&block.to_le_bytes());
    }
    broken[at - 0x28 + 4..at - 0x28 + 8].copy_from_slice(&[0, 0, 0, 0x10]);
    let facts = Ext4Facts::open(&broken).unwrap();
    let error =
        facts.store.walk_map(&facts.store.resolve(&path("/etc/big"), false).unwrap(), &mut |_| Ok(()));
    assert!(error.unwrap_err().to_string().contains("more blocks than exist"));
}
