//! What was written is read back from the medium and compared.

use std::time::Instant;

use sha2::{Digest, Sha256};

use super::body::Written;
use super::ledger::Claim;
use super::medium::CardMedium;
use super::report::{Mode, Tally};
use super::work::Work;
use crate::device::aligned::AlignedBuf;
use crate::disk::range::ByteRange;
use crate::progress::Phase;
use crate::sink::error::SinkError;

/// Everything but the head is on the medium, as the image has it.
pub(super) struct Verified {
    pub(super) mode: Mode,
    pub(super) discarded: bool,
    pub(super) digests: Vec<[u8; 32]>,
    pub(super) head: AlignedBuf,
    pub(super) tally: Tally,
}

impl<M: CardMedium> Work<'_, M> {
    /// Reads back what was written, and mends once what reads back wrong.
    pub(super) fn verify(&self, written: Written) -> Result<Verified, SinkError> {
        let Written { mode, discarded, digests, claims, head, mut tally } = written;
        let began = Instant::now();
        for claim in self.broken(&claims, &mut tally)? {
            self.mend(claim, &mut tally)?;
        }
        tally.verifying = began.elapsed();
        Ok(Verified { mode, discarded, digests, head, tally })
    }

    /// The claims that do not hold.
    fn broken<'c>(&self, claims: &'c [Claim], tally: &mut Tally) -> Result<Vec<&'c Claim>, SinkError> {
        let pieces: Vec<ByteRange> = claims.iter().flat_map(|claim| claim.pieces.iter().copied()).collect();
        let track = self.track(Phase::Verifying, pieces.iter().map(|piece| piece.len()).sum());
        let mut broken = Vec::new();
        let mut left = claims.iter();
        // The claim under way: how many of its pieces are still to come, and what was read so far.
        let mut current: Option<(&Claim, usize, Sha256)> = None;
        self.read_each(&pieces, |index, back| {
            let begin = || left.next().map(|claim| (claim, claim.pieces.len(), claim.before.clone()));
            let Some((claim, more, mut hasher)) = current.take().or_else(begin) else { return Ok(()) };
            hasher.update(back);
            if more > 1 {
                current = Some((claim, more - 1, hasher));
            } else if *hasher.finalize() != claim.sha256 {
                broken.push(claim);
            }
            tally.read_back += pieces[index].len();
            track.advance(tally.read_back);
            Ok(())
        })?;
        Ok(broken)
    }
}
