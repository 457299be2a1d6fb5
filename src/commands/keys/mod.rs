//! `pibake keys`, the passphrase they may be under, and what to do when they cannot be used.

mod authority;
mod export;
mod revoke;
mod rotate;
mod show;

use std::io;
use std::path::Path;

use crate::cli::args::KeysAction;
use crate::cli::prompt;
use crate::config::secret::{Outside as _, ThisMachine};
use crate::config::types::{Cluster, Node, Role, Secret};
use crate::error::{self, ExitCode, advise};
use crate::keys::KeyError;
use crate::state::{Authorities, LockedState, State, StateError};

use super::context::Context;
use super::prepare;

pub(super) fn run(context: &Context, action: &KeysAction) -> anyhow::Result<()> {
    // How many managers there are is for those who bake them.
    let cluster = prepare::cluster(context, true)?;
    let state = prepare::existing_state(context, &cluster)?.ok_or_else(|| {
        let what = format!("cluster {} has no keys yet", cluster.name);
        error::advised(
            ExitCode::Usage,
            what,
            "`pibake bake` and `pibake flash` make them; --state names others",
        )
    })?;
    let desk = Desk { context, cluster, state };
    match action {
        KeysAction::Show => show::run(&desk),
        KeysAction::Export { client, dir } => export::run(&desk, client, dir),
        KeysAction::AddClient { name } => rotate::add_client(&desk, name),
        KeysAction::Rotate { what } => rotate::run(&desk, what),
        KeysAction::Revoke { node } => revoke::run(&desk, node),
        KeysAction::Import { certificate, key, accept_node_keys } => {
            authority::import(&desk, certificate, key, *accept_node_keys)
        }
        KeysAction::Protect => authority::protect(&desk),
        KeysAction::Unprotect => authority::unprotect(&desk),
    }
}

/// What every action works with.
struct Desk<'a> {
    context: &'a Context,
    cluster: Cluster,
    state: State,
}

impl Desk<'_> {
    /// Runs what changes keys.
    fn change<T>(
        &self,
        run: impl FnMut(&LockedState<'_>, &mut Authorities) -> Result<T, StateError>,
    ) -> anyhow::Result<T> {
        sign(self.context, &self.state, run)
    }

    /// The nodes whose dockerd shows a certificate.
    fn servers(&self) -> Vec<&str> {
        let nodes = self.cluster.nodes.iter().filter(|node| node.docker.tls);
        nodes.map(|node| node.name.as_str()).collect()
    }

    /// For each manager a line that runs a command on it over ssh, by the host keys that the state has.
    fn on_managers(&self, command: &str) -> Vec<String> {
        let known_hosts = format!("UserKnownHostsFile={}", self.state.known_hosts().display());
        let managers = self.cluster.nodes.iter().filter(|node| node.role == Role::Manager);
        let line = |node: &Node| {
            let account = format!("{}@{}", node.user.name, node.address);
            format!("ssh -t -o {} {account} {}", quoted(&known_hosts), quoted(command))
        };
        managers.map(line).collect()
    }
}

/// A word as a shell takes it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%:=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Runs what may sign, under the lock, which nobody's typing of the passphrase holds: what needs it is run twice.
pub(super) fn sign<T>(
    context: &Context,
    state: &State,
    run: impl FnMut(&LockedState<'_>, &mut Authorities) -> Result<T, StateError>,
) -> anyhow::Result<T> {
    let mut ask = || passphrase(context);
    let by = (context.progress.as_ref(), &context.interrupt);
    state.sign(context.bake_time()?, &mut ask, by, run).map_err(advised)
}

/// The passphrase that the keys are under: from `--passphrase-file`, or from the person at the terminal.
fn passphrase(context: &Context) -> io::Result<Secret> {
    match &context.common.passphrase_file {
        None => prompt::secret("passphrase of the cluster's keys"),
        Some(path) => {
            let secret = secret_file(context, path)?;
            let text = secret.expose();
            Ok(Secret::new(text.strip_suffix('\n').unwrap_or(text).to_owned()))
        }
    }
}

/// A small file's text; warns when others may read it.
fn secret_file(context: &Context, path: &Path) -> io::Result<Secret> {
    let (secret, open) = small_file(path)?;
    if open {
        let path = path.display();
        context.warn([&format!("{path} holds a secret and others may read it; chmod 600 {path}")]);
    }
    Ok(secret)
}

/// A small file's text, and whether others may read it.
fn small_file(path: &Path) -> io::Result<(Secret, bool)> {
    let mut nothing = |_: &[String]| Err(io::Error::other("a file is read without running anything"));
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    ThisMachine::new(&mut nothing).file(path).map_err(named)
}

/// What is to be done about keys that cannot be used.
fn advised(error: StateError) -> anyhow::Error {
    let (code, what_to_do) = match &error {
        StateError::Key(KeyError::TooEarly { .. }) => {
            (ExitCode::Usage, "set SOURCE_DATE_EPOCH to a later time, or leave it out for the time now")
        }
        StateError::Key(KeyError::Ended { .. }) => (
            ExitCode::Usage,
            "`pibake keys rotate ca` makes a new one; every card must then be flashed again",
        ),
        StateError::Key(KeyError::WrongPassphrase) => {
            (ExitCode::Usage, "try again; a passphrase that is forgotten cannot be recovered")
        }
        StateError::Key(KeyError::Name { .. }) => (ExitCode::Usage, "choose another name"),
        StateError::InTheWay { .. } => {
            (ExitCode::Usage, "name another directory, or remove the file; nothing was written")
        }
        StateError::Passphrase { .. } => {
            (ExitCode::Usage, "run it at a terminal, or name a file that holds it with --passphrase-file")
        }
        _ => return anyhow::Error::from(error).context("reading or making the cluster's keys"),
    };
    advise(code, error, what_to_do)
}
