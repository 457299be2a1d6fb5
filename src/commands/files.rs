//! Files of this machine that a pattern of the cluster file means.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use globset::GlobBuilder;

/// What is left out of a pattern's depth is not gone into; `**` goes this deep.
const MAX_DEPTH: usize = 16;

/// The files that a pattern matches, sorted. A relative one starts from `base_dir`, `~/` from `home`;
/// `*` stays within one directory, `**` does not.
///
/// # Errors
/// A pattern that is none, or a directory that cannot be read. One that is not there matches nothing.
pub(super) fn matching(base_dir: &Path, home: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
    let (start, pattern) = match pattern.strip_prefix("~/") {
        Some(rest) => (home, rest),
        None => (base_dir, pattern),
    };
    // The directories before the first wildcard are walked straight through.
    let fixed = pattern.find(['*', '?', '[', '{', '\\']).unwrap_or(pattern.len());
    let split = pattern[..fixed].rfind('/').map_or(0, |slash| slash + 1);
    let (dir, rest) = (start.join(&pattern[..split]), &pattern[split..]);
    let glob = GlobBuilder::new(rest).literal_separator(true).build().map_err(io::Error::other)?;
    let depth = if rest.contains("**") { MAX_DEPTH } else { rest.matches('/').count() };
    let mut found = Vec::new();
    let matcher = glob.compile_matcher();
    walk(&dir, &dir, depth, &|path: &Path| matcher.is_match(path), &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(
    top: &Path,
    dir: &Path,
    depth: usize,
    wanted: &dyn Fn(&Path) -> bool,
    found: &mut Vec<PathBuf>,
) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| in_dir(dir, &error))?,
    };
    for entry in entries {
        let path = entry.map_err(|error| in_dir(dir, &error))?.path();
        // A link counts as what it leads to; one that leads nowhere is not there.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_file() && path.strip_prefix(top).is_ok_and(wanted) {
            found.push(path);
        } else if metadata.is_dir() && depth > 0 {
            walk(top, &path, depth - 1, wanted, found)?;
        }
    }
    Ok(())
}

fn in_dir(dir: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", dir.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::matching;

    #[test]
    fn patterns_mean_files_sorted() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["a.deb", "b.deb", "c.txt", "debs/x.deb", "debs/y_1.deb", "debs/deep/z.deb", "home/h.deb"]
        {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        fs::create_dir(dir.path().join("dir.deb")).unwrap();
        let home = dir.path().join("home");
        let absolute = format!("{}/debs/x.deb", dir.path().display());
        for (pattern, expected) in [
            ("*.deb", &["a.deb", "b.deb"][..]),
            ("debs/*.deb", &["debs/x.deb", "debs/y_1.deb"]),
            ("debs/y_[0-9].deb", &["debs/y_1.deb"]),
            ("debs/x.deb", &["debs/x.deb"]),
            ("debs/**/*.deb", &["debs/deep/z.deb", "debs/x.deb", "debs/y_1.deb"]),
            ("debs/{x,deep/z}.deb", &["debs/deep/z.deb", "debs/x.deb"]),
            ("~/*.deb", &["home/h.deb"]),
            (&absolute, &["debs/x.deb"]),
            ("nowhere/*.deb", &[]),
            ("*.img", &[]),
        ] {
            let found = matching(dir.path(), &home, pattern).unwrap();
            let found: Vec<_> = found.iter().map(|path| path.strip_prefix(dir.path()).unwrap()).collect();
            assert_eq!(found, expected.iter().map(Path::new).collect::<Vec<_>>(), "{pattern}");
        }
        assert!(matching(dir.path(), &home, "debs/[").is_err());
        assert!(matching(&dir.path().join("c.txt"), &home, "*").unwrap_err().to_string().contains("c.txt"));
    }
}
