//! Reading through the `ext4-view` crate: an independent witness of what the editor wrote.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ext4_view::{Ext4, Ext4Error, Ext4Read, FileType as ViewType, Metadata};

use crate::disk::block::BlockRead;
use crate::fs::FsReader;
use crate::fs::error::FsError;
use crate::fs::metadata::{DirEntry, FileType, Meta, Stat};
use crate::fs::path::FsPath;

/// Bytes read at once when a file is streamed.
const CHUNK: usize = 256 * 1024;

/// An ext4 filesystem read by `ext4-view`, a dirty journal replayed in memory. The medium must not change
/// while it is open.
pub struct Ext4Reader {
    fs: Ext4,
}

struct Medium<D>(D);

impl<D: BlockRead> Ext4Read for Medium<D> {
    fn read(
        &mut self,
        start_byte: u64,
        dst: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        Ok(self.0.read_at(start_byte, dst)?)
    }
}

impl Ext4Reader {
    /// Opens the filesystem that fills `device`.
    ///
    /// # Errors
    /// `Corrupt`, `Unsupported`, or a read error.
    pub fn open<D: BlockRead + 'static>(device: D) -> Result<Self, FsError> {
        let root = FsPath::root();
        contained(&root, || {
            let fs = Ext4::load(Box::new(Medium(device))).map_err(|error| translate(error, &root))?;
            Ok(Self { fs })
        })
    }

    /// What the path leads to; `None` when nothing is there.
    fn look(&self, path: &FsPath, follow: bool) -> Result<Option<Metadata>, FsError> {
        let found =
            if follow { self.fs.metadata(path.as_str()) } else { self.fs.symlink_metadata(path.as_str()) };
        match found {
            Ok(metadata) => Ok(Some(metadata)),
            Err(Ext4Error::NotFound | Ext4Error::NotADirectory) => Ok(None),
            Err(error) => Err(translate(error, path)),
        }
    }

    /// Opens a regular file and says its size in bytes.
    fn open_file(&self, path: &FsPath) -> Result<(ext4_view::File, u64), FsError> {
        let metadata = self.look(path, true)?.ok_or_else(|| FsError::NotFound { path: path.clone() })?;
        if !metadata.file_type().is_regular_file() {
            return Err(FsError::NotAFile { path: path.clone() });
        }
        let file = self.fs.open(path.as_str()).map_err(|error| translate(error, path))?;
        Ok((file, metadata.len()))
    }
}

impl FsReader for Ext4Reader {
    fn stat(&self, path: &FsPath) -> Result<Option<Stat>, FsError> {
        contained(path, || Ok(self.look(path, true)?.map(|metadata| stat_of(&metadata))))
    }

    fn stat_no_follow(&self, path: &FsPath) -> Result<Option<Stat>, FsError> {
        contained(path, || Ok(self.look(path, false)?.map(|metadata| stat_of(&metadata))))
    }

    fn read(&self, path: &FsPath, limit: u64) -> Result<Vec<u8>, FsError> {
        contained(path, || {
            let (mut file, size) = self.open_file(path)?;
            if size > limit {
                return Err(FsError::TooLarge { path: path.clone(), size, limit });
            }
            let mut content = Vec::new();
            stream(&mut file, path, &mut content)?;
            Ok(content)
        })
    }

    fn read_to(&self, path: &FsPath, sink: &mut dyn Write) -> Result<u64, FsError> {
        contained(path, || stream(&mut self.open_file(path)?.0, path, sink))
    }

    fn read_link(&self, path: &FsPath) -> Result<Vec<u8>, FsError> {
        contained(path, || match self.fs.read_link(path.as_str()) {
            Ok(target) => Ok(target.as_ref().to_vec()),
            Err(error) => Err(translate(error, path)),
        })
    }

    fn read_dir(&self, path: &FsPath) -> Result<Vec<DirEntry>, FsError> {
        contained(path, || {
            let listing = self.fs.read_dir(path.as_str()).map_err(|error| translate(error, path))?;
            let mut entries = Vec::new();
            for entry in listing {
                let entry = entry.map_err(|error| translate(error, path))?;
                let name = entry.file_name().as_ref().to_vec();
                if name != b"." && name != b".." {
                    let kind = entry.file_type().map_err(|error| translate(error, path))?;
                    entries.push(DirEntry { name, kind: kind_of(kind) });
                }
            }
            entries.sort_by(|left, right| left.name.cmp(&right.name));
            Ok(entries)
        })
    }
}

/// Runs a read of `ext4-view`, which panics over some damaged structures (1.0.0: the count of a hash tree's
/// node that passes its block), and says what that means.
fn contained<T>(path: &FsPath, read: impl FnOnce() -> Result<T, FsError>) -> Result<T, FsError> {
    // Nothing is shared with the caller but the reader, which only reads.
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(FsError::corrupt(format!("{path}: a structure on the way to it makes no sense")))
    })
}

fn stream(file: &mut ext4_view::File, path: &FsPath, sink: &mut dyn Write) -> Result<u64, FsError> {
    let mut buffer = vec![0; CHUNK];
    let mut done = 0;
    loop {
        let read = file.read_bytes(&mut buffer).map_err(|error| translate(error, path))?;
        if read == 0 {
            return Ok(done);
        }
        sink.write_all(&buffer[..read])?;
        done += read as u64;
    }
}

fn stat_of(metadata: &Metadata) -> Stat {
    Stat {
        kind: kind_of(metadata.file_type()),
        size: metadata.len(),
        meta: Meta { mode: metadata.mode(), uid: metadata.uid(), gid: metadata.gid() },
        mtime: Some(metadata.modified().seconds()),
    }
}

fn kind_of(kind: ViewType) -> FileType {
    match kind {
        ViewType::Regular => FileType::File,
        ViewType::Directory => FileType::Directory,
        ViewType::Symlink => FileType::Symlink,
        ViewType::BlockDevice | ViewType::CharacterDevice | ViewType::Fifo | ViewType::Socket => {
            FileType::Special
        }
    }
}

fn translate(error: Ext4Error, path: &FsPath) -> FsError {
    let path = path.clone();
    match error {
        Ext4Error::NotFound => FsError::NotFound { path },
        Ext4Error::NotADirectory => FsError::NotADirectory { path },
        Ext4Error::IsADirectory | Ext4Error::IsASpecialFile => FsError::NotAFile { path },
        Ext4Error::NotASymlink => FsError::BadName { path, why: "it is no symbolic link".to_owned() },
        Ext4Error::TooManySymlinks | Ext4Error::PathTooLong => FsError::SymlinkLoop { path },
        Ext4Error::Io(source) => FsError::Io(io::Error::other(source)),
        Ext4Error::Incompatible(feature) => FsError::unsupported(feature.to_string()),
        Ext4Error::Encrypted => FsError::unsupported("encrypt"),
        Ext4Error::Corrupt(what) => FsError::corrupt(what.to_string()),
        other => FsError::corrupt(format!("{path}: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ALL, SMALL, path, unpack, view};
    use super::Ext4Reader;
    use crate::fs::FsReader;
    use crate::fs::error::FsError;
    use crate::fs::metadata::{FileType, Meta};

    #[test]
    fn reads_files_links_and_directories() {
        for fixture in ALL {
            let reader = view(&unpack(fixture));
            assert_eq!(reader.read(&path("/etc/hosts"), 20).unwrap(), b"127.0.0.1 localhost\n");
            let stat = reader.stat(&path("/lib")).unwrap().unwrap();
            assert_eq!((stat.kind, stat.meta.uid), (FileType::Directory, 0));
            let stat = reader.stat_no_follow(&path("/lib")).unwrap().unwrap();
            assert_eq!((stat.kind, stat.meta.mode, stat.size), (FileType::Symlink, 0o777, 7));
            assert_eq!(reader.stat(&path("/etc/hosts")).unwrap().unwrap().meta, Meta::root(0o644));
            assert_eq!(reader.read_link(&path("/lib")).unwrap(), b"usr/lib");
            let mut sink = Vec::new();
            assert_eq!(reader.read_to(&path("/etc/big"), &mut sink).unwrap(), 4800 * 64);
            assert!(sink.ends_with(b"4799\n"));
            let names = reader.read_dir(&path("/etc")).unwrap();
            assert!(names.is_sorted_by(|left, right| left.name < right.name));
            let tty = names.iter().find(|entry| entry.name == b"tty").unwrap();
            assert_eq!(tty.kind, FileType::Special);
        }
    }

    #[test]
    fn missing_is_not_an_error_and_errors_are_told_apart() {
        let reader = view(&unpack(SMALL));
        assert_eq!(reader.stat(&path("/none")).unwrap(), None);
        assert_eq!(reader.stat(&path("/etc/hosts/none")).unwrap(), None);
        assert!(matches!(reader.stat(&path("/loop1")), Err(FsError::SymlinkLoop { .. })));
        assert!(matches!(reader.read(&path("/none"), 9), Err(FsError::NotFound { .. })));
        assert!(matches!(reader.read(&path("/etc"), 9), Err(FsError::NotAFile { .. })));
        assert!(matches!(
            reader.read(&path("/etc/hosts"), 19),
            Err(FsError::TooLarge { size: 20, limit: 19, .. })
        ));
        assert!(matches!(reader.read_dir(&path("/etc/hosts")), Err(FsError::NotADirectory { .. })));
        assert!(matches!(reader.read_dir(&path("/none")), Err(FsError::NotFound { .. })));
        assert!(matches!(reader.read_link(&path("/etc")), Err(FsError::BadName { .. })));
    }

    #[test]
    fn what_is_no_ext4_is_corrupt() {
        assert!(matches!(Ext4Reader::open(vec![0; 1 << 16]), Err(FsError::Corrupt { .. })));
        assert!(matches!(Ext4Reader::open(vec![0; 10]), Err(FsError::Io(_))));
    }
}
