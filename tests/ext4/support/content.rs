//! File contents that need not be kept anywhere to be known.

use std::io::{self, Read};
use std::sync::Arc;

/// Bytes that follow from a number: the same number and size, the same bytes.
pub(crate) fn bytes(seed: u64, size: usize) -> Arc<[u8]> {
    let mut out = vec![0; size];
    fastrand::Rng::with_seed(seed).fill(&mut out);
    out.into()
}

/// A link's target of so many bytes, in names that are not too long.
pub(crate) fn target(length: usize) -> String {
    "ttttttt/".chars().cycle().take(length).collect()
}

/// Reads from a slice a few bytes at a time, as pipes and decoders do.
pub(crate) struct Trickle<'a> {
    rest: &'a [u8],
    step: usize,
}

impl<'a> Trickle<'a> {
    /// Hands out at most `step` bytes a read.
    pub(crate) fn new(rest: &'a [u8], step: usize) -> Self {
        Self { rest, step: step.max(1) }
    }
}

impl Read for Trickle<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.step.min(buf.len()).min(self.rest.len());
        buf[..count].copy_from_slice(&self.rest[..count]);
        self.rest = &self.rest[count..];
        Ok(count)
    }
}
