//! What became of each card: the last lines, the JSON, the exit status.

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::print;
use crate::cli::table::Table;
use crate::device::info::DeviceInfo;
use crate::error::{ExitCode, advised};
use crate::sink::receipt::Receipt;

use super::super::context::Context;
use super::super::status;
use super::super::writing::{HEADING, Written, row};

/// A node, the card it was to have, and whether it has it.
pub(super) struct Outcome {
    pub(super) node: String,
    pub(super) device: DeviceInfo,
    pub(super) written: anyhow::Result<(Written, Receipt)>,
}

impl Outcome {
    /// What went wrong, in a line.
    pub(super) fn failure(&self) -> Option<String> {
        let error = self.written.as_ref().err()?;
        Some(format!("{} on {}: {error:#}", self.node, self.device.path.display()))
    }

    fn json(&self) -> anyhow::Result<Value> {
        let receipt =
            self.written.as_ref().ok().map(|(_, receipt)| serde_json::to_value(receipt)).transpose();
        Ok(json!({
            "node": self.node,
            "device": self.device.path,
            "receipt": receipt.context("writing the receipt as JSON")?,
            "error": self.written.as_ref().err().map(|error| format!("{error:#}")),
        }))
    }
}

/// Says which node is on which card. A run for one node prints its receipt and nothing around it.
pub(super) fn tell(context: &Context, outcomes: &[Outcome], nodes: usize) -> anyhow::Result<()> {
    if context.common.json {
        let value = match outcomes {
            [Outcome { written: Ok((_, receipt)), .. }] if nodes == 1 => {
                serde_json::to_value(receipt).context("writing the receipt as JSON")?
            }
            [Outcome { written: Err(_), .. }] if nodes == 1 => return Ok(()),
            _ => json!({ "cards": outcomes.iter().map(Outcome::json).collect::<anyhow::Result<Vec<_>>>()? }),
        };
        return print(format_args!("{value:#}\n"));
    }
    if context.common.quiet || outcomes.iter().all(|outcome| outcome.written.is_err()) {
        return Ok(());
    }
    let mut table = Table::new(HEADING);
    for outcome in outcomes {
        table.row(match &outcome.written {
            Ok((written, _)) => row(&outcome.node, &written.flashed),
            Err(_) => {
                let device = outcome.device.path.display().to_string();
                let mut cells = vec![outcome.node.clone(), device];
                cells.extend(["-", "-", "-", "-", "NOT WRITTEN"].map(str::to_owned));
                cells
            }
        });
    }
    print(table)
}

/// The error that ends the run, if a card failed.
pub(super) fn verdict(mut outcomes: Vec<Outcome>) -> anyhow::Result<()> {
    if let [_] = outcomes.as_slice() {
        return outcomes.remove(0).written.map(|_| ());
    }
    let failures: Vec<String> = outcomes.iter().filter_map(Outcome::failure).collect();
    if failures.is_empty() {
        return Ok(());
    }
    let codes = outcomes.iter().filter_map(|outcome| outcome.written.as_ref().err()).map(status::of);
    Err(advised(
        ExitCode::of_many(codes),
        format!("{} of {} cards were not written\n{}", failures.len(), outcomes.len(), failures.join("\n")),
        "flash them again; --skip-done leaves out those that are done",
    ))
}
