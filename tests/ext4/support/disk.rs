//! A filesystem in memory with a guard on either side, and its way into a file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use pibake::disk::range::ByteRange;
use pibake::disk::window::Window;

/// Bytes before and after the filesystem that nothing may touch.
const GUARD: usize = 1 << 20;
const GUARD_BYTE: u8 = 0xa7;

/// A filesystem image between two guards.
#[derive(Clone)]
pub(crate) struct GuardedDisk {
    bytes: Vec<u8>,
}

impl GuardedDisk {
    /// Puts the guards round a filesystem.
    pub(crate) fn new(filesystem: &[u8]) -> Self {
        let guard = vec![GUARD_BYTE; GUARD];
        Self { bytes: [&guard[..], filesystem, &guard[..]].concat() }
    }

    /// The filesystem's window, to be edited.
    pub(crate) fn window(&mut self) -> Window<&mut Vec<u8>> {
        let range = self.range();
        Window::new(&mut self.bytes, range).expect("the range lies inside")
    }

    /// The filesystem's bytes.
    pub(crate) fn filesystem(&self) -> &[u8] {
        &self.bytes[GUARD..self.bytes.len() - GUARD]
    }

    /// Fails when a byte outside the filesystem changed.
    #[track_caller]
    pub(crate) fn assert_guards(&self) {
        let end = self.bytes.len() - GUARD;
        let outside = self.bytes[..GUARD].iter().chain(&self.bytes[end..]);
        assert!(outside.into_iter().all(|byte| *byte == GUARD_BYTE), "bytes outside the filesystem changed");
    }

    fn range(&self) -> ByteRange {
        ByteRange::with_len(GUARD as u64, (self.bytes.len() - 2 * GUARD) as u64).expect("small")
    }
}

/// Writes a filesystem into a file, zeros as holes.
pub(crate) fn write_sparse(path: &Path, bytes: &[u8]) {
    let file = File::create(path).expect("creating an image");
    file.set_len(bytes.len() as u64).expect("sizing an image");
    for (index, chunk) in bytes.chunks(1 << 16).enumerate() {
        if chunk.iter().any(|byte| *byte != 0) {
            file.write_all_at(chunk, (index as u64) << 16).expect("writing an image");
        }
    }
}

/// A committed fixture, unpacked.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.zst"));
    let packed = File::open(&path).unwrap_or_else(|error| panic!("opening {}: {error}", path.display()));
    zstd::decode_all(packed).unwrap_or_else(|error| panic!("unpacking {}: {error}", path.display()))
}

/// A folder of this test's own that goes away with the value.
pub(crate) struct Workspace(tempfile::TempDir);

impl Workspace {
    /// Makes one, in memory where there is a place for that: mounting and checking thousands of small
    /// images would wait for a disk most of the time.
    pub(crate) fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        Self(tempfile::Builder::new().prefix("pibake-ext4-").tempdir_in(folder).expect("making a folder"))
    }

    /// Makes one on a disk, for what is too large for memory.
    pub(crate) fn on_disk() -> Self {
        Self(tempfile::Builder::new().prefix("pibake-ext4-").tempdir().expect("making a folder"))
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
