//! Whether a card is written in full or updated, and discarded for the former.

use super::medium::CardMedium;
use super::probe::Probed;
use super::report::{Mode, Tally};
use super::sample::Sampled;
use super::work::Work;
use super::{ALIGN, HEAD, TAIL};
use crate::disk::range::ByteRange;
use crate::sink::error::SinkError;

/// Bytes discarded at once: nothing can stop a request that is under way.
const DISCARD: u64 = 4 << 30;

/// It is known what is to be done to the card.
pub(super) struct Chosen {
    pub(super) mode: Mode,
    pub(super) discarded: bool,
    pub(super) sampled: Sampled,
    pub(super) tally: Tally,
}

impl<M: CardMedium> Work<'_, M> {
    /// Decides by the samples. A card that does not know how to discard is none the worse for it.
    pub(super) fn choose(&self, probed: Probed) -> Result<Chosen, SinkError> {
        let Probed { sampled, mut tally, began } = probed;
        let mode = if sampled.knows(self.job.image) { Mode::Update } else { Mode::Full };
        let discarded = mode == Mode::Full && self.medium.is_device() && self.discard()?;
        tally.preparing = began.elapsed();
        Ok(Chosen { mode, discarded, sampled, tally })
    }

    /// Discards all but the ends: some cards answer with what they held before, which must stay zero there. The last
    /// block that the capacity was tried with stays as well: it tells a card that was being written from an empty one.
    fn discard(&self) -> Result<bool, SinkError> {
        let end = self.medium.size().saturating_sub(TAIL + ALIGN);
        let mut at = HEAD;
        while let Some(range) = ByteRange::new(at, end.min(at + DISCARD)).filter(|range| !range.is_empty()) {
            self.job.interrupt.check()?;
            if self.medium.discard(range).is_err() {
                return Ok(false);
            }
            at = range.end();
        }
        Ok(true)
    }
}
