//! Files over HTTP: fetched to be read, or into the cache under their digest; broken-off ones go on where
//! they stopped.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

use crate::interrupt::Interrupt;
use crate::progress::{Event, Phase, Progress};

use super::error::FetchError;
use super::proxy;

/// Reads are this large, in bytes.
const STEP: usize = 64 << 10;
/// How often something that may pass is tried, and how long the first pause is; each is twice the last.
const TRIES: u32 = 4;
/// How long one waits for an answer, and for more of it.
const CONNECT: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(30);
const MAX_REDIRECTS: u32 = 5;
/// How often a pause looks whether the run was asked to stop.
const POLL: Duration = Duration::from_millis(50);

/// Fetches files.
pub(super) struct Downloader<'a> {
    http: Agent,
    https: Agent,
    cache: PathBuf,
    pause: Duration,
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

/// How a try ended that did not bring the file.
enum Failure {
    /// The same may go well in a moment.
    Passing(FetchError),
    Final(FetchError),
}

impl<'a> Downloader<'a> {
    /// One that keeps files in `cache`, a directory that is made.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub(super) fn new(
        cache: &Path,
        progress: &'a dyn Progress,
        interrupt: &'a Interrupt,
    ) -> Result<Self, FetchError> {
        fs::create_dir_all(cache).map_err(FetchError::io("making", cache))?;
        let env = |name: &str| std::env::var(name).ok();
        Ok(Self {
            http: agent(proxy::of("http", &env)),
            https: agent(proxy::of("https", &env)),
            cache: cache.to_owned(),
            pause: Duration::from_secs(1),
            progress,
            interrupt,
        })
    }

    /// Keeps files in another directory from here on, which is made.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub(super) fn keep_in(&mut self, cache: &Path) -> Result<(), FetchError> {
        fs::create_dir_all(cache).map_err(FetchError::io("making", cache))?;
        cache.clone_into(&mut self.cache);
        Ok(())
    }

    /// Does not wait long between tries: for tests.
    #[cfg(test)]
    pub(super) fn impatient(mut self) -> Self {
        self.pause = Duration::from_millis(1);
        self
    }

    /// A file of at most `limit` bytes, read into memory; `None` when the server has none.
    ///
    /// # Errors
    /// When the server cannot be reached, answers with an error, or sends more.
    pub(super) fn read(&self, url: &str, limit: u64) -> Result<Option<Vec<u8>>, FetchError> {
        self.retried(|| {
            let response = self.request(url, None)?;
            let status = response.status();
            if is_absent(status) {
                return Ok(None);
            }
            if status != StatusCode::OK {
                return Err(refused(url, status));
            }
            let mut bytes = Vec::new();
            let mut reader = response.into_body().into_reader();
            self.copy(&mut reader, url, limit, &mut |chunk| {
                bytes.extend_from_slice(chunk);
                Ok(())
            })?;
            Ok(Some(bytes))
        })
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
        let mut last = None;
        for url in urls {
            match self.fetch(url, wanted, &path) {
                Err(FetchError::Status { url, status }) if is_absent_code(status) => {
                    last = Some(FetchError::Status { url, status });
                }
                done => return done.map(|fetched| Obtained { path, fetched }),
            }
        }
        Err(last.unwrap_or_else(|| FetchError::Usage("no address to fetch from".to_owned())))
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
            self.wait(POLL)?;
        }
    }

    /// Whether the cache has the file, unharmed; what is not the file is removed.
    fn is_whole(&self, path: &Path, wanted: Wanted<'_>) -> Result<bool, FetchError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(FetchError::io("opening", path)(error)),
        };
        let (digest, size) = self.digest(file, path)?;
        if size == wanted.size && digest.finalize()[..] == wanted.sha256[..] {
            return Ok(true);
        }
        fs::remove_file(path).map_err(FetchError::io("removing", path))?;
        Ok(false)
    }

    fn digest(&self, file: File, path: &Path) -> Result<(Sha256, u64), FetchError> {
        let mut digest = Sha256::new();
        let (mut reader, mut buffer, mut size) = (file, vec![0; STEP], 0);
        loop {
            self.interrupt.check()?;
            match reader.read(&mut buffer) {
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
        let done = self.retried(|| self.try_fetch(url, wanted, &part, &mut fetched));
        self.progress.event(Event::Finish { phase, subject });
        done?;
        fs::rename(&part, path).map_err(FetchError::io("placing", path))?;
        Ok(fetched)
    }

    /// Brings `part` to its full length and checks it. What is there already is gone on from; if it turns
    /// out to be of something else, it is removed and the next try starts anew.
    fn try_fetch(
        &self,
        url: &str,
        wanted: Wanted<'_>,
        part: &Path,
        fetched: &mut u64,
    ) -> Result<(), Failure> {
        let open = File::options().create(true).truncate(false).read(true).write(true).open(part);
        let mut file = open.map_err(FetchError::io("opening", part))?;
        let (mut digest, mut have) =
            self.digest(file.try_clone().map_err(FetchError::io("reading", part))?, part)?;
        let resumed = have > 0;
        if have != wanted.size {
            let response = self.request(url, (resumed && have < wanted.size).then_some(have))?;
            if !continues(&response, have) {
                (digest, have) = (Sha256::new(), 0);
                file.set_len(0)
                    .and_then(|()| file.seek(SeekFrom::Start(0)))
                    .map_err(FetchError::io("writing", part))?;
            }
            match response.status() {
                StatusCode::OK | StatusCode::PARTIAL_CONTENT => {}
                StatusCode::RANGE_NOT_SATISFIABLE if resumed => {
                    return Err(Failure::Passing(mismatch(url, "it is shorter")));
                }
                status => return Err(refused(url, status)),
            }
            let mut reader = response.into_body().into_reader();
            self.copy(&mut reader, url, wanted.size - have, &mut |chunk| {
                file.write_all(chunk).map_err(FetchError::io("writing", part))?;
                digest.update(chunk);
                have += chunk.len() as u64;
                *fetched += chunk.len() as u64;
                let subject = wanted.name.to_owned();
                self.progress.event(Event::Advance { phase: Phase::Downloading, subject, done: have });
                Ok(())
            })?;
            if have < wanted.size {
                return Err(Failure::Passing(mismatch(
                    url,
                    &format!("{have} bytes came of {}", wanted.size),
                )));
            }
        }
        if digest.finalize()[..] == wanted.sha256[..] {
            return Ok(file.sync_all().map_err(FetchError::io("writing", part))?);
        }
        fs::remove_file(part).map_err(FetchError::io("removing", part))?;
        let wrong = mismatch(url, "its SHA-256 digest is another");
        // Only the part that was fetched earlier may be to blame.
        Err(if resumed { Failure::Passing(wrong) } else { Failure::Final(wrong) })
    }

    /// Sends a request, for what follows the first `from` bytes if so.
    fn request(&self, url: &str, from: Option<u64>) -> Result<Response<Body>, Failure> {
        self.interrupt.check()?;
        let agent = if url.starts_with("https:") { &self.https } else { &self.http };
        let mut request = agent.get(url);
        if let Some(from) = from {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        request.call().map_err(|error| network(url, error))
    }

    /// Hands on what a server sends, at most `limit` bytes of it.
    fn copy(
        &self,
        reader: &mut dyn Read,
        url: &str,
        limit: u64,
        take: &mut dyn FnMut(&[u8]) -> Result<(), FetchError>,
    ) -> Result<(), Failure> {
        let (mut buffer, mut left) = (vec![0; STEP], limit);
        loop {
            self.interrupt.check()?;
            let read = match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(network(url, ureq::Error::from(error))),
            };
            left = left.checked_sub(read as u64).ok_or_else(|| mismatch(url, "it is larger"))?;
            take(&buffer[..read])?;
        }
    }

    /// Tries again, after a while, what may pass.
    fn retried<T>(&self, mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T, FetchError> {
        let mut pause = self.pause;
        for _ in 1..TRIES {
            match attempt() {
                Err(Failure::Passing(error)) => {
                    self.progress.event(Event::Note(format!("{}: trying again", chain(&error))));
                }
                done => return done.map_err(Failure::into_inner),
            }
            self.wait(pause)?;
            pause *= 2;
        }
        attempt().map_err(Failure::into_inner)
    }

    fn wait(&self, time: Duration) -> Result<(), FetchError> {
        let end = Instant::now() + time;
        loop {
            self.interrupt.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(POLL));
        }
    }
}

impl Failure {
    fn into_inner(self) -> FetchError {
        match self {
            Self::Passing(error) | Self::Final(error) => error,
        }
    }
}

impl<E: Into<FetchError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Final(error.into())
    }
}

fn agent(proxy: Option<ureq::Proxy>) -> Agent {
    let config = Agent::config_builder()
        .proxy(proxy)
        .http_status_as_error(false)
        .max_redirects(MAX_REDIRECTS)
        // A packed index is checked as it is published: nobody may pack it once more or unpack it.
        .accept_encoding("identity")
        .user_agent(concat!("pibake/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(CONNECT))
        .timeout_resolve(Some(CONNECT))
        .timeout_recv_response(Some(SILENCE))
        .timeout_per_read(Some(SILENCE));
    config.build().into()
}

/// Whether a response goes on after the first `have` bytes.
fn continues(response: &Response<Body>, have: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
    response.status() == StatusCode::PARTIAL_CONTENT
        && range.is_some_and(|range| range.strip_prefix(&format!("bytes {have}-")).is_some())
}

fn is_absent(status: StatusCode) -> bool {
    is_absent_code(status.as_u16())
}

/// Servers that map archives by path answer 400 or 403 where others answer 404.
fn is_absent_code(status: u16) -> bool {
    matches!(status, 400 | 403 | 404 | 410)
}

fn refused(url: &str, status: StatusCode) -> Failure {
    let error = FetchError::Status { url: url.to_owned(), status: status.as_u16() };
    let passing = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if passing { Failure::Passing(error) } else { Failure::Final(error) }
}

fn network(url: &str, error: ureq::Error) -> Failure {
    let passing = matches!(
        error,
        ureq::Error::Io(_)
            | ureq::Error::Timeout(_)
            | ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::Protocol(_)
    );
    let error = FetchError::Network { url: url.to_owned(), source: Box::new(error) };
    if passing { Failure::Passing(error) } else { Failure::Final(error) }
}

fn mismatch(url: &str, what: &str) -> FetchError {
    FetchError::Mismatch { url: url.to_owned(), what: what.to_owned() }
}

fn chain(error: &FetchError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
