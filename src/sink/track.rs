//! One phase of work, from its start to its end, as progress events.

use crate::progress::{Event, Phase, Progress};

/// A phase that is under way; its end is told when it is dropped.
pub(super) struct Track<'a> {
    progress: &'a dyn Progress,
    phase: Phase,
    subject: String,
}

impl<'a> Track<'a> {
    pub(super) fn start(
        progress: &'a dyn Progress,
        phase: Phase,
        subject: impl Into<String>,
        total: u64,
    ) -> Self {
        let track = Self { progress, phase, subject: subject.into() };
        progress.event(Event::Start { phase, subject: track.subject.clone(), total: Some(total) });
        track
    }

    pub(super) fn advance(&self, done: u64) {
        self.progress.event(Event::Advance { phase: self.phase, subject: self.subject.clone(), done });
    }
}

impl Drop for Track<'_> {
    fn drop(&mut self) {
        self.progress.event(Event::Finish { phase: self.phase, subject: self.subject.clone() });
    }
}
