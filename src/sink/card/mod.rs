//! Writing one card: only what is in use, only what differs, and so that it cannot boot before it is proved.
//!
//! Order (design.md section 6, rule 6), a file each: `sample` what the card holds, `clear` both ends, `probe` the
//! capacity, `choose` between a full write, which discards the card, and an update, write the `body`, `verify` it
//! on the medium and `mend` it once, and write the `head`, with the partition table. Each step takes the value that
//! the step before returns, so the order cannot be broken.
//!
//! Several requests are in flight at any time, begun in rising order by a few threads (`in_order`); reading the
//! image and hashing go on beside. Everything that a job borrows may be shared, so several cards can be written at
//! once, each in a thread of its own.

use std::num::NonZero;

mod body;
mod buffers;
mod check;
mod choose;
mod clear;
mod differ;
mod flash;
mod head;
mod job;
mod layout;
mod ledger;
mod medium;
mod mend;
mod probe;
mod ranges;
mod reader;
mod report;
mod sample;
mod spans;
mod target;
#[cfg(test)]
mod tests;
mod verify;
mod work;
mod write;

pub use check::{CheckError, Checked, Differing, Expectation, check};
pub use flash::{FlashError, Flashed, flash};
pub use job::{CardFailure, CardJob, CardState};
pub use medium::CardMedium;
pub use ranges::ImageRanges;
pub use reader::CardReader;
pub use report::{CardReport, Mode};
pub use spans::{Gap, SpanDigest};
pub use target::TargetMedium;

/// Bytes at the start of a card that are written last.
pub const HEAD: u64 = 1 << 20;

/// Bytes at the end of a card that are zeroed first: a stale copy of a GUID partition table lies there.
pub const TAIL: u64 = 1 << 20;

/// The largest read or write, in bytes; each lies between two multiples of it. Larger ones are no faster on
/// any card, and nothing can stop one that is under way.
pub const REQUEST: u64 = 1 << 20;

/// The least that a digest stands for, in bytes.
pub const SPAN: u64 = 4 << 20;

/// Requests in flight. Two keep a card busy; the others hide what reading the image takes.
const IN_FLIGHT: NonZero<usize> = NonZero::new(4).unwrap();

/// The alignment of reads and writes, in bytes, wherever the card's size and the image's end allow it: what
/// cards with blocks of 512 bytes work in as well.
const ALIGN: u64 = 4096;
