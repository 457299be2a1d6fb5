//! The operator's `known_hosts`: every node's keys under its name and address, before its first boot.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::error::StateError;
use super::lock::LockedState;
use super::{State, private};
use crate::config::types::Node;
use crate::keys::join::without_comment;

impl State {
    /// Where it is, for `ssh -o UserKnownHostsFile=…`.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.dir().join("known_hosts")
    }
}

impl LockedState<'_> {
    /// Writes it anew for these nodes: those that have keys. Nodes that left the cluster file leave it too.
    ///
    /// # Errors
    /// When a key file is damaged, or the file cannot be written.
    pub fn write_known_hosts(&self, nodes: &[Node]) -> Result<(), StateError> {
        let mut text = String::from("# written by pibake; changes are lost\n");
        for node in nodes {
            let Some(host_keys) = self.state.existing_host_keys(&node.name)? else { continue };
            for key in &host_keys {
                // A comment there would only repeat the name.
                let public = without_comment(&key.public);
                let _ = writeln!(text, "{},{} {public}", node.name, node.address);
            }
        }
        let path = self.state.known_hosts();
        let same = private::read(&path)?.is_some_and(|old| old.as_slice() == text.as_bytes());
        if same { Ok(()) } else { private::write(&path, text.as_bytes()) }
    }
}
