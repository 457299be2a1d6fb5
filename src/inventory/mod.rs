//! What was found in an image: release, architecture, network stack, hooks, accounts, free space, and the
//! texts the plan edits. Found by looking inside, never guessed from a file name.

mod collect;
pub mod error;
pub mod find;
pub mod leftovers;
mod os;
pub mod probe;
pub mod signs;
pub mod survey;
pub mod swap_files;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod types;
mod unfinished;
mod unreplayed;

use std::sync::Arc;

use collect::Collected;
use error::InventoryError;
use find::{Pair, RootFs};
use signs::MachineId;
use types::{FirstBootHook, Inventory, Layout, Space};

use crate::disk::block::BlockRead;
use crate::disk::partition_table::{self, PartitionTable};
use crate::fs::error::FsError;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;

/// Takes the inventory of a Raspberry Pi OS image.
///
/// # Errors
/// `Foreign` with what was found when it is something else, `UnknownRelease`, `Fs` when a filesystem is
/// damaged or not fit for editing, or what could not be read.
pub fn take(image: &Arc<dyn BlockRead>) -> Result<Inventory, InventoryError> {
    match look(image, &partition_table::read(image)?)? {
        (inventory, None) => Ok(inventory),
        (_, Some(unfit)) => Err(unfit),
    }
}

/// Looks into an image; beside the inventory, why the root filesystem cannot be edited. Then its room and
/// its newest file are not known and told as 0.
fn look(
    image: &Arc<dyn BlockRead>,
    table: &PartitionTable,
) -> Result<(Inventory, Option<InventoryError>), InventoryError> {
    let pair = find::find(image, table)?;
    let (in_boot, in_root) = (InventoryError::boot(pair.boot.number), InventoryError::root(pair.root.number));
    let root = pair.ext4.reader();
    let os = os::identify(&pair.fat, root, pair.root.number)?;

    let mut collected = Collected::default();
    collected.take_boot(&pair.fat).map_err(&in_boot)?;
    collected.take_root(root).map_err(&in_root)?;
    let cmdline = collected.text(Volume::Boot, &at("/cmdline.txt")).unwrap_or_default();
    let fstab = collected.text(Volume::Root, &at("/etc/fstab")).unwrap_or_default();
    let machine_id = signs::machine_id(collected.text(Volume::Root, &at("/etc/machine-id")).as_deref());
    let hook = signs::hook(&cmdline);
    let (boot_space, root_facts) =
        (pair.fat.space().map_err(&in_boot)?, root_facts(&pair).map_err(&in_root)?);

    let stack = signs::network_stack(&collected, |name| os.has_package(name), os.release)?;
    let inventory = Inventory {
        release: os.release,
        os_id: os.os_id,
        pretty_name: os.pretty_name,
        build_date: os.build_date,
        arch: os.arch,
        stack,
        hook,
        firmware_mount: signs::firmware_mount(&fstab, os.release)?,
        layout: layout(image.size(), table, &pair),
        boot_space: Space {
            block_size: boot_space.cluster_size,
            free_blocks: boot_space.free_clusters,
            free_inodes: None,
        },
        root_space: root_facts.0,
        // Images of early 2017 and before were published with an identity: the hook decides.
        booted: machine_id == MachineId::Set && hook == FirstBootHook::None,
        newest_mtime: root_facts.1,
        packages: os.packages,
        manifest: manifest(&collected),
        files: collected.files,
        present: collected.present,
        meta: collected.meta,
        links: collected.links,
    };
    let unfit = match pair.ext4 {
        RootFs::Clean(facts) => facts.check_editable().err().map(in_root),
        RootFs::Dirty(_, why) => Some(in_root(why)),
    };
    Ok((inventory, unfit))
}

/// Room in the root filesystem, and its newest file.
fn root_facts(pair: &Pair) -> Result<(Space, i64), FsError> {
    let RootFs::Clean(facts) = &pair.ext4 else {
        return Ok((Space { block_size: 0, free_blocks: 0, free_inodes: None }, 0));
    };
    let space = facts.space();
    let space = Space {
        block_size: space.block_size,
        free_blocks: space.free_blocks,
        free_inodes: Some(space.free_inodes),
    };
    Ok((space, facts.newest_mtime()?))
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
