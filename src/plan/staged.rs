//! What a node is given besides texts: files of this machine that were looked into before planning.

use std::collections::BTreeMap;

use debversion::Version;

use crate::container::ImageArchive;
use crate::deb::DebFile;

/// The files that the cluster file names for a node, read and described.
#[derive(Clone, Debug, Default)]
pub struct Staged {
    /// The packages of `docker.bundle`, with `install = "debs"`.
    pub docker: Vec<DebFile>,
    /// The packages of `system.packages`.
    pub system: Vec<DebFile>,
    /// The archives of `docker.images`.
    pub images: Vec<ImageArchive>,
    /// The version of the Docker engine of each node of the cluster by name, as far as it is known.
    pub engines: BTreeMap<String, Version>,
    /// The compose files of `swarm.stacks`, as written; only for managers.
    pub stacks: Vec<StackFile>,
}

/// A compose file.
#[derive(Clone, Debug)]
pub struct StackFile {
    /// The stack's name.
    pub name: String,
    /// The file's text, a template.
    pub text: String,
}
