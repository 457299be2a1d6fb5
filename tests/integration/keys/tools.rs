//! Programs of others that judge what is made here, and the tier that they need.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::tier::asked;

const TOOLS: [&str; 7] = ["openssl", "curl", "ssh", "ssh-keygen", "sshd", "docker", "python3"];

/// Whether `PIBAKE_TIER` asks for the oracles, which must then be able to run; says so if it does not.
pub(super) fn oracles() -> bool {
    if !asked("oracles", "keys before openssl, ssh and docker") {
        return false;
    }
    let missing: Vec<&str> = TOOLS.into_iter().filter(|tool| find(tool).is_none()).collect();
    assert!(missing.is_empty(), "PIBAKE_TIER asks for the oracles, but these are missing: {missing:?}");
    true
}

/// Where a program is; daemons are not always in the path.
pub(super) fn find(tool: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(tool))
        .find(|file| file.is_file())
}

/// What a program said, and whether it ended well.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) well: bool,
    pub(super) text: String,
}

/// Runs a program in a directory until it ends; it is killed after half a minute.
pub(super) fn run(dir: &Path, words: &[&str]) -> Said {
    let output = Command::new("timeout")
        .arg("30")
        .args(words)
        .current_dir(dir)
        .env("HOME", dir)
        .stdin(Stdio::null())
        .output()
        .expect("it can be run");
    said(&output)
}

fn said(output: &Output) -> Said {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    Said { well: output.status.success(), text: String::from_utf8_lossy(&text).into_owned() }
}

/// A server of another program, ended when it is dropped.
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
}

impl Server {
    /// Starts it on a free port of this machine, and waits until it listens.
    pub(super) fn start(command: impl FnOnce(u16) -> Command) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a port is free")
            .port();
        let child = command(port).stdin(Stdio::null()).spawn().expect("it can be run");
        let server = Self { child, port };
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "the server does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
