//! A copy of a frozen disk, brought to where the running system would have left it at the end.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use crate::cow::CowImage;
use crate::disk::block::{BlockRead, FileBlocks};
use crate::disk::range::ByteRange;
use crate::disk::ranges;
use crate::disk::window::Window;
use crate::error::{ExitCode, advised};
use crate::fs::error::FsError;
use crate::fs::ext4::{self, Stamp};
use crate::fs::fat;
use crate::usage::used::{Content, Used};

/// The copy, and what was done to it.
pub(super) struct Settled {
    pub(super) blocks: Arc<dyn BlockRead>,
    pub(super) covers: Covers,
    pub(super) notes: Vec<String>,
}

/// What the copy really has of the disk.
pub(super) struct Covers(Vec<ByteRange>);

impl Covers {
    /// Nothing may be archived that was not read.
    pub(super) fn check(&self, used: &[ByteRange]) -> anyhow::Result<()> {
        match ranges::without(used, &self.0).first() {
            None => Ok(()),
            Some(missing) => Err(advised(
                ExitCode::Failed,
                format!("bytes {} to {} are in use and were not read", missing.start(), missing.end()),
                "capture it again",
            )),
        }
    }
}

/// Gives back what files without a name held that the system still used, and takes away the flag that FAT has
/// while it is mounted. A freeze has emptied the journals already.
pub(super) fn settle(copy: FileBlocks, used: &Used, now: SystemTime) -> Result<Settled, FsError> {
    let time =
        now.duration_since(SystemTime::UNIX_EPOCH).map_err(|error| io::Error::other(error.to_string()))?;
    let stamp = Stamp {
        time: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        // No inode is made
        generation_seed: [0; 32],
    };
    let mut image = CowImage::new(Arc::new(copy));
    let mut notes = Vec::new();
    for partition in &used.partitions {
        let window = Window::new(&mut image, partition.range)?;
        match partition.content {
            Content::Ext4 => {
                let recovered = ext4::recover(window, &stamp)?;
                let gone = recovered.orphans_removed + recovered.orphans_truncated;
                if gone > 0 {
                    let number = partition.number;
                    notes.push(format!(
                        "partition {number}: {gone} files that had no name any more were let go"
                    ));
                }
            }
            Content::Fat => {
                fat::set_unmounted(window)?;
            }
            Content::Swap | Content::Other => {}
        }
    }
    let covers = Covers(ranges::union(used.ranges.iter().copied().chain(image.dirty_ranges())));
    Ok(Settled { blocks: Arc::new(image), covers, notes })
}
