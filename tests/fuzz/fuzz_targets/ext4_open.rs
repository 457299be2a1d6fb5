//! Any bytes laid over a filesystem's metadata: everything is tried, nothing panics or hangs.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pibake::disk::block::BlockRead;
use pibake_fuzz::{EXT4_BLOCKMAP, EXT4_PIGEN, EXT4_PLAIN, Patch, lay};

#[path = "../../ext4/support/exercise.rs"]
mod exercise;

/// The fixtures' descriptors, bitmaps, inode tables and directories lie here.
const METADATA: u64 = 2 << 20;

fuzz_target!(|input: (u8, Vec<Patch>)| {
    let sound = [&EXT4_PLAIN, &EXT4_PIGEN, &EXT4_BLOCKMAP][usize::from(input.0) % 3];
    let (mut to_read, mut to_edit) = (sound.view(), sound.view());
    lay(&mut to_read, &input.1, 0, METADATA);
    lay(&mut to_edit, &input.1, 0, METADATA);
    let size = to_edit.size();
    to_edit.grow(size * 2).expect("an image grows");
    exercise::exercise(to_read, to_edit);
});
