//! Where decoders put what they unpack: chunks that know their place, handed to another thread.

use std::ops::Range;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use crate::interrupt::Interrupted;
use crate::source::error::SourceError;

/// Size of every chunk but the last of a run, in bytes: large enough for writes a disk likes.
const CHUNK: usize = 1 << 20;

/// What a decoder has to say.
pub(in crate::source) enum Decoded {
    /// Made a stretch of the image.
    Chunk(Chunk),
    /// Sent all of this piece (its index in the layout), and found its checks to be right.
    Piece(usize),
}

/// A stretch of the image.
pub(in crate::source) struct Chunk {
    /// Its place in the image.
    pub(in crate::source) offset: u64,
    /// Never empty.
    pub(in crate::source) bytes: Vec<u8>,
    /// How many packed bytes were read for it.
    pub(in crate::source) consumed: u64,
}

/// Buffers to be filled again.
#[derive(Default)]
pub(in crate::source) struct Pool(Mutex<Vec<Vec<u8>>>);

impl Pool {
    /// Takes a buffer nobody needs any more.
    pub(in crate::source) fn put(&self, buffer: Vec<u8>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }

    /// A buffer of [`CHUNK`] bytes of whatever content.
    fn take(&self) -> Vec<u8> {
        let mut buffer = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        buffer.resize(CHUNK, 0);
        buffer
    }
}

/// Collects what a decoder makes: a run of the image without gaps.
pub(in crate::source) struct Output {
    buffer: Vec<u8>,
    filled: usize,
    /// Place in the image of the buffer's first byte.
    offset: u64,
    /// Place in the image where the run has to end: nothing is sent that passes it.
    end: u64,
    /// Place in the packed file up to which it was read, and how much of that no chunk has told yet.
    position: u64,
    consumed: u64,
    sender: SyncSender<Decoded>,
    pool: Arc<Pool>,
}

impl Output {
    /// Starts at the beginning of image and packed file; sends to `sender`, takes its buffers from `pool`.
    pub(in crate::source) fn new(sender: SyncSender<Decoded>, pool: Arc<Pool>) -> Self {
        Self {
            buffer: pool.take(),
            filled: 0,
            offset: 0,
            end: u64::MAX,
            position: 0,
            consumed: 0,
            sender,
            pool,
        }
    }

    /// An output for another decoder, for this range of the image, at `position` of the packed file.
    pub(super) fn at(&self, range: Range<u64>, position: u64) -> Self {
        Self {
            offset: range.start,
            end: range.end,
            position,
            ..Self::new(self.sender.clone(), Arc::clone(&self.pool))
        }
    }

    /// Where in the image the next byte goes.
    pub(super) fn offset(&self) -> u64 {
        self.offset + self.filled as u64
    }

    /// Where the next bytes go; empty only past the end of the run.
    pub(super) fn space(&mut self) -> &mut [u8] {
        &mut self.buffer[self.filled..]
    }

    /// Takes the first `made` bytes of [`Output::space`]; the packed file was read up to `position`.
    pub(super) fn advance(&mut self, made: usize, position: u64) -> Result<(), SourceError> {
        self.filled += made;
        self.consumed += position.saturating_sub(self.position);
        self.position = position;
        if self.filled == self.buffer.len() && self.offset() <= self.end { self.send_chunk() } else { Ok(()) }
    }

    /// Sends what is left.
    pub(super) fn finish(mut self) -> Result<(), SourceError> {
        if self.filled > 0 { self.send_chunk() } else { Ok(()) }
    }

    /// Sends what is left of a piece that was found right.
    pub(super) fn finish_piece(mut self, index: usize) -> Result<(), SourceError> {
        if self.filled > 0 {
            self.send_chunk()?;
        }
        self.send(Decoded::Piece(index))
    }

    fn send_chunk(&mut self) -> Result<(), SourceError> {
        let mut bytes = std::mem::replace(&mut self.buffer, self.pool.take());
        bytes.truncate(self.filled);
        let chunk = Chunk { offset: self.offset, bytes, consumed: std::mem::take(&mut self.consumed) };
        self.offset = self.offset();
        self.filled = 0;
        self.send(Decoded::Chunk(chunk))
    }

    /// Nobody listens once the writer has failed, and then its error is the one that is told.
    fn send(&self, decoded: Decoded) -> Result<(), SourceError> {
        self.sender.send(decoded).map_err(|_| Interrupted.into())
    }
}
