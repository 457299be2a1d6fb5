//! What nodes join the swarm with: keys that are kept, certificates that are signed for each bake, and the keys that
//! managers refuse.

use std::path::PathBuf;

use super::authorities::Authorities;
use super::error::{StateError, corrupt};
use super::identity::{HostKey, JoinIdentity, ManagerHost};
use super::lock::LockedState;
use super::{State, private};
use crate::config::types::{Cluster, Node, Role};
use crate::keys::join::{Membership, SshKey, without_comment};
use crate::seed::Seed;

const DAY: u64 = 86_400;

impl State {
    /// A node's join key, if it has one that is not revoked.
    pub(super) fn join_key(&self, node: &str) -> Result<Option<SshKey>, StateError> {
        let revoked = self.revoked_keys()?;
        Ok(self.read_join_key(node)?.filter(|key| !contains(&revoked, &key.public)))
    }

    fn read_join_key(&self, node: &str) -> Result<Option<SshKey>, StateError> {
        let path = self.join_node_dir(node).join("key");
        let Some(text) = private::read_text(&path)? else { return Ok(None) };
        SshKey::read(&text).map(Some).map_err(|error| corrupt(&path, error.to_string()))
    }

    /// The public keys of revoked nodes, one line each, oldest first.
    ///
    /// # Errors
    /// When the file is damaged, or open to others.
    pub fn revoked_keys(&self) -> Result<Vec<String>, StateError> {
        let text = private::read_text(&self.revoked_path())?;
        Ok(text.iter().flat_map(|text| text.lines()).map(str::to_owned).collect())
    }

    /// The names and public join keys (one line) of nodes that have one, and whether each is revoked.
    ///
    /// # Errors
    /// When one is damaged, or open to others.
    pub fn join_keys(&self) -> Result<Vec<(String, String, bool)>, StateError> {
        let revoked = self.revoked_keys()?;
        let mut found = Vec::new();
        for name in private::names(&self.join_dir().join(super::NODES))? {
            if let Some(key) = self.read_join_key(&name)? {
                let is_revoked = contains(&revoked, &key.public);
                found.push((name, key.public, is_revoked));
            }
        }
        Ok(found)
    }

    /// The SSH authority's public key as one line; `None` when there is none yet.
    ///
    /// # Errors
    /// When the file is damaged, or open to others.
    pub fn join_public(&self) -> Result<Option<String>, StateError> {
        let text = private::read_text(&self.join_public_path())?;
        Ok(text.map(|text| text.trim_end().to_owned()))
    }

    pub(super) fn join_node_dir(&self, node: &str) -> PathBuf {
        self.join_dir().join(super::NODES).join(node)
    }

    fn join_public_path(&self) -> PathBuf {
        self.join_dir().join("ca.pub")
    }

    fn revoked_path(&self) -> PathBuf {
        self.join_dir().join("revoked")
    }
}

impl LockedState<'_> {
    /// What a node joins with: its key, and a certificate that lasts from this bake.
    pub(super) fn membership(
        &self,
        node: &Node,
        cluster: &Cluster,
        authorities: &mut Authorities,
    ) -> Result<JoinIdentity, StateError> {
        private::create_dir(&self.state.join_dir())?;
        let key = match self.state.join_key(&node.name)? {
            Some(key) => key,
            None => self.make_join_key(&node.name)?,
        };
        let time = authorities.time;
        let authority = authorities.join(self)?;
        let membership = membership(node, cluster, self.state.seed(), &key.public, time);
        let certificate = authority.sign(&key.public, &membership)?;
        let managers = managers(cluster).map(|manager| {
            let keys = self.host_keys(&manager.name)?;
            Ok(manager_host(&manager.name, &keys))
        });
        Ok(JoinIdentity {
            certificate,
            ca: authority.public()?,
            revoked: self.state.revoked_keys()?,
            managers: managers.collect::<Result<_, StateError>>()?,
            key: key.private,
        })
    }

    /// Revokes the join key of a node, which need not be in the cluster file any more: the node's next card gets another.
    /// The revoked key as one line; `None` when the node has none.
    ///
    /// # Errors
    /// When a file is damaged, or cannot be written.
    pub fn revoke(&self, node: &str) -> Result<Option<String>, StateError> {
        let found = self.state.join_keys()?.into_iter().find(|(name, ..)| name == node);
        let Some((_, public, is_revoked)) = found else { return Ok(None) };
        if !is_revoked {
            let mut lines = self.state.revoked_keys()?;
            lines.push(public.clone());
            private::write(&self.state.revoked_path(), (lines.join("\n") + "\n").as_bytes())?;
        }
        Ok(Some(public))
    }

    pub(super) fn write_join_public(&self, public: &str) -> Result<(), StateError> {
        if self.state.join_public()?.as_deref() == Some(public) {
            return Ok(());
        }
        private::write(&self.state.join_public_path(), format!("{public}\n").as_bytes())
    }

    fn make_join_key(&self, node: &str) -> Result<SshKey, StateError> {
        let dir = self.state.join_node_dir(node);
        private::create_dir(&self.state.join_dir().join(super::NODES))?;
        private::create_dir(&dir)?;
        let key = SshKey::make(node)?;
        private::write(&dir.join("key"), key.private.as_bytes())?;
        Ok(key)
    }
}

fn contains(lines: &[String], public: &str) -> bool {
    let public = without_comment(public);
    lines.iter().any(|line| without_comment(line) == public)
}

/// Whether a node takes part in a swarm.
pub(super) fn joins(node: &Node, cluster: &Cluster) -> bool {
    cluster.swarm.is_some() && node.role != Role::None
}

/// The swarm's managers in file order.
pub(super) fn managers(cluster: &Cluster) -> impl Iterator<Item = &Node> {
    cluster.nodes.iter().filter(|node| node.role == Role::Manager)
}

/// A manager as it is pinned: a comment in a key would only repeat the name.
pub(super) fn manager_host(name: &str, keys: &[HostKey]) -> ManagerHost {
    let host_keys = keys.iter().map(|key| without_comment(&key.public)).collect();
    ManagerHost { name: name.to_owned(), host_keys }
}

/// What a node's certificate says; the same for the same key, role and bake time.
pub(super) fn membership<'a>(
    node: &'a Node,
    cluster: &Cluster,
    seed: &Seed,
    public: &str,
    time: i64,
) -> Membership<'a> {
    let role = match node.role {
        Role::Manager => "manager",
        Role::Worker => "worker",
        Role::None => "none",
    };
    let days = cluster.swarm.as_ref().map_or(0, |swarm| swarm.join_days);
    let until = u64::try_from(time).unwrap_or(0).saturating_add(u64::from(days) * DAY);
    let about = format!("{role} {until} {}", without_comment(public));
    Membership {
        node: &node.name,
        role,
        until,
        serial: u64::from_le_bytes(seed.derive(&node.name, &format!("join serial {about}"))),
        nonce: seed.derive(&node.name, &format!("join nonce {about}")),
    }
}
