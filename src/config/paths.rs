//! What a path in a cluster file means.

use std::path::{Path, PathBuf};

/// An absolute path as it is, `~` from `home`, everything else from `base_dir`.
pub(super) fn resolve(path: &Path, base_dir: &Path, home: &Path) -> PathBuf {
    match path.strip_prefix("~") {
        Ok(rest) => home.join(rest),
        Err(_) => base_dir.join(path),
    }
}

/// Where paths of a description start from.
#[derive(Clone, Copy)]
pub(super) struct Paths<'a> {
    pub(super) base_dir: &'a Path,
    pub(super) home: &'a Path,
}

impl Paths<'_> {
    /// See [`resolve`].
    pub(super) fn resolve(&self, text: &str) -> PathBuf {
        resolve(Path::new(text), self.base_dir, self.home)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::resolve;

    #[test]
    fn home_base_and_absolute() {
        let resolve = |text: &str| resolve(Path::new(text), Path::new("/c"), Path::new("/h"));
        assert_eq!(resolve("~/.ssh/id.pub"), PathBuf::from("/h/.ssh/id.pub"));
        assert_eq!(resolve("~"), PathBuf::from("/h/"));
        assert_eq!(resolve("~other/x"), PathBuf::from("/c/~other/x"));
        assert_eq!(resolve("a/b"), PathBuf::from("/c/a/b"));
        assert_eq!(resolve("/a"), PathBuf::from("/a"));
    }
}
