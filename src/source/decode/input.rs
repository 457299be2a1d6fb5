//! A packed file read in order, with the offset of the next byte always known.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

const BUFFER: usize = 256 << 10;

/// A buffered reader that counts. It reads by position, so it leaves the file's own offset alone.
pub(super) struct Input<'a> {
    file: &'a File,
    buffer: Vec<u8>,
    /// The part of `buffer` that was read and not consumed.
    unread: std::ops::Range<usize>,
    /// Offset in the file of the next byte to be consumed.
    offset: Rc<Cell<u64>>,
}

impl<'a> Input<'a> {
    /// Starts at the beginning of `file`.
    pub(super) fn new(file: &'a File) -> Self {
        Self::at(file, 0)
    }

    /// Starts at `offset` of `file`.
    pub(super) fn at(file: &'a File, offset: u64) -> Self {
        Self { file, buffer: vec![0; BUFFER], unread: 0..0, offset: Rc::new(Cell::new(offset)) }
    }

    /// Offset of the next byte.
    pub(super) fn offset(&self) -> u64 {
        self.offset.get()
    }

    /// The same, to be asked while something else holds the input.
    pub(super) fn shared_offset(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.offset)
    }

    /// The next `len` bytes without consuming them; fewer only at the end of the file.
    pub(super) fn peek(&mut self, len: usize) -> io::Result<&[u8]> {
        if self.unread.len() < len {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        while self.unread.len() < len && self.read_more()? {}
        Ok(&self.buffer[self.unread.start..self.unread.end.min(self.unread.start + len)])
    }

    /// Consumes zero bytes up to the first other one; answers how many there were.
    pub(super) fn skip_zeros(&mut self) -> io::Result<u64> {
        let from = self.offset();
        loop {
            let data = self.fill_buf()?;
            let zeros = data.iter().take_while(|byte| **byte == 0).count();
            let more = zeros > 0 && zeros == data.len();
            self.consume(zeros);
            if !more {
                return Ok(self.offset() - from);
            }
        }
    }

    /// Appends to the unread part; `false` at the end of the file.
    fn read_more(&mut self) -> io::Result<bool> {
        let at = self.offset() + self.unread.len() as u64;
        let read = loop {
            match self.file.read_at(&mut self.buffer[self.unread.end..], at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.unread.end += read;
        Ok(read > 0)
    }
}

impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.unread.is_empty() {
            self.unread = 0..0;
            self.read_more()?;
        }
        Ok(&self.buffer[self.unread.clone()])
    }

    fn consume(&mut self, amount: usize) {
        let amount = amount.min(self.unread.len());
        self.unread.start += amount;
        self.offset.set(self.offset() + amount as u64);
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buf)?;
        self.consume(read);
        Ok(read)
    }
}

impl Seek for Input<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(delta) => self.file.metadata()?.len().checked_add_signed(delta),
            SeekFrom::Current(delta) => self.offset().checked_add_signed(delta),
        };
        let target = target.ok_or(io::ErrorKind::InvalidInput)?;
        match target.checked_sub(self.offset()).map(usize::try_from) {
            Some(Ok(ahead)) if ahead <= self.unread.len() => self.unread.start += ahead,
            _ => self.unread = 0..0,
        }
        self.offset.set(target);
        Ok(target)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom, Write};

    use super::{BUFFER, Input};

    #[test]
    fn reads_peeks_and_seeks_agree_with_the_file() {
        let bytes: Vec<u8> = (0..BUFFER as u32 * 3).map(|n| (n ^ (n >> 7)) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let mut input = Input::new(&file);
        let mut random = fastrand::Rng::with_seed(1);
        let mut buf = vec![0; 5000];
        for _ in 0..500 {
            let at = random.usize(..bytes.len() + 10);
            let len = random.usize(..5000);
            if random.bool() {
                input.seek(SeekFrom::Start(at as u64)).unwrap();
                assert_eq!(input.offset(), at as u64);
            }
            let at = input.offset() as usize;
            let rest = bytes.get(at..).unwrap_or_default();
            let want = &rest[..rest.len().min(len)];
            assert_eq!(input.peek(len).unwrap(), want);
            input.read_exact(&mut buf[..want.len()]).unwrap();
            assert_eq!(&buf[..want.len()], want);
        }
    }

    #[test]
    fn zeros_are_skipped_across_buffers() {
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(BUFFER as u64 * 2 + 7).unwrap();
        file.seek(SeekFrom::End(0)).unwrap();
        file.write_all(b"x").unwrap();
        let mut input = Input::new(&file);
        assert_eq!(input.skip_zeros().unwrap(), BUFFER as u64 * 2 + 7);
        assert_eq!(input.peek(6).unwrap(), b"x");
        assert_eq!(input.skip_zeros().unwrap(), 0);
    }
}
