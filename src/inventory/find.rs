//! Which partitions are the firmware's and the root filesystem: by what is in them, never by number.

use std::sync::Arc;

use super::at;
use super::error::InventoryError;
use super::os;
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
pub type PartitionBytes = Window<Arc<dyn BlockRead>>;

/// The two partitions, open for reading.
pub struct Pair {
    /// The firmware's partition.
    pub boot: Partition,
    /// Its filesystem.
    pub fat: FatVolume<PartitionBytes>,
    /// The root partition.
    pub root: Partition,
    /// Its filesystem.
    pub ext4: RootFs,
}

/// A root filesystem, as it can be read.
pub enum RootFs {
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
    #[must_use]
    pub fn reader(&self) -> &dyn FsReader {
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
///
/// # Errors
/// `Foreign` with what there is instead, or why the only candidate cannot be read.
pub fn find(image: &Arc<dyn BlockRead>, table: &PartitionTable) -> Result<Pair, InventoryError> {
    let mut probes = Vec::new();
    for partition in &table.partitions {
        let fault = InventoryError::boot(partition.number);
        let found = probe(&image, partition.range.start()).map_err(|error| fault(error.into()))?;
        probes.push((partition, found));
    }
    let of_kind = |kind| probes.iter().filter(move |(_, probe)| probe.filesystem == kind);

    let mut boots = Candidates::default();
    for (partition, _) in of_kind(Filesystem::Fat) {
        boots.look(partition, InventoryError::boot(partition.number), || {
            let fat = window(image, partition).and_then(FatVolume::open)?;
            Ok(has_any(&fat, &["/cmdline.txt", "/config.txt"])?.then_some(fat))
        });
    }
    let mut roots = Candidates::default();
    for (partition, _) in of_kind(Filesystem::Ext4) {
        roots.look(partition, InventoryError::root(partition.number), || {
            let ext4 = RootFs::open(image, partition)?;
            let names = ["/etc/os-release", "/usr/lib/os-release"];
            Ok(has_any(ext4.reader(), &names)?.then_some(ext4))
        });
    }
    let system = match &roots.found[..] {
        [(_, ext4)] => os::name(ext4.reader()),
        _ => None,
    };
    let (boot, fat) = boots.only(|| describe(&probes, "firmware", system))?;
    let (root, ext4) = roots.only(|| describe(&probes, "Linux root", None))?;
    Ok(Pair { boot, fat, root, ext4 })
}

/// Partitions that hold what was looked for.
struct Candidates<T> {
    found: Vec<(Partition, T)>,
    /// The first one that could not be read: it matters only when no other is found.
    fault: Option<InventoryError>,
}

impl<T> Default for Candidates<T> {
    fn default() -> Self {
        Self { found: Vec::new(), fault: None }
    }
}

impl<T> Candidates<T> {
    fn look(
        &mut self,
        partition: &Partition,
        fault: impl Fn(FsError) -> InventoryError,
        open: impl FnOnce() -> Result<Option<T>, FsError>,
    ) {
        match open() {
            Ok(Some(opened)) => self.found.push((partition.clone(), opened)),
            Ok(None) => {}
            Err(error) => self.fault = self.fault.take().or(Some(fault(error))),
        }
    }

    /// The one that was found, or why there is not one.
    fn only(mut self, described: impl FnOnce() -> String) -> Result<(Partition, T), InventoryError> {
        match (self.found.pop(), self.found.is_empty(), self.fault) {
            (Some(only), true, _) => Ok(only),
            (None, _, Some(fault)) => Err(fault),
            _ => Err(InventoryError::foreign(described())),
        }
    }
}

/// What there is instead of exactly one partition of a kind.
fn describe(probes: &[(&Partition, Probe)], wanted: &str, system: Option<String>) -> String {
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
    let system = system.map(|name| format!("{name}, ")).unwrap_or_default();
    format!("{system}not exactly one {wanted} partition among {}", described.join(", "))
}

fn has_any(reader: &dyn FsReader, paths: &[&'static str]) -> Result<bool, FsError> {
    for path in paths {
        if reader.stat(&at(path))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
