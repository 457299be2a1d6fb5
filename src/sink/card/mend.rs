//! What read back wrong is written once more; a card that gets it wrong twice is failed.

use sha2::Digest;

use super::differ::first_difference;
use super::ledger::Claim;
use super::medium::CardMedium;
use super::report::Tally;
use super::work::Work;
use crate::disk::range::ByteRange;
use crate::sink::error::SinkError;

impl<M: CardMedium> Work<'_, M> {
    /// Rewrites the pieces of a broken claim that are wrong on the medium; all of them, when a second reading
    /// finds none.
    pub(super) fn mend(&self, claim: &Claim, tally: &mut Tally) -> Result<(), SinkError> {
        self.check_image(claim)?;
        let mut wrong = Vec::new();
        for piece in &claim.pieces {
            self.job.interrupt.check()?;
            let mut back = self.buffers.take(piece.len());
            self.read(piece.start(), &mut back)?;
            if first_difference(&back, &self.image(*piece)?).is_some() {
                wrong.push(*piece);
            }
        }
        for piece in if wrong.is_empty() { &claim.pieces } else { &wrong } {
            self.job.interrupt.check()?;
            if let Some(first) = self.put(piece.start(), &self.image(*piece)?)? {
                return Err(self.mismatch(first));
            }
            tally.rewritten.push(*piece);
        }
        Ok(())
    }

    /// An image that is no longer what was written is not the card's fault, and must not be written.
    fn check_image(&self, claim: &Claim) -> Result<(), SinkError> {
        let mut hasher = claim.before.clone();
        for piece in &claim.pieces {
            self.job.interrupt.check()?;
            hasher.update(&*self.image(*piece)?);
        }
        if *hasher.finalize() == claim.sha256 {
            return Ok(());
        }
        let all = claim.pieces.first().zip(claim.pieces.last());
        let all = all.and_then(|(first, last)| ByteRange::new(first.start(), last.end()));
        let (offset, len) = all.map_or((0, 0), |all| (all.start(), all.len()));
        Err(SinkError::ImageChanged { offset, len })
    }
}
