//! The first MiB, with the partition table, follows last.

use std::time::Instant;

use super::HEAD;
use super::medium::CardMedium;
use super::report::CardReport;
use super::verify::Verified;
use super::work::{Work, zeros};
use crate::disk::range::ByteRange;
use crate::sink::error::SinkError;

impl<M: CardMedium> Work<'_, M> {
    /// Writes the head, flushes and reads it back.
    pub(super) fn head(&self, verified: Verified) -> Result<CardReport, SinkError> {
        let Verified { mode, discarded, digests, head, mut tally } = verified;
        let began = Instant::now();
        if !head.is_empty() && self.put_surely(0, &head)? {
            tally.rewritten.extend(ByteRange::new(0, head.len() as u64));
        }
        tally.written += head.len() as u64;
        tally.read_back += head.len() as u64;
        tally.writing += began.elapsed();
        let digests = self.layout.spans.iter().zip(&digests).map(|(span, sha256)| span.digest(sha256));
        Ok(CardReport {
            digests: digests.collect(),
            image_size: self.job.ranges.image_size(),
            used: self.layout.used,
            mode,
            discarded,
            tally,
        })
    }

    /// Zeros the head again after a failed last step, as far as the card lets it. Whether it did.
    pub(super) fn take_head_back(&self) -> bool {
        let zeros = zeros(&self.buffers, HEAD.min(self.medium.size()));
        matches!(self.put(0, &zeros), Ok(None))
    }
}
