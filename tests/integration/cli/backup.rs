//! Backups of the demo image for tests, and the image as it is after its first boot.

use std::fs;
use std::path::Path;

use pibake::backup::archive::{ArchiveJob, ArchiveWriter, Archived, Unreadable};
use pibake::backup::manifest::{About, Manifest, Origin};
use pibake::backup::names::Names;
use pibake::disk::block::{BlockRead, FileBlocks};
use pibake::disk::partition_table;
use pibake::disk::window::Window;
use pibake::fs::FsReader;
use pibake::fs::fat::FatVolume;
use pibake::fs::path::FsPath;
use pibake::interrupt::Interrupt;
use pibake::inventory::survey::survey;
use pibake::progress::Silent;
use pibake::usage::used::used;

use super::desk::Desk;
use super::image::{demo, open, write_sparse};

/// The demo image after its first boot: no hook is left on the command line.
pub(super) fn write_booted(path: &Path) {
    write_sparse(path, demo());
    let blocks = open(path);
    let range = partition_table::read(&blocks).unwrap().partition(1).unwrap().range;
    let mut fat = FatVolume::edit(Window::new(blocks, range).unwrap(), 1_800_000_000).unwrap();
    let cmdline = FsPath::new("/cmdline.txt").unwrap();
    let text = String::from_utf8(fat.read(&cmdline, 4096).unwrap()).unwrap();
    let words: Vec<&str> = text.split_whitespace().filter(|word| !word.starts_with("init=")).collect();
    let text = words.join(" ") + "\n";
    fat.write_stream(&cmdline, text.len() as u64, &mut text.as_bytes()).unwrap();
    fat.finish().unwrap();
}

/// Makes a backup of an image file: `NAME.img.zst` and what belongs to it.
pub(super) fn back_up(image: &Path, archive: &Path) -> Archived {
    let blocks: std::sync::Arc<dyn BlockRead> =
        std::sync::Arc::new(FileBlocks::new(fs::File::open(image).unwrap()).unwrap());
    let names = Names::of(archive).unwrap();
    let name = names.name.clone();
    let job = ArchiveJob {
        image: &blocks,
        used: &used(&blocks, &[]).unwrap().ranges,
        unreadable: Unreadable::Fails,
        subject: "test",
        progress: &Silent,
        interrupt: &Interrupt::default(),
    };
    let written = ArchiveWriter::create(names).unwrap().write(&job).unwrap();
    let archived = written.archived().clone();
    let about = About {
        name,
        started: "2027-01-15T08:00:00Z".to_owned(),
        finished: "2027-01-15T08:00:01Z".to_owned(),
        source: Origin::File { path: image.to_owned() },
        holds: survey(&blocks),
        notes: Vec::new(),
        holes: Vec::new(),
    };
    let manifest = Manifest::new(about, &archived);
    written.publish(&manifest).unwrap();
    archived
}

/// A desk with `booted.img`, and a backup of it called `pi3`.
pub(super) fn desk_with_backup() -> (Desk, Archived) {
    let desk = Desk::bare();
    write_booted(&desk.path("booted.img"));
    let archived = back_up(&desk.path("booted.img"), &desk.path("pi3.img.zst"));
    (desk, archived)
}
