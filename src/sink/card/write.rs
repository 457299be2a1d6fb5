//! The whole of writing one card, and what state it is in whenever that ends.

use super::job::{CardFailure, CardJob, CardState};
use super::medium::CardMedium;
use super::report::CardReport;
use super::work::Work;
use crate::sink::error::SinkError;

/// Writes a card and proves it.
///
/// # Errors
/// When the image does not fit or cannot be read, the card refuses, is smaller than it claims or does not hold
/// what was written, or the run was asked to stop; with the state the card is in.
pub(super) fn write_card<M: CardMedium>(medium: &M, job: &CardJob<'_>) -> Result<CardReport, CardFailure> {
    let left = |state| move |error| CardFailure { error, state };
    let work = Work::new(medium, job).map_err(left(CardState::Untouched))?;
    let sampled = work.sample().map_err(left(CardState::Untouched))?;
    let going_on = || job.interrupt.check().map_err(SinkError::from);
    going_on().map_err(left(CardState::Untouched))?;
    let cleared = work.clear(sampled).map_err(left(CardState::Unclear))?;
    let verified = work
        .probe(cleared)
        .and_then(|probed| work.choose(probed))
        .and_then(|chosen| work.body(chosen))
        .and_then(|written| work.verify(written))
        // The last look: from here on it is quicker done than undone.
        .and_then(|verified| going_on().map(|()| verified))
        .and_then(|verified| (job.vouch)().map(|()| verified).map_err(SinkError::Unsound))
        .map_err(left(CardState::Blank))?;
    work.head(verified).map_err(|error| {
        let blank = work.take_head_back();
        CardFailure { error, state: if blank { CardState::Blank } else { CardState::Unclear } }
    })
}
