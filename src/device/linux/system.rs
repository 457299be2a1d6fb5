//! Descriptions of disks, out of sysfs and procfs.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::graph::{Graph, number_of};
use super::hardware::Hardware;
use crate::device::info::{DevNumber, DeviceInfo, Kind, PartitionInfo};
use crate::device::refusal::{LookError, Refusal, Rule};

/// Sysfs counts in sectors of this size, whatever the device's own.
const SECTOR: u64 = 512;

/// Where the system's description of its devices is read from.
#[derive(Clone, Debug)]
pub struct System {
    root: PathBuf,
}

impl System {
    /// This machine.
    #[must_use]
    pub fn host() -> Self {
        Self::at("/")
    }

    /// The machine whose `sys`, `proc` and `dev` lie below `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// A device number, as `st_dev` and `st_rdev` hold it, in its two parts.
    #[must_use]
    pub fn number_of(dev: u64) -> DevNumber {
        number_of(dev)
    }

    /// The whole disks, by name, without memory disks and loop devices that stand on nothing.
    ///
    /// # Errors
    /// When sysfs or procfs cannot be read or is not understood.
    pub fn list(&self) -> io::Result<Vec<DeviceInfo>> {
        let graph = Graph::read(&self.root)?;
        let shown = |info: &DeviceInfo| {
            !matches!(info.kind, Kind::Partition(_) | Kind::Memory | Kind::EmmcPart | Kind::Loop(None))
        };
        Ok(graph.nodes.keys().filter_map(|name| info(&graph, name)).filter(shown).collect())
    }

    /// The device of this kernel name.
    ///
    /// # Errors
    /// When sysfs or procfs cannot be read or is not understood.
    pub fn named(&self, name: &str) -> io::Result<Option<DeviceInfo>> {
        Ok(info(&Graph::read(&self.root)?, name))
    }

    /// What a path names that could be written to: a block device, or a regular file standing for a card.
    ///
    /// # Errors
    /// A refusal, when it is neither or does not exist; or what the system answers.
    pub fn describe(&self, path: &Path) -> Result<DeviceInfo, LookError> {
        let resolved = match fs::canonicalize(path) {
            Ok(resolved) => resolved,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(missing(path).into());
            }
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                return Err(LookError::Denied { path: path.to_owned(), source });
            }
            Err(source) => return Err(LookError::Io { path: path.to_owned(), source }),
        };
        let failed = |source| LookError::Io { path: resolved.clone(), source };
        let meta = fs::metadata(&resolved).map_err(failed)?;
        let kind = meta.file_type();
        if kind.is_block_device() {
            let graph = Graph::read(&self.root).map_err(failed)?;
            let found = graph.by_number(number_of(meta.rdev())).and_then(|name| info(&graph, name));
            return match found {
                Some(info) => Ok(DeviceInfo { path: resolved, ..info }),
                None => Err(unknown(&resolved).into()),
            };
        }
        if !kind.is_file() || ["/dev", "/proc", "/sys"].iter().any(|dir| resolved.starts_with(dir)) {
            return Err(no_target(&resolved, kind).into());
        }
        let graph = Graph::read(&self.root).map_err(failed)?;
        Ok(DeviceInfo {
            kernel_name: String::new(),
            number: number_of(meta.dev()),
            inode: Some(meta.ino()),
            kind: Kind::RegularFile,
            model: None,
            serial: None,
            size: meta.len(),
            bus: None,
            removable: true,
            read_only: false,
            logical_block: 1,
            physical_block: 4096,
            diskseq: None,
            partitions: Vec::new(),
            usage: graph.file_usage(&resolved),
            path: resolved,
        })
    }
}

fn info(graph: &Graph, name: &str) -> Option<DeviceInfo> {
    let node = graph.nodes.get(name)?;
    let hardware = Hardware { name, dir: &node.dir };
    // A partition has no hardware of its own: what it says is its disk's.
    let disk_name = node.partition_of.as_deref().unwrap_or(name);
    let disk = Hardware { name: disk_name, dir: &graph.nodes.get(disk_name)?.dir };
    let kind = match &node.partition_of {
        Some(of) => Kind::Partition(of.clone()),
        None => hardware.kind(node.backing.as_ref(), graph.is_on_device(node)),
    };
    let block = |attribute| disk.number(attribute).and_then(|size| u32::try_from(size).ok());
    let logical_block =
        block("queue/logical_block_size").filter(|size| size.is_power_of_two()).unwrap_or(512);
    Some(DeviceInfo {
        path: Path::new("/dev").join(name.replace('!', "/")),
        kernel_name: name.to_owned(),
        number: node.number,
        inode: None,
        model: disk.model(),
        serial: disk.serial(),
        size: hardware.number("size")?.checked_mul(SECTOR)?,
        bus: disk.bus(),
        removable: disk.number("removable") == Some(1) || kind == Kind::Sd,
        read_only: hardware.number("ro") != Some(0),
        logical_block,
        physical_block: block("queue/physical_block_size").unwrap_or(logical_block),
        diskseq: disk.number("diskseq"),
        partitions: partitions(graph, name),
        usage: graph.usage(name),
        kind,
    })
}

fn partitions(graph: &Graph, disk: &str) -> Vec<PartitionInfo> {
    let mut partitions: Vec<PartitionInfo> = graph
        .nodes
        .iter()
        .filter(|(_, node)| node.partition_of.as_deref() == Some(disk))
        .filter_map(|(name, node)| {
            let hardware = Hardware { name, dir: &node.dir };
            Some(PartitionInfo {
                name: name.clone(),
                number: hardware.number("partition")?.try_into().ok()?,
                start: hardware.number("start")?.checked_mul(SECTOR)?,
                size: hardware.number("size")?.checked_mul(SECTOR)?,
            })
        })
        .collect();
    partitions.sort_by_key(|partition| partition.number);
    partitions
}

fn missing(path: &Path) -> Refusal {
    Refusal::new(
        Rule::Missing,
        format!("{} does not exist", path.display()),
        "put the card in and see `pibake devices`; a file standing for a card must exist with the card's size",
    )
}

fn unknown(path: &Path) -> Refusal {
    Refusal::new(
        Rule::Missing,
        format!("no device is behind {}", path.display()),
        "put the card in again and see `pibake devices`",
    )
}

fn no_target(path: &Path, kind: fs::FileType) -> Refusal {
    let what = if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_char_device() {
        "a character device"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a regular file where devices belong"
    };
    Refusal::new(
        Rule::NotADisk,
        format!("{} is {what}, not a disk", path.display()),
        "name a whole disk such as /dev/sdb, or an existing image file; `pibake devices` lists the cards",
    )
}
