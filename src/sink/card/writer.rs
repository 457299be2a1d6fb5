//! The whole of writing one card, and what state it is in whenever that ends.

use std::fmt;
use std::time::Duration;

use super::medium::CardMedium;
use super::spans::{ImageRanges, Span, SpanDigest};
use super::steps::{Steps, Whole, piece_buffer};
use crate::disk::block::BlockRead;
use crate::error::ExitCode;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::sink::error::SinkError;

/// What is to be written and who is told about it.
pub struct CardJob<'a> {
    /// The image.
    pub image: &'a dyn BlockRead,
    /// What of it is written.
    pub ranges: ImageRanges,
    /// What lies at an offset, for messages: a partition, a file.
    pub place: &'a dyn Fn(u64) -> Option<String>,
    /// The card's name in progress events.
    pub subject: String,
    /// Hears about progress.
    pub progress: &'a dyn Progress,
    /// Looked at between any two writes or reads.
    pub interrupt: &'a Interrupt,
}

/// What a card is after a run, whole or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardState {
    /// Nothing was written.
    Untouched,
    /// Its first MiB may or may not have been zeroed.
    Unclear,
    /// Its first MiB is zero: no partition table, nothing to boot.
    Blank,
}

impl fmt::Display for CardState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untouched => "nothing was written to the card",
            Self::Unclear => "the start of the card is damaged: do not use it, flash it again or replace it",
            Self::Blank => "the card has no partition table and does not boot: flash it again",
        })
    }
}

/// Why a card was not written, and what state it was left in.
#[derive(Debug, thiserror::Error)]
#[error("writing the card failed; {state}")]
pub struct CardFailure {
    /// Why.
    #[source]
    pub error: SinkError,
    /// What the card is now.
    pub state: CardState,
}

impl CardFailure {
    /// The exit status it deserves.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        self.error.exit_code()
    }
}

/// A card that holds what it should: nothing else makes one.
#[derive(Clone, Debug)]
pub struct CardReport {
    digests: Vec<SpanDigest>,
    image_size: u64,
    written: u64,
    writing: Duration,
    verifying: Duration,
}

impl CardReport {
    /// The digests of what was written and read back.
    #[must_use]
    pub fn digests(&self) -> &[SpanDigest] {
        &self.digests
    }

    /// Size of the image in bytes.
    #[must_use]
    pub fn image_size(&self) -> u64 {
        self.image_size
    }

    /// Bytes of the image that were written and read back.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// How long writing took, flushes included.
    #[must_use]
    pub fn writing(&self) -> Duration {
        self.writing
    }

    /// How long reading back took.
    #[must_use]
    pub fn verifying(&self) -> Duration {
        self.verifying
    }
}

/// Writes a card and proves it.
///
/// # Errors
/// When the image does not fit or cannot be read, the card refuses or does not hold what was written, or the
/// run was asked to stop; with the state the card is in.
pub(super) fn write_card<M: CardMedium>(
    medium: &mut M,
    job: &CardJob<'_>,
) -> Result<CardReport, CardFailure> {
    let untouched = |error| CardFailure { error, state: CardState::Untouched };
    let spans = job.ranges.spans(medium.block(), medium.size()).map_err(untouched)?;
    job.interrupt.check().map_err(|interrupted| untouched(interrupted.into()))?;
    let written = spans.iter().map(Span::bytes).sum();
    let mut steps = Steps {
        end: job.ranges.end(medium.block()),
        medium,
        image: job.image,
        place: job.place,
        progress: job.progress,
        subject: &job.subject,
        interrupt: job.interrupt,
        buffer: piece_buffer(),
    };
    let cleared = steps.clear().map_err(|error| CardFailure { error, state: CardState::Unclear })?;
    let verified =
        steps.body(cleared, &spans).map_err(|error| CardFailure { error, state: CardState::Blank })?;
    match steps.head(verified) {
        Ok(Whole { digests, writing, verifying }) => {
            Ok(CardReport { digests, image_size: job.ranges.image_size(), written, writing, verifying })
        }
        Err(error) => {
            let state = if steps.take_head_back() { CardState::Blank } else { CardState::Unclear };
            Err(CardFailure { error, state })
        }
    }
}
