//! An image one stretch of which comes from elsewhere.

use std::io;
use std::sync::Arc;

use crate::disk::block::{BlockRead, past_end};
use crate::disk::range::ByteRange;

/// The first `size` bytes of a base, but for a range that another medium fills.
pub(super) struct Spliced {
    base: Arc<dyn BlockRead>,
    size: u64,
    range: ByteRange,
    patch: Box<dyn BlockRead>,
}

impl Spliced {
    /// The first `size` bytes of `base` with `patch` from `start` on.
    pub(super) fn new(
        base: Arc<dyn BlockRead>,
        size: u64,
        start: u64,
        patch: Box<dyn BlockRead>,
    ) -> io::Result<Self> {
        let range = ByteRange::with_len(start, patch.size()).filter(|range| range.end() <= size);
        match range {
            Some(range) if size <= base.size() => Ok(Self { base, size, range, patch }),
            _ => Err(past_end(start, 0, size)),
        }
    }

    /// The next bytes that lie together, as a length; and where in the patch they are, if they are there.
    fn run(&self, offset: u64, len: u64) -> (u64, Option<u64>) {
        if offset < self.range.start() {
            (len.min(self.range.start() - offset), None)
        } else if offset < self.range.end() {
            (len.min(self.range.end() - offset), Some(offset - self.range.start()))
        } else {
            (len, None)
        }
    }
}

impl BlockRead for Spliced {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.size) {
            return Err(past_end(offset, buf.len(), self.size));
        }
        while !buf.is_empty() {
            let (len, patched) = self.run(offset, buf.len() as u64);
            // No longer than the buffer.
            let (now, rest) = buf.split_at_mut(len as usize);
            match patched {
                Some(at) => self.patch.read_at(at, now)?,
                None => self.base.read_at(offset, now)?,
            }
            (offset, buf) = (offset + len, rest);
        }
        Ok(())
    }

    fn is_hole(&self, offset: u64, len: u64) -> bool {
        if offset.checked_add(len).is_none_or(|end| end > self.size) {
            return false;
        }
        match self.run(offset, len) {
            (run, Some(at)) => run == len && self.patch.is_hole(at, len),
            (run, None) => run == len && self.base.is_hole(offset, len),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Spliced;
    use crate::disk::block::BlockRead;

    #[test]
    fn reads_across_both_seams() {
        let base: Arc<dyn BlockRead> = Arc::new(vec![1u8; 100]);
        let spliced = Spliced::new(Arc::clone(&base), 80, 20, Box::new(vec![2u8; 30])).unwrap();
        let expected: Vec<u8> = (0..80).map(|at| if (20..50).contains(&at) { 2 } else { 1 }).collect();
        for start in 0..=80 {
            for end in start..=80 {
                let mut buf = vec![0; end - start];
                spliced.read_at(start as u64, &mut buf).unwrap();
                assert!(buf == expected[start..end], "{start}..{end}");
            }
        }
        assert!(spliced.read_at(80, &mut [0]).is_err());
        assert!(Spliced::new(Arc::clone(&base), 101, 0, Box::new(vec![0u8; 1])).is_err());
        assert!(Spliced::new(base, 80, 60, Box::new(vec![0u8; 21])).is_err());
    }
}
