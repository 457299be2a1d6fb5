//! Blocks of an .xz file decoded in parallel, each straight to its place in the image.
//!
//! liblzma has a parallel decoder of its own, but that keeps whole blocks, packed and unpacked: 80 MiB for
//! two threads on a Raspberry Pi OS image. Here a thread needs its dictionary and a chunk.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use liblzma::stream::{Action, Stream};

use super::Packed;
use super::input::Input;
use super::output::Output;
use super::xz::{Fed, fault, feed};
use super::xz_map::Block;
use crate::source::error::SourceError;

/// Decodes all `blocks` with so many threads, each with at most `limit` bytes of memory.
pub(super) fn decode_blocks(
    packed: Packed<'_>,
    blocks: &[Block],
    threads: usize,
    limit: u64,
    out: &Output,
) -> Result<(), SourceError> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    // Blocks are begun in order, so what is under way at a time lies close together.
    let work = || {
        while !failed.load(Ordering::Relaxed)
            && let Some(block) = blocks.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let decoded = decode_block(packed, block, limit, out.at(block.image_offset, block.offset));
            if let Err(error) = decoded {
                failed.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let results = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        // All of them are waited for; the first error is told.
        results.fold(Ok(()), Result::and)
    })
}

/// A block is decoded as the beginning of a stream that never comes to its index; the check behind the
/// block's data is compared all the same.
fn decode_block(packed: Packed<'_>, block: &Block, limit: u64, mut out: Output) -> Result<(), SourceError> {
    let mut stream =
        Stream::new_stream_decoder(limit, 0).map_err(|error| fault(packed, block.offset, error))?;
    stream
        .process(&block.stream_header, &mut [], Action::Run)
        .map_err(|error| fault(packed, block.offset, error))?;
    let mut input = Input::at(packed.file, block.offset);
    let mut left = block.packed;
    while left > 0 {
        let step = usize::try_from(left).unwrap_or(usize::MAX);
        match feed(packed, &mut stream, &mut input, step, &mut out)? {
            Fed::Some(used) => left -= used as u64,
            Fed::Nothing | Fed::End => break,
        }
        if out.offset() > block.image_offset + block.unpacked {
            break;
        }
    }
    if left > 0 || out.offset() != block.image_offset + block.unpacked {
        return Err(packed.corrupt(input.offset(), "a block has not the size its index says"));
    }
    out.finish()
}
