//! Who stands on whom: partitions on disks, mapped devices and RAID on both, loop devices on block devices,
//! and the filesystems and swap on top.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use nix::sys::stat::{major, minor};

use crate::device::info::{DevNumber, Usage};
use crate::device::usage::{Mount, parse_mounts, parse_swaps};

/// One block device.
#[derive(Debug)]
pub(super) struct Node {
    /// Its directory in sysfs, resolved.
    pub(super) dir: PathBuf,
    pub(super) number: DevNumber,
    /// The disk it is a partition of.
    pub(super) partition_of: Option<String>,
    /// The file or device a loop device stands on.
    pub(super) backing: Option<PathBuf>,
    slaves: Vec<String>,
    holders: Vec<String>,
}

/// All block devices at one moment, and what uses them.
#[derive(Debug)]
pub(super) struct Graph {
    root: PathBuf,
    pub(super) nodes: BTreeMap<String, Node>,
    mounts: Vec<Mount>,
    swaps: Vec<PathBuf>,
}

impl Graph {
    /// Reads sysfs and procfs below `root`.
    pub(super) fn read(root: &Path) -> io::Result<Self> {
        let nodes = match fs::read_dir(root.join("sys/class/block")) {
            Ok(entries) => read_nodes(entries)?,
            // A container may have no devices at all; a file can stand for a card there all the same.
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        let mounts = parse_mounts(&fs::read(root.join("proc/self/mountinfo"))?)?;
        let swaps = match fs::read(root.join("proc/swaps")) {
            Ok(text) => parse_swaps(&text)?,
            // A kernel without swap has no such file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { root: root.to_owned(), nodes, mounts, swaps })
    }

    /// The name of the device with this number.
    pub(super) fn by_number(&self, number: DevNumber) -> Option<&str> {
        self.nodes.iter().find(|(_, node)| node.number == number).map(|(name, _)| name.as_str())
    }

    /// Whether a loop device stands on another block device.
    pub(super) fn is_on_device(&self, node: &Node) -> bool {
        node.backing.as_deref().is_some_and(|backing| self.by_path(backing).is_some())
    }

    /// Everything that uses a disk or a partition, sorted.
    pub(super) fn usage(&self, name: &str) -> Vec<Usage> {
        let family = self.family(name);
        let mut usage: BTreeSet<Usage> = BTreeSet::new();
        let touches = |device: &String| !self.bases(device).is_disjoint(&family);
        for mount in &self.mounts {
            for device in self.devices_of(mount).into_iter().filter(touches) {
                let (at, read_only) = (mount.at.clone(), mount.read_only);
                usage.insert(Usage::Mounted { device, at, read_only });
            }
        }
        for swap in &self.swaps {
            for device in self.swap_devices(swap).into_iter().filter(touches) {
                usage.insert(Usage::Swap { device });
            }
        }
        for (device, by) in self.held() {
            let part_of = self.nodes.get(&device).and_then(|node| node.partition_of.as_ref());
            if family.contains(&device) || part_of.is_some_and(|disk| family.contains(disk)) {
                usage.insert(Usage::Held { device, by });
            }
        }
        usage.into_iter().collect()
    }

    /// Everything that uses a regular file: loop devices on it, swap.
    pub(super) fn file_usage(&self, file: &Path) -> Vec<Usage> {
        let device = file.display().to_string();
        let mut usage = Vec::new();
        for (name, node) in &self.nodes {
            if node.backing.as_deref().is_some_and(|backing| same_file(backing, file)) {
                usage.push(Usage::Held { device: device.clone(), by: name.clone() });
            }
        }
        if self.swaps.iter().any(|swap| same_file(swap, file)) {
            usage.push(Usage::Swap { device });
        }
        usage
    }

    /// The device itself and, for a loop device, every other one on the same file.
    fn family(&self, name: &str) -> BTreeSet<String> {
        let mut family = BTreeSet::from([name.to_owned()]);
        if let Some(backing) = self.nodes.get(name).and_then(|node| node.backing.as_deref()) {
            let on_it = |node: &Node| node.backing.as_deref().is_some_and(|other| same_file(backing, other));
            family.extend(self.nodes.iter().filter(|(_, node)| on_it(node)).map(|(name, _)| name.clone()));
        }
        family
    }

    /// A device and everything it stands on, however deep.
    fn bases(&self, name: &str) -> BTreeSet<String> {
        let mut bases = BTreeSet::new();
        let mut todo = vec![name.to_owned()];
        while let Some(name) = todo.pop() {
            if bases.contains(&name) {
                continue;
            }
            if let Some(node) = self.nodes.get(&name) {
                todo.extend(node.slaves.iter().cloned());
                todo.extend(node.partition_of.clone());
                todo.extend(node.backing.as_deref().and_then(|backing| self.by_path(backing)));
            }
            bases.insert(name);
        }
        bases
    }

    /// Pairs of a device and one that stands on it, partitions not counted.
    fn held(&self) -> Vec<(String, String)> {
        let mut held = Vec::new();
        for (name, node) in &self.nodes {
            held.extend(node.holders.iter().map(|by| (name.clone(), by.clone())));
            held.extend(node.slaves.iter().map(|device| (device.clone(), name.clone())));
            let backing = node.backing.as_deref().and_then(|backing| self.by_path(backing));
            held.extend(backing.map(|device| (device, name.clone())));
        }
        held
    }

    /// The devices a filesystem lies on. Where no single one stands for it, those of its source; btrfs names
    /// one of several, and which others belong to it is in sysfs.
    fn devices_of(&self, mount: &Mount) -> Vec<String> {
        if let Some(name) = self.by_number(mount.number) {
            return vec![name.to_owned()];
        }
        if mount.number.major != 0 {
            return Vec::new();
        }
        // bcachefs joins the names of its devices with colons.
        let sources: Vec<String> = mount
            .source
            .as_os_str()
            .as_bytes()
            .split(|byte| *byte == b':')
            .filter_map(|source| self.by_path(Path::new(&OsString::from_vec(source.to_vec()))))
            .collect();
        if mount.fs_type != "btrfs" {
            return sources;
        }
        let sets = self.btrfs_sets();
        let mine: Vec<String> = sets
            .iter()
            .filter(|set| sources.is_empty() || sources.iter().any(|source| set.contains(source)))
            .flatten()
            .cloned()
            .collect();
        if mine.is_empty() { sources } else { mine }
    }

    /// The devices of each btrfs that is mounted.
    fn btrfs_sets(&self) -> Vec<Vec<String>> {
        let Ok(entries) = fs::read_dir(self.root.join("sys/fs/btrfs")) else { return Vec::new() };
        entries.flatten().map(|entry| names_in(&entry.path().join("devices"))).collect()
    }

    fn swap_devices(&self, swap: &Path) -> Vec<String> {
        if let Some(name) = self.by_path(swap) {
            return vec![name];
        }
        let mount = self
            .mounts
            .iter()
            .filter(|mount| swap.starts_with(&mount.at))
            .max_by_key(|mount| mount.at.components().count());
        mount.map_or_else(Vec::new, |mount| self.devices_of(mount))
    }

    /// The device a path names: by the number of the node, or, where there is no node, by its name in `/dev`.
    fn by_path(&self, path: &Path) -> Option<String> {
        let inside: PathBuf =
            path.components().filter(|component| matches!(component, Component::Normal(_))).collect();
        let there = self.root.join(inside);
        if let Ok(meta) = fs::metadata(&there)
            && meta.file_type().is_block_device()
        {
            return self.by_number(number_of(meta.rdev())).map(str::to_owned);
        }
        let resolved = fs::canonicalize(&there).unwrap_or(there);
        let dev = fs::canonicalize(self.root.join("dev")).ok()?;
        let name = resolved.strip_prefix(dev).ok()?.to_str()?.replace('/', "!");
        self.nodes.contains_key(&name).then_some(name)
    }
}

/// A device number as the kernel's two parts.
pub(super) fn number_of(dev: u64) -> DevNumber {
    DevNumber { major: major(dev), minor: minor(dev) }
}

fn read_nodes(entries: fs::ReadDir) -> io::Result<BTreeMap<String, Node>> {
    let mut nodes = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        // A device that goes away while being looked at is not there.
        if let Some(node) = fs::canonicalize(entry.path()).ok().and_then(read_node) {
            nodes.insert(entry.file_name().to_string_lossy().into_owned(), node);
        }
    }
    Ok(nodes)
}

fn read_node(dir: PathBuf) -> Option<Node> {
    let text = |attribute: &str| fs::read_to_string(dir.join(attribute)).ok();
    let number = DevNumber::parse(&text("dev")?)?;
    let partition_of = match text("partition") {
        Some(_) => Some(dir.parent()?.file_name()?.to_str()?.to_owned()),
        None => None,
    };
    let backing = fs::read(dir.join("loop/backing_file")).ok().map(|mut path| {
        if path.last() == Some(&b'\n') {
            path.pop();
        }
        PathBuf::from(OsString::from_vec(path))
    });
    let (slaves, holders) = (names_in(&dir.join("slaves")), names_in(&dir.join("holders")));
    Some(Node { number, partition_of, backing, slaves, holders, dir })
}

fn names_in(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Whether two paths name one file; compared as text where one of them cannot be looked at.
fn same_file(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => one == other,
    }
}
