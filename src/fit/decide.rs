//! What becomes of an image on a card of another size.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::error::FitError;
use super::room::Room;
use super::{cut, grow, shrink};
use crate::cow::CowImage;
use crate::disk::block::BlockRead;
use crate::disk::error::DiskError;
use crate::disk::partition_table::{self, PartitionTable};
use crate::fs::ext4::Stamp;
use crate::interrupt::Interrupt;
use crate::progress::Progress;

/// Less than this is not worth a change: what `resize2fs` leaves out at most, and pibake's own growth.
const WORTHWHILE: u64 = 16 << 20;

/// What is to fit, and where.
pub struct FitImage<'a> {
    /// Bytes of the card.
    pub card: u64,
    /// Write it unchanged, whatever the card's size.
    pub as_is: bool,
    /// What changes to a filesystem get in place of the clock and of chance.
    pub stamp: Stamp,
    /// Where the copy of a filesystem goes that is to shrink; made if need be.
    pub work_dir: &'a Path,
    /// Hears how far the copying is.
    pub progress: &'a dyn Progress,
    /// Stops it.
    pub interrupt: &'a Interrupt,
}

/// An image that fits, and what was done to it.
pub struct Fitted {
    /// The image. May be changed further.
    pub image: CowImage,
    /// What became of it.
    pub fit: Fit,
    /// What else was done to it, in words.
    pub notes: Vec<String>,
}

/// What became of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Fit {
    /// Nothing.
    AsIs {
        /// Why not.
        why: Why,
    },
    /// Its last partition and the filesystem in it were grown.
    Grown {
        /// Bytes that the partition had.
        from: u64,
        /// Bytes that it has.
        to: u64,
    },
    /// What lay behind its last partition was left out.
    Cut {
        /// Bytes that the image had.
        from: u64,
        /// Bytes that it has.
        to: u64,
    },
    /// Its last partition and the filesystem in it were shrunk.
    Shrunk {
        /// Bytes that the partition had.
        from: u64,
        /// Bytes that it has.
        to: u64,
    },
}

/// Why an image stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It is as large as the card, or nearly.
    Fits,
    /// That was asked for.
    Asked,
    /// It grows by itself when it starts; what does it.
    GrowsItself(String),
    /// Another partition lies behind the root partition of this number.
    NotLast(u32),
    /// It is nothing that pibake knows to grow; what it is.
    Unknown(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fits => f.write_str("it fits"),
            Self::Asked => f.write_str("--as-is"),
            Self::GrowsItself(what) => write!(f, "{what} grows it to the card when it starts"),
            Self::NotLast(number) => write!(f, "another partition lies behind partition {number}"),
            Self::Unknown(what) => f.write_str(what),
        }
    }
}

/// Makes an image fit a card. One that cannot be told what it is stays as it is, for the card's policy to judge.
///
/// # Errors
/// [`FitError`]; the base is as it was, and nothing is left behind.
pub fn fit(base: &Arc<dyn BlockRead>, request: &FitImage<'_>) -> Result<Fitted, FitError> {
    if request.as_is {
        return Ok(as_is(base, Why::Asked));
    }
    if base.size() == request.card {
        return Ok(as_is(base, Why::Fits));
    }
    let table = match partition_table::read(base) {
        Ok(table) => table,
        Err(DiskError::Io(error)) => return Err(FitError::io("reading the partition table")(error)),
        Err(error) => return Ok(as_is(base, Why::Unknown(error.to_string()))),
    };
    if base.size() < request.card { larger(base, &table, request) } else { smaller(base, &table, request) }
}

fn larger(
    base: &Arc<dyn BlockRead>,
    table: &PartitionTable,
    request: &FitImage<'_>,
) -> Result<Fitted, FitError> {
    let room = Room::on(request.card, table);
    let last = table.partitions.iter().map(|partition| partition.range.end()).max().unwrap_or(0);
    if room.image < base.size() || room.end < last.saturating_add(WORTHWHILE) {
        return Ok(as_is(base, Why::Fits));
    }
    grow::grow(base, table, room, request)
}

fn smaller(
    base: &Arc<dyn BlockRead>,
    table: &PartitionTable,
    request: &FitImage<'_>,
) -> Result<Fitted, FitError> {
    let whole = request.card - request.card % table.sector_size;
    if cut::can_end_at(table, whole) {
        let image = cut::cut(Arc::clone(base), whole)?;
        return Ok(Fitted { image, fit: Fit::Cut { from: base.size(), to: whole }, notes: Vec::new() });
    }
    shrink::shrink(base, table, Room::on(request.card, table), request)
}

pub(super) fn as_is(base: &Arc<dyn BlockRead>, why: Why) -> Fitted {
    Fitted { image: CowImage::new(Arc::clone(base)), fit: Fit::AsIs { why }, notes: Vec::new() }
}
