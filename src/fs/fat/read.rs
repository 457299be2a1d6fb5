//! Looking into a volume.

use std::io::{Read, Write};

use fatfs::{Dir, DirEntry as FatEntry};

use super::super::FsReader;
use super::super::error::FsError;
use super::super::metadata::{DirEntry, FileType, Meta, Stat};
use super::super::path::FsPath;
use super::pages::Stream;
use super::{FatVolume, clock};
use crate::disk::block::BlockRead;

/// What a path leads to: the root directory has no entry.
pub(super) enum Found<'a, D: BlockRead> {
    Root,
    Entry(FatEntry<'a, Stream<D>>),
}

impl<D: BlockRead> FatVolume<D> {
    /// What stands at a path, upper and lower case taken as one.
    pub(super) fn find(&self, path: &FsPath) -> Result<Option<Found<'_, D>>, FsError> {
        let mut found = Found::Root;
        for name in path.components() {
            let dir = match found {
                Found::Root => self.fs.root_dir(),
                Found::Entry(entry) if entry.is_dir() => entry.to_dir(),
                Found::Entry(_) => return Ok(None),
            };
            match find_in(&dir, name)? {
                Some(entry) => found = Found::Entry(entry),
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }

    /// The directory at a path.
    pub(super) fn dir(&self, path: &FsPath) -> Result<Dir<'_, Stream<D>>, FsError> {
        match self.find(path)? {
            Some(Found::Root) => Ok(self.fs.root_dir()),
            Some(Found::Entry(entry)) if entry.is_dir() => Ok(entry.to_dir()),
            Some(Found::Entry(_)) => Err(FsError::NotADirectory { path: path.clone() }),
            None => Err(FsError::NotFound { path: path.clone() }),
        }
    }

    fn file(&self, path: &FsPath) -> Result<FatEntry<'_, Stream<D>>, FsError> {
        match self.find(path)? {
            Some(Found::Entry(entry)) if entry.is_file() => Ok(entry),
            Some(_) => Err(FsError::NotAFile { path: path.clone() }),
            None => Err(FsError::NotFound { path: path.clone() }),
        }
    }
}

impl<D: BlockRead> FsReader for FatVolume<D> {
    fn stat(&self, path: &FsPath) -> Result<Option<Stat>, FsError> {
        Ok(self.find(path)?.map(|found| match found {
            Found::Root => Stat { kind: FileType::Directory, size: 0, meta: Meta::root(0o755), mtime: None },
            Found::Entry(entry) => Stat {
                kind: kind_of(&entry),
                size: if entry.is_dir() { 0 } else { entry.len() },
                meta: Meta::root(if entry.is_dir() { 0o755 } else { 0o644 }),
                mtime: clock::seconds(entry.modified()),
            },
        }))
    }

    fn stat_no_follow(&self, path: &FsPath) -> Result<Option<Stat>, FsError> {
        self.stat(path)
    }

    fn read(&self, path: &FsPath, limit: u64) -> Result<Vec<u8>, FsError> {
        let entry = self.file(path)?;
        if entry.len() > limit {
            return Err(FsError::TooLarge { path: path.clone(), size: entry.len(), limit });
        }
        // The size was checked against the file's clusters when the volume was opened.
        let mut content = Vec::with_capacity(entry.len() as usize);
        entry.to_file().read_to_end(&mut content)?;
        Ok(content)
    }

    fn read_to(&self, path: &FsPath, sink: &mut dyn Write) -> Result<u64, FsError> {
        Ok(std::io::copy(&mut self.file(path)?.to_file(), sink)?)
    }

    fn read_link(&self, path: &FsPath) -> Result<Vec<u8>, FsError> {
        match self.find(path)? {
            Some(_) => Err(FsError::unsupported("symbolic links on FAT")),
            None => Err(FsError::NotFound { path: path.clone() }),
        }
    }

    fn read_dir(&self, path: &FsPath) -> Result<Vec<DirEntry>, FsError> {
        let mut found = Vec::new();
        for entry in self.dir(path)?.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if !matches!(name.as_str(), "" | "." | "..") {
                found.push(DirEntry { name: name.into_bytes(), kind: kind_of(&entry) });
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }
}

/// The entry of a name: its long one or, as Windows and Linux have it, its short one.
fn find_in<'a, D: BlockRead>(
    dir: &Dir<'a, Stream<D>>,
    name: &str,
) -> Result<Option<FatEntry<'a, Stream<D>>>, FsError> {
    for entry in dir.iter() {
        let entry = entry?;
        if same_name(&entry.file_name(), name) || same_name(&entry.short_file_name(), name) {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

fn same_name(a: &str, b: &str) -> bool {
    a.chars().flat_map(char::to_uppercase).eq(b.chars().flat_map(char::to_uppercase))
}

fn kind_of<D: BlockRead>(entry: &FatEntry<'_, Stream<D>>) -> FileType {
    if entry.is_dir() { FileType::Directory } else { FileType::File }
}
