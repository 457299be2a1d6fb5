//! The demo image unpacked, changed for the worse, and looked into.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use pibake::disk::block::{BlockRead, FileBlocks};
use pibake::disk::partition_table;
use pibake::disk::range::ByteRange;
use pibake::disk::window::Window;
use pibake::fs::FsReader;
use pibake::fs::ext4::{Ext4Editor, Ext4Reader, Stamp};
use pibake::fs::path::FsPath;
use sha2::{Digest, Sha256};

use super::desk::DEMO;

const CHUNK: usize = 1 << 16;

/// The demo image, unpacked.
pub(super) fn demo() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| zstd::decode_all(DEMO).unwrap())
}

/// Writes bytes with holes for zeroes.
pub(super) fn write_sparse(path: &Path, bytes: &[u8]) {
    let file = File::create(path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for (at, chunk) in bytes.chunks(CHUNK).enumerate() {
        if chunk.iter().any(|byte| *byte != 0) {
            file.write_all_at(chunk, (at * CHUNK) as u64).unwrap();
        }
    }
}

/// A digest of everything a file holds, which does not read its holes.
pub(super) fn digest(path: &Path) -> [u8; 32] {
    let file = File::open(path).unwrap();
    let size = file.metadata().unwrap().len();
    let mut hash = Sha256::new_with_prefix(size.to_le_bytes());
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    loop {
        let data = match lseek(&file, i64::try_from(at).unwrap(), Whence::SeekData) {
            Ok(data) => u64::try_from(data).unwrap(),
            Err(Errno::ENXIO) => return hash.finalize().into(),
            Err(error) => panic!("{error}"),
        };
        // Holes need not begin at a multiple of the chunk.
        at = data - data % CHUNK as u64;
        let len = usize::try_from(size - at).unwrap().min(CHUNK);
        file.read_exact_at(&mut chunk[..len], at).unwrap();
        if chunk[..len].iter().any(|byte| *byte != 0) {
            hash.update(at.to_le_bytes());
            hash.update(&chunk[..len]);
        }
        at += len as u64;
    }
}

/// Where the root filesystem of an image lies.
pub(super) fn root_range(image: &dyn BlockRead) -> ByteRange {
    let table = partition_table::read(image).unwrap();
    table.partition(2).unwrap().range
}

/// Opens an image file for changing it.
pub(super) fn open(path: &Path) -> FileBlocks {
    FileBlocks::new(OpenOptions::new().read(true).write(true).open(path).unwrap()).unwrap()
}

/// Changes the root filesystem of an image file.
pub(super) fn edit_root(path: &Path, change: impl FnOnce(&mut Ext4Editor<Window<FileBlocks>>)) {
    let blocks = open(path);
    let range = root_range(&blocks);
    let stamp = Stamp { time: 1_750_000_000, generation_seed: [7; 32] };
    let mut editor = Ext4Editor::open(Window::new(blocks, range).unwrap(), stamp).unwrap();
    change(&mut editor);
    editor.finish().unwrap();
}

/// Changes bytes of the root filesystem's superblock, and makes its checksum right again.
pub(super) fn edit_superblock(path: &Path, change: impl FnOnce(&mut [u8])) {
    let file = open(path);
    let start = root_range(&file).start() + 1024;
    let mut superblock = [0; 1024];
    file.read_at(start, &mut superblock).unwrap();
    change(&mut superblock);
    // ext4's crc32c begins with all ones, as the crate's does, and is not inverted at the end.
    let sum = !crc32c::crc32c(&superblock[..1020]);
    superblock[1020..].copy_from_slice(&sum.to_le_bytes());
    file.file().write_all_at(&superblock, start).unwrap();
}

/// A file of a baked image's root filesystem.
pub(super) fn read_root(path: &Path, inside: &str) -> Vec<u8> {
    root_reader(path).read(&FsPath::new(inside).unwrap(), 16 << 20).unwrap()
}

/// A reader of the root filesystem of an image file.
pub(super) fn root_reader(path: &Path) -> Ext4Reader {
    let blocks = FileBlocks::new(fs::File::open(path).unwrap()).unwrap();
    let range = root_range(&blocks);
    Ext4Reader::open(Window::new(blocks, range).unwrap()).unwrap()
}
