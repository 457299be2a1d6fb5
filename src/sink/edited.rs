//! What an image file is made from: a base in a file, and what differs from it.

use std::path::Path;

use crate::cow::CowImage;
use crate::disk::block::BlockRead;
use crate::disk::range::ByteRange;

/// An image together with what is known about how it differs from its base, so that what is the same need
/// not be read, compressed or stored again.
pub struct Edited<'a> {
    /// The whole image, changes included.
    pub image: &'a dyn BlockRead,
    /// The ranges that differ from the base, in rising order and disjoint; what lies beyond the base's end
    /// and is in none of them reads as zeros.
    pub changed: Vec<ByteRange>,
    /// The file whose bytes are the base's.
    pub base_file: &'a Path,
    /// SHA-256 of that file's bytes, or of anything that stands for them: names them in the cache.
    pub base_sha256: [u8; 32],
}

impl<'a> Edited<'a> {
    /// The image of a node over the base in `base_file`.
    #[must_use]
    pub fn new(image: &'a CowImage, base_file: &'a Path, base_sha256: [u8; 32]) -> Self {
        Self { image, changed: image.dirty_ranges(), base_file, base_sha256 }
    }

    /// Whether a range holds exactly what the base holds there, given the base's size.
    #[must_use]
    pub fn is_base(&self, range: ByteRange, base_size: u64) -> bool {
        let first = self.changed.partition_point(|changed| changed.end() <= range.start());
        range.end() <= base_size
            && self.changed.get(first).is_none_or(|changed| changed.start() >= range.end())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Edited;
    use crate::disk::range::ByteRange;

    #[test]
    fn knows_which_ranges_are_the_bases() {
        let image = vec![0u8; 100];
        let range = |start, end| ByteRange::new(start, end).unwrap();
        let edited = Edited {
            image: &image,
            changed: vec![range(10, 20), range(40, 50)],
            base_file: Path::new("base"),
            base_sha256: [0; 32],
        };
        for (start, end, is_base) in [
            (0, 10, true),
            (0, 11, false),
            (19, 20, false),
            (20, 40, true),
            (20, 41, false),
            (12, 13, false),
            (50, 80, true),
            (50, 81, false),
            (0, 100, false),
        ] {
            assert_eq!(edited.is_base(range(start, end), 80), is_base, "{start}..{end}");
        }
    }
}
