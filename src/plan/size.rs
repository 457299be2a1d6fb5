//! How large the card image becomes, and the card has to be: what the plan needs against what the image has
//! free.

use std::collections::BTreeSet;

use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::plan::change::{Action, Change};

use super::build::Inputs;
use super::draft::Draft;
use super::error::PlanError;
use super::image::Image;
use super::{images, packages};

const MIB: u64 = 1 << 20;

/// Images grow to a multiple of this, which is what cards erase at a time and partitions are aligned to.
const ALIGN: u64 = 4 * MIB;

/// Free room that is left for the running system until its first growth: logs, the random seed, leases.
const SLACK: u64 = 16 * MIB;

/// Inodes left for the same.
const SLACK_INODES: u64 = 256;

/// One inode per so many bytes, as `mke2fs` makes them on the images (raspios.md section 1.5).
const BYTES_PER_INODE: u64 = 16_384;

/// Where 32 bits of 512-byte sectors end.
const MBR_LIMIT: u64 = (1 << 32) * 512;

/// What changes take of a filesystem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Need {
    blocks: u64,
    inodes: u64,
}

/// The size of the image in bytes; the image's own when nothing asks for more.
pub(super) fn image_size(inputs: &Inputs<'_>, draft: &mut Draft) -> u64 {
    let base = inputs.inventory.layout.image_size;
    check_boot(inputs, draft);
    let wanted = inputs.node.image.size.unwrap_or(0);
    let grown = base.saturating_add(missing(inputs, draft, 0)).max(wanted);
    if grown <= base {
        return base;
    }
    let size = grown.checked_next_multiple_of(ALIGN).unwrap_or(u64::MAX);
    if !inputs.inventory.layout.root_is_last {
        draft.error(PlanError::NoRoom(format!(
            "the image has to grow from {} to {} MiB, and its root partition is not the last on the disk",
            base / MIB,
            size / MIB
        )));
    }
    if inputs.inventory.layout.table != "gpt" && size > MBR_LIMIT {
        draft
            .error(PlanError::NoRoom(format!("{} MiB is more than its partition table can say", size / MIB)));
    }
    size
}

/// The size in bytes of the smallest card for an image of `image_size`: the image is as large as what is
/// written into it, and grows to the card before its packages are unpacked.
pub(super) fn card_size(inputs: &Inputs<'_>, image_size: u64, draft: &Draft) -> u64 {
    let unpacked = packages::unpacked(inputs).saturating_add(images::needed(inputs.staged));
    let needed = inputs.inventory.layout.image_size.saturating_add(missing(inputs, draft, unpacked));
    needed.checked_next_multiple_of(ALIGN).unwrap_or(u64::MAX).max(image_size)
}

/// How many bytes the root filesystem lacks for what is planned and for `later` bytes more.
///
/// Nothing that is replaced counts as freed: the old file goes only when the new one is whole. Of what is
/// grown by, a thirtieth goes to the tables of new block groups, and every group begun has some.
fn missing(inputs: &Inputs<'_>, draft: &Draft, later: u64) -> u64 {
    let space = inputs.inventory.root_space;
    let block = space.block_size.max(1);
    let need = needed(inputs, draft, Volume::Root, block);
    let need_blocks = need.blocks.saturating_add(later.div_ceil(block));
    let blocks = need_blocks.saturating_add(need_blocks / 20 + SLACK.div_ceil(block));
    let lacking_blocks = blocks.saturating_sub(space.free_blocks);
    let lacking_inodes = (need.inodes + SLACK_INODES).saturating_sub(space.free_inodes.unwrap_or(u64::MAX));
    let bytes = lacking_blocks.saturating_mul(block);
    let for_blocks = if bytes == 0 { 0 } else { bytes + bytes / 30 + 4 * MIB };
    for_blocks.max(lacking_inodes.saturating_mul(BYTES_PER_INODE))
}

/// Refuses changes that do not fit into the filesystems as they are.
pub(super) fn check_room(inputs: &Inputs<'_>, draft: &mut Draft) {
    check_boot(inputs, draft);
    let space = inputs.inventory.root_space;
    let block = space.block_size.max(1);
    let need = needed(inputs, draft, Volume::Root, block);
    if need.blocks > space.free_blocks || need.inodes > space.free_inodes.unwrap_or(u64::MAX) {
        draft.error(PlanError::NoRoom(format!(
            "the root filesystem has {} KiB and {} inodes free, and {} KiB and {} inodes are needed",
            space.free_blocks.saturating_mul(block) / 1024,
            space.free_inodes.unwrap_or(0),
            need.blocks.saturating_mul(block) / 1024,
            need.inodes
        )));
    }
}

fn check_boot(inputs: &Inputs<'_>, draft: &mut Draft) {
    let space = inputs.inventory.boot_space;
    let block = space.block_size.max(1);
    let need = needed(inputs, draft, Volume::Boot, block);
    if need.blocks > space.free_blocks {
        draft.error(PlanError::NoRoom(format!(
            "the FAT partition has {} KiB free, and {} KiB are to be written",
            space.free_blocks.saturating_mul(block) / 1024,
            need.blocks.saturating_mul(block) / 1024
        )));
    }
}

fn needed(inputs: &Inputs<'_>, draft: &Draft, volume: Volume, block: u64) -> Need {
    let image = Image { inventory: inputs.inventory };
    let mut need = Need::default();
    let mut directories = BTreeSet::new();
    for change in draft.changes().filter(|change| change.volume == volume) {
        need.blocks += blocks_of(change, block);
        need.inodes += u64::from(matches!(
            change.action,
            Action::File(_) | Action::Symlink { .. } | Action::Directory(_)
        ));
        let mut above = change.path.parent();
        while let Some(dir) = above.filter(|dir| !dir.is_root()) {
            above = dir.parent();
            directories.insert(dir);
        }
    }
    // A block for each that gets an entry, and an inode where it is not known to be there.
    need.blocks += directories.len() as u64;
    let unknown = |dir: &&FsPath| !image.has_on(volume, dir);
    need.inodes += directories.iter().filter(unknown).count() as u64;
    need
}

/// Blocks of one change: its bytes, and one for what hangs on the inode (extents, attributes, a long
/// target).
fn blocks_of(change: &Change, block: u64) -> u64 {
    match &change.action {
        Action::File(spec) => {
            spec.content.size().div_ceil(block)
                + u64::from(!spec.xattrs.is_empty())
                + spec.content.size().div_ceil(64 * MIB).saturating_sub(1)
        }
        Action::Directory(_) => 1,
        Action::Symlink { target } => u64::from(target.len() >= 60),
        Action::SetMeta(_) | Action::Rename { .. } | Action::Remove => 0,
    }
}
