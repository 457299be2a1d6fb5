//! Operations on a sound filesystem: the editor does them, and an independent reader finds what a model
//! expects.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pibake::cow::CowImage;
use pibake::disk::block::BlockRead;
use pibake::fs::FsReader;
use pibake::fs::error::FsError;
use pibake::fs::ext4::{Ext4Editor, Ext4Reader, Keep, Stamp};
use pibake::fs::metadata::Meta;
use pibake::fs::path::FsPath;
use pibake_fuzz::{EXT4_BLOCKMAP, EXT4_PIGEN, EXT4_PLAIN};

const FOLDERS: [&str; 4] = ["/etc", "/var/many", "/empty", "/"];

#[derive(Arbitrary, Debug)]
enum Step {
    Create { at: Name, len: u32, byte: u8 },
    Replace { at: Name, len: u32, byte: u8, keep: bool },
    Symlink { at: Name, len: u16 },
    Remove { at: Name },
    Rename { at: Name, to: u8 },
    Tag { at: Name, name: u8, value: Vec<u8> },
    Untag { at: Name, name: u8 },
    Pin { at: Name, on: bool },
    Grow { by: u16 },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Name {
    folder: u8,
    number: u8,
}

impl Name {
    fn path(self) -> FsPath {
        let folder = FsPath::new(FOLDERS[usize::from(self.folder) % 4]).expect("a path");
        folder.join(&name(self.number)).expect("a name")
    }
}

/// Short and long ones, so that directory blocks fill at odd places.
fn name(number: u8) -> String {
    format!("fuzz-{number}-{}", "n".repeat(usize::from(number) % 230))
}

#[derive(Clone, PartialEq, Eq)]
enum Thing {
    File(u32, u8),
    Link(u16),
}

#[derive(Clone)]
struct Node {
    thing: Thing,
    tags: BTreeMap<String, Vec<u8>>,
}

/// What stands where.
type Model = BTreeMap<FsPath, Node>;

fuzz_target!(|input: (u8, Vec<Step>)| {
    let sound = [&EXT4_PIGEN, &EXT4_PLAIN, &EXT4_BLOCKMAP][usize::from(input.0) % 3];
    let mut image = sound.view();
    let size = image.size();
    let longest =
        input.1.iter().map(|step| if let Step::Grow { by } = step { grown(size, *by) } else { size }).max();
    image.grow(longest.unwrap_or(size)).expect("an image grows");
    let Some(model) = edit(&mut image, size, &input.1) else { return };
    compare(image, &model);
});

fn grown(size: u64, by: u16) -> u64 {
    size + u64::from(by) * 1024
}

/// Does the steps; `None` when the filesystem filled up, after which nothing is promised.
fn edit(image: &mut CowImage, size: u64, steps: &[Step]) -> Option<Model> {
    let stamp = Stamp { time: 1_800_000_000, generation_seed: [1; 32] };
    let editor = Ext4Editor::open(&mut *image, stamp).expect("a sound filesystem");
    let mut run = Run { editor, model: Model::new(), size, largest: size };
    for step in steps {
        let (result, possible) = run.step(step);
        match result {
            Err(FsError::NoSpace { .. } | FsError::NoInodes) => return None,
            Ok(()) => assert!(possible, "{step:?} was done and should not have been"),
            Err(error) => assert!(!possible, "{step:?}: {error}"),
        }
    }
    Some(run.finish())
}

/// An editor, and what it should have made.
struct Run<'a> {
    editor: Ext4Editor<&'a mut CowImage>,
    model: Model,
    /// Of the filesystem as it was.
    size: u64,
    /// Of the filesystem as it is.
    largest: u64,
}

impl Run<'_> {
    /// Does one step, in the model too; says what came of it and whether that could be.
    fn step(&mut self, step: &Step) -> (Result<(), FsError>, bool) {
        match step {
            Step::Create { at, len, byte } => self.create(&at.path(), len % 200_000, *byte),
            Step::Replace { at, len, byte, keep } => self.replace(&at.path(), len % 200_000, *byte, *keep),
            Step::Symlink { at, len } => self.symlink(&at.path(), len % 1000 + 1),
            Step::Remove { at } => {
                (self.editor.remove_file(&at.path()), self.model.remove(&at.path()).is_some())
            }
            Step::Rename { at, to } => self.rename(*at, *to),
            Step::Tag { at, name, value } => self.tag(&at.path(), *name, &value[..value.len().min(60)]),
            Step::Untag { at, name } => self.untag(&at.path(), *name),
            Step::Pin { at, on } => self.pin(&at.path(), *on),
            Step::Grow { by } => {
                let to = grown(self.size, *by);
                let possible = to >= self.largest;
                self.largest = self.largest.max(to);
                (self.editor.grow(to), possible)
            }
        }
    }

    fn create(&mut self, path: &FsPath, len: u32, byte: u8) -> (Result<(), FsError>, bool) {
        let possible = !self.model.contains_key(path);
        let result = self.editor.create(path, Meta::root(0o644), &mut bytes(len, byte), len.into());
        if result.is_ok() {
            self.model.insert(path.clone(), Node { thing: Thing::File(len, byte), tags: BTreeMap::new() });
        }
        (result, possible)
    }

    fn replace(&mut self, path: &FsPath, len: u32, byte: u8, keep: bool) -> (Result<(), FsError>, bool) {
        let old = self.model.get(path).cloned();
        let kept = if keep { Keep::Xattrs } else { Keep::Nothing };
        let result = self.editor.replace(path, Meta::root(0o644), &mut bytes(len, byte), len.into(), kept);
        let possible = old.is_some();
        if let (Ok(()), Some(old)) = (&result, old) {
            let keeps = keep && matches!(old.thing, Thing::File(..));
            let tags = if keeps { old.tags } else { BTreeMap::new() };
            self.model.insert(path.clone(), Node { thing: Thing::File(len, byte), tags });
        }
        (result, possible)
    }

    fn symlink(&mut self, path: &FsPath, len: u16) -> (Result<(), FsError>, bool) {
        let possible = !self.model.contains_key(path);
        let result = self.editor.symlink(&target(len), path, 0, 0);
        if result.is_ok() {
            self.model.insert(path.clone(), Node { thing: Thing::Link(len), tags: BTreeMap::new() });
        }
        (result, possible)
    }

    fn rename(&mut self, at: Name, to: u8) -> (Result<(), FsError>, bool) {
        let (from, target) = (at.path(), Name { number: to, ..at }.path());
        let possible = self.model.contains_key(&from) && !self.model.contains_key(&target);
        let result = self.editor.rename(&from, &name(to));
        if let (Ok(()), Some(node)) = (&result, self.model.get(&from).cloned()) {
            self.model.remove(&from);
            self.model.insert(target, node);
        }
        (result, possible)
    }

    fn tag(&mut self, path: &FsPath, name: u8, value: &[u8]) -> (Result<(), FsError>, bool) {
        let name = format!("trusted.{}", name % 8);
        let result = self.editor.set_xattr(path, &name, value);
        let node = self.model.get_mut(path);
        let possible = node.is_some();
        if let (Ok(()), Some(node)) = (&result, node) {
            node.tags.insert(name, value.to_vec());
        }
        (result, possible)
    }

    /// Whether taking away what is not there is an error is the editor's own affair.
    fn untag(&mut self, path: &FsPath, name: u8) -> (Result<(), FsError>, bool) {
        let name = format!("trusted.{}", name % 8);
        let result = self.editor.remove_xattr(path, &name);
        let removed = self.model.get_mut(path).map(|node| node.tags.remove(&name).is_some());
        match removed {
            Some(false) => (Ok(()), true),
            Some(true) => (result, true),
            None => (result, false),
        }
    }

    fn pin(&mut self, path: &FsPath, on: bool) -> (Result<(), FsError>, bool) {
        match self.model.get(path).map(|node| &node.thing) {
            // Links have no flags.
            Some(Thing::Link(_)) => (Ok(()), true),
            found => {
                let possible = found.is_some();
                (self.editor.set_immutable(path, on), possible)
            }
        }
    }

    fn finish(self) -> Model {
        for (path, node) in &self.model {
            assert!(self.editor.xattrs(path).expect("reading attributes") == node.tags, "{path}: attributes");
        }
        let space = self.editor.space();
        let ranges = self.editor.used_ranges().expect("listing blocks");
        let used: u64 = ranges.iter().map(|range| range.len() / space.block_size).sum();
        assert!(used + space.free_blocks <= self.largest / space.block_size);
        self.editor.finish().expect("finishing");
        self.model
    }
}

/// A link's target, in names that are not too long.
fn target(len: u16) -> String {
    "ttttttt/".chars().cycle().take(len.into()).collect()
}

/// So many of one byte.
fn bytes(len: u32, byte: u8) -> io::Take<io::Repeat> {
    io::repeat(byte).take(len.into())
}

/// `ext4-view` finds what the model holds, and nothing else of ours.
fn compare(image: CowImage, model: &Model) {
    let reader = Ext4Reader::open(image).expect("what was written can be read");
    for (path, node) in model {
        match node.thing {
            Thing::File(len, byte) => {
                let content = reader.read(path, 1 << 20).expect("a file");
                assert!(
                    content.len() == len as usize && content.iter().all(|found| *found == byte),
                    "{path}: content"
                );
            }
            Thing::Link(len) => assert_eq!(reader.read_link(path).expect("a link").len(), usize::from(len)),
        }
    }
    let found: BTreeSet<FsPath> = FOLDERS
        .iter()
        .map(|folder| FsPath::new(folder).expect("a path"))
        .flat_map(|folder| {
            let entries = reader.read_dir(&folder).expect("a directory");
            entries
                .into_iter()
                .map(move |entry| folder.join(&String::from_utf8_lossy(&entry.name)).expect("a name"))
        })
        .filter(|path| path.name().is_some_and(|name| name.starts_with("fuzz-")))
        .collect();
    assert!(found.iter().eq(model.keys()), "names");
}
