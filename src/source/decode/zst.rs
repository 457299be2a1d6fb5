//! zstd (RFC 8878): frames one after another, skippable ones (a seek table, say) among them.

use std::io::BufRead;

use zstd::stream::raw::{DParameter, Decoder, Operation};

use super::input::Input;
use super::output::Output;
use super::{Packed, WINDOW_LIMIT};
use crate::source::error::SourceError;
use crate::source::format::{Content, Format, Packing, recognise};

pub(super) fn decode(packed: Packed<'_>, input: &mut Input<'_>, out: &mut Output) -> Result<(), SourceError> {
    let mut decoder = Decoder::new().map_err(|error| packed.read_failed(error))?;
    decoder
        .set_parameter(DParameter::WindowLogMax(WINDOW_LIMIT.ilog2()))
        .map_err(|error| packed.read_failed(error))?;
    loop {
        decode_frame(packed, &mut decoder, input, out)?;
        let next = input.peek(4).map_err(|error| packed.read_failed(error))?;
        if next.is_empty() {
            return Ok(());
        }
        if recognise(next) != Content::Image(Format::Packed(Packing::Zst)) {
            return Err(packed.trailing(input.offset()));
        }
    }
}

/// One frame; the decoder is ready for the next one when it ends.
fn decode_frame(
    packed: Packed<'_>,
    decoder: &mut Decoder<'_>,
    input: &mut Input<'_>,
    out: &mut Output,
) -> Result<(), SourceError> {
    loop {
        let data = input.fill_buf().map_err(|error| packed.read_failed(error))?;
        let at_end = data.is_empty();
        let step = decoder.run_on_buffers(data, out.space());
        let step = step.map_err(|error| fault(packed, input.offset(), &error))?;
        input.consume(step.bytes_read);
        out.advance(step.bytes_written, input.offset())?;
        if step.remaining == 0 {
            return Ok(());
        }
        if at_end && step.bytes_written == 0 {
            return Err(packed.truncated(input.offset(), ""));
        }
    }
}

fn fault(packed: Packed<'_>, offset: u64, error: &std::io::Error) -> SourceError {
    // zstd gives its errors as texts only; this is the one of ZSTD_error_frameParameter_windowTooLarge.
    if error.to_string().contains("too much memory") {
        return packed.unsupported(format!(
            "its window is larger than {} MiB: pack it again without `--long` or `--ultra`",
            WINDOW_LIMIT >> 20
        ));
    }
    packed.corrupt(offset, error)
}
