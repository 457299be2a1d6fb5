//! What was found on a card, and what that means.

use std::path::PathBuf;

use serde::Serialize;

use crate::audit::paths::{Audit, Finding};
use crate::device::info::DeviceInfo;
use crate::disk::range::ByteRange;
use crate::error::{ExitCode, advised};

/// What was found on a card.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Found {
    pub(super) node: String,
    pub(super) device: PathBuf,
    pub(super) serial: Option<String>,
    pub(super) against: Against,
    /// Whether the card holds what it should.
    pub(super) holds: bool,
    /// Bytes compared with the receipt.
    pub(super) bytes: u64,
    /// Why nothing more could be told, or what else is wrong with the card as a whole.
    pub(super) problem: Option<String>,
    /// What says that it was used since it was flashed.
    pub(super) used: Vec<String>,
    /// Ranges that are not what was written.
    pub(super) differing: Vec<Place>,
    /// Injected paths that were looked at one by one.
    pub(super) paths: usize,
    /// Those that are not as they were baked.
    pub(super) findings: Vec<Finding>,
}

/// What a card was compared with.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Against {
    /// The receipt of its flash.
    Receipt {
        /// Its file.
        file: PathBuf,
        /// When the card was written, as the receipt has it.
        flashed: String,
    },
    /// What a bake would put into it now.
    Fresh,
}

/// A range that differs.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) len: u64,
    /// Whether use of the card accounts for it.
    pub(super) expected: bool,
    /// Partitions and files that lie there; empty when there are too many ranges to look.
    pub(super) holds: Vec<String>,
}

impl Found {
    /// Nothing found yet; the card holds nothing until something says so.
    pub(super) fn new(node: &str, info: &DeviceInfo, against: Against) -> Self {
        Self {
            node: node.to_owned(),
            device: info.path.clone(),
            serial: info.serial.clone(),
            against,
            holds: false,
            bytes: 0,
            problem: None,
            used: Vec::new(),
            differing: Vec::new(),
            paths: 0,
            findings: Vec::new(),
        }
    }

    /// Takes what was found path by path.
    pub(super) fn take(&mut self, audit: Audit) {
        self.paths += audit.paths;
        self.findings.extend(audit.findings);
    }

    /// Ranges that nothing accounts for.
    pub(super) fn unexpected(&self) -> impl Iterator<Item = &Place> {
        self.differing.iter().filter(|place| !place.expected)
    }

    /// Paths that nothing accounts for.
    pub(super) fn wrong(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !finding.expected)
    }

    /// Whether nothing is there that nothing accounts for.
    pub(super) fn nothing_wrong(&self) -> bool {
        self.unexpected().next().is_none() && self.wrong().next().is_none()
    }

    /// The error that ends the run, when the card does not hold what it should.
    pub(super) fn verdict(&self) -> anyhow::Result<()> {
        if self.holds {
            return Ok(());
        }
        let mut why = Vec::new();
        why.extend(self.problem.clone());
        match self.unexpected().count() {
            0 => {}
            1 => why.push("1 range is not what was written".to_owned()),
            count => why.push(format!("{count} ranges are not what was written")),
        }
        match self.wrong().count() {
            0 => {}
            1 => why.push("1 injected path is not what was baked".to_owned()),
            count => why.push(format!("{count} injected paths are not what was baked")),
        }
        let card = self.device.display();
        let node = &self.node;
        Err(advised(
            ExitCode::CardMismatch,
            format!("{card} does not hold what it should of {node}: {}", why.join("; ")),
            "flash it again; a card that loses what it held is to be replaced",
        ))
    }
}

impl Place {
    pub(super) fn new(range: ByteRange, expected: bool, holds: Vec<String>) -> Self {
        Self { offset: range.start(), len: range.len(), expected, holds }
    }
}
