//! Private files: read only when nobody else could have written or read them, written so that a crash
//! leaves the old one or the new one.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::Path;

use tempfile::{Builder, NamedTempFile};
use zeroize::Zeroizing;

use super::error::{StateError, corrupt, io_error};
use super::platform;

/// What temporary files begin with; one that is left is from a run that was killed.
const TEMPORARY: &str = ".tmp-";

/// No file of the state is longer.
const FILE_MAX: u64 = 16 << 20;

/// Makes a directory, 0700, and checks it (it may have been there).
pub(super) fn create_dir(path: &Path) -> Result<(), StateError> {
    if check_dir(path)? {
        return Ok(());
    }
    platform::create_dir(path).map_err(io_error("making the directory", path))?;
    platform::sync_dir(parent(path)).map_err(io_error("writing the directory", parent(path)))?;
    if check_dir(path)? { Ok(()) } else { Err(corrupt(path, "it went away while it was being made")) }
}

/// Whether a directory is there; one that is must be ours and closed to others. A symbolic link may stand for
/// it when it is ours too: whoever owns a link decides where secrets go.
pub(super) fn check_dir(path: &Path) -> Result<bool, StateError> {
    let link = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io_error("looking at", path)(error)),
    };
    if link.is_symlink() {
        check_owner(path, &link)?;
    }
    let metadata = fs::metadata(path).map_err(io_error("looking at", path))?;
    if !metadata.is_dir() {
        return Err(corrupt(path, "it is not a directory"));
    }
    check_private(path, &metadata)?;
    Ok(true)
}

/// A file's bytes; `None` when it is not there.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, StateError> {
    let file = match platform::open_read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(open_error("reading", path, error)),
    };
    let metadata = file.metadata().map_err(io_error("reading", path))?;
    check_file(path, &metadata)?;
    if metadata.len() > FILE_MAX {
        return Err(corrupt(path, "it is far too long"));
    }
    // Room for all of it at once: a buffer that grows leaves copies of a secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len() + 1).unwrap_or(0)));
    file.take(FILE_MAX).read_to_end(&mut bytes).map_err(io_error("reading", path))?;
    Ok(Some(bytes))
}

/// A text file's text; `None` when it is not there.
pub(super) fn read_text(path: &Path) -> Result<Option<Zeroizing<String>>, StateError> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Some(Zeroizing::new(text.to_owned()))),
        Err(_) => Err(corrupt(path, "it is no text")),
    }
}

/// Puts a file there, whatever was there before.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let dir = parent(path);
    let temporary = write_temporary(dir, path, bytes)?;
    temporary.persist(path).map_err(|error| io_error("writing", path)(error.error))?;
    platform::sync_dir(dir).map_err(io_error("writing the directory", dir))
}

/// Puts a file there unless there is one; says whether it did. The temporary file is made in `workshop`, a
/// directory of the same filesystem that the lock covers.
pub(super) fn write_new(path: &Path, bytes: &[u8], workshop: &Path) -> Result<bool, StateError> {
    let temporary = write_temporary(workshop, path, bytes)?;
    match temporary.persist_noclobber(path) {
        Ok(_) => {}
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(io_error("writing", path)(error.error)),
    }
    let dir = parent(path);
    platform::sync_dir(dir).map_err(io_error("writing the directory", dir))?;
    Ok(true)
}

/// Opens the lock file, made if need be.
pub(super) fn open_lock(path: &Path) -> Result<File, StateError> {
    let file = platform::open_lock(path).map_err(|error| open_error("opening", path, error))?;
    let metadata = file.metadata().map_err(io_error("opening", path))?;
    check_file(path, &metadata)?;
    Ok(file)
}

/// Removes what killed runs left in a directory. Only for who holds the lock: others' files are not stale.
pub(super) fn remove_stale(dir: &Path) -> Result<(), StateError> {
    for name in names(dir)? {
        if name.starts_with(TEMPORARY) {
            remove(&dir.join(name))?;
        }
    }
    Ok(())
}

/// Removes a file; whether it was there.
pub(super) fn remove(path: &Path) -> Result<bool, StateError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error("removing", path)(error)),
    }
}

/// The names in a directory that are text, sorted; none when it is not there.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, StateError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("listing", dir)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io_error("listing", dir))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// The bytes of `path` in a temporary file of `dir`, on the medium, 0600.
fn write_temporary(dir: &Path, path: &Path, bytes: &[u8]) -> Result<NamedTempFile, StateError> {
    let mut temporary =
        Builder::new().prefix(TEMPORARY).tempfile_in(dir).map_err(io_error("making a file in", dir))?;
    temporary.write_all(bytes).map_err(io_error("writing", path))?;
    temporary.as_file().sync_all().map_err(io_error("writing", path))?;
    Ok(temporary)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A symbolic link in place of a file, and a file of somebody else, are refused by the system in words that do
/// not say so.
fn open_error(doing: &'static str, path: &Path, error: io::Error) -> StateError {
    if path.is_symlink() {
        return corrupt(path, "it is a symbolic link, and none is followed here");
    }
    let foreign = fs::symlink_metadata(path).ok().and_then(|metadata| check_owner(path, &metadata).err());
    foreign.unwrap_or_else(|| io_error(doing, path)(error))
}

fn check_file(path: &Path, metadata: &Metadata) -> Result<(), StateError> {
    if !metadata.is_file() {
        return Err(corrupt(path, "it is not a regular file"));
    }
    check_private(path, metadata)
}

fn check_private(path: &Path, metadata: &Metadata) -> Result<(), StateError> {
    check_owner(path, metadata)?;
    match platform::access(metadata) {
        Some(access) if access.mode & 0o077 != 0 => {
            let mode = if metadata.is_dir() { "700" } else { "600" };
            let fix = format!("chmod {mode} {}", quoted(path));
            Err(StateError::Open { path: path.to_owned(), mode: access.mode, fix })
        }
        _ => Ok(()),
    }
}

fn check_owner(path: &Path, metadata: &Metadata) -> Result<(), StateError> {
    match platform::access(metadata) {
        Some(access) if access.owner != platform::user() => {
            // -h: of a link, the link itself.
            let fix = format!("sudo chown -hR {} {}", platform::user_name(), quoted(path));
            Err(StateError::Foreign { path: path.to_owned(), owner: access.owner, fix })
        }
        _ => Ok(()),
    }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::quoted;

    #[test]
    fn paths_are_quoted_for_a_shell() {
        assert_eq!(quoted(Path::new("/a/b-1.x")), "/a/b-1.x");
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
