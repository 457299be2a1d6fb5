//! What was found, for a person and for a program.

use std::fmt::Write;

use serde_json::json;

use crate::check::finding::{Area, NodeReport, Verdict};
use crate::cli::print;
use crate::cli::table::Table;
use crate::commands::context::Context;

use super::names;

/// Prints them as asked for: as JSON, as tables, or not at all.
pub(super) fn show(context: &Context, cluster: &str, reports: &[NodeReport]) -> anyhow::Result<()> {
    if context.common.json {
        let document = json!({
            "cluster": cluster,
            "as_baked": reports.iter().all(NodeReport::is_as_baked),
            "outdated": names(reports, |report| report.outdated),
            "nodes": reports,
        });
        return print(format_args!("{document:#}\n"));
    }
    if context.common.quiet {
        return Ok(());
    }
    print(overview(reports))?;
    let details = details(reports, context.common.verbose);
    if !details.is_empty() {
        print(format_args!("\n{details}"))?;
    }
    let outdated = names(reports, |report| report.outdated);
    if !outdated.is_empty() {
        print(format_args!("\nbaked with another plan than the one of now: {}\n", outdated.join(", ")))?;
    }
    Ok(())
}

/// A line for every node.
fn overview(reports: &[NodeReport]) -> Table {
    let areas = Area::ALL.map(Area::heading);
    let mut table = Table::new(["NODE", "ADDRESS"].into_iter().chain(areas));
    for report in reports {
        let mut row = vec![report.node.clone(), report.address.to_string()];
        match &report.silent {
            Some(_) => row.push("no answer".to_owned()),
            None => row.extend(Area::ALL.map(|area| word(report.worst(area)).to_owned())),
        }
        table.row(row);
    }
    table
}

fn word(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Ok) => "ok",
        Some(Verdict::Wrong) => "WRONG",
        Some(Verdict::Unknown) => "unknown",
        Some(Verdict::Note) => "note",
        None => "-",
    }
}

/// Why nodes are silent, and everything that is not as it should be; with `all`, what is, too.
fn details(reports: &[NodeReport], all: bool) -> String {
    let mut text = String::new();
    for report in reports {
        if let (Some(why), Some(advice)) = (&report.silent, report.advice) {
            let _ = writeln!(text, "{}: {why}\n    {advice}", report.node);
        }
    }
    let mut table = Table::new(["NODE", "", "WHAT", "EXPECTED", "FOUND"]);
    let mut any = false;
    for report in reports {
        for finding in report.findings.iter().filter(|finding| all || finding.verdict != Verdict::Ok) {
            let (what, expected, found) = (finding.what, finding.expected.as_str(), finding.found.as_str());
            table.row([&report.node, word(Some(finding.verdict)), what, expected, found]);
            any = true;
        }
    }
    if any {
        if !text.is_empty() {
            text.push('\n');
        }
        let _ = write!(text, "{table}");
    }
    text
}
