//! The shadow model: a filesystem's tree as a value.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a node is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A directory.
    Directory,
    /// A regular file and what it holds.
    File(Arc<[u8]>),
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
    /// A device, FIFO or socket.
    Special,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Kind::Directory => f.write_str("directory"),
            Kind::File(content) => {
                write!(f, "file of {} bytes {:02x?}…", content.len(), &content[..content.len().min(8)])
            }
            Kind::Symlink(target) => write!(f, "link to {:?}", String::from_utf8_lossy(target)),
            Kind::Special => f.write_str("special"),
        }
    }
}

/// An inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Option<i64>,
    pub(crate) immutable: bool,
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
}

/// Which parts of a node a reader can tell.
#[derive(Clone, Copy)]
pub(crate) struct Fields {
    /// Extended attributes and the immutable flag.
    pub(crate) attributes: bool,
    /// How many names a file has.
    pub(crate) links: bool,
}

/// Paths, and the inodes behind them; two names of one inode are a hard link.
#[derive(Clone, Default)]
pub(crate) struct Tree {
    names: BTreeMap<String, usize>,
    nodes: Vec<Node>,
}

impl Tree {
    /// Puts a new node at a path.
    pub(crate) fn insert(&mut self, path: &str, node: Node) -> usize {
        self.nodes.push(node);
        self.names.insert(path.to_owned(), self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    /// One more name for a node.
    pub(crate) fn link(&mut self, path: &str, id: usize) {
        self.names.insert(path.to_owned(), id);
    }

    /// Takes a name away.
    pub(crate) fn remove(&mut self, path: &str) {
        self.names.remove(path);
    }

    /// Moves a name and everything below it.
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        let below = format!("{from}/");
        let moved: Vec<String> =
            self.names.keys().filter(|path| *path == from || path.starts_with(&below)).cloned().collect();
        for path in moved {
            let id = self.names.remove(&path).expect("just listed");
            self.names.insert(format!("{to}{}", &path[from.len()..]), id);
        }
    }

    /// The node at a path.
    pub(crate) fn node(&self, path: &str) -> Option<&Node> {
        self.names.get(path).map(|id| &self.nodes[*id])
    }

    /// The node at a path, to be changed.
    pub(crate) fn node_mut(&mut self, path: &str) -> Option<&mut Node> {
        self.names.get(path).map(|id| &mut self.nodes[*id])
    }

    /// All paths, sorted.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Whether nothing lies below a directory.
    pub(crate) fn is_empty_directory(&self, path: &str) -> bool {
        let below = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        !self.names.keys().any(|other| other.starts_with(&below) && other.len() > below.len())
    }

    /// What differs between this tree, which was expected, and another, which was found.
    pub(crate) fn diff(&self, found: &Tree, fields: Fields) -> Vec<String> {
        let mut out = Vec::new();
        let paths: BTreeSet<&str> = self.paths().chain(found.paths()).collect();
        let (ours, theirs) = (self.link_counts(), found.link_counts());
        for path in paths {
            match (self.node(path), found.node(path)) {
                (Some(want), Some(have)) => {
                    compare(path, want, have, fields, &mut out);
                    let counts = (ours[self.names[path]], theirs[found.names[path]]);
                    if fields.links && counts.0 != counts.1 {
                        out.push(format!("{path}: {} names expected, {} found", counts.0, counts.1));
                    }
                }
                (Some(_), None) => out.push(format!("{path}: missing")),
                (None, Some(have)) => out.push(format!("{path}: unexpected {:?}", have.kind)),
                (None, None) => {}
            }
        }
        out
    }

    fn link_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.nodes.len()];
        for id in self.names.values() {
            counts[*id] += 1;
        }
        counts
    }
}

fn compare(path: &str, want: &Node, have: &Node, fields: Fields, out: &mut Vec<String>) {
    let mut differ = |what: &str, want: String, have: String| {
        if want != have {
            out.push(format!("{path}: {what} should be {want}, is {have}"));
        }
    };
    if want.kind != have.kind {
        differ("content", format!("{:?}", want.kind), format!("other: {:?}", have.kind));
    }
    differ("mode", format!("{:o}", want.mode), format!("{:o}", have.mode));
    differ("owner", format!("{}:{}", want.uid, want.gid), format!("{}:{}", have.uid, have.gid));
    if let (Some(want), Some(have)) = (want.mtime, have.mtime) {
        differ("mtime", want.to_string(), have.to_string());
    }
    if fields.attributes {
        differ("immutable", want.immutable.to_string(), have.immutable.to_string());
        differ("xattrs", format!("{:02x?}", want.xattrs), format!("{:02x?}", have.xattrs));
    }
}
