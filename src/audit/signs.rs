//! Whether a card was mounted or booted since it was flashed.
//!
//! A bake leaves the root filesystem unmounted, its superblock dated to the second of the bake time, no machine's
//! id, and the root partition as large as the image. Whoever mounts it for writing dates the superblock anew
//! (the kernel's `ext4_commit_super`); one that is only damaged fails its checksum. A firmware partition that was
//! mounted and unmounted may look untouched, so that only what is certain counts.

use std::sync::Arc;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::manifest::Manifest;
use crate::disk::block::BlockRead;
use crate::disk::range::ByteRange;
use crate::disk::window::Window;
use crate::fs::FsReader;
use crate::fs::ext4;
use crate::fs::path::FsPath;
use crate::inventory::find::Pair;

/// What desktops leave behind on the FAT of every card they see.
const TRACES: [&str; 6] =
    ["System Volume Information", ".fseventsd", ".Spotlight-V100", ".Trashes", ".Trash-1000", "$RECYCLE.BIN"];

/// The most names of the FAT's root directory that are looked at: a FAT16 has no more.
const NAMES: usize = 65_536;

/// What says that a card was used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// Of the root filesystem.
    pub root: Vec<String>,
    /// Of the firmware partition.
    pub boot: Vec<String>,
}

impl Signs {
    /// Looks for signs on a card of which `image_size` bytes were written.
    #[must_use]
    pub fn look(image: &Arc<dyn BlockRead>, pair: &Pair, manifest: &Manifest, image_size: u64) -> Self {
        Self {
            root: root(image, pair, manifest.bake_time(), image_size),
            boot: boot(pair, manifest.bake_time()),
        }
    }

    /// Whether it was used at all.
    #[must_use]
    pub fn used(&self) -> bool {
        !self.root.is_empty() || !self.boot.is_empty()
    }

    /// Whether such use accounts for a change in a range: in a partition that was used, or, where it grew, in
    /// the partition table. A system that ran had both partitions mounted.
    #[must_use]
    pub fn explain(&self, range: ByteRange, pair: &Pair) -> bool {
        let touches = |other: ByteRange| range.intersect(other).is_some();
        let booted = !self.root.is_empty();
        (booted && (touches(pair.root.range) || range.start() == 0))
            || (self.used() && touches(pair.boot.range))
    }
}

fn root(image: &Arc<dyn BlockRead>, pair: &Pair, bake_time: i64, image_size: u64) -> Vec<String> {
    let mut signs = Vec::new();
    let range = pair.root.range;
    let history = Window::new(image, range).ok().and_then(|window| ext4::history(&window).ok());
    // One that cannot be trusted says nothing about use.
    if let Some(history) = history {
        if history.written != bake_time {
            signs.push(format!("its root filesystem was written at {}", date(history.written)));
        }
        if !history.clean {
            signs.push("its root filesystem was not unmounted".to_owned());
        }
    }
    if range.end() > image_size {
        signs.push("its root partition has grown".to_owned());
    }
    let id = path("/etc/machine-id").and_then(|path| pair.ext4.reader().read(&path, 4096).ok());
    if id.is_some_and(|id| id.iter().filter(|byte| byte.is_ascii_hexdigit()).count() == 32) {
        signs.push("it was booted: it has a machine id".to_owned());
    }
    signs
}

fn boot(pair: &Pair, bake_time: i64) -> Vec<String> {
    let mut signs = Vec::new();
    if pair.fat.is_dirty() {
        signs.push("its firmware partition was not unmounted".to_owned());
    }
    let entries = pair.fat.read_dir(&FsPath::root()).unwrap_or_default();
    for entry in entries.iter().take(NAMES) {
        let name = String::from_utf8_lossy(&entry.name);
        if TRACES.iter().any(|trace| trace.eq_ignore_ascii_case(&name)) {
            signs.push(format!("another system left {name:?} on its firmware partition"));
            continue;
        }
        let stat = FsPath::root().join(&name).ok().and_then(|path| pair.fat.stat(&path).ok()?);
        // Dates on FAT are somebody's local time: one that is later in UTC is later for sure only most of the
        // time, which is enough for a sign.
        if stat.and_then(|stat| stat.mtime).is_some_and(|mtime| mtime > bake_time) {
            signs.push(format!("{name:?} on its firmware partition was written since"));
        }
    }
    signs
}

fn path(text: &str) -> Option<FsPath> {
    FsPath::new(text).ok()
}

fn date(seconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| seconds.to_string())
}
