//! Operations on a sound filesystem: the editor does them, and an independent reader finds what a model
//! expects.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};

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
    let mut model = Model::new();
    let mut largest = size;
    let stamp = Stamp { time: 1_800_000_000, generation_seed: [1; 32] };
    let mut editor = Ext4Editor::open(&mut *image, stamp).expect("a sound filesystem");
    let meta = Meta::root(0o644);
    for step in steps {
        let (result, possible) = match step {
            Step::Create { at, len, byte } => {
                let (path, len) = (at.path(), len % 200_000);
                let possible = !model.contains_key(&path);
                let result = editor.create(
                    &path,
                    meta,
                    &mut std::io::Read::take(std::io::repeat(*byte), len.into()),
                    len.into(),
                );
                if result.is_ok() {
                    model.insert(path, Node { thing: Thing::File(len, *byte), tags: BTreeMap::new() });
                }
                (result, possible)
            }
            Step::Replace { at, len, byte, keep } => {
                let (path, len) = (at.path(), len % 200_000);
                let old = model.get(&path).cloned();
                let kept = if *keep { Keep::Xattrs } else { Keep::Nothing };
                let result = editor.replace(
                    &path,
                    meta,
                    &mut std::io::Read::take(std::io::repeat(*byte), len.into()),
                    len.into(),
                    kept,
                );
                if let (Ok(()), Some(old)) = (&result, &old) {
                    let keeps = *keep && matches!(old.thing, Thing::File(..));
                    let tags = if keeps { old.tags.clone() } else { BTreeMap::new() };
                    model.insert(path, Node { thing: Thing::File(len, *byte), tags });
                }
                (result, old.is_some())
            }
            Step::Symlink { at, len } => {
                let (path, len) = (at.path(), len % 1000 + 1);
                let possible = !model.contains_key(&path);
                let result = editor.symlink(&"t".repeat(len.into()), &path, 0, 0);
                if result.is_ok() {
                    model.insert(path, Node { thing: Thing::Link(len), tags: BTreeMap::new() });
                }
                (result, possible)
            }
            Step::Remove { at } => (editor.remove_file(&at.path()), model.remove(&at.path()).is_some()),
            Step::Rename { at, to } => {
                let (from, target) = (at.path(), Name { number: *to, ..*at }.path());
                let possible = model.contains_key(&from) && !model.contains_key(&target);
                let result = editor.rename(&from, &name(*to));
                if let (Ok(()), Some(node)) = (&result, model.get(&from).cloned()) {
                    model.remove(&from);
                    model.insert(target, node);
                }
                (result, possible)
            }
            Step::Tag { at, name, value } => {
                let (path, name, value) =
                    (at.path(), format!("trusted.{}", name % 8), &value[..value.len().min(60)]);
                let result = editor.set_xattr(&path, &name, value);
                let node = model.get_mut(&path);
                let possible = node.is_some();
                if let (Ok(()), Some(node)) = (&result, node) {
                    node.tags.insert(name, value.to_vec());
                }
                (result, possible)
            }
            Step::Untag { at, name } => {
                let (path, name) = (at.path(), format!("trusted.{}", name % 8));
                let result = editor.remove_xattr(&path, &name);
                // Whether taking away what is not there is an error is the editor's own affair.
                if let Some(node) = model.get_mut(&path) {
                    node.tags.remove(&name);
                    continue;
                }
                (result, false)
            }
            Step::Pin { at, on } => {
                let node = model.get(&at.path());
                if node.is_some_and(|node| matches!(node.thing, Thing::Link(_))) {
                    continue;
                }
                (editor.set_immutable(&at.path(), *on), node.is_some())
            }
            Step::Grow { by } => {
                let to = grown(size, *by);
                let possible = to >= largest;
                largest = largest.max(to);
                (editor.grow(to), possible)
            }
        };
        match result {
            Err(FsError::NoSpace { .. } | FsError::NoInodes) => return None,
            Ok(()) => assert!(possible, "{step:?} was done and should not have been"),
            Err(error) => assert!(!possible, "{step:?}: {error}"),
        }
    }
    for (path, node) in &model {
        assert!(editor.xattrs(path).expect("reading attributes") == node.tags, "{path}: attributes");
    }
    let space = editor.space();
    let used: u64 = editor
        .used_ranges()
        .expect("listing blocks")
        .iter()
        .map(|range| range.len() / space.block_size)
        .sum();
    assert!(used + space.free_blocks <= largest / space.block_size);
    editor.finish().expect("finishing");
    Some(model)
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
