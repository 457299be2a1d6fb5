//! What the fuzz targets share: sound images to start from, and ways to hurt them.

use std::sync::{Arc, OnceLock};

use arbitrary::Arbitrary;
use pibake::cow::CowImage;
use pibake::disk::block::{BlockRead, BlockWrite};

/// A sound image, unpacked once and never changed.
pub struct Sound {
    packed: &'static [u8],
    image: OnceLock<Arc<Vec<u8>>>,
}

impl Sound {
    /// An image packed with zstd.
    pub const fn new(packed: &'static [u8]) -> Self {
        Self { packed, image: OnceLock::new() }
    }

    /// A view of it that can be changed.
    pub fn view(&'static self) -> CowImage {
        CowImage::new(self.shared())
    }

    /// The image itself.
    pub fn shared(&'static self) -> Arc<Vec<u8>> {
        let unpack = || Arc::new(zstd::decode_all(self.packed).expect("fixtures unpack"));
        Arc::clone(self.image.get_or_init(unpack))
    }
}

/// No checksums, so that damage is not noticed at once.
pub static EXT4_PLAIN: Sound = Sound::new(include_bytes!("../../fixtures/ext4-plain.zst"));
/// As pi-gen makes them.
pub static EXT4_PIGEN: Sound = Sound::new(include_bytes!("../../fixtures/ext4-pigen.zst"));
/// Small blocks and files by block map.
pub static EXT4_BLOCKMAP: Sound = Sound::new(include_bytes!("../../fixtures/ext4-blockmap.zst"));
/// A whole disk.
pub static DISK: Sound = Sound::new(include_bytes!("../../fixtures/demo.img.zst"));

/// Bytes to be laid over an image.
#[derive(Arbitrary, Debug)]
pub struct Patch {
    /// Where; taken modulo the image's size.
    pub at: u32,
    /// What.
    pub bytes: Vec<u8>,
}

/// Lays patches over the first `reach` bytes of an image, from `start` on.
pub fn lay(image: &mut impl BlockWrite, patches: &[Patch], start: u64, reach: u64) {
    for patch in patches {
        let at = u64::from(patch.at) % reach;
        let part = patch.bytes.len().min(usize::try_from(reach - at).unwrap_or(usize::MAX));
        image.write_at(start + at, &patch.bytes[..part]).expect("inside the image");
    }
}

/// Reads a whole image.
pub fn bytes_of(image: &dyn BlockRead) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(image.size()).expect("small")];
    image.read_at(0, &mut bytes).expect("inside the image");
    bytes
}
