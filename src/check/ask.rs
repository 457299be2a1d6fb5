//! Asking nodes over ssh: the only place of this room that runs anything.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use std::os::unix::process::CommandExt;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::config::types::{Node, Sudo};
use crate::interrupt::{Interrupt, Interrupted};
use crate::node::silence::Silence;
use crate::node::ssh::{self, Manner, To};

/// The questions.
const SCRIPT: &str = include_str!("facts.sh");

/// How many nodes are asked at a time.
const AT_ONCE: usize = 8;

/// How long a node may take for all of its answer: the script waits for Docker up to three times 90 s.
pub const PATIENCE: Duration = Duration::from_secs(360);

/// An answer is a few KiB.
const ANSWER: u64 = 256 << 10;

/// What ssh itself has to say is a few lines.
const COMPLAINT: u64 = 16 << 10;

/// How often the end of ssh is looked for.
const PAUSE: Duration = Duration::from_millis(20);

/// How to reach nodes.
#[derive(Clone, Copy)]
pub struct Way<'a> {
    /// The state's `known_hosts`.
    pub known_hosts: &'a Path,
    /// How to run ssh.
    pub ssh: ssh::Way<'a>,
    /// How long a node may take.
    pub patience: Duration,
}

/// What a node answered, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Standard output.
    pub text: String,
    /// This machine's clock when the node was asked, in seconds since 1970.
    pub asked: i64,
    /// And when it had answered.
    pub heard: i64,
}

/// Asks every node, several at a time; the answers in the same order.
///
/// # Errors
/// [`Interrupted`] when the run was asked to stop; nothing that was started goes on.
pub fn ask_all(
    nodes: &[Node],
    way: &Way<'_>,
    interrupt: &Interrupt,
) -> Result<Vec<Result<Answer, Silence>>, Interrupted> {
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(Vec::new());
    let work = || {
        while let Some((at, node)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, nodes.get(at)?)))
        {
            let Ok(answer) = ask(node, way, interrupt) else { return };
            answers.lock().unwrap_or_else(PoisonError::into_inner).push((at, answer));
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(nodes.len()) {
            scope.spawn(work);
        }
    });
    interrupt.check()?;
    let mut answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
    answers.sort_by_key(|(at, _)| *at);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

/// Asks one node.
fn ask(node: &Node, way: &Way<'_>, interrupt: &Interrupt) -> Result<Result<Answer, Silence>, Interrupted> {
    let asked = now();
    let deadline = Instant::now() + way.patience;
    let mut child = match ssh(node, way).spawn() {
        Ok(child) => child,
        Err(error) => return Ok(Err(Silence::NoSsh(error.to_string()))),
    };
    if let Some(mut stdin) = child.stdin.take() {
        // It fits into the pipe. That ssh went away already is told by its status.
        let _ = stdin.write_all(SCRIPT.as_bytes());
    }
    let said = child.stdout.take().map(|pipe| listen(pipe, ANSWER));
    let complained = child.stderr.take().map(|pipe| listen(pipe, COMPLAINT));
    let Some(status) = wait(&mut child, deadline, interrupt)? else {
        return Ok(Err(Silence::TimedOut(way.patience.as_secs())));
    };
    let (Some(said), Some(complained)) = (heard(said), heard(complained)) else {
        return Ok(Err(Silence::TimedOut(way.patience.as_secs())));
    };
    if said.len() as u64 > ANSWER {
        return Ok(Err(Silence::TooMuch(ANSWER)));
    }
    let complaint = String::from_utf8_lossy(&complained);
    if !status.success() {
        let to = To::Node { node, known_hosts: way.known_hosts };
        return Ok(Err(Silence::of(status, &complaint, to)));
    }
    Ok(Ok(Answer { text: String::from_utf8_lossy(&said).into_owned(), asked, heard: now() }))
}

/// An ssh that asks nobody anything, to be ended with everything it starts, a jump host's ssh for one.
fn ssh(node: &Node, way: &Way<'_>) -> Command {
    let to = To::Node { node, known_hosts: way.known_hosts };
    let mut command = ssh::command(&way.ssh, to, Manner::Batch, remote_command(node));
    command.process_group(0);
    command
}

/// Where sudo asks nothing, as root. Should it be refused all the same, what can be seen without is still
/// worth having, and tells.
fn remote_command(node: &Node) -> &'static str {
    match node.user.sudo {
        Sudo::Nopasswd => "sudo -n sh -s || sh -s",
        Sudo::Password => "sh -s",
    }
}

fn listen(mut pipe: impl Read + Send + 'static, limit: u64) -> Receiver<Vec<u8>> {
    let (send, receive) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // One more than the limit, to see that it was passed. What came before an error counts.
        let _ = pipe.by_ref().take(limit + 1).read_to_end(&mut bytes);
        let _ = send.send(bytes);
    });
    receive
}

/// What was said, once ssh has ended; `None` when something that it left behind keeps the pipe open.
fn heard(listener: Option<Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    listener?.recv_timeout(Duration::from_secs(5)).ok()
}

/// Waits for the end of ssh; `None` when it took too long and was ended.
fn wait(
    child: &mut Child,
    deadline: Instant,
    interrupt: &Interrupt,
) -> Result<Option<ExitStatus>, Interrupted> {
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Ok(Some(status));
        }
        let stop = interrupt.check();
        if stop.is_err() || Instant::now() >= deadline {
            // Its group has its number. That it has just ended by itself is as good.
            if let Ok(group) = i32::try_from(child.id()) {
                let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
            }
            let _ = child.wait();
            stop?;
            return Ok(None);
        }
        thread::sleep(PAUSE);
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::{ANSWER, Answer, Way, ask_all, ssh as ssh_to};
    use crate::check::facts::parse;
    use crate::config::types::Node;
    use crate::config::{self, Selection};
    use crate::interrupt::Interrupt;
    use crate::node::silence::Silence;
    use crate::node::ssh;

    /// A desk with a cluster file of so many nodes, and a `known_hosts` that knows the first.
    fn desk(count: usize) -> (tempfile::TempDir, Vec<Node>) {
        let dir = tempfile::tempdir().unwrap();
        let mut text = "name = \"lab\"\n[user]\nauthorized_keys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAf0QiANlqfYIbHmN0BIxTMBEVDXxl98tEigw1sjCMgR x\"]\n".to_owned();
        for at in 1..=count {
            text.push_str(&format!("[[node]]\nname = \"pi{at}\"\naddress = \"192.168.0.{at}/16\"\n"));
        }
        std::fs::write(dir.path().join("pibake.toml"), text).unwrap();
        std::fs::write(dir.path().join("known_hosts"), "# x\npi1,192.168.0.1 ssh-ed25519 AAAA\n").unwrap();
        let selection =
            Selection { cwd: dir.path().to_owned(), home: Path::new("/").to_owned(), ..Selection::default() };
        let nodes = config::load(&selection).unwrap().nodes;
        (dir, nodes)
    }

    /// Asks with this shell script in the place of ssh.
    fn asked(
        count: usize,
        script: &str,
        patience: Duration,
        interrupt: &Interrupt,
    ) -> Vec<Result<Answer, Silence>> {
        let (dir, nodes) = desk(count);
        let command = |_: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script, "ssh"]);
            command
        };
        let known_hosts = dir.path().join("known_hosts");
        let way = Way {
            known_hosts: &known_hosts,
            ssh: ssh::Way { ssh_config: None, command: &command },
            patience,
        };
        ask_all(&nodes, &way, interrupt).unwrap_or_default()
    }

    fn silence(script: &str) -> Silence {
        asked(1, script, Duration::from_secs(60), &Interrupt::default()).remove(0).unwrap_err()
    }

    #[test]
    fn the_script_goes_in_and_the_answers_come_out_in_order() {
        // Runs the questions on this machine
        let answers = asked(20, "echo \"on $*\"; exec sh -s", Duration::from_secs(60), &Interrupt::default());
        assert_eq!(answers.len(), 20);
        for (at, answer) in answers.into_iter().enumerate() {
            let answer = answer.unwrap();
            assert!(answer.text.contains(&format!("HostName=192.168.0.{}", at + 1)), "{}", answer.text);
            let now = parse(&answer.text).unwrap().now.unwrap();
            assert!(answer.asked <= now && now <= answer.heard);
        }
    }

    #[test]
    fn ssh_is_told_to_trust_nothing_but_the_state() {
        let (dir, nodes) = desk(1);
        let known_hosts = dir.path().join("known_hosts");
        let config = Path::new("/etc/my config");
        let command = |program: &str| Command::new(program);
        let way = Way {
            known_hosts: &known_hosts,
            ssh: ssh::Way { ssh_config: Some(config), command: &command },
            patience: Duration::ZERO,
        };
        let command = ssh_to(&nodes[0], &way);
        let words: Vec<&str> = command.get_args().map(|word| word.to_str().unwrap()).collect();
        for option in [
            "UserKnownHostsFile=known_hosts",
            "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=yes",
            "BatchMode=yes",
            "ControlPath=none",
            "HostKeyAlias=pi1",
            "HostName=192.168.0.1",
        ] {
            assert!(words.windows(2).any(|pair| pair == ["-o", option]), "{option}: {words:?}");
        }
        assert_eq!(words[..2], ["-F", "/etc/my config"]);
        assert_eq!(words[words.len() - 5..], ["-l", "pi", "--", "pi1", "sudo -n sh -s || sh -s"]);
        assert_eq!(command.get_current_dir(), Some(dir.path()));
    }

    #[test]
    fn why_a_node_is_silent() {
        let refused = silence("echo 'pi@192.168.0.1: Permission denied (publickey).' >&2; exit 255");
        assert!(
            matches!(&refused, Silence::Refused { user, says } if user == "pi" && says.contains("publickey"))
        );
        let changed = "echo '@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @' >&2; echo 'Host key verification failed.' >&2; exit 255";
        assert_eq!(silence(changed), Silence::OtherKey);
        // The state has a key of pi1, of another kind
        let kind =
            "echo 'No RSA host key is known for pi1 and you have requested strict checking.' >&2; exit 255";
        assert_eq!(silence(kind), Silence::OtherKey);
        let unknown = asked(2, kind, Duration::from_secs(60), &Interrupt::default()).remove(1);
        assert_eq!(unknown, Err(Silence::NoKey));
        let route = "printf 'ssh: connect to host 192.168.0.1 port 22: No route to host\\r\\n\\033[2J\\n' >&2; exit 255";
        assert_eq!(silence(route), Silence::Unreachable("\u{fffd}[2J".to_owned()));
        assert!(matches!(silence("exit 3"), Silence::Unreachable(says) if says.contains("3")));
    }

    #[test]
    fn a_flood_is_no_answer() {
        assert_eq!(silence("head -c 300000 /dev/zero"), Silence::TooMuch(ANSWER));
        let endless = silence("exec cat /dev/zero");
        assert!(matches!(endless, Silence::Unreachable(_) | Silence::TooMuch(_)), "{endless:?}");
    }

    #[test]
    fn a_node_that_hangs_is_given_up_with_all_that_was_started() {
        let began = Instant::now();
        let answers = asked(2, "sleep 300 & sleep 300", Duration::from_millis(300), &Interrupt::default());
        assert_eq!(answers, [Err(Silence::TimedOut(0)), Err(Silence::TimedOut(0))]);
        assert!(began.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn an_interrupted_run_waits_for_nobody() {
        let interrupt = Interrupt::default();
        interrupt.request();
        let began = Instant::now();
        assert!(asked(3, "sleep 300", Duration::from_secs(600), &interrupt).is_empty());
        assert!(began.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_machine_without_ssh_is_told() {
        let (dir, nodes) = desk(1);
        let command = |_: &str| Command::new("/no/such/ssh");
        let known_hosts = dir.path().join("known_hosts");
        let patience = Duration::from_secs(60);
        let way = Way {
            known_hosts: &known_hosts,
            ssh: ssh::Way { ssh_config: None, command: &command },
            patience,
        };
        let answers = ask_all(&nodes, &way, &Interrupt::default()).unwrap();
        assert!(matches!(&answers[0], Err(Silence::NoSsh(_))), "{answers:?}");
    }
}
