//! How a file or a layer is packed, by its first bytes.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;

/// How bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// RFC 1952.
    Gz,
    /// RFC 8878.
    Zst,
}

/// Bytes that [`Packing::of`] wants to see.
pub(super) const MAGIC: usize = 4;

impl Packing {
    /// How what begins with `head` is packed.
    pub(super) fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gz,
            // A skippable frame may come before any other.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zst,
            _ => Self::Plain,
        }
    }

    /// `packed`, unpacked while it is read.
    pub(super) fn unpack<'a>(self, packed: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Plain => Box::new(packed),
            Self::Gz => Box::new(MultiGzDecoder::new(packed)),
            Self::Zst => Box::new(zstd::Decoder::with_buffer(packed)?),
        })
    }
}

/// Fills `buf` as far as there is anything; the number of bytes.
pub(super) fn fill(reader: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match reader.read(&mut buf[filled..]) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
