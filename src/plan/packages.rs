//! Packages that are installed at first boot: where they lie on the card, and whether they can be installed
//! there with nothing else at hand (design.md section 4, "Docker install").

use std::collections::BTreeMap;
use std::fmt::Write;

use debversion::Version;

use crate::config::types::{Board, DockerInstall, Role};
use crate::deb::closure::{Problem, check};
use crate::deb::{DebFile, Package};
use crate::fs::metadata::Meta;
use crate::fs::path::FsPath;
use crate::inventory::types::{Arch, Release};
use crate::plan::change::Content;

use super::build::Inputs;
use super::draft::{Draft, Reason};
use super::error::PlanError;
use super::image::path;

/// Where the node looks for them; the units in the overlay `packages` name it too.
const DEBS: &str = "/var/cache/pibake/debs";

/// The packages that hold the Docker engine: Debian's, Docker's, and what they were called before.
const ENGINES: [&str; 4] = ["docker.io", "docker-ce", "docker-engine", "moby-engine"];

/// What may not be mixed: they share files, and neither is tried with the other.
const DEBIANS: [&str; 3] = ["docker.io", "docker-cli", "containerd"];
const DOCKERS: [&str; 3] = ["docker-ce", "docker-ce-cli", "containerd.io"];

/// The first engine whose swarms are what is baked here.
const OLDEST_SWARM: (u64, u64) = (17, 6);

/// The first engine of Docker's own that is not built for ARMv6 any more (raspios.md section 8.1).
const FIRST_WITHOUT_ARMV6: u64 = 29;

/// What Docker of the release's archive takes once it is installed (raspios.md section 8.3), for nodes that
/// fetch it themselves.
const DOCKER_FROM_APT: u64 = 400 << 20;

/// The package of a set that holds the Docker engine, the first of several.
#[must_use]
pub fn engine<'a>(packages: impl IntoIterator<Item = &'a Package>) -> Option<&'a Package> {
    packages.into_iter().find(|package| ENGINES.contains(&package.name.as_str()))
}

/// Whether the node installs anything at its first boot.
pub(super) fn any(inputs: &Inputs<'_>) -> bool {
    files(inputs).next().is_some() || inputs.node.docker.install == DockerInstall::Apt
}

/// Whether a package is in the image or among those that are installed at first boot.
pub(super) fn has(inputs: &Inputs<'_>, name: &str) -> bool {
    inputs.inventory.has_package(name)
        || staged(inputs).any(|package| package.name == name)
        || from_apt(inputs).contains(&name)
}

/// Whether Docker is not in the image and is installed at first boot.
pub(super) fn brings_docker(inputs: &Inputs<'_>) -> bool {
    engine(staged(inputs)).is_some() || inputs.node.docker.install == DockerInstall::Apt
}

/// How many bytes the packages take once they are installed; what they replace is not counted as freed.
pub(super) fn unpacked(inputs: &Inputs<'_>) -> u64 {
    let staged = staged(inputs)
        .fold(0u64, |sum, package| sum.saturating_add(package.installed_size.saturating_mul(1024)));
    let apt = if inputs.node.docker.install == DockerInstall::Apt { DOCKER_FROM_APT } else { 0 };
    staged.saturating_add(apt)
}

/// Plans the files, and checks that they can be installed.
pub(super) fn plan(inputs: &Inputs<'_>, draft: &mut Draft) {
    place(inputs, draft);
    let packages: Vec<&Package> = staged(inputs).collect();
    closure(inputs, &packages, draft);
    unpackable(inputs, draft);
    docker(inputs, &packages, draft);
    boards(inputs, draft);
}

fn files<'a>(inputs: &Inputs<'a>) -> impl Iterator<Item = &'a DebFile> {
    inputs.staged.docker.iter().chain(&inputs.staged.system)
}

fn staged<'a>(inputs: &Inputs<'a>) -> impl Iterator<Item = &'a Package> {
    files(inputs).map(|file| &file.package)
}

/// What the node is to get from the sources of its own image: the engine, and what it only recommends and does not work
/// without, as for `fetch docker`. Up to Bookworm it brings its client along.
fn from_apt(inputs: &Inputs<'_>) -> &'static [&'static str] {
    const ALL: &[&str] = &["docker.io", "iptables", "apparmor", "docker-cli"];
    match inputs.node.docker.install {
        DockerInstall::Apt if inputs.inventory.release >= Release::Trixie => ALL,
        DockerInstall::Apt => &ALL[..3],
        DockerInstall::Debs | DockerInstall::None => &[],
    }
}

fn place(inputs: &Inputs<'_>, draft: &mut Draft) {
    let docker = Reason::new("[docker]", "installed at first boot, without a network");
    let system = Reason::new("system.packages", "installed at first boot, without a network");
    let docker = inputs.staged.docker.iter().map(|file| ("docker", file, &docker));
    let system = inputs.staged.system.iter().map(|file| ("system", file, &system));
    // One that is in both is the bundle's.
    let mut listed: BTreeMap<String, String> = BTreeMap::new();
    for (dir, file, reason) in docker.chain(system) {
        let package = &file.package;
        let version = package.version.to_string();
        // As apt names its files: a colon is not every filesystem's.
        let name = format!("{}_{}_{}.deb", package.name, version.replace(':', "%3a"), package.architecture);
        if listed.contains_key(&name) {
            continue;
        }
        let line = format!("{} {version} {} {dir}/{name}\n", package.name, package.architecture);
        let at = FsPath::new(&format!("{DEBS}/{dir}/{name}"))
            .map_err(|error| PlanError::Packages(format!("{}: {error}", file.path.display())));
        listed.insert(name, line);
        if let Some(at) = draft.note(at) {
            let content = Content::HostFile { path: file.path.clone(), size: file.size, sha256: file.sha256 };
            draft.file(at, content, Meta::root(0o644), reason);
        }
    }
    if !listed.is_empty() {
        let text: String = listed.into_values().collect();
        let reason = Reason::new("packages", "what is installed at first boot, and at what version");
        draft.text(path("/var/cache/pibake/debs/list"), text, Meta::root(0o644), &reason);
    }
    let names = from_apt(inputs);
    if !names.is_empty() {
        let reason = Reason::new("[docker]", "installed at first boot, from the image's own apt sources");
        let text = names.iter().fold(String::new(), |mut text, name| {
            let _ = writeln!(text, "{name}");
            text
        });
        draft.text(path("/var/cache/pibake/debs/apt"), text, Meta::root(0o644), &reason);
    }
}

/// A missing dependency is named at bake, not on a roof.
fn closure(inputs: &Inputs<'_>, packages: &[&Package], draft: &mut Draft) {
    if packages.is_empty() {
        return;
    }
    let dpkg = &inputs.inventory.packages;
    for problem in check(&dpkg.installed, packages, inputs.inventory.arch.name()).err().unwrap_or_default() {
        let way_out = match &problem {
            Problem::Missing { .. } => "; `pibake fetch` gets what is missing, and system.packages takes it",
            Problem::WrongArchitecture { .. } | Problem::Older { .. } => {
                "; fetch it for this image with `pibake fetch`"
            }
            Problem::TwoVersions { .. } | Problem::Conflict { .. } => "",
        };
        draft.error(PlanError::Packages(format!("{problem}{way_out}")));
    }
    if !dpkg.unfinished.is_empty() {
        draft.warn(format!(
            "the image's dpkg was interrupted over {}; the first boot finishes it before it installs anything",
            dpkg.unfinished.join(", ")
        ));
    }
}

fn unpackable(inputs: &Inputs<'_>, draft: &mut Draft) {
    let release = inputs.inventory.release;
    for file in files(inputs).filter(|file| file.zstd && release < Release::Bookworm) {
        draft.error(PlanError::Packages(format!(
            "{} is compressed with zstd, which the dpkg of {release:?} cannot unpack",
            file.path.display()
        )));
    }
}

/// Docker's own rules: one engine, from one side, recent enough, and the same on every node.
fn docker(inputs: &Inputs<'_>, packages: &[&Package], draft: &mut Draft) {
    let setting = |key: &str, message: String| PlanError::Setting { key: key.to_owned(), message };
    let docker = &inputs.node.docker;
    let bundled = engine(inputs.staged.docker.iter().map(|file| &file.package));
    if docker.install == DockerInstall::Debs && bundled.is_none() {
        let dir = docker.bundle.as_ref().map(|dir| format!(" in {}", dir.display())).unwrap_or_default();
        let message =
            format!("there is no docker.io or docker-ce{dir}; `pibake fetch docker` makes a bundle");
        draft.error(setting("docker.bundle", message));
    }
    let installed = &inputs.inventory.packages.installed;
    let present = || packages.iter().copied().chain(installed);
    let one_of = |names: [&str; 3]| present().find(|package| names.contains(&package.name.as_str()));
    if let (Some(debians), Some(dockers)) = (one_of(DEBIANS), one_of(DOCKERS)) {
        draft.error(PlanError::Packages(format!(
            "{debians} is Debian's and {dockers} is Docker's; they cannot be mixed"
        )));
    }
    let swarm = inputs.cluster.swarm.is_some() && inputs.node.role != Role::None;
    match engine(present()) {
        Some(engine) => {
            if swarm && numbers(&engine.version) < OLDEST_SWARM {
                let message = format!("{engine} is too old; 17.06 is the first whose swarms can be baked");
                draft.error(setting("[swarm]", message));
            }
            one_major(inputs, engine, draft);
        }
        None if swarm && docker.install == DockerInstall::None => draft.error(setting(
            "[swarm]",
            "there is no Docker in the image; say docker.install = \"debs\" and give a bundle, which \
             `pibake fetch docker` makes"
                .to_owned(),
        )),
        None => {}
    }
    let bare = engine(packages.iter().copied()).is_some_and(|engine| engine.name == "docker.io");
    if bare && inputs.inventory.release >= Release::Trixie && !has(inputs, "docker-cli") {
        let message = "docker.io of Trixie brings no `docker` command; it is in docker-cli, which is neither \
                       in the bundle nor in the image";
        draft.error(setting("docker.bundle", message.to_owned()));
    }
    if engine(packages.iter().copied()).is_some() && !has(inputs, "apparmor") {
        draft.say(
            "no package apparmor, neither in the bundle nor in the image: on a kernel that has AppArmor on, \
             Docker starts no container without it; `pibake fetch docker` brings it",
        );
    }
}

fn one_major(inputs: &Inputs<'_>, engine: &Package, draft: &mut Draft) {
    let own = numbers(&engine.version).0;
    let others = (inputs.staged.engines.iter())
        .filter(|(node, version)| **node != inputs.node.name && numbers(version).0 != own);
    let others: Vec<String> = others.map(|(node, version)| format!("{node} has {version}")).collect();
    if !others.is_empty() {
        draft.error(PlanError::Packages(format!(
            "one cluster needs one version of Docker's engine, up to the first dot: here it is {engine}, and {}",
            others.join(", ")
        )));
    }
}

/// The first two numbers of a version: `5:28.1.1-1~debian` is 28 and 1.
pub(super) fn numbers(version: &Version) -> (u64, u64) {
    let mut parts = version.upstream_version.split(|letter: char| !letter.is_ascii_digit());
    let mut next = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
    (next(), next())
}

/// Pi 0 and Pi 1 are ARMv6. Debian's armhf is not; Raspbian rebuilds the same versions, under the same
/// names, so that only Docker's own packages tell in their version where they come from.
fn boards(inputs: &Inputs<'_>, draft: &mut Draft) {
    let armv6 = matches!(inputs.node.board, Some(Board::Pi0 | Board::Pi1));
    if !armv6 || inputs.inventory.arch != Arch::Armhf {
        return;
    }
    let (mut refused, mut unknown) = (Vec::new(), Vec::new());
    for package in staged(inputs).filter(|package| package.architecture == "armhf") {
        match built_for_armv6(package) {
            Some(true) => {}
            Some(false) => refused.push(package.to_string()),
            None => unknown.push(package.name.as_str()),
        }
    }
    for package in refused {
        draft.error(PlanError::Packages(format!(
            "{package} is built for ARMv7, and the board is ARMv6; take Raspbian's docker.io, or Docker's own \
             for Raspbian up to 28"
        )));
    }
    if !unknown.is_empty() {
        draft.warn(format!(
            "the board is ARMv6, and nothing in these packages tells whether they are Raspbian's, which run on \
             it, or Debian's, which do not: {}",
            unknown.join(", ")
        ));
    }
}

/// Whether a package for armhf runs on ARMv6, when its version says so: `5:28.0.0-1~raspbian.12~bookworm`.
fn built_for_armv6(package: &Package) -> Option<bool> {
    let version = package.version.to_string();
    if version.contains("~debian.") {
        return Some(false);
    }
    if !version.contains("~raspbian.") {
        // Packages that Raspbian had to change say so.
        return (version.contains("+rpi") || version.contains("+rpt")).then_some(true);
    }
    let engine = package.name.starts_with("docker-ce");
    Some(!engine || numbers(&package.version).0 < FIRST_WITHOUT_ARMV6)
}
