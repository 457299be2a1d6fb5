//! Unpacking: published bytes in, chunks of the image out. One file a format; each decoder goes through
//! every stream, member or frame there is and says where the file stops making sense.

mod gz;
mod input;
mod output;
mod xz;
mod xz_blocks;
mod xz_map;
mod zip;
mod zst;

use std::fs::File;
use std::io;
use std::path::Path;

use input::Input;
pub(super) use output::{Chunk, Decoded, Output, Pool};
use xz_blocks::Blocks;

use super::arrival::Arrival;
use super::error::SourceError;
use super::format::{Format, Packing};

/// The largest dictionary or window a decoder may be made to hold, in bytes: what `zstd --long` and twice
/// what `xz -9` ask for. More would let a small file take all memory.
const WINDOW_LIMIT: u64 = 128 << 20;

/// A packed file, and the names its errors need.
#[derive(Clone, Copy)]
pub(super) struct Packed<'a> {
    /// Its name.
    pub(super) path: &'a Path,
    /// How it is packed.
    pub(super) packing: Packing,
    /// The file, open for reading.
    pub(super) file: &'a File,
}

/// How a packed file is gone through.
pub(super) enum Layout {
    /// From its beginning to its end; only there it shows how much it unpacks to.
    InOrder,
    /// In pieces that need nothing of one another: the blocks of an .xz file.
    Pieces(Blocks),
}

impl Layout {
    /// Looks at the frame of `packed`, not at its data.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn of(packed: Packed<'_>) -> Result<Self, SourceError> {
        let blocks = match packed.packing {
            Packing::Xz => xz::find_blocks(packed)?,
            Packing::Zst | Packing::Gz | Packing::Zip => None,
        };
        Ok(blocks.map_or(Layout::InOrder, Layout::Pieces))
    }

    /// Where in the image each piece ends; empty when there is but one way through.
    pub(super) fn ends(&self) -> Vec<u64> {
        match self {
            Layout::InOrder => Vec::new(),
            Layout::Pieces(blocks) => blocks.ends().collect(),
        }
    }

    /// Bytes of the image, where that is known beforehand.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Layout::InOrder => None,
            Layout::Pieces(blocks) => blocks.ends().last(),
        }
    }
}

/// Unpacks all of `packed` into `out`, which says of every piece when it is complete.
///
/// # Errors
/// Whatever is wrong with the file; [`SourceError::Interrupted`] when nobody takes the chunks any more.
pub(super) fn decode(
    packed: Packed<'_>,
    layout: &Layout,
    arrival: &Arrival,
    mut out: Output,
) -> Result<(), SourceError> {
    if let Layout::Pieces(blocks) = layout {
        return blocks.decode(packed, arrival, &out);
    }
    let mut input = Input::new(packed.file);
    match packed.packing {
        Packing::Xz => xz::decode(packed, &mut input, &mut out)?,
        Packing::Zst => zst::decode(packed, &mut input, &mut out)?,
        Packing::Gz => gz::decode(packed, &mut input, &mut out)?,
        Packing::Zip => zip::decode(packed, input, &mut out)?,
    }
    out.finish()
}

impl Packed<'_> {
    fn truncated(&self, offset: u64, detail: &str) -> SourceError {
        let format = Format::Packed(self.packing);
        SourceError::Truncated { path: self.path.into(), format, offset, detail: detail.into() }
    }

    fn corrupt(&self, offset: u64, detail: impl ToString) -> SourceError {
        let detail = detail.to_string();
        SourceError::Corrupt { path: self.path.into(), format: self.packing, offset, detail }
    }

    fn trailing(&self, offset: u64) -> SourceError {
        SourceError::TrailingGarbage { path: self.path.into(), format: self.packing, offset }
    }

    fn unsupported(&self, detail: impl Into<String>) -> SourceError {
        SourceError::Unsupported { path: self.path.into(), format: self.packing, detail: detail.into() }
    }

    fn read_failed(&self, error: io::Error) -> SourceError {
        SourceError::io("reading", self.path)(error)
    }

    /// Sorts the error of a decoder that reads by itself: the system's own, an early end, or damage.
    fn reader_failed(&self, offset: u64, error: io::Error) -> SourceError {
        if error.raw_os_error().is_some() {
            self.read_failed(error)
        } else if error.kind() == io::ErrorKind::UnexpectedEof {
            self.truncated(offset, "")
        } else {
            self.corrupt(offset, error)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::mpsc::sync_channel;
    use std::thread;

    use super::{Decoded, Layout, Output, Packed, Pool, decode};
    use crate::source::arrival::Arrival;
    use crate::source::format::Packing;

    /// Something to pack: a partition table, bytes that do not repeat, zeros.
    fn content() -> Vec<u8> {
        let mut content = vec![0; 20_000];
        content[446 + 4] = 0x83;
        content[446 + 8] = 1;
        content[446 + 12] = 9;
        content[510..512].copy_from_slice(&[0x55, 0xaa]);
        let mut random = fastrand::Rng::with_seed(3);
        content[1000..3000].fill_with(|| random.u8(..));
        content
    }

    /// What `bytes` unpack to, unless they are refused.
    fn unpacked(packing: Packing, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let (sender, chunks) = sync_channel(1);
        let out = Output::new(sender, Arc::new(Pool::default()));
        thread::scope(|threads| {
            let packed = Packed { path: Path::new("given"), packing, file: &file };
            let decoder = threads.spawn(move || {
                let layout = Layout::of(packed)?;
                decode(packed, &layout, &Arrival::new(layout.ends(), false), out)
            });
            let mut image = Vec::new();
            for decoded in chunks {
                let Decoded::Chunk(chunk) = decoded else { continue };
                let end = chunk.offset as usize + chunk.bytes.len();
                image.resize(image.len().max(end), 0);
                image[chunk.offset as usize..end].copy_from_slice(&chunk.bytes);
            }
            decoder.join().expect("a decoder panicked").ok().map(|()| image)
        })
    }

    fn archives() -> Vec<(Packing, Vec<u8>)> {
        let content = content();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
        xz.write_all(&content[..7000]).unwrap();
        let mut xz_rest = liblzma::write::XzEncoder::new(xz.finish().unwrap(), 0);
        xz_rest.write_all(&content[7000..]).unwrap();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&content).unwrap();
        let mut zst = zstd::Encoder::new(Vec::new(), 1).unwrap();
        zst.include_checksum(true).unwrap();
        zst.write_all(&content).unwrap();
        let mut zip = ::zip::ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("a.img", ::zip::write::SimpleFileOptions::default().large_file(true)).unwrap();
        zip.write_all(&content).unwrap();
        vec![
            (Packing::Xz, xz_rest.finish().unwrap()),
            (Packing::Gz, gz.finish().unwrap()),
            (Packing::Zst, zst.finish().unwrap()),
            (Packing::Zip, zip.finish().unwrap().into_inner()),
        ]
    }

    #[test]
    fn whatever_is_damaged_nothing_wrong_comes_out() {
        let mut random = fastrand::Rng::with_seed(11);
        for (packing, whole) in archives() {
            assert_eq!(unpacked(packing, &whole), Some(content()), "{packing}");
            for _ in 0..400 {
                let mut damaged = whole.clone();
                for _ in 0..random.usize(1..4) {
                    // The frames around the data are where decoders are led astray.
                    let at = match random.u8(..3) {
                        0 => random.usize(..damaged.len().min(80)),
                        1 => damaged.len() - 1 - random.usize(..damaged.len().min(160)),
                        _ => random.usize(..damaged.len()),
                    };
                    match random.u8(..3) {
                        0 => damaged[at] ^= 1 << random.u8(..8),
                        1 => damaged[at] = random.u8(..),
                        _ => damaged.truncate(at.max(1)),
                    }
                }
                if let Some(image) = unpacked(packing, &damaged) {
                    assert!(image == content(), "{packing}: {damaged:02x?}");
                }
            }
        }
    }
}
