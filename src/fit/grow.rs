//! A root partition and its filesystem grown to a card, offline.

use std::error::Error;
use std::sync::Arc;

use super::decide::{Fit, FitImage, Fitted, Why, as_is};
use super::error::FitError;
use super::hook::growth_of;
use super::room::Room;
use super::settle::{replay, still_read};
use super::tree::{Depth, Tree, tree};
use crate::cow::CowImage;
use crate::disk::block::BlockRead;
use crate::disk::partition_table::{self, Partition, PartitionTable};
use crate::disk::range::ByteRange;
use crate::disk::window::Window;
use crate::fs::error::FsError;
use crate::fs::ext4::{Ext4Editor, Ext4Facts};
use crate::interrupt::Interrupt;
use crate::inventory;
use crate::inventory::find::find;

/// Grows what pibake knows and what does not grow by itself; leaves everything else as it is.
pub(super) fn grow(
    base: &Arc<dyn BlockRead>,
    table: &PartitionTable,
    room: Room,
    request: &FitImage<'_>,
) -> Result<Fitted, FitError> {
    let root = match find(base, table) {
        Ok(pair) => pair.root,
        Err(error) => return Ok(as_is(base, unknown(&error))),
    };
    if !table.is_last(root.number) {
        return Ok(as_is(base, Why::NotLast(root.number)));
    }
    let (image, notes) = match recovered(base, &root, request) {
        Ok(recovered) => recovered,
        // Whatever is wrong with it, the system that mounts it is the one to judge.
        Err(error) => return Ok(as_is(base, unknown(&error))),
    };
    let image = Arc::new(image);
    let seen: Arc<dyn BlockRead> = Arc::<CowImage>::clone(&image);
    match inventory::take(&seen) {
        Ok(inventory) => {
            if let Some(what) = growth_of(&inventory) {
                return Ok(as_is(base, Why::GrowsItself(what.to_owned())));
            }
        }
        Err(error) => return Ok(as_is(base, unknown(&error))),
    }
    let before = files(&seen, root.range, root.number, request.interrupt)?;
    drop(seen);
    let mut image = Arc::into_inner(image).ok_or_else(|| still_read(root.number))?;
    let grown = extend(&mut image, &root, room, request)?;
    let image = proved(image, &root, grown, before, request.interrupt)?;
    Ok(Fitted { image, fit: Fit::Grown { from: root.range.len(), to: grown.len() }, notes })
}

/// An error and its causes in one line.
fn unknown(error: &dyn Error) -> Why {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    Why::Unknown(text)
}

/// The image with its root filesystem as the next mount would leave it, its journal replayed; and what that took.
fn recovered(
    base: &Arc<dyn BlockRead>,
    root: &Partition,
    request: &FitImage<'_>,
) -> Result<(CowImage, Vec<String>), FitError> {
    let mut image = CowImage::new(Arc::clone(base));
    let notes = replay(&mut image, root, &request.stamp)?;
    Ok((image, notes))
}

/// Makes image, partition and filesystem longer; where the partition lies then.
fn extend(
    image: &mut CowImage,
    root: &Partition,
    room: Room,
    request: &FitImage<'_>,
) -> Result<ByteRange, FitError> {
    image.grow(room.image).map_err(FitError::io(format!("growing the image to {} bytes", room.image)))?;
    let grown = partition_table::grow_last(image, root.number, room.end)?;
    let failed = FitError::filesystem("growing", root.number);
    let window = Window::new(image, grown).map_err(|error| failed(error.into()))?;
    let mut editor = Ext4Editor::open(window, request.stamp.clone()).map_err(&failed)?;
    editor.grow(grown.len()).map_err(&failed)?;
    editor.finish().map_err(&failed)?;
    Ok(grown)
}

/// Makes sure that the table says what it should, that nothing of the filesystem contradicts itself, and that the
/// files are those that were there.
fn proved(
    image: CowImage,
    root: &Partition,
    grown: ByteRange,
    before: Tree,
    interrupt: &Interrupt,
) -> Result<CowImage, FitError> {
    let number = root.number;
    let wrong = |what: String| FitError::Proof { number, how: "grown", what };
    let table = partition_table::read(&image)?;
    if table.partition(number).map(|partition| partition.range) != Some(grown) {
        return Err(wrong("the partition table does not say so".to_owned()));
    }
    let image = Arc::new(image);
    let seen: Arc<dyn BlockRead> = Arc::<CowImage>::clone(&image);
    let facts = Window::new(Arc::clone(&seen), grown).map_err(FsError::from).and_then(Ext4Facts::open);
    facts.and_then(|facts| facts.used_ranges()).map_err(|error| wrong(error.to_string()))?;
    let after = files(&seen, grown, number, interrupt)?;
    if after != before {
        return Err(wrong(format!("its {} files are not the {} that were there", after.paths, before.paths)));
    }
    drop(seen);
    Arc::into_inner(image).ok_or_else(|| still_read(number))
}

fn files(
    image: &Arc<dyn BlockRead>,
    range: ByteRange,
    number: u32,
    interrupt: &Interrupt,
) -> Result<Tree, FitError> {
    let window = Window::new(Arc::clone(image), range).map_err(FsError::from);
    let tree = window.and_then(|window| tree(window, Depth::Names, interrupt));
    interrupt.check()?;
    tree.map_err(FitError::filesystem("reading", number))
}
