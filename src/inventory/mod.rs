//! What was found in an image: release, architecture, network stack, hooks, accounts, free space, and the
//! texts the plan edits. Found by looking inside, never guessed from a file name.

mod collect;
pub mod error;
mod find;
mod os;
mod packages;
pub mod probe;
pub mod signs;
pub mod survey;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod types;

use std::sync::Arc;

use collect::Collected;
use error::InventoryError;
use find::Pair;
use types::{FirstBootHook, Inventory, Layout, Space};

use crate::disk::block::BlockRead;
use crate::disk::partition_table::{self, PartitionTable};
use crate::fs::ext4::Ext4Facts;
use crate::fs::path::FsPath;
use crate::plan::change::Volume;

/// Takes the inventory of a Raspberry Pi OS image.
///
/// # Errors
/// `Foreign` with what was found when it is something else, `UnknownRelease`, or what could not be read.
pub fn take(image: &Arc<dyn BlockRead>) -> Result<Inventory, InventoryError> {
    let table = partition_table::read(image)?;
    let pair = find::find(image, &table)?;
    let (in_boot, in_root) = (InventoryError::boot(pair.boot.number), InventoryError::root(pair.root.number));
    let os = os::identify(&pair.fat, &pair.ext4, pair.root.number)?;

    let mut collected = Collected::default();
    collected.take_boot(&pair.fat).map_err(&in_boot)?;
    collected.take_root(&pair.ext4).map_err(&in_root)?;
    let cmdline = collected.text(Volume::Boot, &at("/cmdline.txt")).unwrap_or_default();
    let fstab = collected.text(Volume::Root, &at("/etc/fstab")).unwrap_or_default();
    let machine_id = signs::machine_id(collected.text(Volume::Root, &at("/etc/machine-id")).as_deref());
    let hook = signs::hook(&cmdline);

    let facts = find::window(image, &pair.root).and_then(Ext4Facts::open).map_err(&in_root)?;
    let (boot_space, root_space) = (pair.fat.space().map_err(&in_boot)?, facts.space());
    Ok(Inventory {
        release: os.release,
        os_id: os.os_id,
        pretty_name: os.pretty_name,
        build_date: os.build_date,
        arch: os.arch,
        stack: signs::network_stack(&collected, |name| os.packages.contains_key(name), os.release)?,
        hook,
        firmware_mount: signs::firmware_mount(&fstab, os.release)?,
        layout: layout(image.size(), &table, &pair),
        boot_space: Space {
            block_size: boot_space.cluster_size,
            free_blocks: boot_space.free_clusters,
            free_inodes: None,
        },
        root_space: Space {
            block_size: root_space.block_size,
            free_blocks: root_space.free_blocks,
            free_inodes: Some(root_space.free_inodes),
        },
        // Images of early 2017 and before were published with an identity: the hook decides.
        booted: machine_id == signs::MachineId::Set && hook == FirstBootHook::None,
        newest_mtime: facts.newest_mtime().map_err(&in_root)?,
        packages: os.packages,
        manifest: manifest(&collected),
        files: collected.files,
        present: collected.present,
        meta: collected.meta,
        links: collected.links,
    })
}

fn layout(image_size: u64, table: &PartitionTable, pair: &Pair) -> Layout {
    Layout {
        table: table.kind.name().to_owned(),
        disk_id: table.disk_id,
        image_size,
        boot_number: pair.boot.number,
        root_number: pair.root.number,
        boot: (pair.boot.range.start(), pair.boot.range.len()),
        root: (pair.root.range.start(), pair.root.range.len()),
        root_is_last: table.is_last(pair.root.number),
    }
}

/// What an earlier pibake recorded, if it can be read.
fn manifest(collected: &Collected) -> Option<serde_json::Value> {
    let bytes = collected.files.get(&(Volume::Root, at("/usr/share/pibake/manifest.json")))?;
    serde_json::from_slice(bytes).ok()
}

/// A path known when this program is built.
fn at(path: &'static str) -> FsPath {
    FsPath::new(path).expect("constant paths are valid")
}
