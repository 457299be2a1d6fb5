//! What is on any disk or image, Raspberry Pi OS or not: for `pibake inspect`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::InventoryError;
use super::probe::{Filesystem, Left, Probe, probe};
use super::signs::{self, MachineId};
use super::types::{Arch, FirstBootHook, Inventory, NetworkStack, Release};
use super::unfinished::is_interrupted_flash;
use crate::disk::block::BlockRead;
use crate::disk::partition_table::{self, Partition, PartitionTable, TableKind};
use crate::disk::range::ByteRange;
use crate::disk::window::Window;
use crate::fs::error::FsError;
use crate::fs::ext4::Ext4Facts;
use crate::fs::fat::FatVolume;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;

/// What was found on a disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Survey {
    /// Size in bytes.
    pub size: u64,
    /// The partition table, when there is one.
    pub table: Option<TableSummary>,
    /// Why there is none, or why it could not be read.
    pub table_problem: Option<String>,
    /// Whether the first MiB is empty while something lies behind it: what a flash leaves that did not come to its
    /// end.
    pub interrupted_flash: bool,
    /// The partitions; without a table, the filesystems found.
    pub partitions: Vec<PartitionSummary>,
    /// The system, when it is one that pibake knows.
    pub system: Option<Summary>,
    /// Why there is none, or why it cannot be baked as it is: what it is instead, what could not be read.
    pub system_problem: Option<String>,
}

/// A partition table in a few words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableSummary {
    /// Which kind.
    pub kind: TableKind,
    /// Bytes in a sector.
    pub sector_size: u64,
    /// The MBR's disk signature, eight hexadecimal digits.
    pub disk_id: String,
    /// What is wrong with the primary GPT, when its backup was used.
    pub backup_used: Option<String>,
}

/// A partition, or a filesystem found without one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionSummary {
    /// Its number in the table.
    pub number: Option<u32>,
    /// First byte.
    pub start: u64,
    /// Length in bytes.
    pub size: u64,
    /// Its type in the table: two hexadecimal digits, or a GUID.
    pub kind: Option<String>,
    /// Its name in a GPT.
    pub name: Option<String>,
    /// What is in it.
    pub filesystem: Filesystem,
    /// The filesystem's label.
    pub label: Option<String>,
    /// The filesystem's own identity: ext4's UUID, FAT's serial number.
    pub uuid: Option<String>,
    /// How ext4 says that it was left.
    pub left: Option<Left>,
    /// Bytes in use, for FAT and ext4.
    pub used: Option<u64>,
    /// Bytes free, for FAT and ext4.
    pub free: Option<u64>,
    /// What is wrong with the filesystem.
    pub problem: Option<String>,
}

/// A system that can be baked, or was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// What it calls itself.
    pub name: String,
    /// The release.
    pub release: Release,
    /// The architecture.
    pub arch: Arch,
    /// The vendor's build date.
    pub build_date: Option<String>,
    /// Its hostname.
    pub hostname: Option<String>,
    /// What its machine-id says.
    pub machine_id: MachineId,
    /// The account of uid 1000.
    pub user: Option<String>,
    /// The vendor's first-boot hook.
    pub hook: FirstBootHook,
    /// What configures the network.
    pub network_stack: NetworkStack,
    /// Where it mounts the firmware partition.
    pub firmware_mount: FsPath,
    /// Whether it has been booted.
    pub booted: bool,
    /// Number of packages installed.
    pub packages: usize,
    /// What pibake put there.
    pub manifest: Option<serde_json::Value>,
}

const MIB: u64 = 1 << 20;
/// How far filesystems are looked for without a table: firmware partitions end at 520 MiB at most.
const SEARCHED: u64 = 1024 * MIB;
/// More than a card of ours ever has; a search that finds more found garbage.
const MAX_FOUND: usize = 16;

/// Looks at a disk or image. What cannot be read is told in the survey, not as an error.
#[must_use]
pub fn survey(image: &Arc<dyn BlockRead>) -> Survey {
    let mut survey = Survey {
        size: image.size(),
        table: None,
        table_problem: None,
        interrupted_flash: false,
        partitions: Vec::new(),
        system: None,
        system_problem: None,
    };
    match partition_table::read(image) {
        Ok(table) => {
            survey.partitions = table.partitions.iter().map(|p| describe(image, Some(p), p.range)).collect();
            survey.table = Some(summarize_table(&table));
            match super::look(image, &table) {
                Ok((inventory, unfit)) => {
                    survey.system = Some(summary(&inventory));
                    survey.system_problem = unfit.as_ref().map(chain_of);
                }
                Err(error) => survey.system_problem = Some(chain_of(&error)),
            }
        }
        Err(error) => {
            survey.table_problem = Some(error.to_string());
            survey.partitions =
                found_without_table(image).into_iter().map(|range| describe(image, None, range)).collect();
            survey.interrupted_flash = is_interrupted_flash(image, !survey.partitions.is_empty());
        }
    }
    survey
}

/// A few words about a system.
#[must_use]
pub fn summary(inventory: &Inventory) -> Summary {
    let text = |path: &'static str| {
        let bytes = inventory.files.get(&(Volume::Root, super::at(path)))?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    let user = text("/etc/passwd").and_then(|passwd| {
        let mut rows = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
        rows.find(|row| row.get(2) == Some(&"1000")).map(|row| row[0].to_owned())
    });
    Summary {
        name: inventory.pretty_name.clone(),
        release: inventory.release,
        arch: inventory.arch,
        build_date: inventory.build_date.clone(),
        hostname: text("/etc/hostname").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()),
        machine_id: signs::machine_id(text("/etc/machine-id").as_deref()),
        user,
        hook: inventory.hook,
        network_stack: inventory.stack,
        firmware_mount: inventory.firmware_mount.clone(),
        booted: inventory.booted,
        packages: inventory.packages.installed.len(),
        manifest: inventory.manifest.clone(),
    }
}

fn summarize_table(table: &PartitionTable) -> TableSummary {
    TableSummary {
        kind: table.kind,
        sector_size: table.sector_size,
        disk_id: format!("{:08x}", table.disk_id),
        backup_used: table.backup_used.clone(),
    }
}

fn describe(image: &Arc<dyn BlockRead>, partition: Option<&Partition>, range: ByteRange) -> PartitionSummary {
    let mut described = PartitionSummary {
        number: partition.map(|partition| partition.number),
        start: range.start(),
        size: range.len(),
        kind: partition.map(|partition| partition.kind.to_string()),
        name: partition.and_then(|partition| partition.name.clone()).filter(|name| !name.is_empty()),
        filesystem: Filesystem::Unknown,
        label: None,
        uuid: None,
        left: None,
        used: None,
        free: None,
        problem: None,
    };
    match probe(image, range.start()) {
        Ok(found) => {
            described.filesystem = found.filesystem;
            described.label = found.label;
            described.uuid = found.uuid;
            described.left = found.left;
        }
        Err(error) => described.problem = Some(error.to_string()),
    }
    match measure(image, range, described.filesystem) {
        Ok(Some((used, free))) => (described.used, described.free) = (Some(used), Some(free)),
        Ok(None) => {}
        Err(error) => described.problem = Some(error.to_string()),
    }
    described
}

/// Bytes used and free.
fn measure(
    image: &Arc<dyn BlockRead>,
    range: ByteRange,
    filesystem: Filesystem,
) -> Result<Option<(u64, u64)>, FsError> {
    let window = Window::new(Arc::clone(image), range)?;
    let free = match filesystem {
        Filesystem::Fat => {
            let space = FatVolume::open(window)?.space()?;
            space.free_clusters * space.cluster_size
        }
        Filesystem::Ext4 => {
            let space = Ext4Facts::open(window)?.space();
            space.free_blocks.saturating_mul(space.block_size)
        }
        _ => return Ok(None),
    };
    Ok(Some((range.len().saturating_sub(free), free)))
}

/// Filesystems on a disk without a table: at its beginning, or where partitions usually begin, the one
/// behind another's end included.
fn found_without_table(image: &Arc<dyn BlockRead>) -> Vec<ByteRange> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < image.size().min(SEARCHED) && found.len() < MAX_FOUND {
        let next = (at / MIB + 1) * MIB;
        let length = match probe(image, at) {
            Ok(Probe { filesystem: Filesystem::Unknown, .. }) => None,
            Ok(Probe { length, .. }) => Some(length.unwrap_or(MIB)),
            // A card that cannot be read here may be readable elsewhere.
            Err(_) => None,
        };
        let range = length
            .and_then(|length| ByteRange::with_len(at, length.max(1).min(image.size() - at)))
            .filter(|range| !range.is_empty());
        match range {
            Some(range) => {
                found.push(range);
                at = range.end();
            }
            None => at = next,
        }
    }
    found
}

/// An error and its causes in one line.
fn chain_of(error: &InventoryError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
