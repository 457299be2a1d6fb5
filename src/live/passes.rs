//! Reading while the node works, and the rest while it is frozen.

use std::time::{Duration, Instant};

use super::Order;
use super::disk::LiveDisk;
use super::error::LiveError;
use crate::disk::range::ByteRange;
use crate::disk::ranges;
use crate::node::link::LinkError;
use crate::node::request::Request;
use crate::usage::used::{Content, Used, used};

/// What has changed is read again at most so often before the disk is frozen.
const PASSES: u32 = 5;

/// So little may be left for the freeze, in bytes: less is written while it is read again.
const LITTLE: u64 = 8 << 20;

/// How often it is tried to find bitmaps of a working filesystem that agree.
const ATTEMPTS: u32 = 3;

/// What was done while the disk was frozen.
pub(super) struct Still {
    pub(super) used: Used,
    pub(super) read: u64,
    pub(super) frozen: Duration,
    /// What did not go well afterwards.
    pub(super) warnings: Vec<String>,
}

/// Reads what is in use, and what has changed since until little is left. How often it has read.
pub(super) fn while_running(disk: &LiveDisk<'_>, order: &Order<'_>) -> Result<u32, LiveError> {
    let in_use = in_use(disk, order)?;
    let mut began = Instant::now();
    disk.fetch(&ranges::without(&in_use.ranges, &disk.fresh()))?;
    let mut before = u64::MAX;
    for pass in 1..=PASSES {
        disk.flush()?;
        let changed = changed(disk, &swapped(disk, order)?)?;
        let left = ranges::total(&changed);
        disk.set_rate(left / began.elapsed().as_secs().max(1));
        if pass == PASSES || left <= LITTLE || left > before / 4 * 3 {
            return Ok(pass);
        }
        (began, before) = (Instant::now(), left);
        disk.fetch(&changed)?;
    }
    Ok(PASSES)
}

/// Reads the rest of the frozen disk.
pub(super) fn while_frozen(disk: &LiveDisk<'_>, order: &Order<'_>) -> Result<Still, LiveError> {
    let swapped = swapped(disk, order)?;
    for unit in order.stop {
        disk.order(&Request::Stop(unit.clone()))?;
    }
    let before = disk.bytes_read();
    disk.order(&Request::Freeze)?;
    disk.is_frozen(order.limit);
    let changed = ranges::without(&disk.stale_frozen()?, &swapped);
    disk.fetch(&changed)?;
    let used = used(disk, order.swap_files).map_err(LiveError::of_io)?;
    disk.fetch(&ranges::without(&used.ranges, &disk.fresh()))?;
    let frozen = disk.order(&Request::Thaw)?;
    disk.is_thawed();
    let read = disk.bytes_read() - before;
    let warnings = if order.stop.is_empty() { Vec::new() } else { start(disk)? };
    Ok(Still { used, read, frozen: centiseconds(&frozen)?, warnings })
}

/// What is in use, as well as it can be told of a filesystem that works: what is written last are its bitmaps.
fn in_use(disk: &LiveDisk<'_>, order: &Order<'_>) -> Result<Used, LiveError> {
    let mut attempt = 1;
    loop {
        disk.flush()?;
        let found = used(disk, order.swap_files).map_err(LiveError::of_io)?;
        if attempt == ATTEMPTS || found.mismatches().next().is_none() {
            return Ok(found);
        }
        attempt += 1;
        disk.forget();
    }
}

/// What is swapped into: it changes all the time, and nobody wants it.
fn swapped(disk: &LiveDisk<'_>, order: &Order<'_>) -> Result<Vec<ByteRange>, LiveError> {
    let wanted = used(disk, order.swap_files).map_err(LiveError::of_io)?;
    let all = used(disk, &[]).map_err(LiveError::of_io)?;
    let partitions = wanted.partitions.iter().filter(|partition| partition.content == Content::Swap);
    let spaces = partitions.map(|partition| partition.range);
    Ok(ranges::without(&ranges::union(all.ranges.iter().copied().chain(spaces)), &wanted.ranges))
}

fn changed(disk: &LiveDisk<'_>, swapped: &[ByteRange]) -> Result<Vec<ByteRange>, LiveError> {
    Ok(ranges::without(&disk.stale()?, swapped))
}

/// That a unit does not start is no reason to throw the capture away.
fn start(disk: &LiveDisk<'_>) -> Result<Vec<String>, LiveError> {
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
