//! Everything but the head is written, or found to be there.

use std::time::Instant;

use super::IN_FLIGHT;
use super::choose::Chosen;
use super::differ::differing_runs;
use super::ledger::{Claim, Done, Ledger};
use super::medium::CardMedium;
use super::report::{Mode, Tally};
use super::work::Work;
use crate::device::aligned::AlignedBuf;
use crate::disk::range::ByteRange;
use crate::progress::Phase;
use crate::sink::error::SinkError;
use crate::sink::in_order::in_order;

/// Everything but the head was written and flushed, or was found to be there.
pub(super) struct Written {
    pub(super) mode: Mode,
    pub(super) discarded: bool,
    /// The digest of each span.
    pub(super) digests: Vec<[u8; 32]>,
    /// What is still to be proved.
    pub(super) claims: Vec<Claim>,
    pub(super) head: AlignedBuf,
    pub(super) tally: Tally,
}

impl<M: CardMedium> Work<'_, M> {
    /// Writes what the card is not known to hold. Several pieces are under way at once, each read from the
    /// image, compared and written by one thread, in rising order as they begin; hashing goes on beside.
    pub(super) fn body(&self, chosen: Chosen) -> Result<Written, SinkError> {
        let Chosen { mode, discarded, sampled, tally } = chosen;
        let began = Instant::now();
        let head = self.head_of_image()?;
        let mut ledger = Ledger::new(self, tally, &head);
        let track = self.track(Phase::Writing, self.layout.body());
        let mut through = 0;
        in_order(
            self.layout.pieces.len(),
            IN_FLIGHT,
            || Ok::<(), SinkError>(()),
            |(), index| {
                self.job.interrupt.check()?;
                let piece = self.layout.pieces[index];
                let compare = mode == Mode::Update && sampled.is_alike(piece.region, self.job);
                self.write_piece(index, compare)
            },
            |done: Done<'_>| {
                let piece = self.layout.pieces[done.index];
                ledger.enter(piece, &done);
                through += piece.range.len();
                track.advance(through);
                Ok(())
            },
        )?;
        self.flush()?;
        let Ledger { digests, claims, mut tally, .. } = ledger.close();
        tally.writing = began.elapsed();
        Ok(Written { mode, discarded, digests, claims, head, tally })
    }

    /// The image's first MiB, which is kept until the end.
    fn head_of_image(&self) -> Result<AlignedBuf, SinkError> {
        let pieces = self.layout.spans.first().map_or(&[][..], |span| &span.pieces);
        let Some(range) = pieces.first() else { return Ok(AlignedBuf::zeroed(0)) };
        let mut head = AlignedBuf::zeroed(range.len() as usize);
        head.copy_from_slice(&self.image(*range)?);
        Ok(head)
    }

    fn write_piece(&self, index: usize, compare: bool) -> Result<Done<'_>, SinkError> {
        let range = self.layout.pieces[index].range;
        let data = self.image(range)?;
        if !compare {
            self.write(range.start(), &data)?;
            return Ok(Done { data, index, runs: None });
        }
        let mut held = self.buffers.take(range.len());
        // What cannot be read is written: that may well mend it, and it is read again then.
        let runs = match self.medium.read_back_at(range.start(), &mut held) {
            Ok(()) => differing_runs(&data, &held),
            Err(_) => std::iter::once(0..data.len()).collect(),
        };
        let mut written = Vec::with_capacity(runs.len());
        for run in runs {
            let offset = range.start() + run.start as u64;
            self.write(offset, &data[run.clone()])?;
            written.extend(ByteRange::with_len(offset, run.len() as u64));
        }
        Ok(Done { data, index, runs: Some(written) })
    }
}
