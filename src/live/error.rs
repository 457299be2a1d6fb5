//! Why there is no capture of a running node.

use std::io;
use std::time::Duration;

use crate::disk::range::ByteRange;
use crate::node::link::LinkError;

/// Why not. The node is as it was before, or will be once it has noticed.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The connection, or the node.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A part of the disk cannot be read.
    #[error("the node cannot read bytes {} to {} of its disk: {why}", .range.start(), .range.end())]
    Unreadable {
        /// Where.
        range: ByteRange,
        /// What `dd` says.
        why: String,
    },
    /// What the node says of itself makes no sense.
    #[error("the node's answer makes no sense: {0}")]
    Nonsense(String),
    /// The file that the disk is read into.
    #[error("keeping what was read: {0}")]
    Spool(#[source] io::Error),
    /// Too much has changed to be read in time.
    #[error(
        "the disk would have to stay frozen for longer than {} s: {} MiB are to be read again, and the node \
         writes {} MiB a second",
        .limit.as_secs(), .changed >> 20, .rate.div_ceil(1 << 20)
    )]
    TooBusy {
        /// How long it may.
        limit: Duration,
        /// Bytes that had changed.
        changed: u64,
        /// Bytes that change in a second.
        rate: u64,
    },
    /// The node's own timer ended the freeze.
    #[error("the disk was frozen for {} s, and the node thawed it", .0.as_secs())]
    Late(Duration),
}

impl LiveError {
    /// What a person can do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            LiveError::Link(error) => error.advice(),
            LiveError::Unreadable { .. } => {
                "the card is failing: switch the node off and take it with --rescue in a reader"
            }
            LiveError::Nonsense(_) => "`ssh` to it and look",
            LiveError::Spool(_) => {
                "the used bytes of the disk must fit beside the backup, for as long as it is made"
            }
            LiveError::TooBusy { .. } | LiveError::Late(_) => {
                "stop what writes with --stop UNIT, wait for a quieter moment, or allow more with --freeze-limit"
            }
        }
    }

    /// Finds again what went through a [`BlockRead`](crate::disk::block::BlockRead).
    pub(super) fn of_io(error: io::Error) -> Self {
        match error.downcast::<LiveError>() {
            Ok(error) => error,
            Err(error) => LiveError::Spool(error),
        }
    }
}
