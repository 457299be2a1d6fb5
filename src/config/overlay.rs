//! Overlays: file trees with a manifest, built in or beside the cluster file.
//!
//! `overlays/README.md` is the format's description for people. Loading is all that happens here; the plan
//! tests conditions and renders templates, because both need to know the image.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::fs::path::FsPath;
use crate::fs::volume::Volume;

pub use super::overlay_manifest::{EnableRule, FileRule, Made, Manifest, MaskRule, Param, ParamType};
use super::overlay_manifest::{ManifestError, parse};
use super::overlay_tree::{self, Entry};
pub use super::overlay_when::{OneOrMany, ReleaseTest, When};

/// One overlay, read and checked as far as it can be without an image.
#[derive(Clone, Debug)]
pub struct LoadedOverlay {
    /// Its directory's name.
    pub name: String,
    /// Where it came from.
    pub origin: Origin,
    /// `overlay.toml`.
    pub manifest: Manifest,
    /// The files of `root/` and `boot/`, by volume and path.
    pub tree: Vec<TreeFile>,
}

/// Where an overlay came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The program itself.
    BuiltIn,
    /// A directory of this machine.
    Directory(PathBuf),
}

/// A file of an overlay's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeFile {
    /// Which filesystem it goes to.
    pub volume: Volume,
    /// Where it goes; a template's `.j2` is dropped.
    pub path: FsPath,
    /// Whether it is a template.
    pub template: bool,
    /// What it holds.
    pub content: Vec<u8>,
    /// Whether it may be run: the one bit that git keeps.
    pub executable: bool,
    /// Its place in the overlay, `root/etc/hostname.j2`, for messages.
    pub source: String,
}

/// Why overlays could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// No such overlay.
    #[error("there is no overlay {name:?}{}", did_you_mean(.nearest))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The nearest name there is.
        nearest: Option<String>,
    },
    /// `overlay.toml` is wrong.
    #[error("{file}{}: {message}", line_suffix(.line))]
    Manifest {
        /// The file, or its place in the program.
        file: String,
        /// The line, from 1.
        line: Option<usize>,
        /// What is wrong with it.
        message: String,
    },
    /// Something in the tree cannot be used.
    #[error("{place}: {message}")]
    Tree {
        /// The file or directory.
        place: String,
        /// What is wrong with it.
        message: String,
    },
}

fn did_you_mean(name: &Option<String>) -> String {
    name.as_ref().map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

fn line_suffix(line: &Option<usize>) -> String {
    line.map(|line| format!(":{line}")).unwrap_or_default()
}

impl LoadedOverlay {
    /// Puts an overlay together from the text of its manifest and its tree, and checks one against the
    /// other.
    ///
    /// # Errors
    /// A manifest that is wrong in itself, or speaks of files that are not in the tree.
    pub fn new(
        name: &str,
        origin: Origin,
        manifest: &str,
        tree: Vec<TreeFile>,
    ) -> Result<Self, OverlayError> {
        let file = match &origin {
            Origin::BuiltIn => format!("overlays/{name}/overlay.toml (built in)"),
            Origin::Directory(dir) => dir.join("overlay.toml").display().to_string(),
        };
        let manifest = parse(manifest, &tree)
            .map_err(|ManifestError { line, message }| OverlayError::Manifest { file, line, message })?;
        Ok(Self { name: name.to_owned(), origin, manifest, tree })
    }

    /// The names of the parameters that are secrets.
    pub fn secret_params(&self) -> impl Iterator<Item = &str> {
        self.manifest.params.iter().filter(|(_, param)| param.secret).map(|(name, _)| name.as_str())
    }
}

impl fmt::Display for LoadedOverlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::BuiltIn => write!(f, "overlay {} (built in)", self.name),
            Origin::Directory(dir) => write!(f, "overlay {} ({})", self.name, dir.display()),
        }
    }
}

/// Loads the overlays named, each from `overlays/` under `beside` when it is there and from the program
/// itself when not. Every name is loaded once, in the order first named.
///
/// # Errors
/// Everything wrong with any of them.
pub fn load<'a>(
    beside: Option<&Path>,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<LoadedOverlay>, Vec<OverlayError>> {
    let mut loaded: Vec<LoadedOverlay> = Vec::new();
    let mut errors = Vec::new();
    let mut seen = Vec::new();
    for name in names {
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        match load_one(beside, name) {
            Ok(overlay) => loaded.push(overlay),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(loaded) } else { Err(errors) }
}

/// The names of the overlays built into the program, sorted.
#[must_use]
pub fn built_in_names() -> Vec<String> {
    overlay_tree::built_in_names()
}

fn load_one(beside: Option<&Path>, name: &str) -> Result<LoadedOverlay, OverlayError> {
    let own = beside.map(|dir| dir.join("overlays").join(name));
    let is_name = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    let (origin, entries) = match own {
        Some(dir) if is_name && dir.is_dir() => {
            let entries = overlay_tree::read_directory(&dir)?;
            (Origin::Directory(dir), entries)
        }
        _ => match overlay_tree::read_built_in(name) {
            Some(entries) => (Origin::BuiltIn, entries),
            None => return Err(unknown(beside, name)),
        },
    };
    assemble(name, origin, entries)
}

fn assemble(name: &str, origin: Origin, entries: Vec<Entry>) -> Result<LoadedOverlay, OverlayError> {
    let place = |source: &str| match &origin {
        Origin::BuiltIn => format!("overlays/{name}/{source} (built in)"),
        Origin::Directory(dir) => dir.join(source).display().to_string(),
    };
    let mut manifest = None;
    let mut tree: Vec<TreeFile> = Vec::new();
    for entry in entries {
        let tree_error = |message: String| OverlayError::Tree { place: place(&entry.source), message };
        if entry.source == "overlay.toml" {
            let text =
                String::from_utf8(entry.content).map_err(|_| tree_error("it is not UTF-8".to_owned()))?;
            manifest = Some(text);
        } else if entry.source == "README.md" {
            continue;
        } else {
            let file = entry.into_file().map_err(|error| OverlayError::Tree {
                place: place(&error.source),
                message: error.message,
            })?;
            if tree.iter().any(|other| (other.volume, &other.path) == (file.volume, &file.path)) {
                return Err(OverlayError::Tree {
                    place: place(&file.source),
                    message: "the same file is there as a template and as it is".to_owned(),
                });
            }
            tree.push(file);
        }
    }
    let Some(manifest) = manifest else {
        return Err(OverlayError::Tree { place: place("overlay.toml"), message: "it is missing".to_owned() });
    };
    tree.sort_by(|a, b| (a.volume, &a.path).cmp(&(b.volume, &b.path)));
    LoadedOverlay::new(name, origin, &manifest, tree)
}

fn unknown(beside: Option<&Path>, name: &str) -> OverlayError {
    let mut known = built_in_names();
    if let Some(dir) = beside {
        let own = std::fs::read_dir(dir.join("overlays")).into_iter().flatten().flatten();
        known.extend(own.filter_map(|entry| entry.file_name().into_string().ok()));
    }
    let nearest = known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&candidate, name), candidate))
        .filter(|(distance, _)| *distance <= 3)
        .min()
        .map(|(_, candidate)| candidate);
    OverlayError::Unknown { name: name.to_owned(), nearest }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Origin, built_in_names, load};
    use crate::fs::volume::Volume;

    fn own(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join("overlays").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn refusal(files: &[(&str, &str)], name: &str) -> String {
        let dir = own(files);
        let errors = load(Some(dir.path()), [name]).unwrap_err();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_built_in_overlay_loads() {
        let names = built_in_names();
        assert!(names.iter().any(|name| name == "hostname"), "{names:?}");
        let loaded =
            load(None, names.iter().map(String::as_str)).unwrap_or_else(|errors| panic!("{errors:?}"));
        assert_eq!(loaded.len(), names.len());
        assert!(loaded.iter().all(|overlay| overlay.origin == Origin::BuiltIn));
    }

    #[test]
    fn a_directory_beside_the_cluster_file_wins() {
        let dir = own(&[
            ("hostname/overlay.toml", "description = \"mine\"\n"),
            ("hostname/root/etc/hostname", "fixed\n"),
            ("hostname/boot/note.txt.j2", "{{ node.name }}\n"),
        ]);
        let loaded = load(Some(dir.path()), ["hostname", "hostname"]).unwrap();
        assert_eq!(loaded.len(), 1);
        assert!(loaded[0].to_string().contains(dir.path().to_str().unwrap()));
        let [note, hostname] = loaded[0].tree.as_slice() else { panic!("{:?}", loaded[0].tree) };
        assert_eq!((note.volume, note.path.as_str(), note.template), (Volume::Boot, "/note.txt", true));
        assert_eq!((hostname.volume, hostname.template), (Volume::Root, false));
    }

    #[test]
    fn unknown_names_are_told_with_the_nearest() {
        let text = refusal(&[], "hostnam");
        assert!(text.contains("no overlay \"hostnam\"; did you mean \"hostname\"?"), "{text}");
        assert!(refusal(&[], "../etc").contains("no overlay"));
    }

    #[test]
    fn refuses_what_it_cannot_use() {
        let manifest = ("x/overlay.toml", "description = \"x\"\n");
        let both = [manifest, ("x/root/etc/a", ""), ("x/root/etc/a.j2", "")];
        assert!(refusal(&both, "x").contains("as a template and as it is"));
        assert!(refusal(&[("x/root/etc/a", "")], "x").contains("overlay.toml: it is missing"));
        assert!(refusal(&[manifest, ("x/etc/a", "")], "x").contains("neither root/ nor boot/"));
    }

    #[test]
    fn manifest_errors_name_file_and_line() {
        let text = refusal(&[("x/overlay.toml", "description = \"x\"\n\nfiles = 1\n")], "x");
        assert!(text.contains("x/overlay.toml:3: unknown field `files`"), "{text}");
    }

    #[cfg(unix)]
    #[test]
    fn links_in_a_tree_are_to_be_declared() {
        let dir = own(&[("x/overlay.toml", "description = \"x\"\n"), ("x/root/etc/a", "")]);
        std::os::unix::fs::symlink("a", dir.path().join("overlays/x/root/etc/b")).unwrap();
        let errors = load(Some(dir.path()), ["x"]).unwrap_err();
        assert!(errors[0].to_string().contains("link = \"a\""), "{}", errors[0]);
    }
}
