//! An image that can be read while it is unpacked into the cache, in a thread of its own.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::disk::block::{BlockRead, past_end};
use crate::disk::range::ByteRange;
use crate::interrupt::Interrupt;
use crate::progress::Progress;

use super::arrival::Arrival;
use super::error::{NotUnpacked, SourceError};
use super::format::HEAD;
use super::making::Making;
use super::sparse::SparseFile;
use super::stamp::Stamp;

/// The image: a read of what is not there yet waits for it. When the last reader lets go before all is
/// there, the work is stopped and nothing of it stays.
pub(super) struct Arriving {
    blocks: SparseFile,
    path: PathBuf,
    source_path: PathBuf,
    worker: Worker,
}

/// The thread that unpacks; dropping this stops it, and waits until it has cleaned up.
struct Worker {
    arrival: Arc<Arrival>,
    thread: Option<JoinHandle<()>>,
}

impl Arriving {
    /// Begins, and waits until it is known that the file holds a disk image. What is `trusted` is given out
    /// sooner: see [`Arrival::new`].
    ///
    /// # Errors
    /// As [`Making::run`], as far as it has come.
    pub(super) fn start(
        making: Making,
        trusted: bool,
        progress: &Arc<dyn Progress>,
        interrupt: &Interrupt,
    ) -> Result<Self, SourceError> {
        let (path, source_path) = (making.image_path().to_owned(), making.source_path().to_owned());
        let (file, ends) = (making.image_file()?, making.ends());
        let head = ends.last().map_or(0, |size| (HEAD as u64).min(*size));
        let arrival = Arrival::new(ends, trusted);
        let worker = Worker::spawn(making, arrival, Arc::clone(progress), interrupt.clone())
            .map_err(SourceError::io("starting to unpack", &source_path))?;
        worker.arrival.wait_for(0..head)?;
        // The file has its size by now.
        let blocks = SparseFile::new(file).map_err(SourceError::io("seeking in", &path))?;
        Ok(Self { blocks, path, source_path, worker })
    }

    /// The name that the file has as soon as it is whole.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until all is there, under its name and flushed; the file's stamp.
    ///
    /// # Errors
    /// As [`Making::run`].
    pub(super) fn wait(&self) -> Result<Stamp, SourceError> {
        self.worker.arrival.wait_for_all()
    }

    /// The file's stamp once all is there.
    ///
    /// # Errors
    /// As [`Making::run`], as far as it has come.
    pub(super) fn stamp(&self) -> Result<Option<Stamp>, SourceError> {
        self.worker.arrival.outcome().transpose()
    }
}

impl Worker {
    fn spawn(
        making: Making,
        arrival: Arrival,
        progress: Arc<dyn Progress>,
        interrupt: Interrupt,
    ) -> io::Result<Self> {
        let arrival = Arc::new(arrival);
        let path = making.source_path().to_owned();
        let told = Arc::clone(&arrival);
        let work = move || {
            let made = AssertUnwindSafe(|| making.run(&told, progress.as_ref(), &interrupt));
            // Whatever becomes of this thread, nobody may wait for it for ever.
            let made = catch_unwind(made).unwrap_or_else(|_| {
                Err(SourceError::io("unpacking", &path)(io::Error::other("the thread that did so panicked")))
            });
            told.finish(made.map(|cached| cached.stamp));
        };
        let thread = thread::Builder::new().name("unpack".into()).spawn(work)?;
        Ok(Self { arrival, thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.arrival.abandon();
        if let Some(thread) = self.thread.take() {
            // Its panic has been told already.
            let _ = thread.join();
        }
    }
}

impl BlockRead for Arriving {
    fn size(&self) -> u64 {
        self.blocks.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let range = ByteRange::with_len(offset, buf.len() as u64).filter(|range| range.end() <= self.size());
        let range = range.ok_or_else(|| past_end(offset, buf.len(), self.size()))?;
        self.worker.arrival.wait_for(range.start()..range.end()).map_err(|source| {
            // Never of the kind `Interrupted`, which readers answer by trying again.
            io::Error::other(NotUnpacked { path: self.source_path.clone(), offset, source })
        })?;
        self.blocks.read_at(offset, buf)
    }

    /// Does not wait: nothing is known of what is not there yet.
    fn is_hole(&self, offset: u64, len: u64) -> bool {
        ByteRange::with_len(offset, len).is_some_and(|range| {
            range.end() <= self.size() && self.worker.arrival.holds(range.start()..range.end())
        }) && self.blocks.is_hole(offset, len)
    }
}

impl fmt::Debug for Arriving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arriving({})", self.path.display())
    }
}
