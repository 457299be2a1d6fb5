//! A web server of one thread that does what it is told to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What is served at a path.
#[derive(Clone)]
pub(super) enum Served {
    /// A file, and parts of it when asked for.
    File(Vec<u8>),
    /// A file, and always all of it.
    Whole(Vec<u8>),
    /// A file of which the first answer breaks off after so many bytes.
    Broken(Vec<u8>, usize),
    /// A status without a file.
    Status(u16),
    /// A status once, and then a file.
    Late(u16, Vec<u8>),
    /// An address to look at instead.
    Elsewhere(String),
}

/// A server on the loopback interface; it ends when dropped.
pub(super) struct Server {
    pub(super) uri: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    paths: Mutex<BTreeMap<String, Served>>,
    /// Paths asked for, with the range if there was one.
    asked: Mutex<Vec<String>>,
    ended: AtomicBool,
}

impl Server {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if own.ended.load(Ordering::SeqCst) {
                    break;
                }
                // A client that goes away early is none of the server's business.
                let _ = stream.and_then(|stream| own.answer(stream));
            }
        });
        Self { uri, shared }
    }

    pub(super) fn serve(&self, path: &str, served: Served) {
        self.shared.paths.lock().unwrap().insert(path.to_owned(), served);
    }

    pub(super) fn file(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.serve(path, Served::File(bytes.into()));
    }

    pub(super) fn remove(&self, path: &str) {
        self.shared.paths.lock().unwrap().remove(path);
    }

    /// What was asked for since the last time.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.asked.lock().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the thread up; if it is gone already, so much the better.
        let _ = TcpStream::connect(self.uri.trim_start_matches("http://"));
    }
}

impl Shared {
    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut from = 0;
        for line in lines {
            let line = line?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(range) = line.strip_prefix("range: bytes=") {
                from = range.trim_end_matches('-').parse().unwrap();
            }
        }
        let asked = if from > 0 { format!("{path} from {from}") } else { path.clone() };
        self.asked.lock().unwrap().push(asked);
        let served = self.served(&path);
        stream.write_all(&head_and_body(served, from))
    }

    /// What to answer now; what changes with the first answer is changed.
    fn served(&self, path: &str) -> Served {
        let mut paths = self.paths.lock().unwrap();
        let served = paths.get(path).cloned().unwrap_or(Served::Status(404));
        if let Served::Broken(bytes, _) | Served::Late(_, bytes) = &served {
            paths.insert(path.to_owned(), Served::File(bytes.clone()));
        }
        served
    }
}

fn head_and_body(served: Served, from: usize) -> Vec<u8> {
    let head = |status: u16, more: &str, len: usize| {
        format!("HTTP/1.1 {status} x\r\nConnection: close\r\n{more}Content-Length: {len}\r\n\r\n")
            .into_bytes()
    };
    match served {
        Served::File(bytes) if from >= bytes.len() && from > 0 => head(416, "", 0),
        Served::File(bytes) if from > 0 => {
            let range = format!("Content-Range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len());
            [head(206, &range, bytes.len() - from), bytes[from..].to_vec()].concat()
        }
        Served::File(bytes) | Served::Whole(bytes) => [head(200, "", bytes.len()), bytes].concat(),
        Served::Broken(bytes, at) => [head(200, "", bytes.len()), bytes[..at].to_vec()].concat(),
        Served::Status(status) | Served::Late(status, _) => head(status, "", 0),
        Served::Elsewhere(uri) => head(302, &format!("Location: {uri}\r\n"), 0),
    }
}
