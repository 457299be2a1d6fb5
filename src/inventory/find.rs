//! Which partitions are the firmware's and the root filesystem: by what is in them, never by number.

use std::sync::Arc;

use super::at;
use super::error::InventoryError;
use super::probe::{Filesystem, Probe, probe};
use super::unreplayed::Unreplayed;
use crate::disk::block::BlockRead;
use crate::disk::partition_table::{Partition, PartitionTable};
use crate::disk::window::Window;
use crate::fs::FsReader;
use crate::fs::error::FsError;
use crate::fs::ext4::{Ext4Facts, Ext4Reader};
use crate::fs::fat::FatVolume;

/// A partition's bytes.
pub(super) type PartitionBytes = Window<Arc<dyn BlockRead>>;

/// The two partitions, open for reading.
pub(super) struct Pair {
    pub(super) boot: Partition,
    pub(super) fat: FatVolume<PartitionBytes>,
    pub(super) root: Partition,
    pub(super) ext4: RootFs,
}

/// A root filesystem, as it can be read.
pub(super) enum RootFs {
    /// Fit for editing.
    Clean(Ext4Facts<PartitionBytes>),
    /// Readable as it lies there; why it is not fit for editing.
    Dirty(Ext4Reader, FsError),
}

impl RootFs {
    fn open(image: &Arc<dyn BlockRead>, partition: &Partition) -> Result<Self, FsError> {
        match Ext4Facts::open(window(image, partition)?) {
            Ok(facts) => Ok(Self::Clean(facts)),
            Err(why @ FsError::NotClean { .. }) => {
                let medium = Unreplayed::new(window(image, partition)?)?;
                Ok(Self::Dirty(Ext4Reader::open(medium)?, why))
            }
            Err(error) => Err(error),
        }
    }

    /// Its files.
    pub(super) fn reader(&self) -> &dyn FsReader {
        match self {
            Self::Clean(facts) => facts,
            Self::Dirty(reader, _) => reader,
        }
    }
}

/// Opens a window on a partition.
pub(super) fn window(image: &Arc<dyn BlockRead>, partition: &Partition) -> Result<PartitionBytes, FsError> {
    Ok(Window::new(Arc::clone(image), partition.range)?)
}

/// Finds the FAT partition with the firmware's `cmdline.txt` or `config.txt`, and the ext4 partition with
/// an `os-release`.
pub(super) fn find(image: &Arc<dyn BlockRead>, table: &PartitionTable) -> Result<Pair, InventoryError> {
    let mut probes = Vec::new();
    for partition in &table.partitions {
        let fault = InventoryError::boot(partition.number);
        let found = probe(&image, partition.range.start()).map_err(|error| fault(error.into()))?;
        probes.push((partition, found));
    }
    let of_kind = |kind| probes.iter().filter(move |(_, probe)| probe.filesystem == kind);

    let mut boots = Vec::new();
    for (partition, _) in of_kind(Filesystem::Fat) {
        let fault = InventoryError::boot(partition.number);
        let fat = window(image, partition).and_then(FatVolume::open).map_err(&fault)?;
        let names = ["/cmdline.txt", "/config.txt"];
        if has_any(&fat, &names).map_err(&fault)? {
            boots.push(((*partition).clone(), fat));
        }
    }
    let mut roots = Vec::new();
    for (partition, _) in of_kind(Filesystem::Ext4) {
        let fault = InventoryError::root(partition.number);
        let ext4 = RootFs::open(image, partition).map_err(&fault)?;
        if has_any(ext4.reader(), &["/etc/os-release", "/usr/lib/os-release"]).map_err(&fault)? {
            roots.push(((*partition).clone(), ext4));
        }
    }
    let (Some((boot, fat)), None) = (boots.pop(), boots.pop()) else {
        return Err(InventoryError::foreign(describe(&probes, "firmware")));
    };
    let (Some((root, ext4)), None) = (roots.pop(), roots.pop()) else {
        return Err(InventoryError::foreign(describe(&probes, "Linux root")));
    };
    Ok(Pair { boot, fat, root, ext4 })
}

/// What there is instead of exactly one partition of a kind.
fn describe(probes: &[(&Partition, Probe)], wanted: &str) -> String {
    if probes.is_empty() {
        return "its partition table is empty".to_owned();
    }
    if probes.iter().any(|(_, probe)| probe.label.as_deref().is_some_and(|l| l.starts_with("hassos-"))) {
        return "Home Assistant OS".to_owned();
    }
    let described: Vec<String> = probes
        .iter()
        .map(|(partition, probe)| {
            let label = probe.label.as_ref().map(|label| format!(" {label:?}")).unwrap_or_default();
            format!("{} {}{label}", partition.number, probe.filesystem.name())
        })
        .collect();
    format!("not exactly one {wanted} partition among {}", described.join(", "))
}

fn has_any(reader: &dyn FsReader, paths: &[&'static str]) -> Result<bool, FsError> {
    for path in paths {
        if reader.stat(&at(path))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
