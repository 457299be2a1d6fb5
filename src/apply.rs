//! A plan carried out: partition table, ext4 and FAT edited over the copy-on-write image.
//!
//! The base image is never touched. An error part-way leaves a half-edited [`CowImage`] that the caller
//! drops; nothing of it has been written anywhere.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::cow::CowImage;
use crate::disk::block::BlockWrite;
use crate::disk::error::DiskError;
use crate::disk::partition_table;
use crate::disk::range::ByteRange;
use crate::disk::window::Window;
use crate::fs::FsReader;
use crate::fs::error::FsError;
use crate::fs::ext4::{Ext4Editor, Keep, Stamp};
use crate::fs::fat::FatVolume;
use crate::fs::metadata::{FileType, Meta};
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::inventory::types::Layout;
use crate::plan::change::{Action, Change, Content, FileSpec, Plan};

/// Why a plan could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The partition table could not be changed.
    #[error("changing the partition table")]
    Disk(#[from] DiskError),
    /// The image could not be made longer.
    #[error("growing the image to {size} bytes")]
    Grow {
        /// The size asked for, in bytes.
        size: u64,
        /// What the image answered.
        source: io::Error,
    },
    /// A filesystem could not be opened, grown or closed.
    #[error("editing the {volume} filesystem")]
    Volume {
        /// `root` or `boot`.
        volume: &'static str,
        /// What the filesystem answered.
        source: FsError,
    },
    /// One change could not be made.
    #[error("writing {path} ({origin})")]
    Change {
        /// Where, in the image.
        path: FsPath,
        /// What asked for it.
        origin: String,
        /// Why not.
        source: ChangeError,
    },
}

/// Why one change could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The filesystem said no.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A file of this machine that was to be copied is not what it was when the plan was made.
    #[error("{path} changed while it was being copied", path = path.display())]
    HostFileChanged {
        /// Which file.
        path: PathBuf,
    },
    /// A file of this machine could not be read.
    #[error("reading {path}", path = path.display())]
    HostFile {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A directory stands where a file is to go.
    #[error("a directory is in the way")]
    DirectoryInTheWay,
    /// The FAT keeps neither modes nor links.
    #[error("the boot partition is FAT and cannot hold a {what}")]
    NotOnFat {
        /// What was asked for.
        what: &'static str,
    },
}

/// Carries out `plan` over `image`, whose partitions lie as `layout` says. `generation_seed` decides the
/// inode generations, which are otherwise random.
///
/// # Errors
/// [`ApplyError`]; the image is then half edited and must be dropped.
pub fn apply(
    plan: &Plan,
    layout: &Layout,
    generation_seed: [u8; 32],
    image: &mut CowImage,
) -> Result<(), ApplyError> {
    let root = grow_disk(plan, layout, image)?;
    set_disk_id(plan, image)?;
    edit_root(plan, root, Stamp { time: plan.bake_time, generation_seed }, image)?;
    edit_boot(plan, range(layout.boot, "boot")?, image)
}

/// Makes the image as long as the plan says and the root partition reach its end; the root partition's
/// new range.
fn grow_disk(plan: &Plan, layout: &Layout, image: &mut CowImage) -> Result<ByteRange, ApplyError> {
    let size = plan.disk.image_size;
    if size <= layout.image_size {
        return range(layout.root, "root");
    }
    image.grow(size).map_err(|source| ApplyError::Grow { size, source })?;
    Ok(partition_table::grow_last(image, layout.root_number, size)?)
}

fn set_disk_id(plan: &Plan, image: &mut CowImage) -> Result<(), ApplyError> {
    match plan.disk.disk_id {
        Some(id) => Ok(partition_table::set_disk_id(image, id)?),
        None => Ok(()),
    }
}

fn range((start, len): (u64, u64), volume: &'static str) -> Result<ByteRange, ApplyError> {
    ByteRange::with_len(start, len).ok_or_else(|| ApplyError::Volume {
        volume,
        source: FsError::corrupt(format!("a partition of {len} bytes at {start} has no end")),
    })
}

fn edit_root(plan: &Plan, range: ByteRange, stamp: Stamp, image: &mut CowImage) -> Result<(), ApplyError> {
    let whole = |source| ApplyError::Volume { volume: "root", source };
    let window = Window::new(image, range).map_err(|error| whole(error.into()))?;
    let mut root = Ext4Editor::open(window, stamp).map_err(whole)?;
    root.grow(range.len()).map_err(whole)?;
    for change in on(plan, Volume::Root) {
        change_root(&mut root, change).map_err(|source| because(change, source))?;
    }
    // The flag goes on last: nothing can be done to an immutable file afterwards.
    for change in on(plan, Volume::Root) {
        if let Action::File(FileSpec { immutable: true, .. }) = change.action {
            root.set_immutable(&change.path, true).map_err(|error| because(change, error.into()))?;
        }
    }
    root.finish().map(drop).map_err(whole)
}

fn edit_boot(plan: &Plan, range: ByteRange, image: &mut CowImage) -> Result<(), ApplyError> {
    let whole = |source| ApplyError::Volume { volume: "boot", source };
    let window = Window::new(image, range).map_err(|error| whole(error.into()))?;
    let mut boot = FatVolume::edit(window, plan.bake_time).map_err(whole)?;
    for change in on(plan, Volume::Boot) {
        change_boot(&mut boot, change).map_err(|source| because(change, source))?;
    }
    boot.finish().map(drop).map_err(whole)
}

fn on(plan: &Plan, volume: Volume) -> impl Iterator<Item = &Change> {
    plan.changes.iter().filter(move |change| change.volume == volume)
}

fn because(change: &Change, source: ChangeError) -> ApplyError {
    ApplyError::Change { path: change.path.clone(), origin: change.origin.clone(), source }
}

fn change_root<D: BlockWrite>(root: &mut Ext4Editor<D>, change: &Change) -> Result<(), ChangeError> {
    let path = &change.path;
    match &change.action {
        Action::Directory(meta) => {
            make_dirs(root, path)?;
            set_meta(root, path, *meta)?;
        }
        Action::File(spec) => {
            make_parents(root, path)?;
            with_content(&spec.content, |content, size| put(root, path, spec.meta, content, size))?;
            for (name, value) in &spec.xattrs {
                root.set_xattr(path, name, value)?;
            }
        }
        Action::Symlink { target } => {
            make_parents(root, path)?;
            remove_leaf(root, path)?;
            root.symlink(target, path, 0, 0)?;
        }
        Action::SetMeta(meta) => set_meta(root, path, *meta)?,
        Action::Rename { to } => root.rename(path, to)?,
        Action::Remove => remove_tree(root, path)?,
    }
    Ok(())
}

fn set_meta<D: BlockWrite>(root: &mut Ext4Editor<D>, path: &FsPath, meta: Meta) -> Result<(), FsError> {
    // Owner first: a change of owner clears the set-id bits.
    root.set_owner(path, meta.uid, meta.gid)?;
    root.set_mode(path, meta.mode)
}

fn make_parents<D: BlockWrite>(root: &mut Ext4Editor<D>, path: &FsPath) -> Result<(), FsError> {
    path.parent().map_or(Ok(()), |parent| make_dirs(root, &parent))
}

fn make_dirs<D: BlockWrite>(root: &mut Ext4Editor<D>, path: &FsPath) -> Result<(), FsError> {
    match root.stat(path)? {
        Some(stat) if stat.kind == FileType::Directory => Ok(()),
        Some(_) => Err(FsError::NotADirectory { path: path.clone() }),
        None => {
            make_parents(root, path)?;
            root.make_dir(path, Meta::root(0o755))
        }
    }
}

fn put<D: BlockWrite>(
    root: &mut Ext4Editor<D>,
    path: &FsPath,
    meta: Meta,
    content: &mut dyn Read,
    size: u64,
) -> Result<(), ChangeError> {
    match root.stat_no_follow(path)?.map(|stat| stat.kind) {
        Some(FileType::Directory) => return Err(ChangeError::DirectoryInTheWay),
        Some(FileType::File) => root.replace(path, meta, content, size, Keep::Nothing)?,
        Some(FileType::Symlink | FileType::Special) => {
            root.remove_file(path)?;
            root.create(path, meta, content, size)?;
        }
        None => root.create(path, meta, content, size)?,
    }
    Ok(())
}

/// Makes room for a link: a file or link there goes, a directory is in the way.
fn remove_leaf<D: BlockWrite>(root: &mut Ext4Editor<D>, path: &FsPath) -> Result<(), ChangeError> {
    match root.stat_no_follow(path)?.map(|stat| stat.kind) {
        Some(FileType::Directory) => Err(ChangeError::DirectoryInTheWay),
        Some(_) => Ok(root.remove_file(path)?),
        None => Ok(()),
    }
}

fn remove_tree<D: BlockWrite>(root: &mut Ext4Editor<D>, path: &FsPath) -> Result<(), FsError> {
    match root.stat_no_follow(path)?.map(|stat| stat.kind) {
        None => Ok(()),
        Some(FileType::Directory) => {
            for entry in root.read_dir(path)? {
                remove_tree(root, &child(path, &entry.name)?)?;
            }
            root.remove_dir(path)
        }
        Some(_) => root.remove_file(path),
    }
}

fn child(path: &FsPath, name: &[u8]) -> Result<FsPath, FsError> {
    std::str::from_utf8(name).ok().and_then(|name| path.join(name).ok()).ok_or_else(|| FsError::BadName {
        path: path.clone(),
        why: format!("the name {:?} in it cannot be handled", String::from_utf8_lossy(name)),
    })
}

fn change_boot<D: BlockWrite>(boot: &mut FatVolume<D>, change: &Change) -> Result<(), ChangeError> {
    let path = &change.path;
    match &change.action {
        Action::File(spec) => {
            with_content(&spec.content, |content, size| Ok(boot.write_stream(path, size, content)?))
        }
        Action::Directory(_) => Ok(boot.make_dir(path)?),
        // What is not there need not go.
        Action::Remove => Ok(boot.remove(path).map(drop)?),
        Action::Symlink { .. } => Err(ChangeError::NotOnFat { what: "symbolic link" }),
        Action::SetMeta(_) => Err(ChangeError::NotOnFat { what: "mode or owner" }),
        Action::Rename { to } => Ok(boot.rename(path, to)?),
    }
}

/// Hands a content to `write` as a stream, and makes sure that a file of this machine is still the one the
/// plan was made with.
fn with_content(
    content: &Content,
    write: impl FnOnce(&mut dyn Read, u64) -> Result<(), ChangeError>,
) -> Result<(), ChangeError> {
    match content {
        Content::Bytes(bytes) => write(&mut bytes.as_slice(), bytes.len() as u64),
        Content::Secret(bytes) => write(&mut bytes.as_slice(), bytes.len() as u64),
        Content::HostFile { path, size, sha256 } => {
            let mut file = HashingFile::open(path)?;
            write(&mut file, *size)?;
            if file.matches(*size, sha256)? {
                Ok(())
            } else {
                Err(ChangeError::HostFileChanged { path: path.clone() })
            }
        }
    }
}

/// A file hashed while it is read.
struct HashingFile {
    path: PathBuf,
    file: File,
    hash: Sha256,
    read: u64,
}

impl HashingFile {
    fn open(path: &Path) -> Result<Self, ChangeError> {
        let file =
            File::open(path).map_err(|source| ChangeError::HostFile { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file, hash: Sha256::new(), read: 0 })
    }

    /// Whether exactly the file of this size and digest went through.
    fn matches(mut self, size: u64, sha256: &[u8; 32]) -> Result<bool, ChangeError> {
        let longer = self
            .read(&mut [0])
            .map_err(|source| ChangeError::HostFile { path: self.path.clone(), source })?
            > 0;
        Ok(!longer && self.read == size && self.hash.finalize().as_slice() == sha256)
    }
}

impl Read for HashingFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read(buf)?;
        self.hash.update(&buf[..len]);
        self.read += len as u64;
        Ok(len)
    }
}
