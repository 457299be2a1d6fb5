//! How far an image has arrived, piece by piece: between those who decode it and those who read it already.
//!
//! A piece can be decoded without the others. Pieces are taken in rising order, but one that somebody waits
//! for comes first, and the one behind it next. Nothing is given out of a piece before its own check has
//! passed, unless the whole file is known to be right, and nothing at all once the decoding has failed: what
//! is read is right, or an error.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::error::SourceError;
use super::stamp::Stamp;

/// The state of an image that arrives. Its decoders, its writer and its readers share it.
pub(super) struct Arrival {
    /// Whether what is decoded is right even before the piece's own check says so.
    trusted: bool,
    inner: Mutex<Inner>,
    changed: Condvar,
}

struct Inner {
    /// Rising and without gaps.
    pieces: Vec<Piece>,
    /// Pieces that somebody waits for, the longest first; taken ones may still be among them.
    wanted: VecDeque<usize>,
    /// Likely to be waited for next: files and tables often go on in the next piece.
    likely: usize,
    /// All pieces before this one are taken.
    next: usize,
    /// Nobody reads it any more.
    abandoned: bool,
    /// How it ended: the finished file's stamp, or why there is none.
    outcome: Option<Result<Stamp, SourceError>>,
}

struct Piece {
    /// Its end in the image, in bytes; it begins where the one before it ends.
    end: u64,
    state: State,
    /// Up to where in the image it can be read although it is not complete.
    upto: u64,
    /// Somebody waits for it, or did.
    wanted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Untouched,
    Taken,
    Here,
}

impl Arrival {
    /// An image of pieces that end at these offsets, none of which is there. `trusted` when the digest of
    /// the packed file is the one it was published with: then there is no need to wait for the checks of its
    /// pieces before they are read.
    pub(super) fn new(ends: impl IntoIterator<Item = u64>, trusted: bool) -> Self {
        let piece = |end| Piece { end, state: State::Untouched, upto: 0, wanted: false };
        let inner = Inner {
            pieces: ends.into_iter().map(piece).collect(),
            wanted: VecDeque::new(),
            likely: 0,
            next: 0,
            abandoned: false,
            outcome: None,
        };
        Self { trusted, inner: Mutex::new(inner), changed: Condvar::new() }
    }

    /// The next piece to decode; nobody else gets it.
    pub(super) fn take(&self) -> Option<usize> {
        let mut inner = self.lock();
        if let Some(index) = inner.take_wanted().or_else(|| inner.take_likely()) {
            return Some(index);
        }
        let rest = inner.pieces.get(inner.next..)?;
        let next = inner.next + rest.iter().position(|piece| piece.state == State::Untouched)?;
        inner.next = next + 1;
        inner.pieces[next].state = State::Taken;
        Some(next)
    }

    /// A piece that is waited for, to be decoded before `current` goes on, unless that is waited for too.
    pub(super) fn take_before(&self, current: usize) -> Option<usize> {
        let mut inner = self.lock();
        if inner.pieces.get(current).is_none_or(|piece| piece.wanted) {
            return None;
        }
        inner.take_wanted()
    }

    /// A piece has been decoded and written, in order, up to this offset in the image; its check is yet to
    /// come.
    pub(super) fn reached(&self, offset: u64) {
        if !self.trusted {
            return;
        }
        let mut inner = self.lock();
        let index = inner.pieces.partition_point(|piece| piece.end < offset);
        if let Some(piece) = inner.pieces.get_mut(index) {
            piece.upto = offset;
        }
        self.changed.notify_all();
    }

    /// A piece has been decoded, found right and written.
    pub(super) fn arrived(&self, piece: usize) {
        if let Some(piece) = self.lock().pieces.get_mut(piece) {
            piece.state = State::Here;
        }
        self.changed.notify_all();
    }

    /// It is whole, or will never be.
    pub(super) fn finish(&self, outcome: Result<Stamp, SourceError>) {
        self.lock().outcome = Some(outcome);
        self.changed.notify_all();
    }

    /// Nobody will read it any more.
    pub(super) fn abandon(&self) {
        self.lock().abandoned = true;
    }

    /// Whether nobody will read it any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.lock().abandoned
    }

    /// Waits until these bytes of the image are there.
    ///
    /// # Errors
    /// Why they will never be.
    pub(super) fn wait_for(&self, range: Range<u64>) -> Result<(), SourceError> {
        let mut inner = self.lock();
        loop {
            match &inner.outcome {
                Some(outcome) => return outcome.clone().map(drop),
                None if inner.holds(&range) => return Ok(()),
                None => inner.want(&range),
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether these bytes are there already.
    pub(super) fn holds(&self, range: Range<u64>) -> bool {
        let inner = self.lock();
        inner.outcome.as_ref().map_or_else(|| inner.holds(&range), Result::is_ok)
    }

    /// Waits for the end; the stamp of the finished file.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn wait_for_all(&self) -> Result<Stamp, SourceError> {
        let mut inner = self.lock();
        loop {
            if let Some(outcome) = &inner.outcome {
                return outcome.clone();
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How it ended, if it has.
    pub(super) fn outcome(&self) -> Option<Result<Stamp, SourceError>> {
        self.lock().outcome.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn take_wanted(&mut self) -> Option<usize> {
        while let Some(wanted) = self.wanted.pop_front() {
            let piece = &mut self.pieces[wanted];
            if piece.state == State::Untouched {
                piece.state = State::Taken;
                return Some(wanted);
            }
        }
        None
    }

    fn take_likely(&mut self) -> Option<usize> {
        let piece = self.pieces.get_mut(self.likely).filter(|piece| piece.state == State::Untouched)?;
        piece.state = State::Taken;
        Some(self.likely)
    }

    /// The pieces that any of these bytes lie in.
    fn pieces_of(&self, range: &Range<u64>) -> Range<usize> {
        let first = self.pieces.partition_point(|piece| piece.end <= range.start);
        let last = self.pieces.partition_point(|piece| piece.end < range.end);
        first..if range.is_empty() { first } else { (last + 1).min(self.pieces.len()) }
    }

    fn holds(&self, range: &Range<u64>) -> bool {
        let pieces = &self.pieces[self.pieces_of(range)];
        pieces.iter().all(|piece| piece.state == State::Here || piece.upto >= range.end.min(piece.end))
    }

    fn want(&mut self, range: &Range<u64>) {
        for index in self.pieces_of(range) {
            let piece = &mut self.pieces[index];
            if std::mem::replace(&mut piece.wanted, true) {
                continue;
            }
            if piece.state == State::Untouched {
                self.wanted.push_back(index);
            }
            self.likely = index + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::Arrival;
    use crate::interrupt::Interrupted;
    use crate::source::error::SourceError;
    use crate::source::stamp::Stamp;

    /// Asks until there is an answer: another thread is about to give one.
    fn eventually<T>(ask: impl Fn() -> Option<T>) -> T {
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            thread::yield_now();
        }
    }

    #[test]
    fn pieces_are_taken_once_in_rising_order() {
        let arrival = Arrival::new([10, 10, 30], false);
        assert_eq!([(); 4].map(|()| arrival.take()), [Some(0), Some(1), Some(2), None]);
        assert_eq!(arrival.take_before(7), None);
    }

    #[test]
    fn what_is_waited_for_comes_first_and_only_once() {
        let arrival = Arrival::new([10, 20, 30, 40, 50], false);
        assert_eq!(arrival.take(), Some(0));
        thread::scope(|scope| {
            // Reaches two pieces; an empty piece's range reaches none.
            let reader = scope.spawn(|| arrival.wait_for(29..31));
            arrival.wait_for(5..5).unwrap();
            assert_eq!(eventually(|| arrival.take_before(0)), 2);
            assert_eq!(arrival.take_before(2), None, "what is waited for itself goes on");
            assert_eq!(arrival.take(), Some(3));
            assert_eq!(arrival.take(), Some(4), "what lies behind");
            assert_eq!(arrival.take(), Some(1));
            assert_eq!(arrival.take(), None);
            arrival.arrived(2);
            assert!(arrival.holds(20..30));
            assert!(!arrival.holds(20..31));
            assert!(!reader.is_finished());
            arrival.arrived(3);
            reader.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_piece_is_read_before_its_check_only_where_the_file_is_trusted() {
        for trusted in [true, false] {
            let arrival = Arrival::new([10, 20], trusted);
            arrival.reached(15);
            for (range, there) in [(10..15, trusted), (12..13, trusted), (10..16, false), (9..15, false)] {
                assert_eq!(arrival.holds(range.clone()), there, "{range:?}");
            }
            arrival.reached(20);
            assert_eq!(arrival.holds(10..20), trusted);
            arrival.arrived(0);
            assert!(arrival.holds(0..10));
            assert_eq!(arrival.holds(0..20), trusted);
        }
    }

    #[test]
    fn the_end_wakes_everybody() {
        for whole in [true, false] {
            let arrival = Arrival::new([10, 20], false);
            let stamp = Stamp::of(&tempfile::tempfile().unwrap().metadata().unwrap());
            arrival.arrived(0);
            thread::scope(|scope| {
                let readers = [0..20, 15..16, 19..20].map(|range| scope.spawn(|| arrival.wait_for(range)));
                let waiter = scope.spawn(|| arrival.wait_for_all());
                arrival.finish(if whole { Ok(stamp) } else { Err(Interrupted.into()) });
                for reader in readers {
                    assert_eq!(reader.join().unwrap().is_ok(), whole);
                }
                assert_eq!(waiter.join().unwrap().is_ok_and(|found| found == stamp), whole);
            });
            assert_eq!(arrival.holds(0..20), whole);
            let after = arrival.wait_for(0..10);
            assert_eq!(matches!(after, Err(SourceError::Interrupted(_))), !whole, "nothing after a failure");
        }
    }
}
