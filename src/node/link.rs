//! One connection to a node, and the script at its other end.

use std::io::{self, Write};
use std::process::{Child, ChildStdin};
use std::time::{Duration, Instant};

use super::answers::{Answer, Answers};
use super::complaints::Complaints;
use super::packing::{Pack, Packing};
use super::request::Request;
use super::silence::{Silence, tame};
use super::ssh::{self, Manner, To, Way};
use crate::config::types::Secret;
use crate::interrupt::{Interrupt, Interrupted};

/// Becomes root and takes the script in.
const BOOT: &str = include_str!("boot.sh");

/// Answers requests.
const SCRIPT: &str = include_str!("node.sh");

/// How long sudo may take to judge a password, and the script to be ready.
const READY: Duration = Duration::from_secs(60);

/// How often sudo's complaints are looked at meanwhile.
const GLANCE: Duration = Duration::from_millis(300);

/// How long the script may take to put everything back once nobody asks any more.
const FAREWELL: Duration = Duration::from_secs(20);

/// An answer: a piece of a disk, or the list of the sectors written in a while.
const ANSWER: u64 = 64 << 20;

/// What the script is told when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Its directory, in a filesystem in memory: one capture at a time has it.
    pub room: String,
    /// How long a filesystem may stay frozen.
    pub limit: Duration,
    /// What it packs with.
    pub pack: Pack,
}

impl Terms {
    /// What every capture of a node is run with.
    #[must_use]
    pub fn new(limit: Duration, pack: Pack) -> Self {
        Self { room: "/run/pibake-capture".to_owned(), limit, pack }
    }
}

/// Why there is no connection, or no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It never came about.
    #[error(transparent)]
    Silent(#[from] Silence),
    /// sudo did not accept the password.
    #[error("sudo did not accept the password")]
    Password,
    /// Somebody else is at it.
    #[error("another capture of this node is under way")]
    Busy,
    /// The node will not or cannot.
    #[error("the node says: {0}")]
    No(String),
    /// It broke off.
    #[error("the connection broke off{0}")]
    Cut(String),
    /// The run was asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The pipe to ssh, or the password.
    #[error(transparent)]
    Io(io::Error),
}

impl LinkError {
    /// What a person can do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            LinkError::Silent(silence) => silence.advice(),
            LinkError::Password => "try again, or let the account use sudo without a password",
            LinkError::Busy => {
                "wait for it; if it was cut off, the node puts everything back within ten minutes"
            }
            LinkError::No(_) => "`ssh` to it and look",
            LinkError::Cut(_) => {
                "the node thaws and starts by itself what was stopped; try again once it is reached reliably"
            }
            LinkError::Interrupted(_) | LinkError::Io(_) => "try again",
        }
    }
}

/// The connection. Dropped, it lets the script put everything back.
pub struct Link {
    child: Child,
    requests: Option<ChildStdin>,
    answers: Answers,
    complaints: Complaints,
    packing: Packing,
    interrupt: Interrupt,
}

/// Asks for sudo's password on the node.
pub type AskPassword<'a> = &'a dyn Fn() -> io::Result<Secret>;

impl Link {
    /// Connects, becomes root, and starts the script.
    ///
    /// # Errors
    /// When ssh does not get through, sudo refuses, or the node is not one that can be captured.
    pub fn open(
        way: &Way<'_>,
        to: To<'_>,
        terms: &Terms,
        password: AskPassword<'_>,
        interrupt: &Interrupt,
    ) -> Result<Self, LinkError> {
        let mut command = ssh::command(way, to, Manner::Terminal, &remote(terms));
        let no_ssh = |error: io::Error| LinkError::Silent(Silence::NoSsh(error.to_string()));
        let mut child = command.spawn().map_err(no_ssh)?;
        let (Some(requests), Some(answers), Some(complaints)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(LinkError::Io(io::ErrorKind::BrokenPipe.into()));
        };
        let mut link = Self {
            child,
            requests: Some(requests),
            answers: Answers::new(answers, interrupt.clone()),
            complaints: Complaints::listen(complaints),
            packing: Packing::None,
            interrupt: interrupt.clone(),
        };
        match link.greet(password) {
            Ok(true) => Ok(link),
            Ok(false) => Err(link.why_silent(to)),
            Err(error) => Err(error),
        }
    }

    /// Until the script waits for requests; `false` when the connection ended first.
    fn greet(&mut self, password: AskPassword<'_>) -> Result<bool, LinkError> {
        let (mut asked, mut since) = (false, Instant::now());
        loop {
            let line = match self.answers.line() {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    // sudo, once it has refused one password, waits for another
                    let refused = asked && self.complaints.text().contains("try again");
                    if refused || since.elapsed() >= READY {
                        return Err(if asked { LinkError::Password } else { LinkError::Io(error) });
                    }
                    self.answers.until(Some(Instant::now() + GLANCE));
                    continue;
                }
                line => line.map_err(broken)?,
            };
            // What else is said comes from login scripts
            match line.as_deref() {
                None => return self.ended(asked),
                Some("pibake-password") => {
                    let password = password().map_err(LinkError::Io)?;
                    self.write(password.expose())?;
                    self.write("\n")?;
                    (asked, since) = (true, Instant::now());
                    self.answers.until(Some(since + GLANCE));
                }
                Some("pibake-send") => {
                    self.write(SCRIPT)?;
                    since = Instant::now();
                    self.answers.until(Some(since + GLANCE));
                }
                Some("pibake-busy") => return Err(LinkError::Busy),
                Some("pibake-node none") => return Ok(self.is_ready(Packing::None)),
                Some("pibake-node zstd") => return Ok(self.is_ready(Packing::Zstd)),
                Some("pibake-node gzip") => return Ok(self.is_ready(Packing::Gzip)),
                Some(line) => {
                    if let Some(why) = line.strip_prefix("no ") {
                        return Err(LinkError::No(tame(why)));
                    }
                }
            }
        }
    }

    /// The connection ended before the script was ready: `false`, unless sudo was `asked` and is why. What it has to say
    /// may come later than the end of its answers.
    fn ended(&mut self, asked: bool) -> Result<bool, LinkError> {
        drop(self.requests.take());
        if asked && self.complaints.heard().contains("incorrect password") {
            return Err(LinkError::Password);
        }
        Ok(false)
    }

    fn is_ready(&mut self, packing: Packing) -> bool {
        self.packing = packing;
        self.answers.until(None);
        true
    }

    fn why_silent(mut self, to: To<'_>) -> LinkError {
        drop(self.requests.take());
        let status = self.child.wait();
        match (self.interrupt.check(), status) {
            (Err(interrupted), _) => interrupted.into(),
            (_, Ok(status)) => Silence::of(status, &self.complaints.heard(), to).into(),
            (_, Err(error)) => LinkError::Io(error),
        }
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// As [`Link::receive`].
    pub fn ask(&mut self, request: &Request) -> Result<Vec<u8>, LinkError> {
        self.send(request)?;
        self.receive(request)
    }

    /// Asks, with the answers to earlier requests still to come. A few lines of requests fit into the pipe.
    ///
    /// # Errors
    /// When the connection is no more.
    pub fn send(&mut self, request: &Request) -> Result<(), LinkError> {
        self.write(&format!("{request}\n"))
    }

    /// The answer to the oldest request that has none.
    ///
    /// # Errors
    /// What the node says, or that the connection is no more.
    pub fn receive(&mut self, request: &Request) -> Result<Vec<u8>, LinkError> {
        match self.answers.answer(ANSWER).map_err(|error| self.cut(error))? {
            Answer::No(why) => Err(LinkError::No(why)),
            Answer::Ok(bytes) => match request {
                Request::Read(range) => self.packing.unpack(&bytes, range.len()).map_err(LinkError::Io),
                _ => Ok(bytes),
            },
        }
    }

    /// Waits until the node has put everything back.
    ///
    /// # Errors
    /// When it did not say so in time; it still will.
    pub fn close(mut self) -> Result<(), LinkError> {
        self.send(&Request::Quit)?;
        drop(self.requests.take());
        let ended = self.answers.ends(Instant::now() + FAREWELL);
        match self.child.wait() {
            Ok(status) if ended && status.success() => Ok(()),
            _ => Err(LinkError::Cut(self.complaints.last())),
        }
    }

    fn write(&mut self, text: &str) -> Result<(), LinkError> {
        let pipe = self.requests.as_mut().ok_or_else(|| LinkError::Cut(String::new()))?;
        // That it ended is told by what comes back, or does not
        match pipe.write_all(text.as_bytes()).and_then(|()| pipe.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(LinkError::Io(error)),
            _ => Ok(()),
        }
    }

    /// A signal to the whole job at the terminal ends ssh too.
    fn cut(&self, error: io::Error) -> LinkError {
        match self.interrupt.check().map_or_else(LinkError::from, |()| broken(error)) {
            LinkError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                LinkError::Cut(self.complaints.last())
            }
            error => error,
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The end of the requests is the script's sign to put everything back; then ssh ends too
        if self.requests.take().is_some() && !self.answers.ends(Instant::now() + FAREWELL) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn broken(error: io::Error) -> LinkError {
    let stopped = error.get_ref().and_then(|inner| inner.downcast_ref::<Interrupted>()).copied();
    stopped.map_or(LinkError::Io(error), LinkError::Interrupted)
}

/// The command for the user's login shell, whichever it is: one quoted argument of `sh -c`.
fn remote(terms: &Terms) -> String {
    format!(
        "sh -c '{}' pibake {} {} {} {}",
        BOOT.replace('\'', "'\\''"),
        terms.room,
        SCRIPT.len(),
        terms.limit.as_secs(),
        terms.pack.name()
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io;
    use std::process::Command;
    use std::time::Duration;

    use super::{Link, LinkError, SCRIPT, Terms, remote};
    use crate::config::types::Secret;
    use crate::interrupt::Interrupt;
    use crate::node::packing::Pack;
    use crate::node::silence::Silence;
    use crate::node::ssh::{To, Way};

    /// Connects with this shell script in the place of ssh; its last argument is the remote command.
    fn opened(script: &str, password: &str) -> Result<Link, LinkError> {
        let command = |_: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script, "ssh"]);
            command
        };
        let way = Way { ssh_config: None, command: &command };
        let terms = Terms::new(Duration::from_secs(60), Pack::None);
        let asked = Cell::new(false);
        let ask = || {
            assert!(!asked.replace(true), "once");
            Ok(Secret::new(password.to_owned()))
        };
        Link::open(&way, To::Host("pi@pi3"), &terms, &ask, &Interrupt::default())
    }

    fn refused(script: &str) -> LinkError {
        opened(script, "secret").err().unwrap()
    }

    #[test]
    fn what_login_scripts_print_is_no_answer() {
        opened("echo welcome; printf 'x\\n\\n'; echo pibake-node none; cat >/dev/null", "").unwrap();
    }

    #[test]
    fn the_script_is_sent_whole_and_the_password_before_it() {
        let script = format!(
            "echo pibake-password; read -r p; [ \"$p\" = secret ] || exit 1; echo pibake-send
             [ \"$(head -c {} | wc -c)\" = {} ] || exit 1; echo pibake-node none; cat >/dev/null",
            SCRIPT.len(),
            SCRIPT.len()
        );
        opened(&script, "secret").unwrap();
        let remote = remote(&Terms::new(Duration::from_secs(60), Pack::Auto));
        assert!(remote.ends_with(&format!(" pibake /run/pibake-capture {} 60 auto", SCRIPT.len())));
        assert!(!remote.contains("secret"));
    }

    #[test]
    fn a_wrong_password_is_told_from_a_node_that_is_away() {
        let again = "echo pibake-password; read -r p; echo 'Sorry, try again.' >&2; cat >/dev/null";
        assert!(matches!(refused(again), LinkError::Password));
        let ends = "echo pibake-password; read -r p; echo 'sudo: 1 incorrect password attempt' >&2; exit 1";
        assert!(matches!(refused(ends), LinkError::Password));
        let away = "echo 'ssh: connect to host pi3 port 22: No route to host' >&2; exit 255";
        assert!(
            matches!(refused(away), LinkError::Silent(Silence::Unreachable(says)) if says.contains("route"))
        );
        let closed = "echo 'pi@pi3: Permission denied (publickey).' >&2; exit 255";
        assert!(matches!(refused(closed), LinkError::Silent(Silence::Refused { user, .. }) if user == "pi"));
        assert!(matches!(refused("echo pibake-busy"), LinkError::Busy));
        assert!(
            matches!(refused("echo 'no / does not lie on a disk'"), LinkError::No(why) if why.contains("disk"))
        );
    }

    #[test]
    fn a_flood_is_no_answer() {
        assert!(
            matches!(refused("head -c 100000 /dev/zero"), LinkError::Io(error) if error.kind() == io::ErrorKind::InvalidData)
        );
    }
}
