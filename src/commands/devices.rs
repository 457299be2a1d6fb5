//! `pibake devices`: which cards may be written, and why other disks may not.

use anyhow::Context as _;
use serde_json::json;

use crate::cli::print;
use crate::cli::table::{Table, size};
use crate::device::policy::{Options, assess};

use super::card::content;
use super::context::Context;

pub(super) fn run(context: &Context) -> anyhow::Result<()> {
    let devices = crate::device::list().context("listing the disks of this machine")?;
    let assessed: Vec<_> = devices
        .into_iter()
        .map(|info| {
            let refusals = assess(&info, 0, &Options::default()).refusals().to_vec();
            let holds = if info.size == 0 { String::new() } else { content(context, &info) };
            (info, holds, refusals)
        })
        .collect();
    if context.common.json {
        let all: Vec<_> = assessed
            .iter()
            .map(|(info, holds, refusals)| {
                let writable = refusals.is_empty();
                json!({ "device": info, "holds": holds, "writable": writable, "refusals": refusals })
            })
            .collect();
        return print(format_args!("{:#}\n", json!({ "devices": all })));
    }
    let mut table =
        Table::new(["DEVICE", "SIZE", "BUS", "REMOVABLE", "MODEL", "SERIAL", "HOLDS", "MAY BE WRITTEN"]);
    for (info, holds, refusals) in &assessed {
        let verdict = refusals.iter().map(|refusal| refusal.why.as_str()).collect::<Vec<_>>().join("; ");
        table.row([
            info.path.display().to_string(),
            size(info.size),
            info.bus.clone().unwrap_or_default(),
            if info.removable { "yes" } else { "no" }.to_owned(),
            info.model.clone().unwrap_or_default(),
            info.serial.clone().unwrap_or_default(),
            holds.clone(),
            if refusals.is_empty() { "yes".to_owned() } else { format!("no: {verdict}") },
        ]);
    }
    print(table)
}
