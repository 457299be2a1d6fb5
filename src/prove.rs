//! The proof: every injected path read back through independent readers and compared.
//!
//! Files, links, modes and owners of the root filesystem are read with `ext4-view`, which shares no code
//! with the editor; flags and extended attributes, which it does not show, with a fresh parse of the
//! inode. The FAT is opened anew. Nothing here trusts anything the editing left in memory.

use std::io::{self, Write};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::disk::block::BlockRead;
use crate::disk::error::DiskError;
use crate::disk::partition_table;
use crate::disk::range::ByteRange;
use crate::disk::window::Window;
use crate::fs::FsReader;
use crate::fs::error::FsError;
use crate::fs::ext4::{Ext4Facts, Ext4Reader};
use crate::fs::fat::FatVolume;
use crate::fs::hash::HashSink;
use crate::fs::metadata::{FileType, Meta, Stat};
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::interrupt::{Interrupt, Interrupted};
use crate::inventory::types::Layout;
use crate::plan::change::{Action, Change, Content, FileSpec, Plan};
use crate::progress::{Event, Phase, Progress};

/// `FS_IMMUTABLE_FL` of the kernel's `include/uapi/linux/fs.h`.
const IMMUTABLE: u32 = 0x10;

/// What was read back and found to be as planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Proof {
    /// Paths compared.
    pub paths: u64,
    /// Bytes of content compared.
    pub bytes: u64,
}

/// Why the image is not what was planned.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The partition table could not be read back.
    #[error("reading the partition table back")]
    Disk(#[from] DiskError),
    /// The partition table does not say what was planned.
    #[error("reading back: {what}")]
    Table {
        /// What differs.
        what: String,
    },
    /// A filesystem could not be opened or read.
    #[error("reading {path} of the {volume:?} filesystem back")]
    Read {
        /// Which filesystem.
        volume: Volume,
        /// Which path.
        path: FsPath,
        /// What the reader answered.
        source: FsError,
    },
    /// A path does not hold what was planned.
    #[error("{path} reads back wrong: {what}")]
    Differs {
        /// Which path.
        path: FsPath,
        /// What differs; never the content itself.
        what: String,
    },
    /// The run was asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Reads everything `plan` writes back from `image` and compares it.
///
/// # Errors
/// [`ProveError`], naming the first path that differs.
pub fn prove(
    plan: &Plan,
    layout: &Layout,
    image: &Arc<dyn BlockRead>,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Proof, ProveError> {
    let (boot, root) = prove_table(plan, layout, image)?;
    let readers = Readers::open(image, boot, root)?;
    let total = plan.changes.iter().map(|change| size_of(&change.action)).sum();
    progress.event(Event::Start { phase: Phase::Proving, subject: plan.node.clone(), total: Some(total) });
    let mut proof = Proof::default();
    for change in &plan.changes {
        interrupt.check()?;
        proof.bytes += readers.prove(plan, change)?;
        proof.paths += 1;
        progress.event(Event::Advance {
            phase: Phase::Proving,
            subject: plan.node.clone(),
            done: proof.bytes,
        });
    }
    progress.event(Event::Finish { phase: Phase::Proving, subject: plan.node.clone() });
    Ok(proof)
}

fn size_of(action: &Action) -> u64 {
    match action {
        Action::File(spec) => spec.content.size(),
        _ => 0,
    }
}

/// The partition table says what was planned; where the two filesystems lie.
fn prove_table(
    plan: &Plan,
    layout: &Layout,
    image: &Arc<dyn BlockRead>,
) -> Result<(ByteRange, ByteRange), ProveError> {
    let table = partition_table::read(image)?;
    let wrong = |what: String| ProveError::Table { what };
    if let Some(id) = plan.disk.disk_id.filter(|id| *id != table.disk_id) {
        return Err(wrong(format!("the disk id is {:08x}, not {id:08x}", table.disk_id)));
    }
    if image.size() != plan.disk.image_size {
        return Err(wrong(format!("the image has {} bytes, not {}", image.size(), plan.disk.image_size)));
    }
    let range_of = |number| {
        let missing = || wrong(format!("partition {number} is not there"));
        table.partition(number).map(|partition| partition.range).ok_or_else(missing)
    };
    let boot = range_of(layout.boot_number)?;
    let root = range_of(layout.root_number)?;
    if (boot.start(), boot.len()) != layout.boot || root.start() != layout.root.0 {
        return Err(wrong("a partition is not where it was".to_owned()));
    }
    Ok((boot, root))
}

/// The filesystems opened anew.
struct Readers {
    root: Ext4Reader,
    facts: Ext4Facts<Window<Arc<dyn BlockRead>>>,
    boot: FatVolume<Window<Arc<dyn BlockRead>>>,
}

impl Readers {
    fn open(image: &Arc<dyn BlockRead>, boot: ByteRange, root: ByteRange) -> Result<Self, ProveError> {
        let at = |volume| move |source: FsError| ProveError::Read { volume, path: FsPath::root(), source };
        let window = |range| Window::new(Arc::clone(image), range).map_err(FsError::Io);
        Ok(Self {
            root: window(root).and_then(Ext4Reader::open).map_err(at(Volume::Root))?,
            facts: window(root).and_then(Ext4Facts::open).map_err(at(Volume::Root))?,
            boot: window(boot).and_then(FatVolume::open).map_err(at(Volume::Boot))?,
        })
    }

    /// Compares what one change left; the bytes of content compared.
    fn prove(&self, plan: &Plan, change: &Change) -> Result<u64, ProveError> {
        let subject = Subject { plan, change, readers: self };
        match &change.action {
            Action::Directory(meta) => subject.directory(*meta),
            Action::File(spec) => subject.file(spec),
            Action::Symlink { target } => subject.symlink(target),
            Action::SetMeta(meta) => subject.meta(*meta),
            Action::Rename { to } => subject.renamed(to),
            Action::Remove => subject.absent(),
        }
    }
}

/// One change under proof.
struct Subject<'a> {
    plan: &'a Plan,
    change: &'a Change,
    readers: &'a Readers,
}

impl Subject<'_> {
    fn reader(&self) -> &dyn FsReader {
        match self.change.volume {
            Volume::Root => &self.readers.root,
            Volume::Boot => &self.readers.boot,
        }
    }

    fn on_root(&self) -> bool {
        self.change.volume == Volume::Root
    }

    fn differs(&self, what: impl Into<String>) -> ProveError {
        ProveError::Differs { path: self.change.path.clone(), what: what.into() }
    }

    fn read<T>(&self, result: Result<T, FsError>) -> Result<T, ProveError> {
        result.map_err(|source| ProveError::Read {
            volume: self.change.volume,
            path: self.change.path.clone(),
            source,
        })
    }

    fn stat(&self) -> Result<Stat, ProveError> {
        self.read(self.reader().stat_no_follow(&self.change.path))?
            .ok_or_else(|| self.differs("nothing is there"))
    }

    fn same_meta(&self, stat: &Stat, meta: Meta) -> Result<(), ProveError> {
        // FAT keeps neither mode nor owner.
        if self.on_root() && stat.meta != meta {
            return Err(self.differs(format!(
                "mode {:04o} owner {}:{}, not {:04o} {}:{}",
                stat.meta.mode, stat.meta.uid, stat.meta.gid, meta.mode, meta.uid, meta.gid
            )));
        }
        Ok(())
    }

    fn directory(&self, meta: Meta) -> Result<u64, ProveError> {
        // A link to a directory stands for it.
        let stat = self
            .read(self.reader().stat(&self.change.path))?
            .ok_or_else(|| self.differs("nothing is there"))?;
        if stat.kind != FileType::Directory {
            return Err(self.differs("it is no directory"));
        }
        self.same_meta(&stat, meta).map(|()| 0)
    }

    fn file(&self, spec: &FileSpec) -> Result<u64, ProveError> {
        let stat = self.stat()?;
        if stat.kind != FileType::File {
            return Err(self.differs("it is no regular file"));
        }
        if stat.size != spec.content.size() {
            return Err(self.differs(format!("{} bytes, not {}", stat.size, spec.content.size())));
        }
        self.same_meta(&stat, spec.meta)?;
        if self.on_root() {
            self.same_time(&stat)?;
            self.same_flags(spec)?;
        }
        self.same_content(&spec.content)
    }

    fn same_time(&self, stat: &Stat) -> Result<(), ProveError> {
        match stat.mtime {
            Some(mtime) if mtime != self.plan.bake_time => {
                Err(self.differs(format!("its time is {mtime}, not {}", self.plan.bake_time)))
            }
            _ => Ok(()),
        }
    }

    fn same_flags(&self, spec: &FileSpec) -> Result<(), ProveError> {
        let flags = self.read(self.readers.facts.flags(&self.change.path))?;
        if (flags & IMMUTABLE != 0) != spec.immutable {
            return Err(self.differs(if spec.immutable {
                "it is not immutable"
            } else {
                "it is immutable and should not be"
            }));
        }
        let xattrs = self.read(self.readers.facts.xattrs(&self.change.path))?;
        if xattrs != spec.xattrs {
            return Err(self.differs("its extended attributes are others"));
        }
        Ok(())
    }

    fn same_content(&self, content: &Content) -> Result<u64, ProveError> {
        let same = match content {
            Content::Bytes(bytes) => self.streams_equal(bytes)?,
            Content::Secret(bytes) => self.streams_equal(bytes)?,
            Content::HostFile { sha256, .. } => {
                let mut hash = Sha256::new();
                self.read(self.reader().read_to(&self.change.path, &mut HashSink(&mut hash)))?;
                hash.finalize().as_slice() == sha256
            }
        };
        if same { Ok(content.size()) } else { Err(self.differs("its content is another")) }
    }

    fn streams_equal(&self, expected: &[u8]) -> Result<bool, ProveError> {
        let mut comparison = Comparison { rest: expected, same: true };
        self.read(self.reader().read_to(&self.change.path, &mut comparison))?;
        Ok(comparison.same && comparison.rest.is_empty())
    }

    fn symlink(&self, target: &str) -> Result<u64, ProveError> {
        if self.stat()?.kind != FileType::Symlink {
            return Err(self.differs("it is no symbolic link"));
        }
        let found = self.read(self.reader().read_link(&self.change.path))?;
        if found == target.as_bytes() {
            Ok(found.len() as u64)
        } else {
            Err(self.differs(format!("it leads to {:?}", String::from_utf8_lossy(&found))))
        }
    }

    fn meta(&self, meta: Meta) -> Result<u64, ProveError> {
        self.same_meta(&self.stat()?, meta).map(|()| 0)
    }

    fn renamed(&self, to: &str) -> Result<u64, ProveError> {
        let target = self.change.path.parent().and_then(|parent| parent.join(to).ok());
        let there = match &target {
            Some(path) => self.read(self.reader().stat_no_follow(path))?.is_some(),
            None => false,
        };
        if there { self.absent() } else { Err(self.differs(format!("it did not become {to}"))) }
    }

    fn absent(&self) -> Result<u64, ProveError> {
        match self.read(self.reader().stat_no_follow(&self.change.path))? {
            None => Ok(0),
            Some(_) => Err(self.differs("it is still there")),
        }
    }
}

/// Compares what is written to it with what was expected.
struct Comparison<'a> {
    rest: &'a [u8],
    same: bool,
}

impl Write for Comparison<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let (expected, rest) = self.rest.split_at(buf.len().min(self.rest.len()));
        self.same &= expected == buf;
        self.rest = rest;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
