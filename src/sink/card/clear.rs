//! Both ends of a card are zeroed, so that whatever happens next it does not boot.

use std::time::Instant;

use super::medium::CardMedium;
use super::report::Tally;
use super::sample::Sampled;
use super::work::{Work, zeros};
use super::{HEAD, TAIL};
use crate::disk::range::ByteRange;
use crate::sink::error::SinkError;

/// Both ends are zero, and were read back so.
pub(super) struct Cleared {
    pub(super) sampled: Sampled,
    pub(super) tally: Tally,
    pub(super) began: Instant,
}

impl<M: CardMedium> Work<'_, M> {
    /// Zeros the first and the last MiB. The last one also where the image reaches it: it need not be all in
    /// use, and what the rest held must not come back to life. A card that takes writes without keeping them
    /// shows here, before the long write.
    pub(super) fn clear(&self, sampled: Sampled) -> Result<Cleared, SinkError> {
        let began = Instant::now();
        let mut tally = Tally::default();
        for end in ends(self.medium.size()) {
            if self.put_surely(end.start(), &zeros(&self.buffers, end.len()))? {
                tally.rewritten.push(end);
            }
        }
        Ok(Cleared { sampled, tally, began })
    }
}

/// The first and the last MiB of a card, as far as it has both.
fn ends(size: u64) -> impl Iterator<Item = ByteRange> {
    let head = HEAD.min(size);
    [ByteRange::new(0, head), ByteRange::new(size.saturating_sub(TAIL).max(head), size)]
        .into_iter()
        .flatten()
        .filter(|end| !end.is_empty())
}
