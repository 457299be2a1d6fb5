//! What was found, for a person or a program.

use anyhow::Context as _;

use crate::cli::print;
use crate::cli::table::{Table, printable, size};
use crate::fs::volume::Volume;

use super::super::context::Context;
use super::found::{Against, Found, Place};

/// Names in a line; `--verbose` and JSON have all.
const SHOWN: usize = 6;

pub(super) fn tell(context: &Context, found: &Found) -> anyhow::Result<()> {
    if context.common.json {
        let value = serde_json::to_value(found).context("writing what was found as JSON")?;
        return print(format_args!("{value:#}\n"));
    }
    if context.common.quiet {
        return Ok(());
    }
    print(text(found, context.common.verbose))
}

fn text(found: &Found, verbose: bool) -> String {
    let mut text = heading(found);
    for sign in &found.used {
        text += &format!("  {}\n", printable(sign));
    }
    let shown: Vec<&Place> = found.differing.iter().filter(|place| verbose || !place.expected).collect();
    if !shown.is_empty() {
        let mut table = Table::new(["DIFFERS AT", "LENGTH", "WHERE"]);
        for place in shown {
            table.row([place.offset.to_string(), size(place.len), names(&place.holds, verbose)]);
        }
        text += &table.to_string();
    }
    if !found.findings.is_empty() {
        let mut table = Table::new(["PATH", "FOUND", ""]);
        for finding in &found.findings {
            let path = match finding.volume {
                Volume::Boot => format!("firmware partition: {}", finding.path),
                Volume::Root => finding.path.to_string(),
            };
            let note = if finding.expected { "as a node that runs does" } else { "WRONG" };
            table.row([path, finding.what.clone(), note.to_owned()]);
        }
        text += &table.to_string();
    }
    text
}

fn heading(found: &Found) -> String {
    let (card, node) = (found.device.display(), &found.node);
    let checked = match &found.against {
        Against::Receipt { flashed, .. } => {
            format!("{} compared with the receipt of {}", size(found.bytes), printable(flashed))
        }
        Against::Fresh => format!("{} paths compared with a new bake", found.paths),
    };
    let verdict = match (found.holds, found.used.is_empty()) {
        (true, true) => format!("holds {node} as it was baked"),
        (true, false) => {
            format!("was used since it was flashed; its {} injected paths are as they should be", found.paths)
        }
        (false, true) => format!("does not hold {node} as it was baked"),
        (false, false) => "was used since it was flashed, and is not what it should be".to_owned(),
    };
    format!("{card} {verdict} ({checked})\n")
}

fn names(holds: &[String], verbose: bool) -> String {
    let shown = if verbose { holds.len() } else { SHOWN };
    let more = holds.len().saturating_sub(shown);
    let mut names: Vec<String> = holds.iter().take(shown).cloned().collect();
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    names.join("; ")
}
