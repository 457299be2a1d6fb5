//! What is to be done to one card, and what state it is in when that failed.

use std::fmt;

use super::ranges::ImageRanges;
use crate::disk::block::BlockRead;
use crate::error::ExitCode;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::sink::error::{SinkError, Unsound};

/// What is to be written and who is told about it.
pub struct CardJob<'a> {
    /// The image. Reading it may take as long as it takes to decode: it is read once, in rising order, but for
    /// small samples up to 64 MiB ahead when the card may hold some of it already.
    pub image: &'a dyn BlockRead,
    /// What of it is written.
    pub ranges: ImageRanges,
    /// Asked once everything but the first MiB is proved: whether the image was what it should be, all of it,
    /// what was not read of it included. Only then the card is made bootable.
    pub vouch: &'a (dyn Fn() -> Result<(), Unsound> + Sync),
    /// Writes everything, whatever the card holds.
    pub rewrite: bool,
    /// Has the reader let go of the card in the end.
    pub eject: bool,
    /// What lies at an offset, for messages: a partition, a file.
    pub place: &'a (dyn Fn(u64) -> Option<String> + Sync),
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
