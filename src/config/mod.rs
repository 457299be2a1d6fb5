//! The cluster file, profiles, overlays and secret sources: what the user asked for, checked as far as it
//! can be without looking into an image.
//!
//! A file becomes a tree that knows its lines (`document`), the tree becomes layers in which everything is
//! optional (`file`, `node`, `layer`), layers are laid over each other (defaults < profile < cluster file <
//! node < command line), checked against each other (`check`) and settled into [`types`]. Nothing stops at the
//! first error: all of them are told in one go, each with file and line.

mod check;
mod document;
mod error;
mod file;
mod keys;
mod layer;
pub mod net;
mod node;
pub mod overlay;
mod overlay_manifest;
mod overlay_tree;
mod overlay_when;
mod paths;
mod place;
pub mod profile;
pub mod secret;
mod section;
mod settle;
mod swarm;
mod syntax;
mod text;
pub mod types;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::{ConfigError, ConfigErrors};

use error::Report;
use file::FileLayer;
use paths::Paths;
use place::{At, Place};
use section::Section;
use text::read_text;
use types::{Cluster, ProfileOrigin, Source};

/// What the command line says about which cluster is meant, and how.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// `-c FILE` or `$PIBAKE_CLUSTER`; `None`: `pibake.toml` in `cwd`. Beside `profile` only its directory counts.
    pub cluster_file: Option<PathBuf>,
    /// `--profile NAME`: a profile as it is.
    pub profile: Option<String>,
    /// `--image FILE`: the base image of every node.
    pub image: Option<PathBuf>,
    /// The current directory.
    pub cwd: PathBuf,
    /// What `~` stands for: the invoking user's home.
    pub home: PathBuf,
    /// `--allow-two-managers`.
    pub allow_two_managers: bool,
}

/// Reads, checks and settles a cluster description.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn load(selection: &Selection) -> Result<Cluster, ConfigErrors> {
    let report = Report::default();
    // Where there is nothing to go on with, why has been reported.
    let Some(mut cluster) = load_into(selection, &report) else { return Err(report.into_errors()) };
    cluster.warnings.splice(0..0, report.finish()?);
    Ok(cluster)
}

fn load_into(selection: &Selection, report: &Report) -> Option<Cluster> {
    let named = selection.cluster_file.clone().unwrap_or_else(|| PathBuf::from("pibake.toml"));
    let path = selection.cwd.join(&named);
    let base_dir = path.parent().unwrap_or(&selection.cwd).to_owned();
    let paths = Paths { base_dir: &base_dir, home: &selection.home };
    let label: Arc<str> = named.display().to_string().into();

    let (file, source, profile) = match &selection.profile {
        Some(name) => {
            let asked = At { value: name.clone(), place: Place::whole(&"--profile".into()) };
            let (file, origin) = read_profile(&asked, paths, report)?;
            (file, Source::Profile(name.clone()), Some(origin))
        }
        None => {
            let (file, profile) = read_cluster_file(&path, &label, paths, report)?;
            (file, Source::File(path), profile)
        }
    };
    let settled = settle::settle(&file, selection.allow_two_managers, report);
    let mut cluster = Cluster {
        name: settled.name,
        source,
        profile,
        base_dir,
        nodes: settled.nodes,
        swarm: settled.swarm,
        warnings: Vec::new(),
    };
    if let Some(image) = &selection.image {
        override_image(&mut cluster, &selection.cwd.join(image));
    }
    Some(cluster)
}

/// A cluster file, laid over the profile it names.
fn read_cluster_file(
    path: &Path,
    label: &Arc<str>,
    paths: Paths<'_>,
    report: &Report,
) -> Option<(FileLayer, Option<ProfileOrigin>)> {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(message) => {
            let advice = "name another with --cluster, or make one with `pibake init`";
            report.error(&Place::whole(label), format!("cannot read the cluster file: {message}; {advice}"));
            return None;
        }
    };
    let file = read_layer(label, &text, paths, report)?;
    let Some(named) = file.profile.clone() else { return Some((file, None)) };
    let (profile, origin) = read_profile(&named, paths, report)?;
    Some((file.over(profile), Some(origin)))
}

fn read_profile(named: &At<String>, paths: Paths<'_>, report: &Report) -> Option<(FileLayer, ProfileOrigin)> {
    let name = &named.value;
    let found = syntax::name::word(name).and_then(|name| profile::find(&name, paths.base_dir));
    let found = found.map_err(|message| report.error(&named.place, message)).ok()?;
    let layer = read_layer(&Arc::from(found.label), &found.text, paths, report)?;
    if let Some(nested) = &layer.profile {
        report.error(&nested.place, "a profile cannot start from another profile");
    }
    Some((layer, ProfileOrigin { name: name.clone(), file: found.file }))
}

fn read_layer(label: &Arc<str>, text: &str, paths: Paths<'_>, report: &Report) -> Option<FileLayer> {
    let table = document::parse(label, text, report)?;
    Some(FileLayer::read(Section::new(&table, "the top level", Place::whole(label), report), paths))
}

/// `--image`: a digest that was written for another file does not go with it.
fn override_image(cluster: &mut Cluster, image: &Path) {
    let mut dropped = false;
    for node in &mut cluster.nodes {
        let other = node.image.source.as_deref() != Some(image);
        dropped |= other && node.image.sha256.is_some();
        node.image.source = Some(image.to_owned());
        if other {
            node.image.sha256 = None;
        }
    }
    if dropped {
        cluster
            .warnings
            .push("--image: the cluster file's `sha256` is of another file and is not checked".to_owned());
    }
}
