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
pub(super) use output::{Chunk, Output, Pool};

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

/// Unpacks all of `packed` into `out`.
///
/// # Errors
/// Whatever is wrong with the file; [`SourceError::Interrupted`] when nobody takes the chunks any more.
pub(super) fn decode(packed: Packed<'_>, mut out: Output) -> Result<(), SourceError> {
    let mut input = Input::new(packed.file);
    match packed.packing {
        Packing::Xz => return xz::decode(packed, &mut input, out),
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
