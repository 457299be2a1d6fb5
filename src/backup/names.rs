//! What the three files of a backup are called.

use std::path::{Path, PathBuf};

const ARCHIVE: &str = ".img.zst";
const BMAP: &str = ".img.bmap";
const MANIFEST: &str = ".json";

/// The three files of a backup, side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// What all names begin with.
    pub name: String,
    /// `NAME.img.zst`
    pub archive: PathBuf,
    /// `NAME.img.bmap`
    pub bmap: PathBuf,
    /// `NAME.json`
    pub manifest: PathBuf,
}

impl Names {
    /// The files that belong to an archive, or to a manifest; `None` when the name is neither `NAME.img.zst` nor
    /// `NAME.json`, or no text.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let file = path.file_name()?.to_str()?;
        let name = file.strip_suffix(ARCHIVE).or_else(|| file.strip_suffix(MANIFEST))?;
        let beside = |suffix: &str| path.with_file_name(format!("{name}{suffix}"));
        (!name.is_empty()).then(|| Self {
            name: name.to_owned(),
            archive: beside(ARCHIVE),
            bmap: beside(BMAP),
            manifest: beside(MANIFEST),
        })
    }

    /// All three.
    #[must_use]
    pub fn all(&self) -> [&Path; 3] {
        [&self.archive, &self.bmap, &self.manifest]
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Names;

    #[test]
    fn any_of_two_names_all() {
        let names = Names::of(Path::new("d/pi3-2026.img.zst")).unwrap();
        assert_eq!(names.name, "pi3-2026");
        assert_eq!(
            names.all(),
            ["d/pi3-2026.img.zst", "d/pi3-2026.img.bmap", "d/pi3-2026.json"].map(Path::new)
        );
        assert_eq!(Names::of(Path::new("d/pi3-2026.json")).unwrap(), names);
        for other in ["d/pi3.img", "d/.img.zst", ".json", "/", "d/..", "pi3.zst", "pi3.img.bmap"] {
            assert_eq!(Names::of(Path::new(other)), None, "{other}");
        }
    }
}
