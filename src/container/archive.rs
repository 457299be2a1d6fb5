//! Reading an archive: one pass over the file, then the texts that were found.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::catalogue::Catalogue;
use super::error::{ContainerError, Problem};
use super::members::Members;
use super::packing::{Packing, fill};
use super::{Form, ImageArchive, docker, legacy, oci, recognise};

/// Bytes that may follow a tar's end: writers fill up records, of 10 KiB as a rule.
const AFTER_MAX: u64 = 64 << 20;

/// Asked now and then whether to stop.
pub type Stop<'a> = &'a dyn Fn() -> bool;

/// Reads an archive: every byte of it, every digest in it compared.
///
/// # Errors
/// What is wrong with it; [`Problem::Stopped`] when `stop` says so.
pub fn read(path: &Path, stop: Stop<'_>) -> Result<ImageArchive, ContainerError> {
    read_file(path, stop).map_err(|problem| problem.at(path))
}

fn read_file(path: &Path, stop: Stop<'_>) -> Result<ImageArchive, Problem> {
    let mut opened = Opened::new(path, stop)?;
    let found = opened.with_members(Catalogue::take)?;
    let (size, sha256) = opened.finish()?;
    let (form, images) = if found.has("manifest.json") {
        (Form::Docker, docker::images(&found)?)
    } else if found.has("index.json") {
        (Form::Oci, oci::images(&found)?)
    } else if found.has("repositories") {
        (Form::Legacy, legacy::images(&found)?)
    } else {
        return Err(recognise::tar_without_images(&found));
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (path, packing, left_out) = (path.to_owned(), opened.packing, Vec::new());
    Ok(ImageArchive { path, name, size, sha256, packing, form, images, left_out })
}

/// A file that turned out to be a tar, packed or not.
pub(super) struct Opened<'a> {
    source: Source<'a>,
    pub(super) packing: Packing,
    head: Vec<u8>,
}

impl<'a> Opened<'a> {
    /// Opens the file and looks at its beginning.
    pub(super) fn new(path: &Path, stop: Stop<'a>) -> Result<Self, Problem> {
        if path.is_dir() {
            return Err(recognise::directory(path));
        }
        let file = File::open(path).map_err(Problem::Io)?;
        if !file.metadata().map_err(Problem::Io)?.is_file() {
            return Err(Problem::SomethingElse("no regular file".to_owned()));
        }
        let mut source = Source::new(file, stop);
        let mut head = vec![0; recognise::HEAD];
        let len = fill(&mut source, &mut head).map_err(|error| source.problem(&error, "its beginning"))?;
        head.truncate(len);
        let packing = Packing::of(&head);
        if packing == Packing::Plain {
            recognise::check_tar(&head)?;
        }
        Ok(Self { source, packing, head })
    }

    /// Hands the members of the tar to `take`. To be called once.
    pub(super) fn with_members<T>(
        &mut self,
        take: impl FnOnce(&mut Members<'_>) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let source = &self.source;
        let packed = BufReader::with_capacity(128 << 10, Cursor::new(&self.head).chain(source.clone()));
        let wrong = |error: io::Error| source.problem(&error, "its packing");
        let mut unpacked = self.packing.unpack(packed).map_err(wrong)?;
        let mut head = vec![0; if self.packing == Packing::Plain { 0 } else { recognise::HEAD }];
        let len = fill(&mut unpacked, &mut head).map_err(wrong)?;
        head.truncate(len);
        if self.packing != Packing::Plain {
            recognise::check_tar(&head)?;
        }
        let mut tar = Cursor::new(head).chain(unpacked);
        let report = |error: &io::Error, what: &str| source.problem(error, what);
        let taken = take(&mut Members::new(&mut tar, &report));
        // What a step made of an error that was the machine's, or a stop, is beside the point.
        let taken = taken.map_err(|problem| source.cause().unwrap_or(problem))?;
        // To the end, for the checksum of the packing.
        let after = io::copy(&mut (&mut tar).take(AFTER_MAX + 1), &mut io::sink()).map_err(wrong)?;
        if after > AFTER_MAX {
            return Err(Problem::Corrupt("it goes on long after its end".to_owned()));
        }
        Ok(taken)
    }

    /// Reads what is left of the file; its size and SHA-256.
    fn finish(&mut self) -> Result<(u64, [u8; 32]), Problem> {
        let mut rest = self.source.clone();
        io::copy(&mut rest, &mut io::sink()).map_err(|error| rest.problem(&error, "its end"))?;
        let state = self.source.0.borrow();
        Ok((state.read, state.hash.clone().finalize().into()))
    }
}

/// The file, hashed while it is read. Clones read on where the last one stopped: the decoders take their
/// reader for good.
#[derive(Clone)]
struct Source<'a>(Rc<RefCell<State<'a>>>);

struct State<'a> {
    file: File,
    stop: Stop<'a>,
    hash: Sha256,
    read: u64,
    /// What the machine said when the file could not be read: decoders put their own words over it.
    failed: Option<io::Error>,
    stopped: bool,
}

impl<'a> Source<'a> {
    fn new(file: File, stop: Stop<'a>) -> Self {
        let (hash, read, failed, stopped) = (Sha256::new(), 0, None, false);
        Self(Rc::new(RefCell::new(State { file, stop, hash, read, failed, stopped })))
    }

    /// What an error really was: a stop, the machine, a file cut short, or its content.
    fn problem(&self, error: &io::Error, what: &str) -> Problem {
        self.cause().unwrap_or_else(|| match error.kind() {
            io::ErrorKind::UnexpectedEof => Problem::Truncated,
            // zstd's words for a window of more than 128 MiB.
            _ if error.to_string().contains("too much memory") => {
                Problem::Unsupported("a zstd file made with --long".to_owned())
            }
            _ => Problem::Corrupt(format!("{what} cannot be read: {error}")),
        })
    }

    /// A stop or a failure of the machine, if there was one.
    fn cause(&self) -> Option<Problem> {
        let mut state = self.0.borrow_mut();
        if state.stopped { Some(Problem::Stopped) } else { state.failed.take().map(Problem::Io) }
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = self.0.borrow_mut();
        if (state.stop)() {
            state.stopped = true;
            return Err(io::Error::other("stopped"));
        }
        match state.file.read(buf) {
            Ok(len) => {
                state.hash.update(&buf[..len]);
                state.read += len as u64;
                Ok(len)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let copy = io::Error::new(error.kind(), error.to_string());
                state.failed = Some(error);
                Err(copy)
            }
        }
    }
}
