//! What ssh and sudo say on standard error, heard while the connection is used.

use std::io::Read as _;
use std::process::ChildStderr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::silence::tame;

/// It is a few lines; what is beyond this is not kept.
const KEPT: usize = 16 << 10;

/// What was said so far.
pub(super) struct Complaints {
    said: Arc<Mutex<Vec<u8>>>,
    thread: thread::JoinHandle<()>,
}

impl Complaints {
    pub(super) fn listen(mut pipe: ChildStderr) -> Self {
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let thread = thread::spawn(move || {
            let mut buf = [0; 1024];
            while let Ok(len @ 1..) = pipe.read(&mut buf) {
                let mut said = heard.lock().unwrap_or_else(PoisonError::into_inner);
                let room = KEPT.saturating_sub(said.len());
                said.extend_from_slice(&buf[..len.min(room)]);
            }
        });
        Self { said, thread }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// The last line, as the end of a sentence.
    pub(super) fn last(&self) -> String {
        let text = self.text();
        text.lines()
            .map(tame)
            .rfind(|line| !line.is_empty())
            .map_or_else(String::new, |line| format!(": {line}"))
    }

    /// All of it, once ssh has ended. Something that it left behind may keep the pipe open.
    pub(super) fn heard(&self) -> String {
        let deadline = Instant::now() + Duration::from_secs(2);
        while !self.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        self.text()
    }
}
