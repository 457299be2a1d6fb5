//! Progress as events: the core emits, the terminal room decides what a person sees.

/// A stretch of work with a known length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Downloading a file of an archive.
    Downloading,
    /// Hashing the published image file.
    Checking,
    /// Unpacking the published image into the cache.
    Decoding,
    /// Reading back what was injected, before anything is handed over.
    Proving,
    /// Writing an image file.
    Baking,
    /// Trying whether a card is as large as it claims.
    Probing,
    /// Writing to a card.
    Writing,
    /// Reading a card back.
    Verifying,
    /// Reading what is in use into an archive.
    Capturing,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A phase began; `total` in bytes, where it is known beforehand.
    Start {
        /// Which phase.
        phase: Phase,
        /// What it works on: a file name, a node, a card.
        subject: String,
        /// Bytes the phase will go through.
        total: Option<u64>,
    },
    /// A phase has gone through `done` bytes in all.
    Advance {
        /// Which phase.
        phase: Phase,
        /// What it works on.
        subject: String,
        /// Bytes gone through since it began.
        done: u64,
    },
    /// What a phase has gone through takes `stored` bytes in the file that is written.
    Stored {
        /// Which phase.
        phase: Phase,
        /// What it works on.
        subject: String,
        /// Bytes in the file so far.
        stored: u64,
    },
    /// A phase ended.
    Finish {
        /// Which phase.
        phase: Phase,
        /// What it works on.
        subject: String,
    },
    /// Something a person should read: not an error.
    Note(String),
}

/// Receives events, from any thread.
pub trait Progress: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event);
}

/// Hears nothing: for tests and for commands that show nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _event: Event) {}
}
