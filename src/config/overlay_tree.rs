//! The files of an overlay as they lie in the program or in a directory.

use std::path::Path;

use include_dir::{Dir, DirEntry, include_dir};

use super::overlay::{OverlayError, TreeFile};
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;

static BUILT_IN: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/overlays");

/// A directory deeper than this is taken for a mistake.
const MAX_DEPTH: usize = 32;

/// A file larger than this does not belong into an overlay, which is held in memory.
const MAX_SIZE: u64 = 16 << 20;

/// One file, by its place in the overlay: `overlay.toml`, `root/etc/hosts` …
pub(super) struct Entry {
    pub(super) source: String,
    pub(super) content: Vec<u8>,
    pub(super) executable: bool,
}

/// Why an entry is no file of a tree.
pub(super) struct EntryError {
    pub(super) source: String,
    pub(super) message: String,
}

impl Entry {
    /// What the entry becomes on the card.
    pub(super) fn into_file(self) -> Result<TreeFile, EntryError> {
        let fail = |message: String| EntryError { source: self.source.clone(), message };
        let (volume, rest) = if let Some(rest) = self.source.strip_prefix("root/") {
            (Volume::Root, rest)
        } else if let Some(rest) = self.source.strip_prefix("boot/") {
            (Volume::Boot, rest)
        } else {
            return Err(fail("it is in neither root/ nor boot/".to_owned()));
        };
        let (target, template) = match rest.strip_suffix(".j2") {
            Some(target) => (target, true),
            None => (rest, false),
        };
        let path = FsPath::new(&format!("/{target}")).map_err(|error| fail(error.to_string()))?;
        if template && std::str::from_utf8(&self.content).is_err() {
            return Err(fail("a template has to be UTF-8".to_owned()));
        }
        let Entry { source, content, executable } = self;
        Ok(TreeFile { volume, path, template, content, executable, source })
    }
}

/// The names of the overlays built in, sorted.
pub(super) fn built_in_names() -> Vec<String> {
    let mut names: Vec<String> =
        BUILT_IN.dirs().filter_map(|dir| dir.path().to_str().map(str::to_owned)).collect();
    names.sort();
    names
}

/// The files of an overlay built in; `None` when there is none of that name.
pub(super) fn read_built_in(name: &str) -> Option<Vec<Entry>> {
    let dir = BUILT_IN.dirs().find(|dir| dir.path().to_str() == Some(name))?;
    let mut entries = Vec::new();
    collect_built_in(dir, name, &mut entries);
    Some(entries)
}

fn collect_built_in(dir: &Dir<'static>, name: &str, entries: &mut Vec<Entry>) {
    for entry in dir.entries() {
        match entry {
            DirEntry::Dir(dir) => collect_built_in(dir, name, entries),
            DirEntry::File(file) => {
                let path = file.path().to_string_lossy().replace('\\', "/");
                let source = path.strip_prefix(name).unwrap_or(&path).trim_start_matches('/').to_owned();
                // The program carries no modes with its files; scripts tell by their first line (a test
                // compares with the modes in the repository).
                let executable = file.contents().starts_with(b"#!");
                entries.push(Entry { source, content: file.contents().to_vec(), executable });
            }
        }
    }
}

/// The files of an overlay in a directory.
pub(super) fn read_directory(dir: &Path) -> Result<Vec<Entry>, OverlayError> {
    let mut entries = Vec::new();
    collect_directory(dir, "", 0, &mut entries)?;
    Ok(entries)
}

fn collect_directory(
    dir: &Path,
    prefix: &str,
    depth: usize,
    entries: &mut Vec<Entry>,
) -> Result<(), OverlayError> {
    let fail =
        |place: &Path, message: String| OverlayError::Tree { place: place.display().to_string(), message };
    if depth > MAX_DEPTH {
        return Err(fail(dir, "directories are nested too deep".to_owned()));
    }
    let mut found = std::fs::read_dir(dir)
        .and_then(|entries| entries.collect::<Result<Vec<_>, _>>())
        .map_err(|error| fail(dir, format!("reading it: {error}")))?;
    found.sort_by_key(std::fs::DirEntry::file_name);
    for entry in found {
        let path = entry.path();
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
            return Err(fail(&path, "its name is not UTF-8".to_owned()));
        };
        // What editors and desktops leave behind; the trees themselves may hold dot files.
        if prefix.is_empty() && name.starts_with('.') || name.ends_with('~') || name == ".DS_Store" {
            continue;
        }
        let kind = entry.file_type().map_err(|error| fail(&path, format!("reading it: {error}")))?;
        if kind.is_symlink() {
            return Err(fail(&path, link_advice(&path, prefix, &name)));
        } else if kind.is_dir() {
            collect_directory(&path, &format!("{prefix}{name}/"), depth + 1, entries)?;
        } else if kind.is_file() {
            entries.push(read_file(&path, format!("{prefix}{name}"))?);
        } else {
            return Err(fail(&path, "it is neither a file nor a directory".to_owned()));
        }
    }
    Ok(())
}

/// Links are declared, not kept in the tree: the program cannot carry them, and one way is enough.
fn link_advice(path: &Path, prefix: &str, name: &str) -> String {
    let target = std::fs::read_link(path).map(|target| target.display().to_string()).unwrap_or_default();
    let place = prefix.strip_prefix("root").unwrap_or(prefix);
    format!(
        "a symbolic link; say it in overlay.toml instead: [[file]] path = \"{place}{name}\", link = \"{target}\""
    )
}

fn read_file(path: &Path, source: String) -> Result<Entry, OverlayError> {
    let fail = |message: String| OverlayError::Tree { place: path.display().to_string(), message };
    let metadata = std::fs::metadata(path).map_err(|error| fail(format!("reading it: {error}")))?;
    if metadata.len() > MAX_SIZE {
        return Err(fail(format!("{} bytes, and overlays hold files of {MAX_SIZE} at most", metadata.len())));
    }
    let content = std::fs::read(path).map_err(|error| fail(format!("reading it: {error}")))?;
    let executable = is_executable(&metadata, &content);
    Ok(Entry { source, content, executable })
}

#[cfg(unix)]
fn is_executable(metadata: &std::fs::Metadata, _content: &[u8]) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_metadata: &std::fs::Metadata, content: &[u8]) -> bool {
    content.starts_with(b"#!")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{built_in_names, read_built_in, read_directory};

    /// The repository's modes and the rule for files of the program say the same.
    #[cfg(unix)]
    #[test]
    fn scripts_are_executable_in_both_forms() {
        for name in built_in_names() {
            let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("overlays").join(&name);
            let mut own = read_directory(&dir).unwrap_or_else(|error| panic!("{error}"));
            let mut built_in = read_built_in(&name).unwrap();
            own.sort_by(|a, b| a.source.cmp(&b.source));
            built_in.sort_by(|a, b| a.source.cmp(&b.source));
            assert_eq!(own.len(), built_in.len(), "{name}");
            for (own, built_in) in own.iter().zip(&built_in) {
                assert_eq!(own.source, built_in.source);
                assert_eq!(own.content, built_in.content);
                assert_eq!(own.executable, built_in.executable, "{name}/{}: chmod +x or not", own.source);
            }
        }
    }
}
