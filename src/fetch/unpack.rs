//! Package indexes unpacked, never to more than they may be.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;
use liblzma::stream::Stream;

use super::release::Packing;

/// What an unpacker may hold, in bytes: twice what `xz -9` asks for.
const WINDOW: u64 = 128 << 20;
/// The same as a power of two, as zstd takes it.
const WINDOW_LOG: u32 = 27;

/// The text of an index that unpacks to at most `limit` bytes.
///
/// # Errors
/// What is wrong with it.
pub(super) fn unpack(packed: &[u8], packing: Packing, limit: u64) -> Result<String, String> {
    let bytes = match packing {
        Packing::None => at_most(packed, limit),
        Packing::Gz => at_most(MultiGzDecoder::new(packed), limit),
        Packing::Xz => xz(packed).and_then(|reader| at_most(reader, limit)),
        Packing::Zst => zst(packed).and_then(|reader| at_most(reader, limit)),
    };
    let bytes = bytes.map_err(|error| format!("cannot be unpacked: {error}"))?;
    String::from_utf8(bytes).map_err(|_| "is no text".to_owned())
}

fn xz(packed: &[u8]) -> io::Result<impl Read> {
    let stream = Stream::new_stream_decoder(WINDOW, liblzma::stream::CONCATENATED)?;
    Ok(XzDecoder::new_stream(packed, stream))
}

fn zst(packed: &[u8]) -> io::Result<impl Read> {
    let mut decoder = zstd::Decoder::with_buffer(packed)?;
    decoder.window_log_max(WINDOW_LOG)?;
    Ok(decoder)
}

fn at_most(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it is more than {limit} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{Packing, unpack};

    fn forms(text: &[u8]) -> [(Packing, Vec<u8>); 4] {
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
        xz.write_all(text).unwrap();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(text).unwrap();
        [
            (Packing::None, text.to_vec()),
            (Packing::Xz, xz.finish().unwrap()),
            (Packing::Gz, gz.finish().unwrap()),
            (Packing::Zst, zstd::encode_all(text, 0).unwrap()),
        ]
    }

    #[test]
    fn every_packing_is_read_and_none_beyond_its_limit() {
        let text = "Package: a\n".repeat(1000);
        for (packing, bytes) in forms(text.as_bytes()) {
            assert_eq!(unpack(&bytes, packing, text.len() as u64).as_ref(), Ok(&text), "{packing:?}");
            let refused = unpack(&bytes, packing, text.len() as u64 - 1).unwrap_err();
            assert!(refused.contains("more than 10999 bytes"), "{packing:?}: {refused}");
        }
    }

    #[test]
    fn what_is_damaged_or_no_text_is_refused() {
        for (packing, bytes) in forms(&b"Package: a\n".repeat(100)).into_iter().skip(1) {
            assert!(unpack(&bytes[..bytes.len() - 5], packing, 1 << 20).is_err(), "{packing:?}");
            assert!(unpack(b"\xff\x00nonsense", packing, 1 << 20).is_err(), "{packing:?}");
        }
        assert_eq!(unpack(b"\xff", Packing::None, 9), Err("is no text".to_owned()));
    }
}
