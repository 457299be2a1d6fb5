//! Blocks of an .xz file decoded in parallel, each straight to its place in the image.
//!
//! liblzma has a parallel decoder of its own, but that keeps whole blocks, packed and unpacked: 80 MiB for
//! two threads on a Raspberry Pi OS image. Here a thread needs its dictionary and a chunk.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use liblzma::stream::{Action, Stream};

use super::Packed;
use super::input::Input;
use super::output::Output;
use super::xz::{Fed, fault, feed};
use super::xz_map::Block;
use crate::source::arrival::Arrival;
use crate::source::error::SourceError;

/// The blocks of a file, and how they are decoded.
pub(in crate::source) struct Blocks {
    /// In order.
    pub(super) blocks: Vec<Block>,
    /// How many threads decode.
    pub(super) threads: usize,
    /// Whether there is memory for one decoder more than there are threads: a thread may leave a block half
    /// done for one that somebody waits for.
    pub(super) spare: bool,
    /// What a decoder may hold, in bytes.
    pub(super) limit: u64,
}

impl Blocks {
    /// Where in the image each block ends.
    pub(super) fn ends(&self) -> impl Iterator<Item = u64> {
        // The map was made only of blocks whose ends can be counted.
        self.blocks.iter().map(|block| block.image_offset + block.unpacked)
    }

    /// Decodes all of them, those that `arrival` says are waited for first.
    pub(super) fn decode(
        &self,
        packed: Packed<'_>,
        arrival: &Arrival,
        out: &Output,
    ) -> Result<(), SourceError> {
        let (failed, spare) = (AtomicBool::new(false), AtomicBool::new(self.spare));
        let work = || {
            while !failed.load(Ordering::Relaxed)
                && let Some(index) = arrival.take()
            {
                let decoded = self.decode_pausing(packed, index, arrival, &spare, out);
                decoded.inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..self.threads).map(|_| scope.spawn(work)).collect();
            let results = workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            // All of them are waited for; the first error is told.
            results.fold(Ok(()), Result::and)
        })
    }

    /// Decodes a block, and before it goes on any that somebody waits for, while the decoder for such is
    /// `spare`.
    fn decode_pausing(
        &self,
        packed: Packed<'_>,
        index: usize,
        arrival: &Arrival,
        spare: &AtomicBool,
        out: &Output,
    ) -> Result<(), SourceError> {
        self.decode_block(packed, index, out, || {
            if !spare.swap(false, Ordering::Relaxed) {
                return Ok(());
            }
            while let Some(urgent) = arrival.take_before(index) {
                self.decode_block(packed, urgent, out, || Ok(()))?;
            }
            spare.store(true, Ordering::Relaxed);
            Ok(())
        })
    }

    /// A block is decoded as if it were alone in its stream. The index of such a stream follows, which
    /// liblzma compares with what it decoded: so nothing is taken that `xz` would refuse.
    fn decode_block(
        &self,
        packed: Packed<'_>,
        index: usize,
        out: &Output,
        mut between: impl FnMut() -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let Some(block) = self.blocks.get(index) else { return Ok(()) };
        let end = block.image_offset + block.unpacked;
        let mut out = out.at(block.image_offset..end, block.offset);
        let fault = |error| fault(packed, block.offset, error);
        let mut stream = Stream::new_stream_decoder(self.limit, 0).map_err(fault)?;
        stream.process(&block.stream_header, &mut [], Action::Run).map_err(fault)?;
        let mut input = Input::at(packed.file, block.offset);
        let mut left = block.packed();
        while left > 0 {
            let step = usize::try_from(left).unwrap_or(usize::MAX);
            match feed(packed, &mut stream, &mut input, step, &mut out)? {
                Fed::Some(used) => left -= used as u64,
                Fed::Nothing | Fed::End => break,
            }
            // What lies behind belongs to the next block.
            if out.offset() > end {
                break;
            }
            between()?;
        }
        if left > 0 || out.offset() != end {
            return Err(packed.corrupt(input.offset(), "a block has not the size its index says"));
        }
        stream.process(&block.index(), &mut [], Action::Run).map_err(fault)?;
        out.finish_piece(index)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::mpsc::sync_channel;

    use liblzma::stream::{Check, MtStreamBuilder};
    use liblzma::write::XzEncoder;

    use super::super::xz_map::{Block, read_map};
    use super::super::{Decoded, Output, Packed, Pool};
    use super::Blocks;
    use crate::source::arrival::Arrival;
    use crate::source::error::SourceError;
    use crate::source::format::Packing;

    fn packed(content: &[u8], block: u64) -> File {
        let stream = MtStreamBuilder::new().threads(1).check(Check::Crc64).block_size(block).encoder();
        let mut encoder = XzEncoder::new_stream(tempfile::tempfile().unwrap(), stream.unwrap());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    /// Decodes three blocks of 1000 bytes after `lie` was told about them; answers the image.
    fn decode(lie: impl Fn(&mut Vec<Block>)) -> Result<Vec<u8>, SourceError> {
        let content: Vec<u8> = (0..3000u32).map(|n| (n ^ (n >> 5)) as u8).collect();
        let file = packed(&content, 1000);
        let mut blocks = read_map(&file).unwrap().unwrap();
        lie(&mut blocks);

        let packed = Packed { path: Path::new("a.xz"), packing: Packing::Xz, file: &file };
        let (sender, chunks) = sync_channel(16);
        let out = Output::new(sender, Arc::new(Pool::default()));
        let blocks = Blocks { blocks, threads: 2, spare: true, limit: 32 << 20 };
        blocks.decode(packed, &Arrival::new(blocks.ends(), false), &out)?;
        drop(out);
        let (mut image, mut pieces) = (vec![0; 3000], Vec::new());
        for decoded in chunks {
            match decoded {
                Decoded::Chunk(chunk) => {
                    image[chunk.offset as usize..][..chunk.bytes.len()].copy_from_slice(&chunk.bytes);
                }
                Decoded::Piece(index) => pieces.push(index),
            }
        }
        pieces.sort_unstable();
        assert_eq!(pieces, [0, 1, 2]);
        assert_eq!(image, content);
        Ok(image)
    }

    #[test]
    fn blocks_land_at_their_places() {
        decode(|_| {}).unwrap();
        decode(|blocks| blocks.reverse()).unwrap();
    }

    #[test]
    fn what_passes_the_end_of_a_block_is_not_sent() {
        let file = packed(&vec![7; 5 << 20], 3 << 20);
        let mut blocks = read_map(&file).unwrap().unwrap();
        blocks[0].unpacked -= 3 << 19;
        let packed = Packed { path: Path::new("a.xz"), packing: Packing::Xz, file: &file };
        let (sender, decoded) = sync_channel(16);
        let out = Output::new(sender, Arc::new(Pool::default()));
        let blocks = Blocks { blocks, threads: 1, spare: false, limit: 32 << 20 };
        let error = blocks.decode(packed, &Arrival::new(blocks.ends(), false), &out).unwrap_err();
        assert!(matches!(error, SourceError::Corrupt { .. }), "{error:?}");
        drop(out);
        let ends: Vec<u64> = decoded
            .iter()
            .map(|decoded| match decoded {
                Decoded::Chunk(chunk) => chunk.offset + chunk.bytes.len() as u64,
                Decoded::Piece(index) => panic!("block {index} is complete"),
            })
            .collect();
        assert_eq!(ends, [1 << 20]);
    }

    #[test]
    fn an_index_that_lies_is_found_out() {
        type Lie = fn(&mut Vec<Block>);
        let lies: [(&str, Lie); 6] = [
            ("more bytes", |blocks| blocks[1].unpacked += 1),
            ("fewer bytes", |blocks| blocks[1].unpacked -= 1),
            ("a longer block", |blocks| blocks[0].unpadded += blocks[1].packed()),
            ("a block without its check", |blocks| blocks[0].unpadded -= 8),
            ("a block without its padding", |blocks| blocks[0].unpadded -= 1),
            ("another place", |blocks| blocks[2].offset += 4),
        ];
        for (name, lie) in lies {
            let error = decode(lie).unwrap_err();
            assert!(matches!(error, SourceError::Corrupt { .. }), "{name}: {error:?}");
        }
    }
}
