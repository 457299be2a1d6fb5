//! One phase of work, from its start to its end, as progress events.

use std::cell::Cell;

use crate::progress::{Event, Phase, Progress};

/// Bytes, or parts of the whole where that is more, between two events.
const STEP: u64 = 1 << 20;
const STEPS: u64 = 500;

/// A phase that is under way; its end is told when it is dropped.
pub(crate) struct Track<'a> {
    progress: &'a dyn Progress,
    phase: Phase,
    subject: String,
    total: u64,
    told: Cell<u64>,
}

impl<'a> Track<'a> {
    pub(crate) fn start(
        progress: &'a dyn Progress,
        phase: Phase,
        subject: impl Into<String>,
        total: u64,
    ) -> Self {
        let track = Self { progress, phase, subject: subject.into(), total, told: Cell::new(0) };
        progress.event(Event::Start { phase, subject: track.subject.clone(), total: Some(total) });
        track
    }

    pub(crate) fn advance(&self, done: u64) {
        let step = STEP.max(self.total / STEPS);
        if done < self.total && done.saturating_sub(self.told.get()) < step {
            return;
        }
        self.told.set(done);
        self.progress.event(Event::Advance { phase: self.phase, subject: self.subject.clone(), done });
    }

    /// As [`advance`](Self::advance), of work whose result has taken `stored` bytes so far.
    pub(crate) fn advance_storing(&self, done: u64, stored: u64) {
        let before = self.told.get();
        self.advance(done);
        if self.told.get() != before {
            self.progress.event(Event::Stored { phase: self.phase, subject: self.subject.clone(), stored });
        }
    }
}

impl Drop for Track<'_> {
    fn drop(&mut self) {
        self.progress.event(Event::Finish { phase: self.phase, subject: self.subject.clone() });
    }
}
