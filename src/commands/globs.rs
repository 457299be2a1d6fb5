//! File patterns of a cluster file, `images/*.tar`: which files of this machine they mean.

use std::fs;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

/// Directories below a pattern's fixed part that are looked into at most.
const DIRECTORIES_MAX: usize = 10_000;

/// The files that a pattern means, in the order of their names; relative to `base_dir`, `~` from `home`.
/// What cannot be looked into holds none. `*` and `?` stay within a directory, `**` goes through any number.
pub(super) fn files(pattern: &str, base_dir: &Path, home: &Path) -> Vec<PathBuf> {
    let pattern = match pattern.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => base_dir.join(pattern),
    };
    // A file may have a name that looks like a pattern.
    if pattern.is_file() {
        return vec![pattern];
    }
    let fixed: PathBuf = pattern.components().take_while(|part| is_plain(*part)).collect();
    let deep = pattern.components().any(|part| part.as_os_str() == "**");
    let levels = if deep { usize::MAX } else { pattern.components().count() - fixed.components().count() };
    let text = pattern.to_string_lossy();
    // The cluster file's check has accepted the pattern already.
    let Ok(glob) = GlobBuilder::new(&text).literal_separator(true).build() else { return Vec::new() };
    let mut walk = Walk { glob: glob.compile_matcher(), found: Vec::new(), directories: 0 };
    walk.look_into(&fixed, levels);
    walk.found.sort();
    walk.found
}

fn is_plain(part: Component<'_>) -> bool {
    !part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{', '\\'])
}

struct Walk {
    glob: GlobMatcher,
    found: Vec<PathBuf>,
    directories: usize,
}

impl Walk {
    fn look_into(&mut self, dir: &Path, levels: usize) {
        self.directories += 1;
        if levels == 0 || self.directories > DIRECTORIES_MAX {
            return;
        }
        let Ok(entries) = fs::read_dir(dir) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            // Links to directories may lead round in a circle.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.look_into(&path, levels - 1);
            } else if path.is_file() && self.glob.is_match(&path) {
                self.found.push(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::files;

    #[test]
    fn patterns_mean_files_in_order() {
        let dir = tempfile::TempDir::new().unwrap();
        for name in ["images/b.tar", "images/a.tar", "images/c.txt", "images/deep/d.tar", "[x].tar"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = |pattern: &str, base: &Path, home: &Path| -> Vec<String> {
            let found = files(pattern, base, home).into_iter();
            found.map(|path| path.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned()).collect()
        };
        let nowhere = Path::new("/nonexistent");
        for (pattern, expected) in [
            ("images/*.tar", vec!["images/a.tar", "images/b.tar"]),
            ("images/**/*.tar", vec!["images/a.tar", "images/b.tar", "images/deep/d.tar"]),
            ("images/{a,c}.*", vec!["images/a.tar", "images/c.txt"]),
            ("images/a.tar", vec!["images/a.tar"]),
            ("*/*/d.tar", vec!["images/deep/d.tar"]),
            ("[x].tar", vec!["[x].tar"]),
            ("images", vec![]),
            ("images/x*.tar", vec![]),
        ] {
            assert_eq!(found(pattern, dir.path(), nowhere), expected, "{pattern}");
            assert_eq!(found(&format!("~/{pattern}"), nowhere, dir.path()), expected, "{pattern}");
        }
        assert!(files("*/x", nowhere, nowhere).is_empty());
    }
}
