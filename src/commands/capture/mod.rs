//! `pibake capture`: what is in use of a card, or of an image file, as a backup.

mod content;
mod disk;
mod output;
mod report;
mod trouble;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::backup::archive::{ArchiveJob, ArchiveWriter, Unreadable};
use crate::backup::manifest::{About, Manifest};
use crate::cli::args::CaptureArgs;
use crate::error::{ExitCode, advised};
use crate::sink::receipt::stamp;

use super::context::Context;
use content::{Content, Doubts};
use disk::Disk;
use report::Captured;

pub(super) fn run(context: &Context, args: &CaptureArgs) -> anyhow::Result<()> {
    match Subject::of(args) {
        Subject::Disk(path) => capture_disk(context, args, &path),
        Subject::Host(host) => Err(not_yet(&host)),
        Subject::Node(node) => Err(not_yet(&node)),
    }
}

/// What a backup is taken of.
enum Subject {
    /// A disk, or an image file.
    Disk(PathBuf),
    /// A running node, as ssh knows it.
    Host(String),
    /// A running node of the cluster file.
    Node(String),
}

impl Subject {
    /// A path that is there is a disk or a file, whatever it is called; a name that holds `@` and no `/` is none.
    fn of(args: &CaptureArgs) -> Self {
        if let Some(node) = &args.node {
            return Self::Node(node.clone());
        }
        let target = args.target.clone().unwrap_or_default();
        match target.to_str() {
            Some(host) if host.contains('@') && !host.contains('/') && !target.exists() => {
                Self::Host(host.to_owned())
            }
            _ => Self::Disk(target),
        }
    }
}

fn not_yet(node: &str) -> anyhow::Error {
    advised(
        ExitCode::Usage,
        format!("{node}: running nodes cannot be captured yet"),
        "switch it off, put its card into a reader, and name the card's device",
    )
}

fn capture_disk(context: &Context, args: &CaptureArgs, path: &Path) -> anyhow::Result<()> {
    let disk = Disk::open(context, path)?;
    let doubts = if args.rescue { Doubts::Kept } else { Doubts::Refused };
    let content = Content::look(context, disk.name(), &disk.structure, doubts)?;
    let names = output::choose(args.output.as_deref(), content.hostname(), &context.cwd)?;
    output::check(context, &names, &[disk.path()])?;
    let began = SystemTime::now();
    let name = names.name.clone();
    let archive = names.archive.clone();
    let job = ArchiveJob {
        image: disk.blocks.as_ref(),
        used: &content.used,
        unreadable: if args.rescue { Unreadable::LeftOut } else { Unreadable::Fails },
        subject: disk.name(),
        progress: context.progress.as_ref(),
        interrupt: &context.interrupt,
    };
    let written = ArchiveWriter::create(names)
        .and_then(|files| files.write(&job))
        .map_err(|error| trouble::advise(error, disk.name(), &disk.structure))?;
    disk.check_unchanged()?;
    let finished = SystemTime::now();
    let holes = trouble::holes(&disk.structure, &written.archived().holes);
    let about = About {
        name,
        started: stamp(began),
        finished: stamp(finished),
        source: disk.origin(),
        holds: content.survey,
        notes: content.notes,
        holes,
    };
    let manifest = Manifest::new(about, written.archived());
    written.publish(&manifest).map_err(|error| trouble::advise(error, disk.name(), &disk.structure))?;
    let took = finished.duration_since(began).unwrap_or_default();
    report::tell(context, &Captured { archive: &archive, manifest: &manifest, took })?;
    trouble::verdict(disk.name(), &manifest)
}
