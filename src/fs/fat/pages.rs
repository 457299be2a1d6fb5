//! A medium behind a small cache: `fatfs` reads a table four bytes at a time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

use crate::disk::block::{BlockRead, past_end};

const PAGE: u64 = 4096;
/// Pages kept before all are written and let go: 8 MiB, enough for a whole table of the usual size.
const MAX_PAGES: usize = 2048;

/// How a page gets back to the medium.
pub(super) type WriteAt<D> = fn(&mut D, u64, &[u8]) -> io::Result<()>;

struct Page {
    bytes: Box<[u8]>,
    dirty: bool,
}

/// The medium and its cached pages.
pub(super) struct Pages<D> {
    medium: D,
    /// `None` when the medium must not be written.
    write_at: Option<WriteAt<D>>,
    pages: HashMap<u64, Page>,
}

impl<D: BlockRead> Pages<D> {
    pub(super) fn new(medium: D, write_at: Option<WriteAt<D>>) -> Self {
        Self { medium, write_at, pages: HashMap::new() }
    }

    pub(super) fn size(&self) -> u64 {
        self.medium.size()
    }

    /// Fills `buf` from `offset` on.
    pub(super) fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.check(offset, buf.len())?;
        let (mut offset, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let within = (offset % PAGE) as usize;
            let page = self.page(offset / PAGE, true)?;
            let len = rest.len().min(page.bytes.len() - within);
            let (piece, after) = rest.split_at_mut(len);
            piece.copy_from_slice(&page.bytes[within..within + len]);
            (offset, rest) = (offset + len as u64, after);
        }
        Ok(())
    }

    /// Writes `data` at `offset`: into the cache, for now.
    pub(super) fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check(offset, data.len())?;
        if self.write_at.is_none() {
            return Err(io::Error::new(
                ErrorKind::PermissionDenied,
                "the FAT volume is open for reading only",
            ));
        }
        let (mut offset, mut rest) = (offset, data);
        while !rest.is_empty() {
            let within = (offset % PAGE) as usize;
            let page = self.page(offset / PAGE, within != 0 || rest.len() < PAGE as usize)?;
            let len = rest.len().min(page.bytes.len() - within);
            page.bytes[within..within + len].copy_from_slice(&rest[..len]);
            page.dirty = true;
            (offset, rest) = (offset + len as u64, &rest[len..]);
        }
        Ok(())
    }

    /// Writes what is left and gives the medium back.
    pub(super) fn finish(mut self) -> io::Result<D> {
        self.flush()?;
        Ok(self.medium)
    }

    fn check(&self, offset: u64, len: usize) -> io::Result<()> {
        match offset.checked_add(len as u64) {
            Some(end) if end <= self.size() => Ok(()),
            _ => Err(past_end(offset, len, self.size())),
        }
    }

    /// A page, read from the medium unless it is to be overwritten whole.
    fn page(&mut self, number: u64, read: bool) -> io::Result<&mut Page> {
        if !self.pages.contains_key(&number) {
            if self.pages.len() >= MAX_PAGES {
                self.flush()?;
                self.pages.clear();
            }
            let at = number * PAGE;
            let mut bytes = vec![0; PAGE.min(self.size() - at) as usize].into_boxed_slice();
            if read {
                self.medium.read_at(at, &mut bytes)?;
            }
            self.pages.insert(number, Page { bytes, dirty: false });
        }
        self.pages.get_mut(&number).ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Writes changed pages in rising order.
    fn flush(&mut self) -> io::Result<()> {
        let Some(write_at) = self.write_at else { return Ok(()) };
        let mut dirty: Vec<_> = self.pages.iter_mut().filter(|(_, page)| page.dirty).collect();
        dirty.sort_unstable_by_key(|(number, _)| **number);
        for (number, page) in dirty {
            write_at(&mut self.medium, number * PAGE, &page.bytes)?;
            page.dirty = false;
        }
        Ok(())
    }
}

/// A position on the medium: what `fatfs` reads from and writes to.
pub(super) struct Stream<D> {
    pages: Rc<RefCell<Pages<D>>>,
    position: u64,
}

impl<D> Stream<D> {
    pub(super) fn new(pages: Rc<RefCell<Pages<D>>>) -> Self {
        Self { pages, position: 0 }
    }
}

impl<D: BlockRead> Read for Stream<D> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut pages = self.pages.borrow_mut();
        let len = pages.size().saturating_sub(self.position).min(buf.len() as u64) as usize;
        pages.read_at(self.position, &mut buf[..len])?;
        self.position += len as u64;
        Ok(len)
    }
}

impl<D: BlockRead> Write for Stream<D> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.pages.borrow_mut().write_at(self.position, data)?;
        self.position += data.len() as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<D: BlockRead> Seek for Stream<D> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.pages.borrow().size().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
