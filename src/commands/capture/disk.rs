//! A card, or an image file, open to be captured.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::backup::manifest::Origin;
use crate::device::info::{DeviceInfo, Kind};
use crate::device::platform::System;
use crate::device::reading::refusals;
use crate::device::refusal::{Refused, Rule};
use crate::disk::block::{BlockRead, FileBlocks};
use crate::error::{Advise, ExitCode, advised};
use crate::sink::card::CardReader;
use crate::source::format::{Content, Format, HEAD, recognise};

use super::super::card::{Privileged, open_to_read, refusal};
use super::super::context::Context;

/// A card or a file that nothing changes while it is read.
pub(super) struct Disk {
    info: DeviceInfo,
    name: String,
    /// Of a file, what tells that it was written to.
    stamp: Option<Stamp>,
    /// What is captured: of a card, what its medium holds, whatever caches hold.
    pub(super) blocks: Arc<dyn BlockRead>,
    /// The same through the cache, for tables and directories.
    pub(super) structure: Arc<dyn BlockRead>,
}

/// Inode, size and time of the last change.
type Stamp = (u64, u64, i64, i64);

impl Disk {
    /// Opens what may be captured.
    pub(super) fn open(context: &Context, path: &Path) -> anyhow::Result<Self> {
        let info = describe(path)?;
        let name = path.display().to_string();
        if info.kind != Kind::RegularFile {
            let card = CardReader::open(&info, &Privileged(&context.invoker)).map_err(refusal)?;
            let cached = open_to_read(context, &info.path)
                .with_context(|| format!("opening {name}"))
                .advise(ExitCode::Failed, "run it with sudo")?;
            let blocks: Arc<dyn BlockRead> = Arc::new(card);
            let structure = Arc::new(Cached { cached, medium: Arc::clone(&blocks) });
            return Ok(Self { info, name, stamp: None, blocks, structure });
        }
        let opening = || format!("opening {name}");
        let file = File::open(&info.path).with_context(opening)?;
        refuse_packed(&file, &name)?;
        let stamp = Some(stamp_of(&file.metadata().with_context(opening)?));
        let blocks: Arc<dyn BlockRead> = Arc::new(FileBlocks::new(file).with_context(opening)?);
        Ok(Self { info, name, stamp, structure: Arc::clone(&blocks), blocks })
    }

    /// What it was called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where it really is.
    pub(super) fn path(&self) -> &Path {
        &self.info.path
    }

    /// Where a backup of it is from.
    pub(super) fn origin(&self) -> Origin {
        let DeviceInfo { path, model, serial, size, .. } = self.info.clone();
        match self.info.kind {
            Kind::RegularFile => Origin::File { path },
            _ => Origin::Card { path, model, serial, size },
        }
    }

    /// Checks that nothing could write to it meanwhile, as far as that can be told afterwards.
    pub(super) fn check_unchanged(&self) -> anyhow::Result<()> {
        let now = describe(&self.info.path)?;
        let stamp = match self.stamp {
            Some(_) => {
                Some(stamp_of(&std::fs::metadata(&self.info.path).with_context(|| self.name.clone())?))
            }
            None => None,
        };
        if now.is_same_disk(&self.info) && now.diskseq == self.info.diskseq && stamp == self.stamp {
            return Ok(());
        }
        Err(advised(
            ExitCode::Failed,
            format!("{} changed while it was captured", self.name),
            "capture it again while nothing else uses it; nothing was written",
        ))
    }
}

/// Reads through the cache, and what that cannot give from the medium: a cache reads ahead, and a bad block spoils
/// its neighbours for it.
struct Cached {
    cached: Arc<dyn BlockRead>,
    medium: Arc<dyn BlockRead>,
}

impl BlockRead for Cached {
    fn size(&self) -> u64 {
        self.medium.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.cached.read_at(offset, buf).or_else(|_| self.medium.read_at(offset, buf))
    }
}

/// Describes what is to be captured; what may be written to meanwhile is refused.
fn describe(path: &Path) -> anyhow::Result<DeviceInfo> {
    let info = System::host().describe(path).map_err(refusal)?;
    let refusals = refusals(&info);
    let on_this_system =
        refusals.iter().any(|refusal| matches!(refusal.rule, Rule::Mounted | Rule::SystemDisk));
    if refusals.is_empty() {
        return Ok(info);
    }
    let refused = refusal(Refused(refusals).into());
    Err(if on_this_system { refused.context("a disk that is in use cannot be captured") } else { refused })
}

/// Packed images have nothing to leave out.
fn refuse_packed(file: &File, name: &str) -> anyhow::Result<()> {
    let mut head = Vec::new();
    file.take(HEAD as u64).read_to_end(&mut head).with_context(|| format!("reading {name}"))?;
    match recognise(&head) {
        Content::Image(Format::Packed(packing)) => Err(advised(
            ExitCode::Usage,
            format!("{name} is packed already ({packing})"),
            "unpack it first if a backup is to be made of it; `pibake restore` takes it as it is",
        )),
        _ => Ok(()),
    }
}

fn stamp_of(metadata: &Metadata) -> Stamp {
    (metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}
