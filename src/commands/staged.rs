//! What nodes are given besides texts, read from files of this machine: packages,
//! container images, stacks.
//!
//! Every file is read once a run, however many nodes it goes to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use debversion::Version;

use crate::config::types::{DockerInstall, Node};
use crate::deb::{DebFile, Package, file};
use crate::error::{ExitCode, advised};
use crate::plan::{Staged, engine};

use super::context::Context;
use super::files::matching;
use super::prepare::{Bases, Order};
use super::staged_images::{Archives, Places};

/// What each node of the order is given, in its order.
pub(super) fn staged(context: &Context, order: &Order, bases: &Bases) -> anyhow::Result<Vec<Staged>> {
    let mut shelf = Shelf { context, order, debs: BTreeMap::new(), errors: BTreeSet::new() };
    let staged: Vec<Staged> = order.nodes.iter().map(|node| shelf.of(node)).collect();
    let engines = shelf.engines(bases);
    if !shelf.errors.is_empty() {
        let errors: Vec<String> = shelf.errors.into_iter().collect();
        return Err(advised(
            ExitCode::Usage,
            errors.join("\n"),
            "take these out of the directory, or fetch them again; nothing was written",
        ));
    }
    let mut archives = Archives::new(places(context, order), &context.interrupt);
    let complete = staged.into_iter().zip(&order.nodes).map(|(staged, node)| {
        let mut staged = Staged { engines: engines.clone(), ..staged };
        archives.stage(&order.cluster, node, bases.of(node)?.inventory.arch, &mut staged)?;
        Ok(staged)
    });
    complete.collect()
}

/// What a node is given of stacks alone.
pub(super) fn stacks(context: &Context, order: &Order, node: &Node) -> anyhow::Result<Staged> {
    let mut staged = Staged::default();
    let mut archives = Archives::new(places(context, order), &context.interrupt);
    archives.stage_stacks(&order.cluster, node, &mut staged)?;
    Ok(staged)
}

fn places<'a>(context: &'a Context, order: &'a Order) -> Places<'a> {
    Places { base_dir: &order.cluster.base_dir, home: &context.invoker.home, cache_dir: &context.cache_dir }
}

/// Files that the cluster file names and that are not there, a line each.
pub(super) fn missing(context: &Context, order: &Order) -> Vec<String> {
    let mut missing = BTreeSet::new();
    for node in &order.nodes {
        match (&node.docker.install, &node.docker.bundle) {
            (DockerInstall::Debs, None) => drop(missing.insert(format!(
                "{}: docker.install is \"debs\" and docker.bundle is not given; `pibake fetch docker` makes one",
                node.name
            ))),
            (DockerInstall::Debs, Some(dir)) if bundle(dir).is_ok_and(|files| files.is_empty()) => {
                missing.insert(format!(
                    "no packages in docker.bundle, {}; `pibake fetch docker` puts them there",
                    dir.display()
                ));
            }
            _ => {}
        }
        for pattern in &node.system.packages {
            if named(context, order, pattern).is_ok_and(|files| files.is_empty()) {
                missing.insert(format!("no file matches {pattern:?} of system.packages"));
            }
        }
    }
    missing.into_iter().collect()
}

/// The packages in a bundle; its other files (`Packages`, digests) are for other tools.
fn bundle(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    matching(dir, Path::new(""), "*.deb")
}

fn named(context: &Context, order: &Order, pattern: &str) -> std::io::Result<Vec<PathBuf>> {
    matching(&order.cluster.base_dir, &context.invoker.home, pattern)
}

/// What was read so far, and what could not be.
struct Shelf<'a> {
    context: &'a Context,
    order: &'a Order,
    debs: BTreeMap<PathBuf, Option<DebFile>>,
    errors: BTreeSet<String>,
}

impl Shelf<'_> {
    fn of(&mut self, node: &Node) -> Staged {
        let docker = self.docker(node);
        let patterns = node.system.packages.iter();
        let files: Vec<_> = patterns.map(|pattern| named(self.context, self.order, pattern)).collect();
        let system = files.into_iter().flat_map(|files| self.debs(files)).collect();
        Staged { docker, system: once(system), ..Staged::default() }
    }

    fn docker(&mut self, node: &Node) -> Vec<DebFile> {
        match (&node.docker.install, &node.docker.bundle) {
            (DockerInstall::Debs, Some(dir)) => self.debs(bundle(dir)),
            _ => Vec::new(),
        }
    }

    fn debs(&mut self, files: std::io::Result<Vec<PathBuf>>) -> Vec<DebFile> {
        match files {
            Ok(files) => files.iter().filter_map(|path| self.deb(path)).collect(),
            Err(error) => {
                self.errors.insert(format!("looking for packages: {error}"));
                Vec::new()
            }
        }
    }

    fn deb(&mut self, path: &Path) -> Option<DebFile> {
        if !self.debs.contains_key(path) {
            let read = file::read(path).map_err(|error| {
                self.errors.insert(format!("{:#}", anyhow::Error::from(error)));
            });
            self.debs.insert(path.to_owned(), read.ok());
        }
        self.debs.get(path)?.clone()
    }

    /// The Docker engine of every node of the cluster, as far as it can be told: of nodes that are not
    /// baked now, what lies in their bundles.
    fn engines(&mut self, bases: &Bases) -> BTreeMap<String, Version> {
        let order = self.order;
        let mut engines = BTreeMap::new();
        for node in &order.cluster.nodes {
            let baked_now = order.nodes.iter().any(|other| other.name == node.name);
            // Their errors are told when they are baked.
            let known = self.errors.clone();
            let docker = self.docker(node);
            if !baked_now {
                self.errors = known;
            }
            let base = if baked_now { bases.of(node).ok() } else { None };
            let installed = base.map_or(&[][..], |base| &base.inventory.packages.installed);
            let packages: Vec<&Package> = docker.iter().map(|deb| &deb.package).chain(installed).collect();
            if let Some(engine) = engine(packages) {
                engines.insert(node.name.clone(), engine.version.clone());
            }
        }
        engines
    }
}

/// Several patterns may mean one file.
fn once(mut debs: Vec<DebFile>) -> Vec<DebFile> {
    debs.sort_by(|a, b| a.path.cmp(&b.path));
    debs.dedup_by(|a, b| a.path == b.path);
    debs
}
