//! The .xz file format (version 1.2.1): streams one after another, zero padding between and behind them.
//!
//! When the file can be read from its end, which every whole one can, its blocks are decoded in parallel.
//! One that cannot, or has a single block, is gone through in order; if it is not whole, that ends with an
//! error that says where it stops making sense.

use std::io::{self, BufRead};
use std::thread;

use liblzma::stream::{Action, Error, Status, Stream};

use super::input::Input;
use super::output::Output;
use super::xz_blocks::Blocks;
use super::xz_map::{Block, read_map};
use super::{Packed, WINDOW_LIMIT};
use crate::source::error::SourceError;

/// What the dictionaries of all decoders may take together, in bytes.
const PARALLEL_LIMIT: u64 = 64 << 20;

/// What a decoder takes beside its dictionary, rounded up, in bytes.
const STATE: u64 = 1 << 20;

/// First bytes of every stream (section 2.1.1.1).
pub(super) const MAGIC: &[u8] = b"\xfd7zXZ\0";

/// The blocks of a file that has several and can be read from its end.
pub(super) fn find_blocks(packed: Packed<'_>) -> Result<Option<Blocks>, SourceError> {
    let blocks = read_map(packed.file).map_err(|error| packed.read_failed(error))?.unwrap_or_default();
    if blocks.len() < 2 {
        return Ok(None);
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let decoders = at_once(packed, &blocks, cores + 1).map_err(|error| packed.read_failed(error))?;
    // One is spare, for a block that somebody waits for.
    let threads = cores.min(decoders - 1).max(1);
    let limit = if decoders == 1 { WINDOW_LIMIT + STATE } else { PARALLEL_LIMIT / decoders as u64 };
    Ok(Some(Blocks { blocks, threads, spare: decoders > threads, limit }))
}

/// How many decoders can have a dictionary each: at least one, at the most `most`.
fn at_once(packed: Packed<'_>, blocks: &[Block], most: usize) -> io::Result<usize> {
    let mut decoders = most;
    // All blocks of a stream are made alike.
    for firsts in blocks.chunk_by(|a, b| a.stream_header == b.stream_header) {
        while decoders > 1 && !fits(packed, &firsts[0], PARALLEL_LIMIT / decoders as u64)? {
            decoders -= 1;
        }
    }
    Ok(decoders)
}

/// Whether a block can be decoded within `limit` bytes: its header is all that is looked at.
fn fits(packed: Packed<'_>, block: &Block, limit: u64) -> io::Result<bool> {
    let mut input = Input::at(packed.file, block.offset);
    // Section 3.1.1: the first byte is the header's length in units of four bytes, less one.
    let header = input.peek(1)?.first().map_or(0, |size| (usize::from(*size) + 1) * 4);
    let bytes = [block.stream_header.as_slice(), input.peek(header)?].concat();
    let Ok(mut stream) = Stream::new_stream_decoder(limit, 0) else { return Ok(false) };
    Ok(!matches!(stream.process(&bytes, &mut [], Action::Run), Err(Error::MemLimit)))
}

/// Stream after stream, in this thread.
pub(super) fn decode(packed: Packed<'_>, input: &mut Input<'_>, out: &mut Output) -> Result<(), SourceError> {
    loop {
        decode_stream(packed, input, out)?;
        let end = input.offset();
        // Section 2.2: padding comes in multiples of four bytes.
        let padding = input.skip_zeros().map_err(|error| packed.read_failed(error))?;
        let next = input.peek(MAGIC.len()).map_err(|error| packed.read_failed(error))?;
        match (padding % 4, next) {
            (0, []) => return Ok(()),
            (0, MAGIC) => {}
            _ => return Err(packed.trailing(end)),
        }
    }
}

fn decode_stream(packed: Packed<'_>, input: &mut Input<'_>, out: &mut Output) -> Result<(), SourceError> {
    let mut stream = Stream::new_stream_decoder(WINDOW_LIMIT + STATE, 0)
        .map_err(|error| fault(packed, input.offset(), error))?;
    loop {
        match feed(packed, &mut stream, input, usize::MAX, out)? {
            Fed::End => return Ok(()),
            Fed::Some(_) => {}
            Fed::Nothing => return Err(packed.truncated(input.offset(), "")),
        }
    }
}

/// What a step of a decoder came to.
pub(super) enum Fed {
    /// So many bytes were consumed, if only to make some.
    Some(usize),
    /// Neither consumed nor made any: the input has ended.
    Nothing,
    /// The stream is complete.
    End,
}

/// Decodes a step further, with at most `limit` bytes of input.
pub(super) fn feed(
    packed: Packed<'_>,
    stream: &mut Stream,
    input: &mut Input<'_>,
    limit: usize,
    out: &mut Output,
) -> Result<Fed, SourceError> {
    let data = input.fill_buf().map_err(|error| packed.read_failed(error))?;
    let before = (stream.total_in(), stream.total_out());
    let status = stream.process(&data[..data.len().min(limit)], out.space(), Action::Run);
    // Neither can pass the length of a slice.
    let used = (stream.total_in() - before.0) as usize;
    let made = (stream.total_out() - before.1) as usize;
    input.consume(used);
    out.advance(made, input.offset())?;
    match status.map_err(|error| fault(packed, input.offset(), error))? {
        Status::StreamEnd => Ok(Fed::End),
        _ if used == 0 && made == 0 => Ok(Fed::Nothing),
        _ => Ok(Fed::Some(used)),
    }
}

/// What an error of liblzma means for the file.
pub(super) fn fault(packed: Packed<'_>, offset: u64, error: Error) -> SourceError {
    match error {
        Error::MemLimit => packed.unsupported(format!(
            "its dictionary is larger than {} MiB: pack it again with `xz -9` or less",
            WINDOW_LIMIT >> 20
        )),
        Error::Options | Error::UnsupportedCheck | Error::NoCheck => {
            packed.unsupported("it uses a filter or a check this xz decoder does not know")
        }
        Error::Mem => packed.read_failed(io::ErrorKind::OutOfMemory.into()),
        Error::Data | Error::Format | Error::Program => {
            packed.corrupt(offset, "checksum or structure does not match")
        }
    }
}
