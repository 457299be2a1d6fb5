//! What most tests do with an image: open it, list it, compare it.

use pibake::disk::block::BlockWrite;
use pibake::fs::ext4::{Ext4Editor, Ext4Reader, Stamp};

use super::op::{NOW, at};
use super::picker::Room;
use super::reader;
use super::tree::{Fields, Tree};

/// `EXT4_IMMUTABLE_FL`.
const IMMUTABLE: u32 = 0x10;

/// Time and seed of all the tests' edits.
pub(crate) fn stamp() -> Stamp {
    Stamp { time: NOW, generation_seed: [0x5e; 32] }
}

/// Opens a filesystem that must open.
#[track_caller]
pub(crate) fn open<D: BlockWrite>(device: D) -> Ext4Editor<D> {
    Ext4Editor::open(device, stamp()).unwrap_or_else(|error| panic!("opening a sound filesystem: {error}"))
}

/// What the editor reads, of its own unfinished work too, attributes included.
pub(crate) fn editor_snapshot<D: BlockWrite>(editor: &Ext4Editor<D>) -> Tree {
    let mut tree = reader::snapshot(editor);
    let paths: Vec<String> = tree.paths().map(str::to_owned).collect();
    for path in paths {
        let node = tree.node_mut(&path).expect("listed");
        node.xattrs = editor.xattrs(&at(&path)).expect("reading attributes");
        node.immutable = editor.flags(&at(&path)).expect("reading flags") & IMMUTABLE != 0;
    }
    tree
}

/// Fails unless what was found is what was expected.
#[track_caller]
pub(crate) fn assert_same(want: &Tree, have: &Tree, fields: Fields, who: &str) {
    let diff = want.diff(have, fields);
    assert!(diff.is_empty(), "{who} disagrees with the model:\n{}", diff.join("\n"));
}

/// What `ext4-view` reads.
pub(crate) fn view(bytes: &[u8]) -> Tree {
    let reader = Ext4Reader::open(bytes.to_vec()).expect("ext4-view opens it");
    reader::snapshot(&reader)
}

/// What is free.
pub(crate) fn room<D: BlockWrite>(editor: &Ext4Editor<D>) -> Room {
    let space = editor.space();
    Room { block_size: space.block_size, free_blocks: space.free_blocks, free_inodes: space.free_inodes }
}
