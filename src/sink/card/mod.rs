//! Writing one card so that it cannot boot before it is proved.
//!
//! Order (design.md section 6, rule 6): both ends are zeroed; everything but the first MiB is written, flushed,
//! read back from the medium and compared; the first MiB, with the partition table, follows last. Each step
//! takes the value that the step before returns, so the order cannot be broken.

mod flash;
mod medium;
mod spans;
mod steps;
mod target;
#[cfg(test)]
mod tests;
mod writer;

pub use flash::{FlashError, Flashed, flash};
pub use medium::CardMedium;
pub use spans::{ImageRanges, SpanDigest};
pub use target::TargetMedium;
pub use writer::{CardFailure, CardJob, CardReport, CardState};

/// Bytes at the start of a card that are written last.
pub const HEAD: u64 = 1 << 20;

/// Bytes at the end of a card that no image reaches and that are zeroed: a stale copy of a GUID partition
/// table lies there.
pub const TAIL: u64 = 1 << 20;

/// Bytes written or read at once, from one multiple of it to the next.
pub const CHUNK: u64 = 4 << 20;
