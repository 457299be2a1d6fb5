//! Reading while the node works, and the rest while it is frozen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Order;
use super::disk::LiveDisk;
use super::error::LiveError;
use crate::disk::block::BlockRead;
use crate::disk::range::ByteRange;
use crate::disk::ranges;
use crate::fs::path::FsPath;
use crate::node::link::LinkError;
use crate::node::request::Request;
use crate::usage::used::{Content, Used, used};

/// What has changed is read again at most so often before the disk is frozen.
const PASSES: u32 = 5;

/// So little may be left for the freeze, in bytes: less is written while it is read again.
const LITTLE: u64 = 8 << 20;

/// How often it is tried to find bitmaps of a working filesystem that agree.
const ATTEMPTS: u32 = 3;

/// What was done while the node worked.
pub(super) struct Passes {
    /// How often it was read.
    pub(super) count: u32,
    pub(super) swap_files: Vec<FsPath>,
}

/// What was done while the disk was frozen.
pub(super) struct Still {
    pub(super) used: Used,
    pub(super) read: u64,
    pub(super) frozen: Duration,
    /// What did not go well afterwards.
    pub(super) warnings: Vec<String>,
}

/// Reads what is in use, and what has changed since until little is left.
pub(super) fn while_running(disk: &Arc<LiveDisk>, order: &Order<'_>) -> Result<Passes, LiveError> {
    let (in_use, swap_files) = in_use(disk, order)?;
    let mut began = Instant::now();
    disk.fetch(&ranges::without(&in_use.ranges, &disk.fresh()))?;
    let (mut count, mut before) = (1, u64::MAX);
    loop {
        disk.flush()?;
        let changed = ranges::without(&disk.stale()?, &swapped(disk, &swap_files)?);
        let left = ranges::total(&changed);
        disk.set_rate(left / began.elapsed().as_secs().max(1));
        if count == PASSES || left <= LITTLE || left > before / 4 * 3 {
            return Ok(Passes { count, swap_files });
        }
        (began, before) = (Instant::now(), left);
        disk.fetch(&changed)?;
        count += 1;
    }
}

/// Reads the rest of the frozen disk.
pub(super) fn while_frozen(
    disk: &Arc<LiveDisk>,
    order: &Order<'_>,
    swap_files: &[FsPath],
) -> Result<Still, LiveError> {
    let swapped = swapped(disk, swap_files)?;
    for unit in order.stop {
        disk.order(&Request::Stop(unit.clone()))?;
    }
    let before = disk.bytes_read();
    disk.order(&Request::Freeze)?;
    disk.is_frozen();
    disk.fetch(&ranges::without(&disk.stale_frozen()?, &swapped))?;
    let used = used(disk, swap_files).map_err(LiveError::of_io)?;
    disk.fetch(&ranges::without(&used.ranges, &disk.fresh()))?;
    let frozen = disk.order(&Request::Thaw)?;
    disk.is_thawed();
    let read = disk.bytes_read() - before;
    let warnings = if order.stop.is_empty() { Vec::new() } else { start(disk)? };
    Ok(Still { used, read, frozen: centiseconds(&frozen)?, warnings })
}

/// What is in use, as well as it can be told of a filesystem that works, where bitmaps may be written later than
/// what counts them; and the swap files.
fn in_use(disk: &Arc<LiveDisk>, order: &Order<'_>) -> Result<(Used, Vec<FsPath>), LiveError> {
    let blocks: Arc<dyn BlockRead> = disk.clone();
    let mut attempt = 1;
    loop {
        disk.flush()?;
        let swap_files = (order.swap_files)(&blocks);
        let found = used(disk, &swap_files).map_err(LiveError::of_io)?;
        if attempt == ATTEMPTS || found.mismatches().next().is_none() {
            return Ok((found, swap_files));
        }
        attempt += 1;
        disk.renew()?;
    }
}

/// What is swapped into: it changes all the time, and nobody wants it.
fn swapped(disk: &Arc<LiveDisk>, swap_files: &[FsPath]) -> Result<Vec<ByteRange>, LiveError> {
    let wanted = used(disk, swap_files).map_err(LiveError::of_io)?;
    let all = used(disk, &[]).map_err(LiveError::of_io)?;
    let partitions = wanted.partitions.iter().filter(|partition| partition.content == Content::Swap);
    let spaces = partitions.map(|partition| partition.range);
    Ok(ranges::without(&ranges::union(all.ranges.iter().copied().chain(spaces)), &wanted.ranges))
}

/// That a unit does not start is no reason to throw the capture away.
fn start(disk: &LiveDisk) -> Result<Vec<String>, LiveError> {
    match disk.order(&Request::Start) {
        Ok(_) => Ok(Vec::new()),
        Err(LiveError::Link(LinkError::No(why))) => Ok(vec![format!("not everything started again: {why}")]),
        Err(error) => Err(error),
    }
}

fn centiseconds(text: &str) -> Result<Duration, LiveError> {
    let told = text.trim().parse::<u64>().ok().and_then(|count| count.checked_mul(10));
    told.map(Duration::from_millis).ok_or_else(|| LiveError::Nonsense("it does not say how long".to_owned()))
}
