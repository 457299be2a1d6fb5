//! Profiles: cluster descriptions embedded in the binary. A `profiles/` directory beside the cluster file
//! wins. What lies in a directory of a built-in profile's name goes beside the cluster file made from it.

use std::path::{Path, PathBuf};

use include_dir::{Dir, File, include_dir};

use super::section::nearest;
use super::text::read_text;
use super::types::Cluster;

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/profiles");

/// The line in a built-in profile that says whose key may log in; `template` puts the user's own there.
const KEY_LINE: &str = "authorized_keys = [\"~/.ssh/id_ed25519.pub\"]";

/// A profile's name and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What `--profile` and `profile = "…"` take.
    pub name: String,
    /// The first comment of its file.
    pub description: String,
}

/// The built-in profiles, by name.
#[must_use]
pub fn list() -> Vec<Profile> {
    let mut profiles: Vec<Profile> = built_in()
        .map(|(name, text)| {
            let first = text.lines().next().unwrap_or_default();
            Profile { name: name.to_owned(), description: first.trim_start_matches('#').trim().to_owned() }
        })
        .collect();
    profiles.sort_by(|a, b| a.name.cmp(&b.name));
    profiles
}

/// The commented cluster file that `pibake init NAME` writes: the profile's own text, with `public_key`
/// (written as the file should name it) for who may log in. `None` when there is no such profile.
#[must_use]
pub fn template(name: &str, public_key: Option<&str>) -> Option<String> {
    let (_, text) = built_in().find(|(candidate, _)| *candidate == name)?;
    Some(match public_key {
        Some(path) => text.replace(KEY_LINE, &format!("authorized_keys = [{}]", toml::Value::from(path))),
        None => text.to_owned(),
    })
}

/// A file that a built-in profile brings: what its cluster file names and people are to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extra {
    /// Where it goes, from the cluster file's directory.
    pub path: &'static Path,
    /// What is in it.
    pub content: &'static [u8],
}

/// The files that go beside a cluster file made from a built-in profile, by path.
#[must_use]
pub fn extras(name: &str) -> Vec<Extra> {
    let Some(dir) = BUILT_IN.get_dir(name) else { return Vec::new() };
    let mut extras = Vec::new();
    let mut left = vec![dir];
    while let Some(next) = left.pop() {
        left.extend(next.dirs());
        let file = |file: &'static File<'_>| {
            let path = file.path().strip_prefix(name).unwrap_or(file.path());
            Extra { path, content: file.contents() }
        };
        extras.extend(next.files().map(file));
    }
    extras.sort_by_key(|extra| extra.path);
    extras
}

/// The built-in profile that `file` comes with, when `cluster` is that profile or starts from it: `pibake init`
/// writes the file beside the cluster file.
#[must_use]
pub fn bringing<'a>(cluster: &'a Cluster, file: &Path) -> Option<&'a str> {
    let origin = cluster.profile.as_ref().filter(|origin| origin.file.is_none())?;
    let comes = extras(&origin.name).iter().any(|extra| cluster.base_dir.join(extra.path) == file);
    comes.then_some(origin.name.as_str())
}

/// The public key to put into a template: the first of the usual ones in `~/.ssh`, as `~/.ssh/NAME`.
#[must_use]
pub fn find_public_key(home: &Path) -> Option<String> {
    const USUAL: [&str; 5] =
        ["id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub", "id_ed25519_sk.pub", "id_ecdsa_sk.pub"];
    USUAL.iter().find(|name| home.join(".ssh").join(name).is_file()).map(|name| format!("~/.ssh/{name}"))
}

/// A profile's text and where it came from.
pub(super) struct Found {
    /// How errors name it.
    pub(super) label: String,
    /// The user's own file, if it is one.
    pub(super) file: Option<PathBuf>,
    pub(super) text: String,
}

/// Looks for a profile: first in `profiles/` of `base_dir`, then among the built-in ones. The error is a
/// whole sentence.
pub(super) fn find(name: &str, base_dir: &Path) -> Result<Found, String> {
    let own = base_dir.join("profiles").join(format!("{name}.toml"));
    if own.exists() {
        let label = format!("profiles/{name}.toml");
        let text = read_text(&own).map_err(|message| format!("cannot read {label}: {message}"))?;
        return Ok(Found { label, file: Some(own), text });
    }
    if let Some((_, text)) = built_in().find(|(candidate, _)| *candidate == name) {
        return Ok(Found { label: format!("built-in profile {name}"), file: None, text: text.to_owned() });
    }
    let names: Vec<&str> = built_in().map(|(name, _)| name).collect();
    let hint = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!(
            "there are {}, and those in a directory profiles/ beside the cluster file",
            names.join(", ")
        ),
    };
    Err(format!("there is no profile {name:?}; {hint}"))
}

fn built_in() -> impl Iterator<Item = (&'static str, &'static str)> {
    BUILT_IN.files().filter_map(|file| {
        let name = file.path().file_name()?.to_str()?.strip_suffix(".toml")?;
        Some((name, file.contents_utf8()?))
    })
}
