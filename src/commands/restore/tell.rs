//! What a restored card holds, for a person or a program.

use serde_json::json;

use crate::cli::print;
use crate::cli::table::Table;
use crate::fit::Fit;

use super::super::context::Context;
use super::super::writing::{HEADING, Ready, Written, row};

pub(super) fn tell(context: &Context, ready: &Ready<'_>, written: &Written, fit: &Fit) -> anyhow::Result<()> {
    let (what, device, report) = (ready.becomes().what, &written.flashed.device, &written.flashed.report);
    if context.common.json {
        return print(format_args!(
            "{:#}\n",
            json!({
                "file": what,
                "device": device.path,
                "serial": device.serial,
                "image_size": report.image_size(),
                "fitted": fit,
                "used": report.used(),
                "written": report.written(),
                "read_back": report.read_back(),
                "equal": report.equal(),
                "mode": report.mode(),
                "verified": true,
            })
        ));
    }
    if context.common.quiet {
        return Ok(());
    }
    let mut table = Table::new(["FILE"].into_iter().chain(HEADING.into_iter().skip(1)));
    table.row(row(&what, &written.flashed));
    print(table)
}
