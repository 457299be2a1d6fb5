//! One edit, done to the shadow model and to the editor.

use std::sync::Arc;

use pibake::disk::block::BlockWrite;
use pibake::fs::error::FsError;
use pibake::fs::ext4::{Ext4Editor, Keep};
use pibake::fs::metadata::Meta;
use pibake::fs::path::FsPath;

use super::content::Trickle;
use super::tree::{Kind, Node, Tree};

/// The time that all edits of the tests carry: no later than any clock, or e2fsck complains.
pub(crate) const NOW: i64 = 1_750_000_000;

/// An edit.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    MakeDir { path: String, meta: Meta },
    Create { path: String, meta: Meta, content: Content },
    Replace { path: String, meta: Meta, content: Content, keep_xattrs: bool },
    Symlink { path: String, target: String, uid: u32, gid: u32 },
    RemoveFile { path: String },
    RemoveDir { path: String },
    Rename { path: String, to: String },
    SetMode { path: String, mode: u16 },
    SetOwner { path: String, uid: u32, gid: u32 },
    SetTimes { path: String, time: i64 },
    SetImmutable { path: String, on: bool },
    SetXattr { path: String, name: String, value: Vec<u8> },
    RemoveXattr { path: String, name: String },
}

/// A file's content, and in which portions it is handed over.
#[derive(Clone)]
pub(crate) struct Content {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) step: usize,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes by {}", self.bytes.len(), self.step)
    }
}

impl Op {
    /// Does it to the shadow model.
    pub(crate) fn model(&self, tree: &mut Tree) {
        match self {
            Op::MakeDir { path, meta } => put(tree, path, Kind::Directory, *meta),
            Op::Create { path, meta, content } => put(tree, path, Kind::File(content.bytes.clone()), *meta),
            Op::Replace { path, meta, content, keep_xattrs } => {
                let kept = tree.node(path).filter(|_| *keep_xattrs).map(|node| node.xattrs.clone());
                put(tree, path, Kind::File(content.bytes.clone()), *meta);
                node_of(tree, path).xattrs = kept.unwrap_or_default();
            }
            Op::Symlink { path, target, uid, gid } => {
                let meta = Meta { mode: 0o777, uid: *uid, gid: *gid };
                put(tree, path, Kind::Symlink(target.clone().into_bytes()), meta);
            }
            Op::RemoveFile { path } | Op::RemoveDir { path } => {
                tree.remove(path);
                touch_parent(tree, path);
            }
            Op::Rename { path, to } => {
                tree.rename(path, to);
                touch_parent(tree, to);
            }
            Op::SetMode { path, mode } => node_of(tree, path).mode = *mode,
            Op::SetOwner { path, uid, gid } => {
                (node_of(tree, path).uid, node_of(tree, path).gid) = (*uid, *gid)
            }
            Op::SetTimes { path, time } => node_of(tree, path).mtime = Some(*time),
            Op::SetImmutable { path, on } => node_of(tree, path).immutable = *on,
            Op::SetXattr { path, name, value } => {
                drop(node_of(tree, path).xattrs.insert(name.clone(), value.clone()))
            }
            Op::RemoveXattr { path, name } => drop(node_of(tree, path).xattrs.remove(name)),
        }
    }

    /// Does it to the editor.
    pub(crate) fn edit<D: BlockWrite>(&self, editor: &mut Ext4Editor<D>) -> Result<(), FsError> {
        match self {
            Op::MakeDir { path, meta } => editor.make_dir(&at(path), *meta),
            Op::Create { path, meta, content } => {
                let mut source = Trickle::new(&content.bytes, content.step);
                editor.create(&at(path), *meta, &mut source, content.bytes.len() as u64)
            }
            Op::Replace { path, meta, content, keep_xattrs } => {
                let keep = if *keep_xattrs { Keep::Xattrs } else { Keep::Nothing };
                let mut source = Trickle::new(&content.bytes, content.step);
                editor.replace(&at(path), *meta, &mut source, content.bytes.len() as u64, keep)
            }
            Op::Symlink { path, target, uid, gid } => editor.symlink(target, &at(path), *uid, *gid),
            Op::RemoveFile { path } => editor.remove_file(&at(path)),
            Op::RemoveDir { path } => editor.remove_dir(&at(path)),
            Op::Rename { path, to } => editor.rename(&at(path), name_of(to)),
            Op::SetMode { path, mode } => editor.set_mode(&at(path), *mode),
            Op::SetOwner { path, uid, gid } => editor.set_owner(&at(path), *uid, *gid),
            Op::SetTimes { path, time } => editor.set_times(&at(path), *time),
            Op::SetImmutable { path, on } => editor.set_immutable(&at(path), *on),
            Op::SetXattr { path, name, value } => editor.set_xattr(&at(path), name, value),
            Op::RemoveXattr { path, name } => editor.remove_xattr(&at(path), name),
        }
    }
}

/// A path that the tests know to be one.
pub(crate) fn at(path: &str) -> FsPath {
    FsPath::new(path).expect("the tests use proper paths")
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().expect("split gives at least one part")
}

fn node_of<'a>(tree: &'a mut Tree, path: &str) -> &'a mut Node {
    tree.node_mut(path).expect("the operation was chosen for a path that is there")
}

fn put(tree: &mut Tree, path: &str, kind: Kind, meta: Meta) {
    let node = Node {
        kind,
        mode: meta.mode,
        uid: meta.uid,
        gid: meta.gid,
        mtime: Some(NOW),
        immutable: false,
        xattrs: std::collections::BTreeMap::new(),
    };
    tree.insert(path, node);
    touch_parent(tree, path);
}

fn touch_parent(tree: &mut Tree, path: &str) {
    let parent =
        path.rsplit_once('/').map_or("/", |(parent, _)| if parent.is_empty() { "/" } else { parent });
    node_of(tree, parent).mtime = Some(NOW);
}
