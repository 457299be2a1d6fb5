//! What was done: receipts of flashed cards, and the last bake of each node.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use time::macros::format_description;

use super::error::{StateError, corrupt};
use super::lock::LockedState;
use super::{State, private};

/// More receipts in one second than anybody can flash cards.
const PER_SECOND: u32 = 9999;

/// A receipt that was kept.
#[derive(Clone, Debug)]
pub struct StoredReceipt {
    /// Its file.
    pub path: PathBuf,
    /// What it says.
    pub receipt: Value,
}

impl StoredReceipt {
    /// The digest of the plan that the card was written by, in hexadecimal.
    #[must_use]
    pub fn plan(&self) -> Option<&str> {
        self.receipt.get("plan")?.as_str()
    }

    /// Whether the card holds a capture that was made the node's, and no bake.
    #[must_use]
    pub fn is_restored(&self) -> bool {
        self.receipt["restored"] == true
    }
}

/// The last bake of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedBake {
    /// The plan's digest, in hexadecimal.
    pub plan: String,
    /// The bake time, in seconds since 1970.
    pub time: i64,
}

impl State {
    /// A node's receipts, oldest first.
    ///
    /// # Errors
    /// When one is damaged, or open to others.
    pub fn receipts(&self, node: &str) -> Result<Vec<StoredReceipt>, StateError> {
        let dir = self.receipt_dir(node);
        if !private::check_dir(&dir)? {
            return Ok(Vec::new());
        }
        let mut receipts = Vec::new();
        for name in private::names(&dir)?.iter().filter(|name| name.ends_with(".json")) {
            let path = dir.join(name);
            if let Some(receipt) = read_json(&path)? {
                receipts.push(StoredReceipt { path, receipt });
            }
        }
        Ok(receipts)
    }

    /// A node's newest receipt, if it has one.
    ///
    /// # Errors
    /// As [`receipts`](Self::receipts).
    pub fn newest_receipt(&self, node: &str) -> Result<Option<StoredReceipt>, StateError> {
        Ok(self.receipts(node)?.pop())
    }

    /// The last bake of a node, if there was one.
    ///
    /// # Errors
    /// When the record is damaged, or open to others.
    pub fn recorded_bake(&self, node: &str) -> Result<Option<RecordedBake>, StateError> {
        let path = self.bake_path(node);
        let Some(value) = read_json(&path)? else { return Ok(None) };
        let bake = serde_json::from_value(value).map_err(|error| corrupt(&path, error.to_string()))?;
        Ok(Some(bake))
    }

    fn bake_path(&self, node: &str) -> PathBuf {
        self.dir().join(super::BAKES).join(format!("{node}.json"))
    }
}

impl LockedState<'_> {
    /// Keeps a receipt under the node's name and `time` (seconds since 1970); says where.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_receipt(&self, node: &str, time: i64, receipt: &Value) -> Result<PathBuf, StateError> {
        let dir = self.state.receipt_dir(node);
        private::create_dir(&self.state.dir().join(super::RECEIPTS))?;
        private::create_dir(&dir)?;
        let text = json_text(receipt);
        let stamp = stamp(time);
        for count in 1..=PER_SECOND {
            let path = dir.join(format!("{stamp}-{count:04}.json"));
            if private::write_new(&path, text.as_bytes(), &dir)? {
                return Ok(path);
            }
        }
        Err(corrupt(&dir, format!("it holds {PER_SECOND} receipts of one second")))
    }

    /// Remembers a node's bake in place of the one before.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn record_bake(&self, node: &str, plan: &[u8; 32], time: i64) -> Result<(), StateError> {
        private::create_dir(&self.state.dir().join(super::BAKES))?;
        let bake = serde_json::json!({ "plan": HEXLOWER.encode(plan), "time": time });
        private::write(&self.state.bake_path(node), json_text(&bake).as_bytes())
    }
}

fn read_json(path: &Path) -> Result<Option<Value>, StateError> {
    let Some(bytes) = private::read(path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| corrupt(path, error.to_string()))
}

fn json_text(value: &Value) -> String {
    format!("{value:#}\n")
}

/// A time as a file name that sorts: `20261120T090534Z`.
fn stamp(time: i64) -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    OffsetDateTime::from_unix_timestamp(time)
        .ok()
        .and_then(|time| time.format(format).ok())
        // A year beyond 9999: still a name, if one that no longer sorts.
        .unwrap_or_else(|| format!("at-{time}"))
}
