//! HTTP as fetching needs it: answers with their status, bodies of a limited size, another try for what may
//! pass.

use std::io::{self, Read};
use std::thread;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body, Proxy, ProxyProtocol};

use crate::interrupt::Interrupt;
use crate::progress::{Event, Progress};

use super::error::FetchError;
use super::forward;
use super::proxy::{self, Environment};

/// Reads are this large, in bytes.
const STEP: usize = 64 << 10;
/// How often something that may pass is tried, and how long the first pause is; each is twice the last.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_secs(1);
/// How long one waits for an answer, and for more of it.
const CONNECT: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(30);
const MAX_REDIRECTS: u32 = 5;
/// How often a pause looks whether the run was asked to stop.
const POLL: Duration = Duration::from_millis(50);

/// Asks servers for files.
pub(super) struct Http<'a> {
    http: Agent,
    https: Agent,
    pause: Duration,
    progress: &'a dyn Progress,
    interrupt: &'a Interrupt,
}

/// How a try ended that did not bring the file.
pub(super) enum Failure {
    /// The same may go well in a moment.
    Passing(FetchError),
    /// It will not.
    Final(FetchError),
}

impl<'a> Http<'a> {
    /// One that goes through the proxies that `env` names.
    pub(super) fn new(progress: &'a dyn Progress, interrupt: &'a Interrupt, env: Environment<'_>) -> Self {
        let (http, https) = (proxy::of("http", env), proxy::of("https", env));
        let http = match &http {
            Some(proxy) if proxy.protocol() == ProxyProtocol::Http => forward::agent(config(None), proxy),
            _ => config(http).into(),
        };
        Self { http, https: config(https).into(), pause: PAUSE, progress, interrupt }
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
            match response.status() {
                StatusCode::OK => {}
                status if is_absent(status.as_u16()) => return Ok(None),
                status => return Err(refused(url, status)),
            }
            let mut bytes = Vec::new();
            self.copy(response, url, limit, &mut |chunk| {
                bytes.extend_from_slice(chunk);
                Ok(())
            })?;
            Ok(Some(bytes))
        })
    }

    /// Sends a request, for what follows the first `from` bytes if so.
    pub(super) fn request(&self, url: &str, from: Option<u64>) -> Result<Response<Body>, Failure> {
        self.interrupt.check()?;
        let agent = if url.starts_with("https:") { &self.https } else { &self.http };
        let mut request = agent.get(url);
        if let Some(from) = from {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        request.call().map_err(|error| network(url, error))
    }

    /// Hands on what a server sends, at most `limit` bytes of it.
    pub(super) fn copy(
        &self,
        response: Response<Body>,
        url: &str,
        limit: u64,
        take: &mut dyn FnMut(&[u8]) -> Result<(), FetchError>,
    ) -> Result<(), Failure> {
        let mut reader = response.into_body().into_reader();
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
    pub(super) fn retried<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, FetchError> {
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

fn config(proxy: Option<Proxy>) -> Config {
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
    config.build()
}

/// Whether a status says that there is no such file. Servers that map archives by path answer 400 or 403
/// where others answer 404.
pub(super) fn is_absent(status: u16) -> bool {
    matches!(status, 400 | 403 | 404 | 410)
}

/// A status that is not the one hoped for.
pub(super) fn refused(url: &str, status: StatusCode) -> Failure {
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

/// A file that is not the one the archive vouches for.
pub(super) fn mismatch(url: &str, what: &str) -> FetchError {
    FetchError::Mismatch { url: url.to_owned(), what: what.to_owned() }
}

fn chain(error: &FetchError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
