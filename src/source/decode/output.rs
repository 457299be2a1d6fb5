//! Where decoders put what they unpack: chunks of one size, handed to another thread.

use std::sync::mpsc::{Receiver, SyncSender};

use crate::interrupt::Interrupted;
use crate::source::error::SourceError;

/// Size of every chunk but the last, in bytes: large enough for writes a disk likes.
pub(in crate::source) const CHUNK: usize = 1 << 20;

/// The next bytes of the image.
pub(in crate::source) struct Chunk {
    /// [`CHUNK`] bytes, of which only the last chunk's may be fewer.
    pub(in crate::source) bytes: Vec<u8>,
    /// How far the packed file was read for it.
    pub(in crate::source) consumed: u64,
}

/// Collects what a decoder makes.
pub(in crate::source) struct Output {
    buffer: Vec<u8>,
    filled: usize,
    consumed: u64,
    chunks: SyncSender<Chunk>,
    spent: Receiver<Vec<u8>>,
}

impl Output {
    /// Sends to `chunks` and takes buffers nobody needs any more from `spent`.
    pub(in crate::source) fn new(chunks: SyncSender<Chunk>, spent: Receiver<Vec<u8>>) -> Self {
        Self { buffer: vec![0; CHUNK], filled: 0, consumed: 0, chunks, spent }
    }

    /// Where the next bytes go; never empty.
    pub(super) fn space(&mut self) -> &mut [u8] {
        &mut self.buffer[self.filled..]
    }

    /// Takes the first `made` bytes of [`Output::space`]; the packed file was read up to `consumed`.
    pub(super) fn advance(&mut self, made: usize, consumed: u64) -> Result<(), SourceError> {
        self.filled += made;
        self.consumed = consumed;
        if self.filled < CHUNK {
            return Ok(());
        }
        let mut next = self.spent.try_recv().unwrap_or_default();
        next.resize(CHUNK, 0);
        let bytes = std::mem::replace(&mut self.buffer, next);
        self.filled = 0;
        self.send(bytes)
    }

    /// Sends what is left.
    pub(super) fn finish(&mut self) -> Result<(), SourceError> {
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.truncate(self.filled);
        self.filled = 0;
        if bytes.is_empty() { Ok(()) } else { self.send(bytes) }
    }

    /// Nobody listens once the writer has failed, and then its error is the one that is told.
    fn send(&self, bytes: Vec<u8>) -> Result<(), SourceError> {
        self.chunks.send(Chunk { bytes, consumed: self.consumed }).map_err(|_| Interrupted.into())
    }
}
