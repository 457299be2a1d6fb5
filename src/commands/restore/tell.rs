//! What a restored card holds, for a person or a program.

use serde_json::json;

use crate::cli::print;
use crate::cli::table::Table;
use crate::fit::Fit;
use crate::sink::receipt::Receipt;

use super::super::context::Context;
use super::super::writing::{HEADING, Ready, Written, row};

pub(super) fn tell(
    context: &Context,
    file: &str,
    ready: &Ready<'_>,
    written: &Written,
    fit: &Fit,
    receipt: Option<&Receipt>,
) -> anyhow::Result<()> {
    let (device, report) = (&written.flashed.device, &written.flashed.report);
    if context.common.json {
        return print(format_args!(
            "{:#}\n",
            json!({
                "file": file,
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
                "receipt": receipt,
            })
        ));
    }
    if context.common.quiet {
        return Ok(());
    }
    let heading = if receipt.is_some() { "NODE" } else { "FILE" };
    let mut table = Table::new([heading].into_iter().chain(HEADING.into_iter().skip(1)));
    table.row(row(&ready.becomes().what, &written.flashed));
    print(table)
}
