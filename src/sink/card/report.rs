//! What a card holds once it was written and proved.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::spans::SpanDigest;
use crate::disk::range::ByteRange;

/// How a card was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Everything was written, whatever the card held.
    #[default]
    Full,
    /// The card held some of it already: what was found equal was left as it was.
    Update,
}

/// What was counted and timed on the way.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) written: u64,
    pub(super) read_back: u64,
    pub(super) equal: u64,
    pub(super) rewritten: Vec<ByteRange>,
    pub(super) preparing: Duration,
    pub(super) writing: Duration,
    pub(super) verifying: Duration,
}

/// A card that holds what it should: nothing else makes one.
#[derive(Clone, Debug)]
pub struct CardReport {
    pub(super) digests: Vec<SpanDigest>,
    pub(super) image_size: u64,
    pub(super) used: u64,
    pub(super) mode: Mode,
    pub(super) discarded: bool,
    pub(super) tally: Tally,
}

impl CardReport {
    /// The digests of everything in use, all of it proved to be on the medium.
    #[must_use]
    pub fn digests(&self) -> &[SpanDigest] {
        &self.digests
    }

    /// Size of the image in bytes.
    #[must_use]
    pub fn image_size(&self) -> u64 {
        self.image_size
    }

    /// Bytes of the image that the card is proved to hold: those in use, rounded to what is written at once.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Bytes of the image that were written: [`used`](Self::used) without [`equal`](Self::equal). What is
    /// written to try the card, and what is rewritten, does not count.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.tally.written
    }

    /// Bytes read back after writing and compared.
    #[must_use]
    pub fn read_back(&self) -> u64 {
        self.tally.read_back
    }

    /// Bytes that the card held already, read from the medium and compared.
    #[must_use]
    pub fn equal(&self) -> u64 {
        self.tally.equal
    }

    /// Whether the card was written in full or updated.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the card was told beforehand that it holds nothing any more.
    #[must_use]
    pub fn discarded(&self) -> bool {
        self.discarded
    }

    /// What had read back wrong and was written once more, then rightly.
    #[must_use]
    pub fn rewritten(&self) -> &[ByteRange] {
        &self.tally.rewritten
    }

    /// How long trying the card took, discarding included.
    #[must_use]
    pub fn preparing(&self) -> Duration {
        self.tally.preparing
    }

    /// How long writing took, flushes and, in an update, comparing included.
    #[must_use]
    pub fn writing(&self) -> Duration {
        self.tally.writing
    }

    /// How long reading back took.
    #[must_use]
    pub fn verifying(&self) -> Duration {
        self.tally.verifying
    }

    /// Bytes a second while writing, those compared included; 0 when it took no time that could be measured.
    #[must_use]
    pub fn write_rate(&self) -> u64 {
        rate(self.used, self.writing())
    }

    /// Bytes a second while reading back; 0 when it took no time that could be measured.
    #[must_use]
    pub fn verify_rate(&self) -> u64 {
        rate(self.read_back(), self.verifying())
    }
}

fn rate(bytes: u64, took: Duration) -> u64 {
    let per_second = u128::from(bytes) * 1_000_000_000;
    per_second.checked_div(took.as_nanos()).and_then(|rate| u64::try_from(rate).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::rate;

    #[test]
    fn rates_are_bytes_a_second() {
        assert_eq!(rate(40_000_000, Duration::from_secs(2)), 20_000_000);
        assert_eq!(rate(5, Duration::ZERO), 0);
        assert_eq!(rate(u64::MAX, Duration::from_nanos(1)), 0);
    }
}
