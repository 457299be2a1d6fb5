//! A file that appears under its name only whole.
//!
//! It is written under a hidden name beside its destination and renamed once it is on the disk. Whoever
//! writes it holds a lock on it, so that what a killed run left behind can be told from what a living one
//! is still writing, and is removed by the next.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::SinkError;
use crate::device::platform;
use crate::disk::block::FileBlocks;

const SUFFIX: &str = ".pibake-part";

/// A file being written; dropped without [`OutFile::publish`], it is gone.
#[derive(Debug)]
pub struct OutFile {
    file: File,
    temp: PathBuf,
    dest: PathBuf,
    published: bool,
}

impl OutFile {
    /// Begins a file that will be called `dest`: readable by its owner alone when it holds secrets, else as
    /// the umask says (0644 at most). What killed runs left of the same name is removed.
    ///
    /// # Errors
    /// When something else than a regular file has that name, or the directory cannot be written to.
    pub fn create(dest: &Path, secret: bool) -> Result<Self, SinkError> {
        match fs::symlink_metadata(dest) {
            Ok(there) if !there.is_file() => return Err(SinkError::InTheWay(dest.to_owned())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(SinkError::file("looking at", dest)(error)),
        }
        let Some(name) = dest.file_name() else {
            return Err(SinkError::InTheWay(dest.to_owned()));
        };
        remove_stale(dest, name);
        let mode = if secret { 0o600 } else { 0o644 };
        loop {
            let temp = dest.with_file_name(temp_name(name)?);
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(&temp)
                .map_err(SinkError::file("creating", &temp))?;
            // Another run's cleaning may have come between creating and locking: it holds the lock while it
            // removes, so a file that still has a name once it is locked stays ours. Where a filesystem has
            // no locks, the cleaning gets none either and removes nothing.
            let _ = file.lock();
            let links = file.metadata().map_err(SinkError::file("looking at", &temp))?.nlink();
            if links > 0 {
                return Ok(Self { file, temp, dest: dest.to_owned(), published: false });
            }
        }
    }

    /// The open file, for reading and writing.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The name it will get.
    #[must_use]
    pub fn dest(&self) -> &Path {
        &self.dest
    }

    /// What was written so far, through a descriptor of its own: for proving it before it is published.
    ///
    /// # Errors
    /// When it cannot be opened again.
    pub fn written(&self) -> Result<FileBlocks, SinkError> {
        self.open_again()
            .and_then(|file| FileBlocks::new(file).map_err(SinkError::file("reading", &self.dest)))
    }

    /// What [`OutFile::written`] reads, as a file.
    ///
    /// # Errors
    /// When it cannot be opened again.
    pub fn open_again(&self) -> Result<File, SinkError> {
        File::open(&self.temp).map_err(SinkError::file("reading", &self.temp))
    }

    /// Sends `len` written bytes from `offset` on their way to the disk, so that they are not waited for at the end.
    pub fn flush_soon(&self, offset: u64, len: u64) {
        // The advice has Linux begin to write, and give up what has been written (mm/fadvise.c). It may fail: what
        // is still to be flushed at the end is flushed then, and an error of the disk is told then.
        let _ = platform::forget_cached(&self.file, offset, len);
    }

    /// Puts the file on the disk and gives it its name, replacing a file that had it.
    ///
    /// # Errors
    /// When it cannot be flushed or renamed; the destination is then what it was before.
    pub fn publish(mut self) -> Result<(), SinkError> {
        self.file.sync_all().map_err(SinkError::file("flushing", &self.dest))?;
        fs::rename(&self.temp, &self.dest).map_err(SinkError::file("renaming to", &self.dest))?;
        self.published = true;
        let directory = parent(&self.dest);
        File::open(directory).and_then(|dir| dir.sync_all()).map_err(SinkError::file("flushing", directory))
    }
}

impl Drop for OutFile {
    fn drop(&mut self) {
        if !self.published {
            // Nothing can be done about a failure, and the next run removes what stayed.
            let _ = fs::remove_file(&self.temp);
        }
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn temp_prefix(name: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    prefix
}

fn temp_name(name: &OsStr) -> Result<OsString, SinkError> {
    let tag = getrandom::u64().map_err(|error| SinkError::File {
        doing: "finding a temporary name for",
        path: PathBuf::from(name),
        source: io::Error::other(error.to_string()),
    })?;
    let mut temp = temp_prefix(name);
    temp.push(format!("{tag:016x}{SUFFIX}"));
    Ok(temp)
}

/// Removes what runs that are no more left of `dest`. Failures leave it for another time.
fn remove_stale(dest: &Path, name: &OsStr) {
    let prefix = temp_prefix(name);
    let Ok(entries) = fs::read_dir(parent(dest)) else { return };
    for entry in entries.flatten() {
        let found = entry.file_name();
        let bytes = found.as_encoded_bytes();
        let ours = bytes.strip_prefix(prefix.as_encoded_bytes()).is_some_and(is_tag);
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else { continue };
        if file.try_lock().is_ok() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_tag(bytes: &[u8]) -> bool {
    bytes
        .strip_suffix(SUFFIX.as_bytes())
        .is_some_and(|tag| tag.len() == 16 && tag.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::OutFile;
    use crate::sink::error::SinkError;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn appears_only_when_published() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("pi1.img");
        fs::write(&dest, "before").unwrap();
        let out = OutFile::create(&dest, true).unwrap();
        out.file().write_all(b"after").unwrap();
        assert_eq!(fs::read(&dest).unwrap(), b"before");
        assert_eq!(names(dir.path()).len(), 2);
        out.publish().unwrap();
        assert_eq!(fs::read(&dest).unwrap(), b"after");
        assert_eq!(names(dir.path()), ["pi1.img"]);
        assert_eq!(fs::metadata(&dest).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn dropped_unpublished_it_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(OutFile::create(&dir.path().join("pi1.img"), false).unwrap());
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn without_secrets_no_more_than_the_umask_allows() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("pi1.img");
        OutFile::create(&dest, false).unwrap().publish().unwrap();
        let mode = fs::metadata(&dest).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & !0o644, 0, "{mode:o}");
        assert_eq!(mode & 0o600, 0o600, "{mode:o}");
    }

    #[test]
    fn removes_what_the_dead_left_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("pi1.img");
        let living = OutFile::create(&dest, false).unwrap();
        let living_name = living.temp.file_name().unwrap().to_str().unwrap().to_owned();
        for name in [
            ".pi1.img.0123456789abcdef.pibake-part",
            ".pi1.img.0123456789abcdeg.pibake-part",
            ".pi2.img.0123456789abcdef.pibake-part",
            ".pi1.img.swp",
        ] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let second = OutFile::create(&dest, false).unwrap();
        let second_name = second.temp.file_name().unwrap().to_str().unwrap().to_owned();
        let mut expected = vec![
            ".pi1.img.0123456789abcdeg.pibake-part".to_owned(),
            ".pi1.img.swp".to_owned(),
            ".pi2.img.0123456789abcdef.pibake-part".to_owned(),
            living_name,
            second_name,
        ];
        expected.sort();
        assert_eq!(names(dir.path()), expected);
        living.publish().unwrap();
        second.publish().unwrap();
    }

    #[test]
    fn refuses_a_name_that_something_else_has() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("sub");
        fs::create_dir(&sub).unwrap();
        std::os::unix::fs::symlink("elsewhere", dir.path().join("link")).unwrap();
        for there in [sub, dir.path().join("link"), dir.path().join("..")] {
            assert!(matches!(OutFile::create(&there, false), Err(SinkError::InTheWay(_))), "{there:?}");
        }
        assert_eq!(names(dir.path()), ["link", "sub"]);
    }

    #[test]
    fn a_missing_directory_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = OutFile::create(&dir.path().join("no/pi1.img"), false).unwrap_err();
        assert!(matches!(error, SinkError::File { doing: "creating", .. }), "{error}");
    }
}
