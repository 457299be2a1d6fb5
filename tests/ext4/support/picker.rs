//! Random edits that the model says must work.

use fastrand::Rng;
use pibake::fs::metadata::Meta;

use super::content;
use super::op::{Content, Op};
use super::tree::{Kind, Node, Tree};

/// Capability sets are checked by the kernel when they are read, so this one is a proper one.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// What is free before an operation.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    pub(crate) block_size: u64,
    pub(crate) free_blocks: u64,
    pub(crate) free_inodes: u64,
}

/// Picks operations.
pub(crate) struct Picker {
    rng: Rng,
    made: u32,
}

impl Picker {
    /// Follows from its seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), made: 0 }
    }

    /// The next operation for a tree, within the room there is.
    pub(crate) fn pick(&mut self, tree: &Tree, room: Room) -> Op {
        let tight = room.free_blocks < 40 || room.free_inodes < 4;
        loop {
            let weight = self.rng.u8(..100);
            let op = match weight {
                0..30 if !tight => Some(self.create(tree, room)),
                30..40 if !tight => self.replace(tree, room),
                40..46 if !tight => Some(self.make_dir(tree)),
                46..54 if !tight => Some(self.symlink(tree)),
                54..68 => self.remove_file(tree),
                68..71 => self.remove_dir(tree),
                71..76 if !tight => self.rename(tree),
                76..88 => self.set_attributes(tree),
                88..96 if !tight => self.set_xattr(tree, room),
                96.. => self.remove_xattr(tree),
                _ => None,
            };
            if let Some(op) = op {
                return op;
            }
        }
    }

    fn create(&mut self, tree: &Tree, room: Room) -> Op {
        Op::Create { path: self.fresh(tree), meta: self.meta(), content: self.content(room) }
    }

    fn replace(&mut self, tree: &Tree, room: Room) -> Option<Op> {
        let path = self.any(tree, |node| matches!(node.kind, Kind::File(_)))?;
        Some(Op::Replace {
            path,
            meta: self.meta(),
            content: self.content(room),
            keep_xattrs: self.rng.bool(),
        })
    }

    fn make_dir(&mut self, tree: &Tree) -> Op {
        Op::MakeDir { path: self.fresh(tree), meta: self.meta() }
    }

    fn symlink(&mut self, tree: &Tree) -> Op {
        let length = match self.rng.u8(..4) {
            0 => self.rng.usize(57..63),
            1 => self.rng.usize(900..1020),
            _ => self.rng.usize(1..80),
        };
        let target = content::target(length);
        Op::Symlink { path: self.fresh(tree), target, uid: self.id(), gid: self.id() }
    }

    fn remove_file(&mut self, tree: &Tree) -> Option<Op> {
        self.any(tree, |node| node.kind != Kind::Directory).map(|path| Op::RemoveFile { path })
    }

    fn remove_dir(&mut self, tree: &Tree) -> Option<Op> {
        let empty: Vec<&str> = tree
            .paths()
            .filter(|path| is_ours(path) && tree.node(path).is_some_and(|node| node.kind == Kind::Directory))
            .filter(|path| tree.is_empty_directory(path))
            .collect();
        self.rng.choice(empty).map(|path| Op::RemoveDir { path: path.to_owned() })
    }

    fn rename(&mut self, tree: &Tree) -> Option<Op> {
        let path = self.any(tree, |_| true)?;
        let (parent, _) = path.rsplit_once('/')?;
        let to = format!("{parent}/{}", self.name());
        tree.node(&to).is_none().then_some(Op::Rename { path, to })
    }

    fn set_attributes(&mut self, tree: &Tree) -> Option<Op> {
        let path = self.any(tree, |node| matches!(node.kind, Kind::File(_) | Kind::Directory))?;
        let is_file = matches!(tree.node(&path)?.kind, Kind::File(_));
        Some(match self.rng.u8(..4) {
            0 => Op::SetMode { path, mode: self.rng.u16(..0o10000) },
            1 => Op::SetOwner { path, uid: self.id(), gid: self.id() },
            2 if is_file => Op::SetImmutable { path, on: self.rng.u8(..3) > 0 },
            // ext4-view 1.0 takes times from 2038 on for damage: those are for the kernel, in `edges`.
            _ => Op::SetTimes { path, time: self.rng.i64(1..i64::from(i32::MAX)) },
        })
    }

    fn set_xattr(&mut self, tree: &Tree, room: Room) -> Option<Op> {
        let path = self.any(tree, |node| matches!(node.kind, Kind::File(_) | Kind::Directory))?;
        let name = *self.rng.choice(
            ["user.a", "user.bb", "user.long-name-of-an-attribute", "trusted.x", "security.capability"]
                .iter(),
        )?;
        let value = match (name, self.rng.u8(..4)) {
            ("security.capability", _) => CAPABILITY.to_vec(),
            (_, 0) => content::bytes(1, self.rng.usize(100..700)).to_vec(),
            (_, _) => content::bytes(2, self.rng.usize(1..40)).to_vec(),
        };
        let others = tree.node(&path)?.xattrs.iter().filter(|(other, _)| *other != name);
        let taken: usize = others.map(|(name, value)| name.len() + value.len() + 24).sum();
        // All of a file's attributes must fit one block.
        (taken + name.len() + value.len() + 100 < room.block_size as usize).then(|| Op::SetXattr {
            path,
            name: name.to_owned(),
            value,
        })
    }

    fn remove_xattr(&mut self, tree: &Tree) -> Option<Op> {
        let path = self.any(tree, |node| !node.xattrs.is_empty())?;
        let name = self.rng.choice(tree.node(&path)?.xattrs.keys())?.clone();
        Some(Op::RemoveXattr { path, name })
    }

    /// A path of a kind, outside lost+found and not the root.
    fn any(&mut self, tree: &Tree, wanted: impl Fn(&Node) -> bool) -> Option<String> {
        let paths: Vec<&str> =
            tree.paths().filter(|path| is_ours(path) && tree.node(path).is_some_and(&wanted)).collect();
        // Every third pick among the newest, so that what was just made is changed again.
        let recent: Vec<&str> = paths.iter().copied().filter(|path| path.contains("new-")).collect();
        let among = if self.rng.u8(..3) == 0 && !recent.is_empty() { recent } else { paths };
        self.rng.choice(among).map(str::to_owned)
    }

    /// A path at which nothing is, in a random directory.
    fn fresh(&mut self, tree: &Tree) -> String {
        loop {
            let folders: Vec<&str> = tree
                .paths()
                .filter(|path| *path == "/" || is_ours(path))
                .filter(|path| tree.node(path).is_some_and(|node| node.kind == Kind::Directory))
                .collect();
            let crowded = folders.iter().copied().find(|path| path.ends_with("/many"));
            let folder = match crowded {
                Some(folder) if self.rng.u8(..3) == 0 => folder,
                _ => self.rng.choice(folders).expect("there is a root"),
            };
            let path = format!("{}/{}", folder.trim_end_matches('/'), self.name());
            if tree.node(&path).is_none() {
                return path;
            }
        }
    }

    fn name(&mut self) -> String {
        self.made += 1;
        match self.rng.u8(..6) {
            0 => format!("new-{}-{}", self.made, "n".repeat(self.rng.usize(100..240))),
            1 => format!("new-ü-{}", self.made),
            // Names that come back after they were removed.
            2 => format!("new-again-{}", self.rng.u8(..20)),
            _ => format!("new-{}", self.made),
        }
    }

    fn content(&mut self, room: Room) -> Content {
        let block = room.block_size as usize;
        let size = match self.rng.u8(..8) {
            0 => 0,
            1 => self.rng.usize(1..block),
            2 => block * self.rng.usize(1..5),
            3 => block * self.rng.usize(1..5) + 1,
            4 => block * self.rng.usize(1..5) - 1,
            5 => self.rng.usize(..1_500_000),
            _ => self.rng.usize(..30_000),
        };
        let most = (room.free_blocks.saturating_sub(30) / 3 * room.block_size) as usize;
        let seed = self.rng.u64(..);
        let step = *self.rng.choice([1, 777, 4096, 1 << 20].iter()).expect("not empty");
        // A byte at a time only where that does not take all day.
        let size = if step == 1 { size.min(9000) } else { size };
        Content { bytes: content::bytes(seed, size.min(most)), step }
    }

    fn meta(&mut self) -> Meta {
        let mode =
            *self.rng.choice([0o644, 0o755, 0o600, 0o4755, 0o2775, 0o1777, 0].iter()).expect("not empty");
        Meta { mode, uid: self.id(), gid: self.id() }
    }

    fn id(&mut self) -> u32 {
        *self.rng.choice([0, 0, 1000, 65_534, 70_000, 4_000_000_000].iter()).expect("not empty")
    }
}

fn is_ours(path: &str) -> bool {
    path != "/" && !path.starts_with("/lost+found")
}
