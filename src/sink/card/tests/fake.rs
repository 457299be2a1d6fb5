//! A card in memory.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard};

use super::MIB;
use crate::disk::range::ByteRange;
use crate::interrupt::Interrupt;
use crate::sink::card::{CardMedium, HEAD};

/// What cards hold before they are written.
pub(super) const OLD: u8 = 0xa5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Write(u64, u64),
    Flush,
    Read(u64, u64),
    Discard(u64, u64),
}

/// What goes wrong, and when: ops are counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fault {
    #[default]
    None,
    /// This op fails, having half happened.
    Once(usize),
    /// The card drops off at this op.
    Gone(usize),
    /// The run is asked to stop during this op.
    Stop(usize),
    /// What is written to this byte has a bit flipped on the medium, each time.
    Flip(u64),
    /// The same, the first time only.
    FlipOnce(u64),
    /// The first byte of what is read from here is wrong, once, after it was written.
    Misread(u64),
    /// Reading this byte fails.
    Unreadable(u64),
    /// The card takes writes and keeps nothing.
    Stuck,
    /// The card has this many bytes and begins anew.
    Wraps(u64),
    /// The card has this many bytes and loses the rest.
    Loses(u64),
}

pub(super) struct FakeCard {
    size: u64,
    block: u64,
    is_device: bool,
    knows_discard: bool,
    fault: Fault,
    pub(super) interrupt: Interrupt,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    medium: Vec<u8>,
    /// Writes the card has taken but not yet put on the medium: lost when the power goes.
    cache: BTreeMap<u64, Vec<u8>>,
    ops: Vec<Op>,
    /// Whether what happens once has happened.
    over: bool,
}

impl FakeCard {
    /// A device in blocks of 4096 bytes.
    pub(super) fn new(size: u64, fault: Fault) -> Self {
        let state = State { medium: vec![OLD; size as usize], ..State::default() };
        Self {
            size,
            block: 4096,
            is_device: true,
            knows_discard: true,
            fault,
            interrupt: Interrupt::default(),
            state: Mutex::new(state),
        }
    }

    /// The same card put in again, with what it had taken: nothing was asked of it yet.
    pub(super) fn again(self, fault: Fault) -> Self {
        let mut state = std::mem::take(&mut *self.state());
        for (offset, data) in std::mem::take(&mut state.cache) {
            self.put(&mut state, offset, &data);
        }
        let medium = state.medium;
        let state = State { medium, ..State::default() };
        Self { fault, interrupt: Interrupt::default(), state: Mutex::new(state), ..self }
    }

    pub(super) fn with_block(self, block: u64) -> Self {
        Self { block, ..self }
    }

    pub(super) fn without_discard(self) -> Self {
        Self { knows_discard: false, ..self }
    }

    pub(super) fn holding(self, at: u64, content: &[u8]) -> Self {
        self.state().medium[at as usize..at as usize + content.len()].copy_from_slice(content);
        self
    }

    pub(super) fn medium(&self) -> Vec<u8> {
        self.state().medium.clone()
    }

    pub(super) fn ops(&self) -> Vec<Op> {
        self.state().ops.clone()
    }

    /// What the card has taken and not yet kept, by offset.
    pub(super) fn pending(&self) -> BTreeMap<u64, Vec<u8>> {
        self.state().cache.clone()
    }

    pub(super) fn writes(&self) -> Vec<ByteRange> {
        let write = |op| match op {
            Op::Write(offset, len) => ByteRange::with_len(offset, len),
            _ => None,
        };
        self.ops().into_iter().filter_map(write).collect()
    }

    pub(super) fn head_is_zero(&self) -> bool {
        self.state().medium[..HEAD as usize].iter().all(|byte| *byte == 0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Records an op; an error if it is the one to fail.
    fn begin(&self, state: &mut State, op: Op) -> io::Result<()> {
        let index = state.ops.len();
        state.ops.push(op);
        match self.fault {
            Fault::Once(at) if index == at => Err(io::Error::other("input/output error")),
            Fault::Gone(at) if index >= at => Err(io::Error::other("no such device")),
            Fault::Stop(at) if index == at => {
                self.interrupt.request();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn put(&self, state: &mut State, offset: u64, data: &[u8]) {
        let there = |at: u64| offset <= at && at - offset < data.len() as u64;
        match self.fault {
            Fault::Stuck => {}
            Fault::Wraps(real) | Fault::Loses(real) if offset + data.len() as u64 > real => {
                for (at, byte) in (offset..).zip(data) {
                    if at < real || matches!(self.fault, Fault::Wraps(_)) {
                        state.medium[(at % real) as usize] = *byte;
                    }
                }
            }
            _ => state.medium[offset as usize..offset as usize + data.len()].copy_from_slice(data),
        }
        match self.fault {
            Fault::Flip(at) if there(at) => state.medium[at as usize] ^= 0x10,
            Fault::FlipOnce(at) if there(at) && !state.over => {
                state.over = true;
                state.medium[at as usize] ^= 0x10;
            }
            _ => {}
        }
    }

    fn check(&self, offset: u64, buf: &[u8]) {
        let (len, block) = (buf.len() as u64, self.block);
        assert!(offset.is_multiple_of(block) && len.is_multiple_of(block), "{len} bytes at {offset}");
        assert!(len > 0 && len <= MIB && offset + len <= self.size, "{len} bytes at {offset}");
        assert_eq!(buf.as_ptr().align_offset(4096), 0);
    }
}

impl CardMedium for FakeCard {
    fn size(&self) -> u64 {
        self.size
    }

    fn block(&self) -> u64 {
        self.block
    }

    fn is_device(&self) -> bool {
        self.is_device
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check(offset, data);
        let mut state = self.state();
        if let Err(error) = self.begin(&mut state, Op::Write(offset, data.len() as u64)) {
            if matches!(self.fault, Fault::Once(_)) {
                self.put(&mut state, offset, &data[..data.len() / 2]);
            }
            return Err(error);
        }
        state.cache.insert(offset, data.to_vec());
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut state = self.state();
        let result = self.begin(&mut state, Op::Flush);
        let cache = std::mem::take(&mut state.cache);
        if result.is_ok() {
            for (offset, data) in cache {
                self.put(&mut state, offset, &data);
            }
        }
        result
    }

    fn read_back_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.check(offset, buf);
        let end = offset + buf.len() as u64;
        let mut state = self.state();
        let unflushed = |(at, data): (&u64, &Vec<u8>)| *at < end && at + data.len() as u64 > offset;
        assert!(!state.cache.iter().any(unflushed), "{offset} read back before flushing");
        self.begin(&mut state, Op::Read(offset, buf.len() as u64))?;
        match self.fault {
            Fault::Unreadable(at) if (offset..end).contains(&at) => {
                return Err(io::Error::other("bad block"));
            }
            Fault::Wraps(real) if end > real => {
                for (at, byte) in (offset..).zip(buf.iter_mut()) {
                    *byte = state.medium[(at % real) as usize];
                }
            }
            _ => buf.copy_from_slice(&state.medium[offset as usize..end as usize]),
        }
        let written = |op: &Op| matches!(op, Op::Write(at, _) if *at == offset);
        if self.fault == Fault::Misread(offset) && !state.over && state.ops.iter().any(written) {
            state.over = true;
            buf[0] ^= 1;
        }
        Ok(())
    }

    fn discard(&self, range: ByteRange) -> io::Result<()> {
        let mut state = self.state();
        self.begin(&mut state, Op::Discard(range.start(), range.len()))?;
        if !self.knows_discard {
            return Err(io::ErrorKind::Unsupported.into());
        }
        state.medium[range.start() as usize..range.end() as usize].fill(0xff);
        Ok(())
    }
}
