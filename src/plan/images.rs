//! `docker.images`: whether each image runs on the node, and the archives onto the card. A unit of the
//! overlay `docker-images` loads them at the first start and gives their room back.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::types::{Board, Node};
use crate::container::{ContainerImage, ImageArchive, Platform};
use crate::fs::metadata::Meta;
use crate::fs::path::FsPath;
use crate::inventory::types::Arch;
use crate::plan::change::Content;

use super::build::Inputs;
use super::docker;
use super::draft::{Draft, Reason};
use super::error::PlanError;
use super::staged::Staged;

/// Where archives wait on the card (the overlay's script knows it, too).
const DIR: &str = "/var/cache/pibake/images";

/// Of the images of an archive those that a node is given, by their position: of the platforms of one image
/// the best that runs there. Where none does all of them, so that the plan can say so.
#[must_use]
pub fn fitting(images: &[ContainerImage], arch: Arch, board: Option<Board>) -> Vec<usize> {
    let mut groups: BTreeMap<&[String], Vec<usize>> = BTreeMap::new();
    for (index, image) in images.iter().enumerate() {
        groups.entry(&image.names).or_default().push(index);
    }
    let mut chosen: Vec<usize> = groups
        .into_values()
        .flat_map(|group| {
            let rank = |index: &usize| match fit(&images[*index].platform, arch, board) {
                Fit::Good => Some((2, &images[*index].platform.variant)),
                Fit::Doubtful(_) => Some((1, &images[*index].platform.variant)),
                Fit::No => None,
            };
            let best = group.iter().copied().filter(|index| rank(index).is_some()).max_by_key(rank);
            // Images without a name are told apart by nothing here: one does not stand for another.
            let chosen =
                |index: &usize| best.is_none_or(|best| images[best].platform == images[*index].platform);
            group.into_iter().filter(chosen).collect::<Vec<_>>()
        })
        .collect();
    chosen.sort_unstable();
    chosen
}

/// Whether an image for a platform runs on a node at all.
#[must_use]
pub fn runs(platform: &Platform, arch: Arch, board: Option<Board>) -> bool {
    fit(platform, arch, board) != Fit::No
}

/// Plans the archives.
pub(super) fn plan(inputs: &Inputs<'_>, draft: &mut Draft) {
    let archives = &inputs.staged.images;
    if archives.is_empty() {
        return;
    }
    check_docker(inputs, draft);
    check_names(archives, draft);
    let mut taken = BTreeSet::new();
    for archive in archives {
        check_platforms(inputs, archive, draft);
        let name = file_name(archive, &mut taken);
        let Some(path) = draft.note(card_path(&name)) else { continue };
        let content =
            Content::HostFile { path: archive.path.clone(), size: archive.size, sha256: archive.sha256 };
        let reason = Reason::new("docker.images", why(archive));
        draft.file(path, content, Meta::root(0o600), &reason);
    }
}

/// Bytes that loading takes on the card besides the archives themselves, when it is at its fullest: each
/// archive's images unpacked and its members, which Docker spreads out before it takes them in, and which
/// containerd's store keeps for good. A tenth is for what unpacked files take beyond their content. An
/// archive's own room is given back before the next one is loaded.
pub(super) fn needed(staged: &Staged) -> u64 {
    let (mut taken, mut given, mut most) = (0u64, 0u64, 0);
    for archive in &staged.images {
        let unpacked = archive.unpacked();
        let takes = unpacked.saturating_add(unpacked / 10).saturating_add(members(archive));
        taken = taken.saturating_add(takes);
        most = taken.saturating_sub(given).max(most);
        given = given.saturating_add(archive.size);
    }
    most
}

/// Bytes of the members that hold layers.
fn members(archive: &ImageArchive) -> u64 {
    let layers = archive.images.iter().flat_map(|image| &image.layers);
    let each: BTreeMap<&str, u64> = layers.map(|layer| (layer.member.as_str(), layer.size)).collect();
    each.into_values().fold(0, u64::saturating_add)
}

/// Whether images run on a node.
#[derive(Debug, PartialEq, Eq)]
enum Fit {
    Good,
    /// They may; why they may not.
    Doubtful(String),
    No,
}

/// What an image is for against what the node is (raspios.md section 8.1; OCI image-spec, "platform
/// variants"). The image's Debian architecture counts, not the kernel: containers are made for the first,
/// and so is the platform that Docker tells the swarm.
fn fit(platform: &Platform, arch: Arch, board: Option<Board>) -> Fit {
    if platform.os != "linux" {
        return Fit::No;
    }
    let variant = platform.variant.as_str();
    match (arch, platform.architecture.as_str()) {
        (Arch::Amd64, "amd64") => newer_unless(["", "v1"], platform),
        (Arch::Arm64, "arm64") => newer_unless(["", "v8"], platform),
        (Arch::Armhf, "arm") => fit_arm(variant, board),
        _ => Fit::No,
    }
}

fn newer_unless(every: [&str; 2], platform: &Platform) -> Fit {
    if every.contains(&platform.variant.as_str()) {
        return Fit::Good;
    }
    Fit::Doubtful(format!("{platform} is for newer processors than the first of its kind"))
}

fn fit_arm(variant: &str, board: Option<Board>) -> Fit {
    let armv6 = matches!(board, Some(Board::Pi0 | Board::Pi1));
    match variant {
        "v5" | "v6" => Fit::Good,
        "" if board.is_some() && !armv6 => Fit::Good,
        "" => Fit::Doubtful("it does not say for which ARM it was made; a Pi 0 or 1 needs arm/v6".to_owned()),
        "v7" if armv6 => Fit::No,
        "v8" if armv6 || board == Some(Board::Pi2) => Fit::No,
        "v7" | "v8" if board.is_some() => Fit::Good,
        "v7" => Fit::Doubtful("no `board` is given, and a Pi 0 or 1 (ARMv6) cannot run it".to_owned()),
        "v8" => Fit::Doubtful("no `board` is given, and a Pi 0, 1 or 2 cannot run it".to_owned()),
        _ => Fit::No,
    }
}

/// What a node runs, as platforms are written.
fn node_platform(node: &Node, arch: Arch) -> String {
    match (arch, node.board) {
        (Arch::Amd64, _) => "linux/amd64".to_owned(),
        (Arch::Arm64, _) => "linux/arm64".to_owned(),
        (Arch::Armhf, None) => "linux/arm".to_owned(),
        (Arch::Armhf, Some(Board::Pi0 | Board::Pi1)) => "linux/arm/v6".to_owned(),
        (Arch::Armhf, Some(_)) => "linux/arm/v7".to_owned(),
    }
}

fn setting(message: String) -> PlanError {
    PlanError::Setting { key: "docker.images".to_owned(), message }
}

/// Something has to load them.
fn check_docker(inputs: &Inputs<'_>, draft: &mut Draft) {
    if !docker::present(inputs) {
        draft.error(setting(
            "there is no Docker in the image to load them; say docker.install = \"debs\"".to_owned(),
        ));
    }
}

/// One name for two different images would be whichever is loaded last.
fn check_names(archives: &[ImageArchive], draft: &mut Draft) {
    let mut seen: BTreeMap<&str, (&str, &ImageArchive)> = BTreeMap::new();
    for archive in archives {
        for image in &archive.images {
            for name in &image.names {
                let earlier = seen.insert(name, (&image.id, archive));
                if let Some((_, other)) = earlier.filter(|(id, _)| *id != image.id) {
                    draft.error(setting(format!(
                        "{name} is one image in {} and another in {}",
                        other.path.display(),
                        archive.path.display()
                    )));
                }
            }
        }
    }
}

fn check_platforms(inputs: &Inputs<'_>, archive: &ImageArchive, draft: &mut Draft) {
    let (node, arch) = (inputs.node, inputs.inventory.arch);
    let mut wrong: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for index in fitting(&archive.images, arch, node.board) {
        let image = &archive.images[index];
        if image.names.is_empty() {
            draft.warn(format!(
                "{}: image {} has no name in it, and no stack can use it",
                archive.path.display(),
                image.label()
            ));
        }
        match fit(&image.platform, arch, node.board) {
            Fit::Good => {}
            Fit::Doubtful(doubt) => {
                draft.warn(format!("{}: {}: {doubt}", archive.path.display(), image.label()));
            }
            Fit::No => wrong.entry(image.label()).or_default().push(image.platform.to_string()),
        }
    }
    for (name, platforms) in wrong {
        let needs = node_platform(node, arch);
        draft.error(setting(format!(
            "{name} in {} is for {}, and {} runs {needs}; get it with `docker pull --platform {needs}`, or \
             give the node docker.images of its own",
            archive.path.display(),
            platforms.join(", "),
            node.name
        )));
    }
}

/// The archive's own name, as far as a shell and a person can have no trouble with it.
fn file_name(archive: &ImageArchive, taken: &mut BTreeSet<String>) -> String {
    let own = archive.name.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => char::from(byte),
        _ => '_',
    });
    let own: String = own.collect();
    // Names in a directory of ext4 have at most 255 bytes; one with a dot before it is hidden.
    let own = own[own.len().saturating_sub(200)..].trim_start_matches(['.', '-', '_']);
    let own = if own.is_empty() { "image" } else { own };
    let numbered = (2..).map(|number| format!("{number}-{own}"));
    let name = std::iter::once(own.to_owned()).chain(numbered).find(|name| !taken.contains(name));
    let name = name.unwrap_or_default();
    taken.insert(name.clone());
    name
}

fn card_path(name: &str) -> Result<FsPath, PlanError> {
    FsPath::new(&format!("{DIR}/{name}")).map_err(|error| setting(error.to_string()))
}

fn why(archive: &ImageArchive) -> String {
    let images: Vec<String> =
        archive.images.iter().map(|image| format!("{} ({})", image.label(), image.platform)).collect();
    let left_out: Vec<String> = archive.left_out.iter().map(Platform::to_string).collect();
    let but = if left_out.is_empty() { String::new() } else { format!(", without {}", left_out.join(", ")) };
    format!("loaded into Docker once, then deleted: {}{but}", images.join(", "))
}
