//! What an image holds and what of it is in use, and whether that can be believed.

use std::sync::Arc;

use anyhow::Context as _;

use crate::disk::block::BlockRead;
use crate::disk::partition_table;
use crate::disk::range::ByteRange;
use crate::error::{Advise, ExitCode, advised};
use crate::fs::path::FsPath;
use crate::fs::usage::Remark;
use crate::inventory::find::find;
use crate::inventory::survey::{Survey, survey};
use crate::inventory::swap_files::swap_files;
use crate::usage::note::{Finding, Note};
use crate::usage::used::{Used, used};

use super::super::context::Context;

/// What becomes of a filesystem that contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubts {
    /// It is not captured.
    Refused,
    /// It is, and everything in doubt counts as used.
    Kept,
}

/// What an image holds.
pub(super) struct Content {
    /// What `inspect` says of it.
    pub(super) survey: Survey,
    /// What of it is in use, in rising order and merged.
    pub(super) used: Vec<ByteRange>,
    /// What whoever restores it should know.
    pub(super) notes: Vec<String>,
}

impl Content {
    /// Looks at an image, and tells what is worth telling.
    pub(super) fn look(
        context: &Context,
        name: &str,
        image: &Arc<dyn BlockRead>,
        doubts: Doubts,
    ) -> anyhow::Result<Self> {
        let found = match used(image, &swap_files_of(image)) {
            Err(error) if doubts == Doubts::Kept => everything(image.as_ref(), &error),
            found => found
                .with_context(|| format!("looking for what is in use on {name}"))
                .advise(ExitCode::Failed, "try again in another reader; --rescue takes what can be read")?,
        };
        if doubts == Doubts::Refused {
            refuse_mismatches(name, &found)?;
        }
        for note in &found.notes {
            tell(context, name, note);
        }
        let survey = survey(image);
        let mut notes: Vec<String> = found.notes.iter().map(ToString::to_string).collect();
        for number in pulled_out(&survey, &found) {
            let note = format!("partition {number}: it was not unmounted; its journal holds nothing");
            context.warn(&[format!("{name}: {note}; captured as it is")]);
            notes.push(note);
        }
        Ok(Self { survey, used: found.ranges, notes })
    }

    /// The hostname of the system, where there is one.
    pub(super) fn hostname(&self) -> Option<&str> {
        self.survey.system.as_ref().and_then(|system| system.hostname.as_deref())
    }
}

/// Of a system that pibake knows, where it may have swap files; else of none.
fn swap_files_of(image: &Arc<dyn BlockRead>) -> Vec<FsPath> {
    let pair = partition_table::read(image).ok().and_then(|table| find(image, &table).ok());
    pair.map(|pair| swap_files(pair.ext4.reader())).unwrap_or_default()
}

/// Every byte, because what says which are in use cannot be read.
fn everything(image: &dyn BlockRead, error: &std::io::Error) -> Used {
    let why = format!("what is in use cannot be read ({error})");
    Used {
        ranges: ByteRange::with_len(0, image.size()).into_iter().collect(),
        partitions: Vec::new(),
        notes: vec![Note { partition: None, finding: Finding::Damaged { why } }],
    }
}

fn refuse_mismatches(name: &str, found: &Used) -> anyhow::Result<()> {
    let mismatches: Vec<&Note> = found.mismatches().collect();
    let told: Vec<String> = mismatches.iter().map(ToString::to_string).collect();
    let numbers: Vec<String> =
        mismatches.iter().filter_map(|note| note.partition).map(|number| number.to_string()).collect();
    let repair = if numbers.is_empty() {
        "repair the partition table (`sgdisk --verify`)".to_owned()
    } else {
        format!("run e2fsck (FAT: fsck.vfat) on partition {}", numbers.join(" and "))
    };
    if told.is_empty() {
        return Ok(());
    }
    Err(advised(
        ExitCode::Failed,
        format!("{name} contradicts itself: {}", told.join("; ")),
        format!("{repair} and capture it again; --rescue takes it as it is"),
    ))
}

/// Partitions whose superblock asks for the journal to be replayed, and whose journal holds nothing.
fn pulled_out(survey: &Survey, found: &Used) -> Vec<u32> {
    let told = |number| {
        found.notes.iter().any(|note| {
            let replay = matches!(note.finding, Finding::Filesystem(Remark::Unreplayed { .. }));
            note.partition == Some(number) && replay
        })
    };
    let asking = survey.partitions.iter().filter(|part| part.left.is_some_and(|left| left.unreplayed));
    asking.filter_map(|part| part.number).filter(|number| !told(*number)).collect()
}

/// A journal that was not replayed and damage are worth a warning; the rest is only worth knowing.
fn tell(context: &Context, name: &str, note: &Note) {
    let text = format!("{name}: {note}");
    match &note.finding {
        Finding::Filesystem(Remark::Unreplayed { .. }) => {
            context.warn(&[format!("{text}; captured as it is, the next mount replays it")]);
        }
        Finding::Filesystem(Remark::Hollow { .. } | Remark::StaleHint { .. } | Remark::NotUnmounted) => {
            context.note(text);
        }
        _ => context.warn(&[text]),
    }
}
