//! The editor on small filesystems made by `tests/fixtures/ext4/make.sh`, judged by [`audit`] and by
//! `ext4-view`. What e2fsck and the kernel think of its work is asked under `tests/ext4`.

mod audit;
mod damage;
mod directories;
mod files;
mod growth;
mod recovery;
mod refusals;
mod usage;

use super::editor::{Ext4Editor, Stamp};
use super::view::Ext4Reader;
use crate::fs::path::FsPath;

/// 1 KiB blocks, everything checksummed.
pub(super) const SMALL: &[u8] = include_bytes!("../../../../tests/fixtures/ext4/small.img.zst");
/// As pi-gen makes them: 4 KiB blocks, short descriptors, a journal.
pub(super) const PI: &[u8] = include_bytes!("../../../../tests/fixtures/ext4/pi.img.zst");
/// Nothing checksummed, everything block-mapped.
pub(super) const LEGACY: &[u8] = include_bytes!("../../../../tests/fixtures/ext4/legacy.img.zst");
/// All of them.
pub(super) const ALL: [&[u8]; 3] = [SMALL, PI, LEGACY];

/// When the tests edit, in seconds since 1970.
pub(super) const TIME: i64 = 1_750_000_000;

pub(super) fn unpack(fixture: &[u8]) -> Vec<u8> {
    zstd::decode_all(fixture).unwrap()
}

pub(super) fn path(text: &str) -> FsPath {
    FsPath::new(text).unwrap()
}

pub(super) fn stamp() -> Stamp {
    Stamp { time: TIME, generation_seed: [7; 32] }
}

pub(super) fn open(image: Vec<u8>) -> Ext4Editor<Vec<u8>> {
    Ext4Editor::open(image, stamp()).unwrap()
}

/// Edits a fixture, audits the result, and gives it back.
pub(super) fn edit(fixture: &[u8], work: impl FnOnce(&mut Ext4Editor<Vec<u8>>)) -> Vec<u8> {
    let mut editor = open(unpack(fixture));
    work(&mut editor);
    let image = editor.finish().unwrap();
    audit::audit(&image);
    image
}

/// The independent reader on an image.
pub(super) fn view(image: &[u8]) -> Ext4Reader {
    Ext4Reader::open(image.to_vec()).unwrap()
}
