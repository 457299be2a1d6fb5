//! A running node's disk: read once into a file, and again where it was written since.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::Order;
use super::error::LiveError;
use super::pieces::{pieces, whole_blocks};
use super::written::Written;
use crate::disk::block::{BlockRead, checked};
use crate::disk::range::ByteRange;
use crate::disk::ranges;
use crate::node::link::{Link, LinkError};
use crate::node::request::Request;
use crate::progress::{Event, Phase, Progress};

/// Requests under way at a time, so that neither the disk nor the line waits for the other.
const DEPTH: usize = 3;

/// After so many pieces the node is asked what was written, before its list of writes is full.
const PIECES_A_LIST: usize = 4;

/// What is read at once where somebody reads a little, in bytes: bitmaps and tables lie together.
const AHEAD: u64 = 1 << 20;

/// The same of a frozen disk, where only a few of them have changed.
const AHEAD_FROZEN: u64 = 64 << 10;

/// How what was written is found out.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tracking {
    /// The kernel notes it down.
    Noted,
    /// What was read is hashed on the frozen disk; and why.
    Hashed(String),
}

/// The disk. Reading it gives what the file has, and what the node has where the file has nothing. Of a frozen disk
/// nothing old is given; of one in use it may be, or a busy node would be asked for the same blocks without end.
pub(super) struct LiveDisk {
    inner: Mutex<Inner>,
    size: u64,
}

struct Inner {
    /// Until the end.
    link: Option<Link>,
    spool: File,
    size: u64,
    limit: Duration,
    subject: String,
    progress: Arc<dyn Progress>,
    tracking: Tracking,
    mark: u64,
    /// Pieces read since a list of writes was asked for.
    unlisted: usize,
    /// What the file has.
    covered: Vec<ByteRange>,
    /// What was written since, whether the file has it or not.
    stale: Vec<ByteRange>,
    /// Bytes read in all.
    read: u64,
    /// Bytes that the node writes in a second.
    rate: u64,
    /// When a frozen disk must be thawed.
    deadline: Option<Instant>,
}

impl LiveDisk {
    pub(super) fn new(link: Link, spool: File, size: u64, order: &Order<'_>) -> Self {
        let tracking = Tracking::Hashed(String::new());
        let inner = Inner {
            link: Some(link),
            spool,
            size,
            limit: order.limit,
            subject: order.subject.to_owned(),
            progress: Arc::clone(order.progress),
            tracking,
            mark: 0,
            unlisted: 0,
            covered: Vec::new(),
            stale: Vec::new(),
            read: 0,
            rate: 0,
            deadline: None,
        };
        Self { inner: Mutex::new(inner), size }
    }

    /// Has every write noted down from now on, where the node can.
    pub(super) fn track(&self) -> Result<(), LiveError> {
        let mut inner = self.inner();
        inner.tracking = match inner.link()?.ask(&Request::Track) {
            Ok(_) => Tracking::Noted,
            Err(LinkError::No(why)) => {
                Tracking::Hashed(format!("it cannot note down what is written: {why}"))
            }
            Err(error) => return Err(error.into()),
        };
        Ok(())
    }

    /// Has the node write out what it holds back.
    pub(super) fn flush(&self) -> Result<(), LiveError> {
        self.inner().link()?.ask(&Request::Flush)?;
        Ok(())
    }

    /// Reads ranges (a set), whatever the file has of them.
    pub(super) fn fetch(&self, ranges: &[ByteRange]) -> Result<(), LiveError> {
        let pieces = pieces(ranges, self.size);
        self.inner().fetch_told(&pieces)
    }

    /// What was written since it was read, as far as the node has told.
    pub(super) fn stale(&self) -> Result<Vec<ByteRange>, LiveError> {
        let mut inner = self.inner();
        if inner.tracking == Tracking::Noted {
            let request = inner.next_mark();
            inner.link()?.send(&request)?;
            inner.hear(&request)?;
        }
        Ok(inner.stale.clone())
    }

    /// The same of a frozen disk: by hashing it where the node cannot tell.
    pub(super) fn stale_frozen(&self) -> Result<Vec<ByteRange>, LiveError> {
        let stale = self.stale()?;
        let mut inner = self.inner();
        if inner.tracking == Tracking::Noted {
            return Ok(stale);
        }
        inner.hash()?;
        Ok(inner.stale.clone())
    }

    /// What the file has of the disk as it is now.
    pub(super) fn fresh(&self) -> Vec<ByteRange> {
        self.inner().fresh()
    }

    /// Takes nothing for certain any more that may have been written since.
    pub(super) fn renew(&self) -> Result<(), LiveError> {
        self.stale()?;
        let mut inner = self.inner();
        inner.covered = if inner.tracking == Tracking::Noted { inner.fresh() } else { Vec::new() };
        Ok(())
    }

    /// Orders something whose answer is a text.
    pub(super) fn order(&self, request: &Request) -> Result<String, LiveError> {
        let mut inner = self.inner();
        let answer = inner.link()?.ask(request).map_err(|error| inner.late(error))?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// From here on nothing may take longer than the freeze.
    pub(super) fn is_frozen(&self) {
        let mut inner = self.inner();
        inner.deadline = Some(Instant::now() + inner.limit - inner.limit / 10);
    }

    /// From here on it may again.
    pub(super) fn is_thawed(&self) {
        self.inner().deadline = None;
    }

    pub(super) fn set_rate(&self, rate: u64) {
        self.inner().rate = rate;
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.inner().read
    }

    pub(super) fn why_hashed(&self) -> Option<String> {
        match &self.inner().tracking {
            Tracking::Noted => None,
            Tracking::Hashed(why) => Some(why.clone()),
        }
    }

    /// Waits until the node has put everything back.
    pub(super) fn close(&self) -> Result<(), LiveError> {
        let link = self.inner().link.take();
        Ok(link.map_or(Ok(()), Link::close)?)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockRead for LiveDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        checked(offset, buf.len(), self.size)?;
        let mut inner = self.inner();
        let range = ByteRange::with_len(offset, buf.len() as u64);
        if let Some(range) = range.and_then(|range| whole_blocks(range, self.size)) {
            inner.provide(range).map_err(io::Error::other)?;
        }
        inner.spool.read_exact_at(buf, offset)
    }
}

impl Inner {
    fn link(&mut self) -> Result<&mut Link, LinkError> {
        self.link.as_mut().ok_or_else(|| LinkError::Cut(String::new()))
    }

    fn fresh(&self) -> Vec<ByteRange> {
        ranges::without(&self.covered, &self.stale)
    }

    /// Reads a range, with what lies around it, if the file has not all of it.
    fn provide(&mut self, range: ByteRange) -> Result<(), LiveError> {
        let frozen = self.deadline.is_some();
        let has = if frozen { self.fresh() } else { self.covered.clone() };
        if ranges::without(&[range], &has).is_empty() {
            return Ok(());
        }
        let step = if frozen { AHEAD_FROZEN } else { AHEAD };
        let end = range.end().next_multiple_of(step).min(self.size);
        let wide = ByteRange::new(range.start() / step * step, end).unwrap_or(range);
        let missing = ranges::without(&[wide], &has);
        self.fetch(&pieces(&missing, self.size), &mut |_| {})
    }

    fn fetch_told(&mut self, pieces: &[ByteRange]) -> Result<(), LiveError> {
        let (phase, subject, progress) = (Phase::Copying, self.subject.clone(), Arc::clone(&self.progress));
        let total = Some(ranges::total(pieces));
        progress.event(Event::Start { phase, subject: subject.clone(), total });
        let mut done = 0;
        let fetched = self.fetch(pieces, &mut |len| {
            done += len;
            progress.event(Event::Advance { phase, subject: subject.clone(), done });
        });
        progress.event(Event::Finish { phase, subject });
        fetched
    }

    fn fetch(&mut self, pieces: &[ByteRange], hear: &mut dyn FnMut(u64)) -> Result<(), LiveError> {
        let mut requests = VecDeque::new();
        for piece in pieces {
            requests.push_back(Request::Read(*piece));
            self.unlisted += 1;
            if self.unlisted >= PIECES_A_LIST && self.tracking == Tracking::Noted {
                requests.push_back(self.next_mark());
            }
        }
        self.converse(requests, hear)
    }

    /// Asks all of it, a few requests ahead of the answers.
    fn converse(&mut self, requests: VecDeque<Request>, hear: &mut dyn FnMut(u64)) -> Result<(), LiveError> {
        let mut asked = VecDeque::new();
        let mut requests = requests.into_iter().fuse();
        loop {
            while asked.len() < DEPTH
                && let Some(request) = requests.next()
            {
                self.link()?.send(&request)?;
                asked.push_back(request);
            }
            let Some(request) = asked.pop_front() else { return Ok(()) };
            self.hear(&request)?;
            if let Request::Read(range) = request {
                hear(range.len());
            }
            self.in_time()?;
        }
    }

    /// Takes the answer in. Answers come in the order of the requests, and the node does one after the other: what
    /// is told to be written before a piece comes was written before it was read.
    fn hear(&mut self, request: &Request) -> Result<(), LiveError> {
        let answer = match (self.link()?.receive(request), request) {
            (Ok(answer), _) => answer,
            (Err(LinkError::No(why)), Request::Read(range) | Request::Digest(range)) => {
                return Err(LiveError::Unreadable { range: *range, why });
            }
            (Err(error), _) => return Err(error.into()),
        };
        match request {
            Request::Read(range) => {
                self.spool.write_all_at(&answer, range.start()).map_err(LiveError::Spool)?;
                self.read += range.len();
                self.covered = ranges::union(self.covered.iter().copied().chain([*range]));
                self.stale = ranges::without(&self.stale, &[*range]);
            }
            Request::Dirty(mark) => {
                let written = Written::parse(&answer, *mark);
                if let Some(doubt) = written.doubt {
                    self.tracking = Tracking::Hashed(doubt);
                }
                let blocks = written.ranges.iter().filter_map(|range| whole_blocks(*range, self.size));
                self.stale = ranges::union(self.stale.iter().copied().chain(blocks));
            }
            Request::Digest(range) => {
                let mut bytes = vec![0; range.len() as usize];
                self.spool.read_exact_at(&mut bytes, range.start()).map_err(LiveError::Spool)?;
                if HEXLOWER.encode(&Sha256::digest(&bytes)).as_bytes() != answer {
                    self.stale = ranges::union(self.stale.iter().copied().chain([*range]));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Finds out by their digests which pieces are not what the file has.
    fn hash(&mut self) -> Result<(), LiveError> {
        self.stale.clear();
        // What is read along between the pieces of a set may never have been read
        let (known, rest): (Vec<_>, Vec<_>) = pieces(&self.covered, self.size)
            .into_iter()
            .partition(|piece| ranges::without(&[*piece], &self.covered).is_empty());
        self.stale = ranges::union(rest);
        self.converse(known.into_iter().map(Request::Digest).collect(), &mut |_| {})
    }

    fn next_mark(&mut self) -> Request {
        (self.mark, self.unlisted) = (self.mark + 1, 0);
        Request::Dirty(self.mark)
    }

    fn in_time(&self) -> Result<(), LiveError> {
        if self.deadline.is_none_or(|deadline| Instant::now() < deadline) {
            return Ok(());
        }
        let changed = ranges::total(&self.stale);
        Err(LiveError::TooBusy { limit: self.limit, changed, rate: self.rate })
    }

    /// The node's own timer says so with a word.
    fn late(&self, error: LinkError) -> LiveError {
        match error {
            LinkError::No(why) if why == "late" => LiveError::Late(self.limit),
            error => error.into(),
        }
    }
}
