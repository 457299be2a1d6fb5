//! The user's own OpenSSH client, made to connect to a node or to any host.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::config::types::Node;

/// How long ssh may take for the connection, in seconds.
const CONNECT: u32 = 15;

/// How to run ssh.
#[derive(Clone, Copy)]
pub struct Way<'a> {
    /// `ssh -F`, in place of the user's own configuration.
    pub ssh_config: Option<&'a Path>,
    /// Makes a command of a program's name, run as the invoking user.
    pub command: &'a (dyn Fn(&str) -> Command + Sync),
}

/// Where to.
#[derive(Clone, Copy)]
pub enum To<'a> {
    /// A node, by the host key that was baked.
    Node {
        /// The node.
        node: &'a Node,
        /// The state's `known_hosts`.
        known_hosts: &'a Path,
    },
    /// `USER@HOST`, or a name of the user's configuration; known by the user's own `known_hosts`.
    Host(&'a str),
}

/// Whether ssh may ask for a password or a passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Nobody is asked anything.
    Batch,
    /// The person at the terminal is.
    Terminal,
}

/// ssh with its three pipes, which runs `remote` there. It may not change what the state knows.
#[must_use]
pub fn command(way: &Way<'_>, to: To<'_>, manner: Manner, remote: &str) -> Command {
    let mut command = (way.command)("ssh");
    if let Some(file) = way.ssh_config {
        command.arg("-F").arg(file);
    }
    if let To::Node { node, known_hosts } = to {
        pin(&mut command, node, known_hosts);
    }
    if manner == Manner::Batch {
        command.args(["-o", "BatchMode=yes"]);
    }
    for option in [
        // A connection that is open already was checked against other keys
        "ControlPath=none",
        "ClearAllForwardings=yes",
        "ForwardAgent=no",
        "ForwardX11=no",
        "PermitLocalCommand=no",
        "LogLevel=ERROR",
        "ServerAliveInterval=10",
        "ServerAliveCountMax=3",
    ] {
        command.arg("-o").arg(option);
    }
    command.arg("-o").arg(format!("ConnectTimeout={CONNECT}")).arg("-T");
    match to {
        To::Node { node, .. } => command.args(["-l", &node.user.name, "--", &node.name]),
        To::Host(host) => command.args(["--", host]),
    };
    command.arg(remote).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Trusts nothing but the key that the state has of the node.
fn pin(command: &mut Command, node: &Node, known_hosts: &Path) {
    // By its file's name, from its directory: what else may stand in a path means something to ssh
    if let (Some(dir), Some(file)) = (known_hosts.parent(), known_hosts.file_name()) {
        let mut option = OsString::from("UserKnownHostsFile=");
        option.push(file);
        command.current_dir(dir).arg("-o").arg(option);
    }
    for option in [
        "GlobalKnownHostsFile=/dev/null".to_owned(),
        "StrictHostKeyChecking=yes".to_owned(),
        "VerifyHostKeyDNS=no".to_owned(),
        "UpdateHostKeys=no".to_owned(),
        "CheckHostIP=no".to_owned(),
        format!("HostName={}", node.address),
        format!("HostKeyAlias={}", node.name),
    ] {
        command.arg("-o").arg(option);
    }
}
