//! Files of archives, into the cache under their digest; broken-off ones go on where they stopped.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::Body;
use ureq::http::{Response, StatusCode, header};

use crate::interrupt::Interrupt;
use crate::progress::{Event, Phase, Progress};

use super::error::FetchError;
use super::http::{Failure, Http, is_absent, mismatch, refused};

/// Reads are this large, in bytes.
const STEP: usize = 64 << 10;
/// How often a lock that somebody else holds is tried again.
const POLL: Duration = Duration::from_millis(100);

/// Fetches files into a cache.
pub(super) struct Downloader<'a> {
    /// What asks servers.
    pub(super) http: &'a Http<'a>,
    cache: PathBuf,
    progress: &'a dyn Progress,
    interrupt: &'a Interrupt,
}

/// A file that the archive vouches for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// What progress calls it.
    pub(super) name: &'a str,
    /// Bytes.
    pub(super) size: u64,
    /// Its digest.
    pub(super) sha256: &'a [u8; 32],
}

/// A file in the cache.
#[derive(Debug)]
pub(super) struct Obtained {
    /// Where.
    pub(super) path: PathBuf,
    /// Bytes that came over the network for it.
    pub(super) fetched: u64,
}

/// The unfinished form of a file, and what is known of it.
struct Part {
    file: File,
    path: PathBuf,
    digest: Sha256,
    /// Bytes in it.
    have: u64,
    /// Bytes that came over the network.
    came: u64,
}

impl<'a> Downloader<'a> {
    /// One that keeps files in `cache`, a directory that is made.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub(super) fn new(
        http: &'a Http<'a>,
        cache: &Path,
        progress: &'a dyn Progress,
        interrupt: &'a Interrupt,
    ) -> Result<Self, FetchError> {
        fs::create_dir_all(cache).map_err(FetchError::io("making", cache))?;
        Ok(Self { http, cache: cache.to_owned(), progress, interrupt })
    }

    /// A file that the archive vouches for, from the cache or fetched into it; the first of `urls` that the
    /// server has is taken.
    ///
    /// # Errors
    /// When it cannot be fetched, is not what it must be, or cannot be written.
    pub(super) fn obtain(&self, urls: &[&str], wanted: Wanted<'_>) -> Result<Obtained, FetchError> {
        let path = self.cache.join(data_encoding::HEXLOWER.encode(wanted.sha256));
        let _lock = self.lock()?;
        if self.is_whole(&path, wanted)? {
            return Ok(Obtained { path, fetched: 0 });
        }
        let (last, others) =
            urls.split_last().ok_or_else(|| FetchError::Usage("no address to fetch from".to_owned()))?;
        for url in others {
            match self.fetch(url, wanted, &path) {
                Err(FetchError::Status { status, .. }) if is_absent(status) => {}
                done => return done.map(|fetched| Obtained { path, fetched }),
            }
        }
        self.fetch(last, wanted, &path).map(|fetched| Obtained { path, fetched })
    }

    /// One pibake at a time fills a cache: two would fetch the same twice, into the same unfinished file.
    fn lock(&self) -> Result<File, FetchError> {
        let path = self.cache.join("lock");
        let open = File::options().create(true).truncate(false).write(true).open(&path);
        let file = open.map_err(FetchError::io("opening", &path))?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(FetchError::io("locking", &path)(error)),
            }
            if !std::mem::replace(&mut told, true) {
                let note = "waiting for another pibake that fetches".to_owned();
                self.progress.event(Event::Note(note));
            }
            self.interrupt.check()?;
            thread::sleep(POLL);
        }
    }

    /// Whether the cache has the file, unharmed; what is not the file is removed.
    fn is_whole(&self, path: &Path, wanted: Wanted<'_>) -> Result<bool, FetchError> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(FetchError::io("opening", path)(error)),
        };
        let (digest, size) = self.digest(&mut file, path)?;
        if size == wanted.size && digest.finalize()[..] == wanted.sha256[..] {
            return Ok(true);
        }
        fs::remove_file(path).map_err(FetchError::io("removing", path))?;
        Ok(false)
    }

    fn digest(&self, file: &mut File, path: &Path) -> Result<(Sha256, u64), FetchError> {
        let (mut digest, mut buffer, mut size) = (Sha256::new(), vec![0; STEP], 0);
        loop {
            self.interrupt.check()?;
            match file.read(&mut buffer) {
                Ok(0) => return Ok((digest, size)),
                Ok(read) => {
                    digest.update(&buffer[..read]);
                    size += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(FetchError::io("reading", path)(error)),
            }
        }
    }

    /// Fetches the file to `path`; answers how many bytes came.
    fn fetch(&self, url: &str, wanted: Wanted<'_>, path: &Path) -> Result<u64, FetchError> {
        let part = path.with_extension("part");
        let (phase, subject) = (Phase::Downloading, wanted.name.to_owned());
        self.progress.event(Event::Start { phase, subject: subject.clone(), total: Some(wanted.size) });
        let mut fetched = 0;
        let done = self.http.retried(|| self.try_fetch(url, wanted, &part, &mut fetched));
        self.progress.event(Event::Finish { phase, subject });
        done?;
        fs::rename(&part, path).map_err(FetchError::io("placing", path))?;
        Ok(fetched)
    }

    /// Brings the unfinished file to its full length and checks it. What is there already is gone on from; if
    /// it turns out to be of something else, it is removed and the next try starts anew.
    fn try_fetch(
        &self,
        url: &str,
        wanted: Wanted<'_>,
        path: &Path,
        fetched: &mut u64,
    ) -> Result<(), Failure> {
        let mut part = self.open_part(path)?;
        let resumed = part.have > 0;
        if part.have > wanted.size {
            part.restart()?;
        }
        if part.have < wanted.size {
            let done = self.go_on(url, wanted, &mut part);
            *fetched += part.came;
            done?;
        }
        if part.digest.finalize()[..] == wanted.sha256[..] {
            return Ok(part.file.sync_all().map_err(FetchError::io("writing", path))?);
        }
        fs::remove_file(path).map_err(FetchError::io("removing", path))?;
        let wrong = mismatch(url, "its SHA-256 digest is another");
        // Only the part that was fetched earlier may be to blame.
        Err(if resumed { Failure::Passing(wrong) } else { Failure::Final(wrong) })
    }

    fn open_part(&self, path: &Path) -> Result<Part, FetchError> {
        let open = File::options().create(true).truncate(false).read(true).write(true).open(path);
        let mut file = open.map_err(FetchError::io("opening", path))?;
        let (digest, have) = self.digest(&mut file, path)?;
        Ok(Part { file, path: path.to_owned(), digest, have, came: 0 })
    }

    /// Fetches what the part lacks.
    fn go_on(&self, url: &str, wanted: Wanted<'_>, part: &mut Part) -> Result<(), Failure> {
        let response = self.http.request(url, (part.have > 0).then_some(part.have))?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if range(&response).is_some_and(|(from, _)| from == part.have) => {}
            StatusCode::OK => part.restart()?,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if part.have > 0 => {
                part.restart()?;
                return Err(Failure::Passing(mismatch(url, "the server has no such part of it")));
            }
            status => return Err(refused(url, status)),
        }
        if let Some(size) = promised(&response).filter(|size| *size != wanted.size) {
            return Err(Failure::Final(mismatch(
                url,
                &format!("it has {size} bytes and not {}", wanted.size),
            )));
        }
        self.http.copy(response, url, wanted.size - part.have, &mut |chunk| {
            part.append(chunk)?;
            let subject = wanted.name.to_owned();
            self.progress.event(Event::Advance { phase: Phase::Downloading, subject, done: part.have });
            Ok(())
        })?;
        if part.have < wanted.size {
            let what = format!("{} bytes came of {}", part.have, wanted.size);
            return Err(Failure::Passing(mismatch(url, &what)));
        }
        Ok(())
    }
}

impl Part {
    fn append(&mut self, chunk: &[u8]) -> Result<(), FetchError> {
        self.file.write_all(chunk).map_err(FetchError::io("writing", &self.path))?;
        self.digest.update(chunk);
        self.have += chunk.len() as u64;
        self.came += chunk.len() as u64;
        Ok(())
    }

    /// Empties it.
    fn restart(&mut self) -> Result<(), FetchError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(FetchError::io("writing", &self.path))?;
        (self.digest, self.have) = (Sha256::new(), 0);
        Ok(())
    }
}

/// Where a part begins, and how long the whole is: `Content-Range: bytes 5-9/10`.
fn range(response: &Response<Body>) -> Option<(u64, Option<u64>)> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    let (part, whole) = range.split_once('/')?;
    Some((part.split_once('-')?.0.parse().ok()?, whole.parse().ok()))
}

/// How long the whole file is, where the server says so.
fn promised(response: &Response<Body>) -> Option<u64> {
    if response.status() == StatusCode::PARTIAL_CONTENT {
        return range(response)?.1;
    }
    response.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
