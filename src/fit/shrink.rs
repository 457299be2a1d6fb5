//! A partition and its filesystem shrunk, by e2fsprogs, on a copy.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::decide::{Fit, FitImage, Fitted};
use super::error::FitError;
use super::room::Room;
use super::spliced::Spliced;
use super::tools::{Subject, Tools};
use super::tree::{Depth, Tree, tree};
use crate::cow::CowImage;
use crate::disk::block::{BlockRead, FileBlocks};
use crate::disk::partition_table::{self, Partition, PartitionTable};
use crate::disk::range::ByteRange;
use crate::disk::ranges;
use crate::disk::window::Window;
use crate::fs::error::FsError;
use crate::fs::ext4;
use crate::fs::usage::Usage;
use crate::interrupt::Interrupt;
use crate::progress::{Event, Phase};

/// Bytes copied at once.
const CHUNK: u64 = 1 << 20;
/// Stretches of zeros of this length become holes.
const HOLE: usize = 64 << 10;

/// Shrinks the last partition so that the image fits into `room`.
pub(super) fn shrink(
    base: &Arc<dyn BlockRead>,
    table: &PartitionTable,
    room: Room,
    request: &FitImage<'_>,
) -> Result<Fitted, FitError> {
    let last = last_ext4(base, table, request.card)?;
    let to = room_of(last, room, base.size(), request.card)?;
    let mut notes = Vec::new();
    let window = Window::new(Arc::clone(base), last.range).map_err(FitError::io("reading the image"))?;
    let usage = ext4::usage(&window, &[]).map_err(FitError::filesystem("reading", last.number))?;
    // One that does not fill its partition may fit as it is.
    let patch = if usage.size > to.len() {
        Some(shrunk_copy(&window, &usage, (last, to, base.size()), request, &mut notes)?)
    } else {
        None
    };
    let image = shortened(base, last, to, room, patch)?;
    let table = partition_table::read(&image)?;
    if table.partition(last.number).map(|partition| partition.range) != Some(to) {
        let what = "the partition table does not say so".to_owned();
        return Err(FitError::Proof { number: last.number, how: "shrunk", what });
    }
    Ok(Fitted { image, fit: Fit::Shrunk { from: last.range.len(), to: to.len() }, notes })
}

/// The last partition, which must hold ext4 to be shrunk.
fn last_ext4<'a>(
    base: &Arc<dyn BlockRead>,
    table: &'a PartitionTable,
    card: u64,
) -> Result<&'a Partition, FitError> {
    let refused = |why: String| FitError::TooSmall { card, needs: base.size(), why };
    let last = table.partitions.iter().max_by_key(|partition| partition.range.end());
    let last = last.ok_or_else(|| refused("it has no partition that could be shrunk".to_owned()))?;
    let failed = FitError::filesystem("reading", last.number);
    let window = Window::new(base, last.range).map_err(|error| failed(error.into()))?;
    match ext4::history(&window) {
        Ok(_) => Ok(last),
        Err(FsError::Io(error)) => Err(failed(error.into())),
        Err(error) => {
            Err(refused(format!("its last partition, number {}, is not shrunk ({error})", last.number)))
        }
    }
}

/// Where the partition is to lie.
fn room_of(last: &Partition, room: Room, image: u64, card: u64) -> Result<ByteRange, FitError> {
    ByteRange::new(last.range.start(), room.end.min(last.range.end())).filter(|to| !to.is_empty()).ok_or_else(
        || {
            let why = format!("it ends before partition {} begins", last.number);
            FitError::TooSmall { card, needs: image, why }
        },
    )
}

/// The filesystem of a partition that is to lie elsewhere in an image of so many bytes, shrunk, in a file that has no
/// name.
fn shrunk_copy(
    window: &dyn BlockRead,
    usage: &Usage,
    (last, to, image): (&Partition, ByteRange, u64),
    request: &FitImage<'_>,
    notes: &mut Vec<String>,
) -> Result<File, FitError> {
    let number = last.number;
    let too_small = |least: u64| FitError::TooSmall {
        card: request.card,
        needs: last.range.start().saturating_add(least).max(request.card.saturating_add(1)),
        why: format!("the files of partition {number} take {least} bytes"),
    };
    let used = ranges::total(&usage.ranges);
    if used > to.len() {
        return Err(too_small(used));
    }
    let subject = Subject { number, image, card: request.card };
    let tools = Tools::new(subject, request.interrupt);
    let copy = copy_of(window, &usage.ranges, number, request)?;
    if tools.check(&copy)? {
        notes.push(format!("partition {number}: e2fsck replayed its journal, or repaired it"));
    }
    let before = files(&copy, window.size(), number, request.interrupt)?;
    let block = block_size(&copy, window.size(), number)?;
    let least = tools.least_blocks(&copy)?.saturating_mul(block);
    let len = to.len() - to.len() % block;
    if !tools.shrink(&copy, len)? {
        return Err(too_small(least));
    }
    tools.is_sound(&copy)?;
    if files(&copy, len, number, request.interrupt)? != before {
        let what = "its files are not those that were there".to_owned();
        return Err(FitError::Proof { number, how: "shrunk", what });
    }
    Ok(copy)
}

/// The image cut to the room, its last partition shortened and, if there is a copy, filled from it.
fn shortened(
    base: &Arc<dyn BlockRead>,
    last: &Partition,
    to: ByteRange,
    room: Room,
    copy: Option<File>,
) -> Result<CowImage, FitError> {
    let mut shortened = CowImage::new(Arc::clone(base));
    partition_table::shrink_last(&mut shortened, last.number, to.end())?;
    let putting = || FitError::io("putting the shrunk filesystem into the image");
    let cut: Arc<dyn BlockRead> = Arc::new(shortened);
    let patch: Box<dyn BlockRead> = match copy {
        Some(copy) => {
            Box::new(first(FileBlocks::new(copy).map_err(putting())?, to.len()).map_err(putting())?)
        }
        None => Box::new(Window::new(Arc::clone(&cut), to).map_err(putting())?),
    };
    let spliced = Spliced::new(cut, room.image, to.start(), patch).map_err(putting())?;
    let mut image = CowImage::new(Arc::new(spliced));
    partition_table::move_backup(&mut image)?;
    Ok(image)
}

/// The first `len` bytes of something.
fn first<D: BlockRead>(medium: D, len: u64) -> io::Result<Window<D>> {
    let range = ByteRange::with_len(0, len).ok_or(io::ErrorKind::InvalidInput)?;
    Window::new(medium, range)
}

/// A sparse copy of what is in use, readable by nobody else, without a name.
fn copy_of(
    window: &dyn BlockRead,
    used: &[ByteRange],
    number: u32,
    request: &FitImage<'_>,
) -> Result<File, FitError> {
    let dir = request.work_dir;
    let copying = || FitError::io(format!("copying the filesystem into {}", dir.display()));
    fs::create_dir_all(dir).map_err(copying())?;
    let copy = tempfile::tempfile_in(dir).map_err(copying())?;
    copy.set_len(window.size()).map_err(copying())?;
    let (phase, subject) = (Phase::Decoding, format!("partition {number}"));
    let total = Some(ranges::total(used));
    request.progress.event(Event::Start { phase, subject: subject.clone(), total });
    let mut buf = vec![0; CHUNK as usize];
    let mut done = 0;
    for range in used {
        let mut at = range.start();
        while at < range.end() {
            request.interrupt.check()?;
            // At most a chunk.
            let chunk = &mut buf[..(range.end() - at).min(CHUNK) as usize];
            window.read_at(at, chunk).map_err(FitError::io("reading the image"))?;
            write_sparse(&copy, at, chunk).map_err(copying())?;
            at += chunk.len() as u64;
            done += chunk.len() as u64;
            request.progress.event(Event::Advance { phase, subject: subject.clone(), done });
        }
    }
    request.progress.event(Event::Finish { phase, subject });
    Ok(copy)
}

/// Writes what is not zero.
fn write_sparse(copy: &File, at: u64, chunk: &[u8]) -> io::Result<()> {
    for (index, piece) in chunk.chunks(HOLE).enumerate() {
        if piece.iter().any(|byte| *byte != 0) {
            copy.write_all_at(piece, at + (index * HOLE) as u64)?;
        }
    }
    Ok(())
}

/// Bytes in a block of the filesystem in the copy.
fn block_size(copy: &File, len: u64, number: u32) -> Result<u64, FitError> {
    let facts = view(copy, len).and_then(ext4::Ext4Facts::open);
    Ok(facts.map_err(FitError::filesystem("reading", number))?.space().block_size)
}

fn files(copy: &File, len: u64, number: u32, interrupt: &Interrupt) -> Result<Tree, FitError> {
    let tree = view(copy, len).and_then(|view| tree(view, Depth::Contents, interrupt));
    interrupt.check()?;
    tree.map_err(FitError::filesystem("reading", number))
}

/// The first `len` bytes of the copy.
fn view(copy: &File, len: u64) -> Result<Window<FileBlocks>, FsError> {
    Ok(first(FileBlocks::new(copy.try_clone()?)?, len)?)
}
