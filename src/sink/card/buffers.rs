//! Memory for requests, used again and again.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use super::{IN_FLIGHT, REQUEST};
use crate::device::aligned::AlignedBuf;
use crate::sink::in_order::WAITING;

/// The most a card may take: requests under way and waiting, as many again to compare with, and the head
/// twice.
const MOST: u64 = (IN_FLIGHT.get() * (WAITING + 1) + 1 + IN_FLIGHT.get() + 2) as u64 * REQUEST;
const _: () = assert!(MOST <= 32 << 20);

/// Buffers of [`REQUEST`] bytes. As many exist as were in use at once.
#[derive(Default)]
pub(super) struct Buffers(Mutex<Vec<AlignedBuf>>);

impl Buffers {
    /// A buffer for a request of `len` bytes, whose content means nothing; it comes back when it is dropped.
    pub(super) fn take(&self, len: u64) -> Lent<'_> {
        let len = len.min(REQUEST) as usize;
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Lent { buffer: Some(free.unwrap_or_else(|| AlignedBuf::zeroed(REQUEST as usize))), len, from: self }
    }
}

/// A buffer on loan.
pub(super) struct Lent<'a> {
    /// Gone only while it is dropped.
    buffer: Option<AlignedBuf>,
    len: usize,
    from: &'a Buffers,
}

impl Deref for Lent<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], |buffer| &buffer[..self.len])
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.buffer.as_mut().map_or(&mut [], |buffer| &mut buffer[..self.len])
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut free = self.from.0.lock().unwrap_or_else(PoisonError::into_inner);
        free.extend(self.buffer.take());
    }
}

#[cfg(test)]
mod tests {
    use super::Buffers;

    #[test]
    fn buffers_are_used_again() {
        let buffers = Buffers::default();
        let (first, second) = (buffers.take(100), buffers.take(1 << 20));
        assert_eq!((first.len(), second.len()), (100, 1 << 20));
        assert_eq!(first.as_ptr().align_offset(4096), 0);
        let at = first.as_ptr();
        drop(first);
        assert_eq!(buffers.take(512).as_ptr(), at);
        drop(second);
        assert_eq!(buffers.0.lock().unwrap().len(), 2);
    }
}
