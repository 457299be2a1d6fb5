//! The .xz file format: streams one after another, zero padding between and behind them.
//!
//! Blocks that say their sizes (what `xz -T` makes, and with it every Raspberry Pi OS release) are decoded
//! in parallel as far as memory allows.

use std::io::BufRead;
use std::thread;

use liblzma::stream::{Action, Error, MtStreamBuilder, Status, Stream};

use super::input::Input;
use super::output::Output;
use super::{Packed, WINDOW_LIMIT};
use crate::source::error::SourceError;

/// What decoding in parallel may take, in bytes: two of the 24 MiB blocks of `xz -6`, with their packed
/// bytes and dictionaries. With less at hand liblzma takes fewer threads, down to one.
const PARALLEL_LIMIT: u64 = 80 << 20;

/// First bytes of every stream (section 2.1.1.1 of the format).
const MAGIC: &[u8] = b"\xfd7zXZ\0";

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
    let mut stream = decoder().map_err(|error| fault(packed, input.offset(), error))?;
    loop {
        let data = input.fill_buf().map_err(|error| packed.read_failed(error))?;
        let at_end = data.is_empty();
        let before = (stream.total_in(), stream.total_out());
        let status = stream.process(data, out.space(), if at_end { Action::Finish } else { Action::Run });
        input.consume((stream.total_in() - before.0) as usize);
        out.advance((stream.total_out() - before.1) as usize, input.offset())?;
        match status {
            Ok(Status::StreamEnd) => return Ok(()),
            Ok(Status::Ok) => {}
            Ok(Status::MemNeeded) if at_end => return Err(packed.truncated(input.offset(), "")),
            Ok(Status::MemNeeded | Status::GetCheck) => {
                return Err(packed.corrupt(input.offset(), "the decoder makes no progress"));
            }
            Err(error) => return Err(fault(packed, input.offset(), error)),
        }
    }
}

fn decoder() -> Result<Stream, Error> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    MtStreamBuilder::new()
        .threads(u32::try_from(threads).unwrap_or(1))
        .memlimit_threading(PARALLEL_LIMIT)
        // The dictionary is most, but not all of what a decoder needs.
        .memlimit_stop(WINDOW_LIMIT + (4 << 20))
        .decoder()
}

fn fault(packed: Packed<'_>, offset: u64, error: Error) -> SourceError {
    match error {
        Error::MemLimit => packed.unsupported(format!(
            "its dictionary is larger than {} MiB: pack it again with `xz -9` or less",
            WINDOW_LIMIT >> 20
        )),
        Error::Options | Error::UnsupportedCheck | Error::NoCheck => {
            packed.unsupported("it uses a filter or a check this xz decoder does not know")
        }
        Error::Mem => packed.read_failed(std::io::ErrorKind::OutOfMemory.into()),
        Error::Data | Error::Format | Error::Program => {
            packed.corrupt(offset, "checksum or structure does not match")
        }
    }
}
