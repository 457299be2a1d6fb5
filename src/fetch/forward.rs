//! Plain http through a proxy: the whole address in the request line (RFC 9112 section 3.2.2).
//!
//! ureq asks every proxy for a tunnel (CONNECT). The caches that people put before Debian's archives (squid,
//! apt-cacher-ng) allow that for https only, and could keep nothing of what goes through it.

use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::uri::Scheme;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, NextTimeout, RustlsConnector, TcpConnector, Transport,
};
use ureq::{Agent, Error, Proxy};

/// An agent that has a proxy fetch what is asked for over http. Where an answer leads to https, that is
/// asked for directly.
pub(super) fn agent(config: Config, proxy: &Proxy) -> Agent {
    let (connect, resolve) = (Forward(proxy.clone()), ProxyAddress(proxy.clone()));
    let tcp = ().chain(TcpConnector::default());
    Agent::with_parts(config, tcp.chain(connect).chain(RustlsConnector::default()), resolve)
}

/// Whether a request goes to the proxy.
fn is_forwarded(proxy: &Proxy, uri: &Uri) -> bool {
    uri.scheme() == Some(&Scheme::HTTP) && !proxy.is_no_proxy(uri)
}

/// Connects to the proxy in place of the server.
#[derive(Debug)]
struct ProxyAddress(Proxy);

impl Resolver for ProxyAddress {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        if !is_forwarded(&self.0, uri) {
            return DefaultResolver::default().resolve(uri, config, timeout);
        }
        let address = format!("http://{}:{}/", self.0.host(), self.0.port());
        let address: Uri = address.parse().map_err(|_| Error::InvalidProxyUrl)?;
        DefaultResolver::default().resolve(&address, config, timeout)
    }
}

/// Has requests say whom they are for.
#[derive(Debug)]
struct Forward(Proxy);

impl<In: Transport> Connector<In> for Forward {
    type Out = Either<In, Forwarded<In>>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let Some(inner) = chained else { return Ok(None) };
        let authority = details.uri.authority().filter(|_| is_forwarded(&self.0, details.uri));
        let Some(authority) = authority else { return Ok(Some(Either::A(inner))) };
        let login = self.0.username().map(|user| {
            let login = format!("{user}:{}", self.0.password().unwrap_or_default());
            let login = data_encoding::BASE64.encode(login.as_bytes());
            format!("Proxy-Authorization: Basic {login}\r\n")
        });
        let (server, login) = (format!("http://{authority}"), login.unwrap_or_default());
        Ok(Some(Either::B(Forwarded { inner, server, login })))
    }
}

/// A connection to a proxy.
struct Forwarded<In> {
    inner: In,
    /// `http://deb.debian.org`
    server: String,
    /// A header line, or nothing.
    login: String,
}

impl<In> std::fmt::Debug for Forwarded<In> {
    /// Without the login.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarded").field("server", &self.server).finish_non_exhaustive()
    }
}

impl<In: Transport> Transport for Forwarded<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let output = self.inner.buffers().output();
        // Requests here have no bodies, so that what begins like a request is one.
        let Some(request) = forwarded(&output[..amount], &self.server, &self.login) else {
            return self.inner.transmit_output(amount, timeout);
        };
        let room = output.get_mut(..request.len());
        room.ok_or(Error::BadUri("the request is too long".to_owned()))?.copy_from_slice(&request);
        self.inner.transmit_output(request.len(), timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}

/// A request as a proxy takes it; `None` for what is not the beginning of one.
fn forwarded(request: &[u8], server: &str, login: &str) -> Option<Vec<u8>> {
    let path = request.strip_prefix(b"GET ").filter(|rest| rest.starts_with(b"/"))?;
    let end = path.windows(2).position(|two| two == b"\r\n")? + 2;
    let (line, headers) = path.split_at(end);
    Some([b"GET ", server.as_bytes(), line, login.as_bytes(), headers].concat())
}

#[cfg(test)]
mod tests {
    use super::forwarded;

    #[test]
    fn a_request_says_whom_it_is_for() {
        let request = b"GET /debian/x HTTP/1.1\r\nHost: a\r\n\r\n";
        let sent = forwarded(request, "http://a:81", "Proxy-Authorization: Basic eA==\r\n").unwrap();
        let expected =
            "GET http://a:81/debian/x HTTP/1.1\r\nProxy-Authorization: Basic eA==\r\nHost: a\r\n\r\n";
        assert_eq!(String::from_utf8(sent).unwrap(), expected);
        assert_eq!(forwarded(b"rest of something", "http://a", ""), None);
        assert_eq!(forwarded(b"GET /without end", "http://a", ""), None);
    }
}
