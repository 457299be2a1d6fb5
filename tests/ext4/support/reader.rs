//! A tree as one of pibake's own readers tells it.

use std::collections::BTreeMap;

use pibake::fs::FsReader;
use pibake::fs::metadata::FileType;
use pibake::fs::path::FsPath;

use super::tree::{Kind, Node, Tree};

/// Everything a reader finds, without extended attributes and flags, which it does not tell.
pub(crate) fn snapshot(reader: &dyn FsReader) -> Tree {
    let mut tree = Tree::default();
    walk(reader, &FsPath::root(), &mut tree);
    tree
}

fn walk(reader: &dyn FsReader, path: &FsPath, tree: &mut Tree) {
    let stat = reader
        .stat_no_follow(path)
        .unwrap_or_else(|error| panic!("looking at {path}: {error}"))
        .unwrap_or_else(|| panic!("{path} is listed but not there"));
    let kind = match stat.kind {
        FileType::Directory => Kind::Directory,
        FileType::Special => Kind::Special,
        FileType::Symlink => Kind::Symlink(
            reader.read_link(path).unwrap_or_else(|error| panic!("reading the link {path}: {error}")),
        ),
        FileType::File => {
            let content =
                reader.read(path, u64::MAX).unwrap_or_else(|error| panic!("reading {path}: {error}"));
            assert_eq!(content.len() as u64, stat.size, "{path}: size and content");
            Kind::File(content.into())
        }
    };
    let node = Node {
        kind,
        mode: stat.meta.mode,
        uid: stat.meta.uid,
        gid: stat.meta.gid,
        mtime: stat.mtime,
        immutable: false,
        xattrs: BTreeMap::new(),
    };
    tree.insert(path.as_str(), node);
    if stat.kind == FileType::Directory {
        let entries = reader.read_dir(path).unwrap_or_else(|error| panic!("listing {path}: {error}"));
        assert!(entries.is_sorted_by(|a, b| a.name < b.name), "{path}: entries are sorted, none twice");
        for entry in entries {
            let name = String::from_utf8(entry.name).expect("the tests use UTF-8 names");
            let below = path.join(&name).expect("a listed name is a name");
            walk(reader, &below, tree);
            let found = tree.node(below.as_str()).map(|node| type_of(&node.kind));
            assert_eq!(found, Some(entry.kind), "{below}: type in the directory and in the inode");
        }
    }
}

fn type_of(kind: &Kind) -> FileType {
    match kind {
        Kind::Directory => FileType::Directory,
        Kind::File(_) => FileType::File,
        Kind::Symlink(_) => FileType::Symlink,
        Kind::Special => FileType::Special,
    }
}
