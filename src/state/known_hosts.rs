//! The operator's `known_hosts`: every node's keys under its name and address, before its first boot.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::error::StateError;
use super::lock::LockedState;
use super::{State, private};
use crate::config::types::Node;

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
            let Some(identity) = self.state.existing_identity(&node.name)? else { continue };
            for key in &identity.host_keys {
                // Type and key: a comment there would only repeat the name.
                let mut words = key.public.split(' ');
                let (kind, base64) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                let _ = writeln!(text, "{},{} {kind} {base64}", node.name, node.address);
            }
        }
        let path = self.state.known_hosts();
        let same = private::read(&path)?.is_some_and(|old| old.as_slice() == text.as_bytes());
        if same { Ok(()) } else { private::write(&path, text.as_bytes()) }
    }
}
