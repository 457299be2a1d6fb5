//! A root filesystem as the next mount would leave it: what editing one needs.

use std::sync::Arc;

use super::error::FitError;
use crate::cow::CowImage;
use crate::disk::block::BlockRead;
use crate::disk::partition_table::{self, Partition};
use crate::disk::window::Window;
use crate::fs::ext4::{Recovered, Stamp, recover};
use crate::inventory::find::find;

/// Replays the journal of an image's root filesystem; what that took, in words. An image without one that can be found
/// is left as it is.
///
/// # Errors
/// What is wrong with the journal.
pub fn settle(image: CowImage, stamp: &Stamp) -> Result<(CowImage, Vec<String>), FitError> {
    let image = Arc::new(image);
    let seen: Arc<dyn BlockRead> = Arc::<CowImage>::clone(&image);
    let pair = partition_table::read(&seen).ok().and_then(|table| find(&seen, &table).ok());
    let root = pair.map(|pair| pair.root);
    drop(seen);
    let number = root.as_ref().map_or(0, |root| root.number);
    let mut image = Arc::into_inner(image).ok_or_else(|| still_read(number))?;
    let notes = root.map_or(Ok(Vec::new()), |root| replay(&mut image, &root, stamp))?;
    Ok((image, notes))
}

/// Replays the journal of a partition's filesystem; what that took, in words.
pub(super) fn replay(image: &mut CowImage, root: &Partition, stamp: &Stamp) -> Result<Vec<String>, FitError> {
    let failed = FitError::filesystem("replaying the journal of", root.number);
    let window = Window::new(image, root.range).map_err(|error| failed(error.into()))?;
    let done = recover(window, stamp).map_err(&failed)?;
    let mut notes = Vec::new();
    if done != Recovered::default() {
        notes.push(format!(
            "partition {} was not unmounted: its journal is replayed ({} transactions, {} blocks), and {} files without \
             a name are released",
            root.number,
            done.transactions,
            done.blocks,
            u64::from(done.orphans_removed) + u64::from(done.orphans_truncated)
        ));
    }
    Ok(notes)
}

/// A reader that outlives its reading: cannot be, and would be a reason not to edit.
pub(super) fn still_read(number: u32) -> FitError {
    let busy = std::io::Error::other("it is still being read");
    FitError::filesystem("looking into", number)(busy.into())
}
