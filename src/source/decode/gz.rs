//! gzip (RFC 1952): members one after another. Zeros behind the last one are what a tape or a card leaves
//! after `dd | gzip`; every gzip ignores them, and so do we.

use std::io::Read;

use flate2::bufread::GzDecoder;

use super::Packed;
use super::input::Input;
use super::output::Output;
use crate::source::error::SourceError;

/// First bytes of a member: the magic number and the only method there is, deflate.
const MAGIC: &[u8] = b"\x1f\x8b\x08";

pub(super) fn decode(packed: Packed<'_>, input: &mut Input<'_>, out: &mut Output) -> Result<(), SourceError> {
    loop {
        decode_member(packed, input, out)?;
        let end = input.offset();
        let next = input.peek(MAGIC.len()).map_err(|error| packed.read_failed(error))?;
        if next == MAGIC {
            continue;
        }
        input.skip_zeros().map_err(|error| packed.read_failed(error))?;
        let rest = input.peek(1).map_err(|error| packed.read_failed(error))?;
        return if rest.is_empty() { Ok(()) } else { Err(packed.trailing(end)) };
    }
}

fn decode_member(packed: Packed<'_>, input: &mut Input<'_>, out: &mut Output) -> Result<(), SourceError> {
    let offset = input.shared_offset();
    let mut member = GzDecoder::new(input);
    loop {
        let made = member.read(out.space()).map_err(|error| packed.reader_failed(offset.get(), error))?;
        out.advance(made, offset.get())?;
        if made == 0 {
            return Ok(());
        }
    }
}
