//! What a node packs its answers with.

use std::io::{self, Read as _};

/// What it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pack {
    /// Nothing.
    #[default]
    None,
    /// zstd, or gzip where there is none.
    Auto,
}

impl Pack {
    /// The word for it in the script's arguments.
    pub(super) fn name(self) -> &'static str {
        match self {
            Pack::None => "none",
            Pack::Auto => "auto",
        }
    }
}

/// What it says that it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Zstd,
    Gzip,
}

impl Packing {
    /// An answer of `len` bytes. No more than that is ever unpacked.
    pub(super) fn unpack(self, packed: &[u8], len: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = match self {
            Packing::None => packed.take(len + 1).read_to_end(&mut bytes),
            Packing::Gzip => flate2::read::MultiGzDecoder::new(packed).take(len + 1).read_to_end(&mut bytes),
            Packing::Zstd => zstd::stream::read::Decoder::with_buffer(packed)
                .and_then(|decoder| decoder.take(len + 1).read_to_end(&mut bytes)),
        }?;
        if read as u64 == len {
            Ok(bytes)
        } else {
            Err(io::Error::other(format!("the node gave {read} bytes of {len}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::Packing;

    #[test]
    fn an_answer_has_the_length_that_was_asked_for() {
        let bytes = b"0123456789".repeat(100);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&bytes).unwrap();
        let zstd = zstd::encode_all(&bytes[..], 1).unwrap();
        for (packing, packed) in
            [(Packing::None, bytes.clone()), (Packing::Gzip, gzip.finish().unwrap()), (Packing::Zstd, zstd)]
        {
            assert_eq!(packing.unpack(&packed, 1000).unwrap(), bytes);
            for wrong in [0, 999, 1001] {
                let error = packing.unpack(&packed, wrong).unwrap_err().to_string();
                let gave = wrong.saturating_add(1).min(1000);
                assert_eq!(error, format!("the node gave {gave} bytes of {wrong}"), "{packing:?}");
            }
            assert!(packing.unpack(&packed[..packed.len() - 1], 1000).is_err(), "{packing:?}");
        }
    }
}
