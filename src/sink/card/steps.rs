//! The three steps, each giving what the next one takes.

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::medium::CardMedium;
use super::spans::{Span, SpanDigest};
use super::{CHUNK, HEAD, TAIL};
use crate::device::aligned::AlignedBuf;
use crate::disk::block::BlockRead;
use crate::disk::range::ByteRange;
use crate::interrupt::Interrupt;
use crate::progress::{Phase, Progress};
use crate::sink::error::{Mismatch, SinkError};
use crate::sink::track::Track;

/// What all steps work with.
pub(super) struct Steps<'a, M> {
    pub(super) medium: &'a mut M,
    pub(super) image: &'a dyn BlockRead,
    /// Where the image ends on the card.
    pub(super) end: u64,
    pub(super) place: &'a dyn Fn(u64) -> Option<String>,
    pub(super) progress: &'a dyn Progress,
    pub(super) subject: &'a str,
    pub(super) interrupt: &'a Interrupt,
    pub(super) buffer: AlignedBuf,
}

/// Both ends of the card are zero, and were read back so.
pub(super) struct Cleared(());

/// Everything but the head is on the medium, as the image has it.
pub(super) struct Verified {
    /// The digests of everything, the head's included.
    pub(super) digests: Vec<SpanDigest>,
    pub(super) writing: Duration,
    pub(super) verifying: Duration,
    head: AlignedBuf,
}

/// The head is on the medium too.
pub(super) struct Whole {
    pub(super) digests: Vec<SpanDigest>,
    pub(super) writing: Duration,
    pub(super) verifying: Duration,
}

impl<'a, M: CardMedium> Steps<'a, M> {
    /// Zeros the head and what of the last MiB the image does not reach. A card that takes writes without
    /// keeping them shows here, before the long write.
    pub(super) fn clear(&mut self) -> Result<Cleared, SinkError> {
        let size = self.medium.size();
        let tail = size.saturating_sub(TAIL).max(self.end).max(HEAD);
        let ends: Vec<ByteRange> =
            [ByteRange::new(0, HEAD.min(size)), ByteRange::new(tail, size)].into_iter().flatten().collect();
        for range in ends.iter().filter(|range| !range.is_empty()) {
            let zeros = AlignedBuf::zeroed(length(*range));
            self.medium.write_at(range.start(), &zeros).map_err(writing(range.start()))?;
        }
        self.medium.flush().map_err(SinkError::Flush)?;
        for range in ends.iter().filter(|range| !range.is_empty()) {
            let back = &mut self.buffer[..length(*range)];
            self.medium.read_back_at(range.start(), back).map_err(reading(range.start()))?;
            if let Some(first) = back.iter().position(|byte| *byte != 0) {
                return Err(self.mismatch(range.start() + first as u64, false));
            }
        }
        Ok(Cleared(()))
    }

    /// Writes everything but the head, flushes, reads it back from the medium and compares.
    pub(super) fn body(&mut self, _cleared: Cleared, spans: &[Span]) -> Result<Verified, SinkError> {
        let started = Instant::now();
        let mut head = AlignedBuf::zeroed(length_of(HEAD.min(self.medium.size())));
        read_image(self.image, 0, &mut head)?;
        let digests = self.write_body(spans, &head)?;
        self.medium.flush().map_err(SinkError::Flush)?;
        let writing = started.elapsed();
        let started = Instant::now();
        self.verify_body(spans, &digests, &head)?;
        let digests = spans.iter().zip(&digests).map(|(span, digest)| span.digest(*digest)).collect();
        Ok(Verified { digests, writing, verifying: started.elapsed(), head })
    }

    /// Writes the head, flushes and reads it back.
    pub(super) fn head(&mut self, verified: Verified) -> Result<Whole, SinkError> {
        let Verified { digests, writing: body_writing, verifying: body_verifying, head } = verified;
        let started = Instant::now();
        self.medium.write_at(0, &head).map_err(writing(0))?;
        self.medium.flush().map_err(SinkError::Flush)?;
        let writing = body_writing + started.elapsed();
        let started = Instant::now();
        let back = &mut self.buffer[..head.len()];
        self.medium.read_back_at(0, back).map_err(reading(0))?;
        if let Some(first) = first_difference(back, &head) {
            return Err(self.mismatch(first as u64, false));
        }
        Ok(Whole { digests, writing, verifying: body_verifying + started.elapsed() })
    }

    /// Zeros the head again after a failed last step, as far as the card lets it. Whether it did.
    pub(super) fn take_head_back(&mut self) -> bool {
        let zeros = AlignedBuf::zeroed(length_of(HEAD.min(self.medium.size())));
        let back = &mut self.buffer[..zeros.len()];
        self.medium.write_at(0, &zeros).is_ok()
            && self.medium.flush().is_ok()
            && self.medium.read_back_at(0, back).is_ok()
            && back.iter().all(|byte| *byte == 0)
    }

    fn write_body(&mut self, spans: &[Span], head: &[u8]) -> Result<Vec<[u8; 32]>, SinkError> {
        let track = self.track(Phase::Writing, spans);
        let mut digests = Vec::with_capacity(spans.len());
        let mut done = 0;
        for span in spans {
            let mut hasher = Sha256::new();
            for piece in &span.pieces {
                self.interrupt.check()?;
                if piece.end() <= HEAD {
                    hasher.update(&head[offset_in_head(piece.start())..offset_in_head(piece.end())]);
                    continue;
                }
                let data = &mut self.buffer[..length(*piece)];
                read_image(self.image, piece.start(), data)?;
                hasher.update(&*data);
                self.medium.write_at(piece.start(), data).map_err(writing(piece.start()))?;
                done += piece.len();
                track.advance(done);
            }
            digests.push(hasher.finalize().into());
        }
        Ok(digests)
    }

    fn verify_body(&mut self, spans: &[Span], digests: &[[u8; 32]], head: &[u8]) -> Result<(), SinkError> {
        let track = self.track(Phase::Verifying, spans);
        let mut done = 0;
        for (span, digest) in spans.iter().zip(digests) {
            let mut hasher = Sha256::new();
            for piece in &span.pieces {
                self.interrupt.check()?;
                if piece.end() <= HEAD {
                    // Its own step compares it.
                    hasher.update(&head[offset_in_head(piece.start())..offset_in_head(piece.end())]);
                    continue;
                }
                let back = &mut self.buffer[..length(*piece)];
                self.medium.read_back_at(piece.start(), back).map_err(reading(piece.start()))?;
                hasher.update(&*back);
                done += piece.len();
                track.advance(done);
            }
            if hasher.finalize().as_slice() != digest {
                return Err(self.locate(span, digest, head)?);
            }
        }
        Ok(())
    }

    /// Finds where a span that read back wrong differs, by reading both the card and the image again.
    fn locate(&mut self, span: &Span, written: &[u8; 32], head: &[u8]) -> Result<SinkError, SinkError> {
        let mut first = None;
        let mut hasher = Sha256::new();
        for piece in &span.pieces {
            if piece.end() <= HEAD {
                hasher.update(&head[offset_in_head(piece.start())..offset_in_head(piece.end())]);
                continue;
            }
            let mut expected = vec![0; length(*piece)];
            read_image(self.image, piece.start(), &mut expected)?;
            hasher.update(&expected);
            let back = &mut self.buffer[..length(*piece)];
            self.medium.read_back_at(piece.start(), back).map_err(reading(piece.start()))?;
            let differs = first_difference(back, &expected).map(|at| piece.start() + at as u64);
            first = first.or(differs);
        }
        if hasher.finalize().as_slice() != written {
            return Ok(SinkError::ImageChanged { offset: span.start(), len: span.end() - span.start() });
        }
        Ok(self.mismatch(first.unwrap_or(span.start().max(HEAD)), first.is_none()))
    }

    fn track(&self, phase: Phase, spans: &[Span]) -> Track<'a> {
        let total: u64 = spans.iter().map(Span::bytes).sum();
        Track::start(self.progress, phase, self.subject, total.saturating_sub(HEAD))
    }

    fn mismatch(&self, offset: u64, flaky: bool) -> SinkError {
        SinkError::Mismatch(Mismatch { offset, flaky, place: (self.place)(offset) })
    }
}

/// The buffer that any piece fits into.
pub(super) fn piece_buffer() -> AlignedBuf {
    AlignedBuf::zeroed(length_of(CHUNK))
}

/// Fills `data` with the image's bytes, and with zeros beyond its end.
fn read_image(image: &dyn BlockRead, offset: u64, data: &mut [u8]) -> Result<(), SinkError> {
    let there = length_of(image.size().saturating_sub(offset).min(data.len() as u64));
    let (inside, beyond) = data.split_at_mut(there);
    beyond.fill(0);
    if image.is_hole(offset, there as u64) {
        inside.fill(0);
        return Ok(());
    }
    image.read_at(offset, inside).map_err(|source| SinkError::Image { offset, source })
}

fn first_difference(one: &[u8], other: &[u8]) -> Option<usize> {
    if one == other {
        return None;
    }
    one.iter().zip(other).position(|(one, other)| one != other)
}

fn writing(offset: u64) -> impl FnOnce(std::io::Error) -> SinkError {
    move |source| SinkError::Card { doing: "writing", offset, source }
}

fn reading(offset: u64) -> impl FnOnce(std::io::Error) -> SinkError {
    move |source| SinkError::Card { doing: "reading back", offset, source }
}

/// Lengths of pieces are at most [`CHUNK`], which fits everywhere.
fn length(range: ByteRange) -> usize {
    length_of(range.len())
}

fn length_of(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn offset_in_head(offset: u64) -> usize {
    length_of(offset.min(HEAD))
}
