//! A filesystem made of a few paths, for tests.

use std::collections::BTreeMap;
use std::io::Write;

use crate::fs::FsReader;
use crate::fs::error::FsError;
use crate::fs::metadata::{DirEntry, FileType, Meta, Stat};
use crate::fs::path::FsPath;

enum Node {
    File(Vec<u8>),
    Link(String),
    Directory,
}

/// Files and links by path; the directories above them are there too. Only links in the last component
/// are followed, and only absolute ones.
#[derive(Default)]
pub(super) struct FakeFs(BTreeMap<FsPath, Node>);

impl FakeFs {
    /// One with these texts.
    pub(super) fn with(texts: &[(&str, &str)]) -> Self {
        let mut fs = Self::default();
        for (path, text) in texts {
            fs.add(path, Node::File(text.as_bytes().to_vec()));
        }
        fs
    }

    /// And this file.
    pub(super) fn file(mut self, path: &str, bytes: &[u8]) -> Self {
        self.add(path, Node::File(bytes.to_vec()));
        self
    }

    /// And this link.
    pub(super) fn link(mut self, path: &str, target: &str) -> Self {
        self.add(path, Node::Link(target.to_owned()));
        self
    }

    fn add(&mut self, path: &str, node: Node) {
        let path = FsPath::new(path).unwrap();
        let mut above = path.parent();
        while let Some(directory) = above {
            above = directory.parent();
            self.0.entry(directory).or_insert(Node::Directory);
        }
        self.0.insert(path, node);
    }

    fn followed(&self, path: &FsPath) -> Option<&Node> {
        match self.0.get(path)? {
            Node::Link(target) => self.0.get(&FsPath::new(target).ok()?),
            node => Some(node),
        }
    }
}

fn stat(node: &Node) -> Stat {
    let (kind, size, mode) = match node {
        Node::File(bytes) => (FileType::File, bytes.len() as u64, 0o644),
        Node::Link(target) => (FileType::Symlink, target.len() as u64, 0o777),
        Node::Directory => (FileType::Directory, 0, 0o755),
    };
    Stat { kind, size, meta: Meta::root(mode), mtime: Some(0) }
}

impl FsReader for FakeFs {
    fn stat(&self, path: &FsPath) -> Result<Option<Stat>, FsError> {
        Ok(self.followed(path).map(stat))
    }

    fn stat_no_follow(&self, path: &FsPath) -> Result<Option<Stat>, FsError> {
        Ok(self.0.get(path).map(stat))
    }

    fn read(&self, path: &FsPath, limit: u64) -> Result<Vec<u8>, FsError> {
        match self.followed(path) {
            Some(Node::File(bytes)) if bytes.len() as u64 > limit => {
                Err(FsError::TooLarge { path: path.clone(), size: bytes.len() as u64, limit })
            }
            Some(Node::File(bytes)) => Ok(bytes.clone()),
            Some(_) => Err(FsError::NotAFile { path: path.clone() }),
            None => Err(FsError::NotFound { path: path.clone() }),
        }
    }

    fn read_to(&self, path: &FsPath, sink: &mut dyn Write) -> Result<u64, FsError> {
        let bytes = self.read(path, u64::MAX)?;
        sink.write_all(&bytes)?;
        Ok(bytes.len() as u64)
    }

    fn read_link(&self, path: &FsPath) -> Result<Vec<u8>, FsError> {
        match self.0.get(path) {
            Some(Node::Link(target)) => Ok(target.clone().into_bytes()),
            _ => Err(FsError::NotFound { path: path.clone() }),
        }
    }

    fn read_dir(&self, path: &FsPath) -> Result<Vec<DirEntry>, FsError> {
        let inside = self.0.iter().filter(|(at, _)| at.parent().as_ref() == Some(path));
        Ok(inside
            .map(|(at, node)| DirEntry {
                name: at.name().unwrap_or_default().as_bytes().to_vec(),
                kind: stat(node).kind,
            })
            .collect())
    }
}
