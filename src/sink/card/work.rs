//! What all steps work with: a medium, a job, and how to read, write and prove a piece.

use std::io;

use super::buffers::{Buffers, Lent};
use super::differ::first_difference;
use super::job::CardJob;
use super::layout::Layout;
use super::medium::CardMedium;
use super::{IN_FLIGHT, REQUEST};
use crate::disk::range::ByteRange;
use crate::progress::Phase;
use crate::sink::error::{Mismatch, SinkError};
use crate::sink::in_order::in_order;
use crate::sink::track::Track;

/// One card, one job.
pub(super) struct Work<'a, M> {
    pub(super) medium: &'a M,
    pub(super) job: &'a CardJob<'a>,
    pub(super) layout: Layout,
    pub(super) buffers: Buffers,
}

impl<'a, M: CardMedium> Work<'a, M> {
    /// The work of a job on a medium; nothing is read or written yet.
    pub(super) fn new(medium: &'a M, job: &'a CardJob<'a>) -> Result<Self, SinkError> {
        let layout = Layout::new(&job.ranges, medium.block(), medium.size())?;
        Ok(Self { medium, job, layout, buffers: Buffers::default() })
    }

    pub(super) fn write(&self, offset: u64, data: &[u8]) -> Result<(), SinkError> {
        self.medium.write_at(offset, data).map_err(|source| self.refused("writing", offset, source))
    }

    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), SinkError> {
        self.medium.read_back_at(offset, buf).map_err(|source| self.refused("reading back", offset, source))
    }

    fn refused(&self, doing: &'static str, offset: u64, source: io::Error) -> SinkError {
        SinkError::Card { doing, offset, place: (self.job.place)(offset), source }
    }

    pub(super) fn flush(&self) -> Result<(), SinkError> {
        self.medium.flush().map_err(SinkError::Flush)
    }

    /// The image's bytes of a range of one request, and zeros beyond its end.
    pub(super) fn image(&self, range: ByteRange) -> Result<Lent<'_>, SinkError> {
        let mut data = self.buffers.take(range.len());
        let (image, offset) = (self.job.image, range.start());
        let there = image.size().saturating_sub(offset).min(data.len() as u64);
        let (inside, beyond) = data.split_at_mut(there as usize);
        beyond.fill(0);
        if image.is_hole(offset, there) {
            inside.fill(0);
        } else {
            image.read_at(offset, inside).map_err(|source| SinkError::Image { offset, source })?;
        }
        Ok(data)
    }

    /// Reads ranges of one request each from the medium, several at a time, and hands them over in order.
    pub(super) fn read_each(
        &self,
        ranges: &[ByteRange],
        mut take: impl FnMut(usize, &[u8]) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        let read = |(): &mut (), index: usize| {
            self.job.interrupt.check()?;
            let mut back = self.buffers.take(ranges[index].len());
            self.read(ranges[index].start(), &mut back)?;
            Ok((index, back))
        };
        in_order(
            ranges.len(),
            IN_FLIGHT,
            || Ok::<(), SinkError>(()),
            read,
            |(index, back)| take(index, &back),
        )
    }

    /// Writes a piece, flushes and reads it back; the first byte that differs, if one does.
    pub(super) fn put(&self, offset: u64, data: &[u8]) -> Result<Option<u64>, SinkError> {
        self.write(offset, data)?;
        self.flush()?;
        let mut back = self.buffers.take(data.len() as u64);
        self.read(offset, &mut back)?;
        Ok(first_difference(&back, data).map(|at| offset + at as u64))
    }

    /// Like [`put`](Self::put), and once more if it reads back wrong; whether that was needed.
    pub(super) fn put_surely(&self, offset: u64, data: &[u8]) -> Result<bool, SinkError> {
        if self.put(offset, data)?.is_none() {
            return Ok(false);
        }
        match self.put(offset, data)? {
            None => Ok(true),
            Some(first) => Err(self.mismatch(first)),
        }
    }

    /// The error for a byte that stays wrong.
    pub(super) fn mismatch(&self, offset: u64) -> SinkError {
        SinkError::Mismatch(Mismatch { offset, place: (self.job.place)(offset) })
    }

    pub(super) fn track(&self, phase: Phase, total: u64) -> Track<'a> {
        Track::start(self.job.progress, phase, self.job.subject.as_str(), total)
    }
}

/// Bytes of zeros, one request at most.
pub(super) fn zeros(buffers: &Buffers, len: u64) -> Lent<'_> {
    let mut zeros = buffers.take(len.min(REQUEST));
    zeros.fill(0);
    zeros
}
