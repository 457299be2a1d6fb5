//! What the image brought and no plan touched, compared with what a card has there.

use std::collections::BTreeSet;

use super::manifest::Manifest;
use super::paths::{Audit, Finding, digest};
use crate::fs::FsReader;
use crate::fs::error::FsError;
use crate::fs::metadata::FileType;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::interrupt::{Interrupt, Interrupted};
use crate::inventory::find::Pair;

/// No path of an image of Debian's is nearly as deep; one that is leads to itself.
const DEPTH: usize = 64;

/// Compares every path of `base` that `manifest` does not name, and that does not lie below one that was removed,
/// with the card's. What a card has beyond that is not looked at.
///
/// # Errors
/// When the run was asked to stop. What cannot be read is a finding.
pub fn compare(
    base: &Pair,
    card: &Pair,
    manifest: &Manifest,
    interrupt: &Interrupt,
) -> Result<Audit, Interrupted> {
    let mut audit = Audit::default();
    let volumes: [(Volume, &dyn FsReader, &dyn FsReader); 2] =
        [(Volume::Boot, &base.fat, &card.fat), (Volume::Root, base.ext4.reader(), card.ext4.reader())];
    for (volume, base, card) in volumes {
        let named = manifest.paths.iter().filter(|entry| entry.volume == volume);
        let named: BTreeSet<&FsPath> = named.map(|entry| &entry.path).collect();
        let mut left = vec![FsPath::root()];
        while let Some(path) = left.pop() {
            interrupt.check()?;
            let told = if named.contains(&path) { Ok(None) } else { differs(base, card, &path) };
            audit.paths += 1;
            if let Some(what) = told.unwrap_or_else(|error| Some(format!("it cannot be read: {error}"))) {
                audit.findings.push(Finding { volume, path, what, expected: false });
            } else if let Ok(below) = children(base, card, &path) {
                left.extend(below);
            }
        }
    }
    Ok(audit)
}

/// What the image has in a directory, where the card has a directory too.
fn children(base: &dyn FsReader, card: &dyn FsReader, path: &FsPath) -> Result<Vec<FsPath>, FsError> {
    let is_dir = |reader: &dyn FsReader| -> Result<bool, FsError> {
        Ok(reader.stat_no_follow(path)?.is_some_and(|stat| stat.kind == FileType::Directory))
    };
    if path.components().count() >= DEPTH || !is_dir(base)? || !is_dir(card)? {
        return Ok(Vec::new());
    }
    let names = base.read_dir(path)?;
    // Names that are no text cannot be in a plan, and nothing of pibake's reads them.
    Ok(names.iter().filter_map(|entry| path.join(std::str::from_utf8(&entry.name).ok()?).ok()).collect())
}

fn differs(base: &dyn FsReader, card: &dyn FsReader, path: &FsPath) -> Result<Option<String>, FsError> {
    let told = |what: &str| Ok(Some(what.to_owned()));
    let Some(was) = base.stat_no_follow(path)? else { return Ok(None) };
    let Some(is) = card.stat_no_follow(path)? else { return told("it is not there") };
    if was.kind != is.kind {
        return told("it is of another kind");
    }
    if was.meta != is.meta {
        return told("it has another mode or owner");
    }
    let same = match was.kind {
        FileType::File => was.size == is.size && digest(base, path)? == digest(card, path)?,
        FileType::Symlink => base.read_link(path)? == card.read_link(path)?,
        FileType::Directory | FileType::Special => true,
    };
    if same { Ok(None) } else { told("its content is another") }
}
