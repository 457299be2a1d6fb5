//! Why a node says nothing.

use std::path::Path;
use std::process::ExitStatus;

use super::ssh::To;

/// A value longer than this is cut.
pub const LONG: usize = 400;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// Something answers with a key that is not the node's.
    #[error(
        "another machine, or a card that was not baked from this state, answers there: its host key is not the one that was baked"
    )]
    OtherKey,
    /// The state has no key of it.
    #[error("the state has no host key of it")]
    NoKey,
    /// It is the node, and it does not let the user in.
    #[error("it is the right node, but it does not let {user} in: {says}")]
    Refused {
        /// Who asked.
        user: String,
        /// ssh's last line.
        says: String,
    },
    /// ssh did not get through.
    #[error("{0}")]
    Unreachable(String),
    /// It took too long.
    #[error("no answer after {0} s")]
    TimedOut(u64),
    /// It said more than any node has to say.
    #[error("it says more than {0} bytes: this is no answer")]
    TooMuch(u64),
    /// There is no ssh to ask with.
    #[error("ssh cannot be run: {0}")]
    NoSsh(String),
}

impl Silence {
    /// What a person can do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Silence::OtherKey => {
                "if that is the node, flash its card from this state again, or name the state it was baked from with --state"
            }
            Silence::NoKey => "bake or flash it first, or name the state it was baked from with --state",
            Silence::Refused { .. } => {
                "is your private key, or an agent that has it, at hand? `ssh -v` says more"
            }
            Silence::Unreachable(_) | Silence::TimedOut(_) => {
                "is it switched on, its cable plugged in, and this machine on its network? A first boot takes minutes"
            }
            Silence::TooMuch(_) => "look at what its login scripts print",
            Silence::NoSsh(_) => "install the OpenSSH client",
        }
    }

    /// Why ssh ended. It ends with 255 for an error of its own and with the remote command's status otherwise;
    /// the messages are those of OpenSSH's sshconnect.c and are not translated.
    #[must_use]
    pub fn of(status: ExitStatus, complaint: &str, to: To<'_>) -> Self {
        let last = complaint.lines().map(str::trim).rfind(|line| !line.is_empty()).map(tame);
        let says = last.unwrap_or_else(|| format!("ssh ended with {status}"));
        let any = |texts: &[&str]| texts.iter().any(|text| complaint.contains(text));
        let (user, known) = match to {
            To::Node { node, known_hosts } => (node.user.name.as_str(), knows(known_hosts, &node.name)),
            To::Host(host) => (host.rsplit_once('@').map_or("you", |(user, _)| user), true),
        };
        let baked = matches!(to, To::Node { .. });
        if any(&["host key is known for"]) && !known {
            Silence::NoKey
        } else if baked && any(&["REMOTE HOST IDENTIFICATION HAS CHANGED", "host key is known for"]) {
            // The second is said of a key of a kind that the node has none of
            Silence::OtherKey
        } else if any(&["Permission denied (", "Too many authentication failures"]) {
            Silence::Refused { user: user.to_owned(), says }
        } else {
            Silence::Unreachable(says)
        }
    }
}

/// Whether a `known_hosts` has a key under this name.
fn knows(known_hosts: &Path, name: &str) -> bool {
    let text = std::fs::read_to_string(known_hosts).unwrap_or_default();
    let hosts = text.lines().filter_map(|line| line.split(' ').next());
    hosts.flat_map(|hosts| hosts.split(',')).any(|host| host == name)
}

/// A value without anything that steers a terminal, and not longer than a person reads.
#[must_use]
pub fn tame(value: &str) -> String {
    value.trim().chars().take(LONG).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
