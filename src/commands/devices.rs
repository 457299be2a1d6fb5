//! `pibake devices`: which cards may be written, and why other disks may not.

use anyhow::Context as _;
use serde_json::json;

use crate::cli::print;
use crate::cli::table::{Table, size};
use crate::device::policy::{Options, assess};

use super::context::Context;

pub(super) fn run(context: &Context) -> anyhow::Result<()> {
    let devices = crate::device::list().context("listing the disks of this machine")?;
    let assessed: Vec<_> = devices
        .into_iter()
        .map(|info| {
            let refusals = assess(&info, 0, &Options::default()).refusals().to_vec();
            (info, refusals)
        })
        .collect();
    if context.common.json {
        let all: Vec<_> = assessed
            .iter()
            .map(|(info, refusals)| {
                json!({ "device": info, "writable": refusals.is_empty(), "refusals": refusals })
            })
            .collect();
        return print(format_args!("{:#}\n", json!({ "devices": all })));
    }
    let mut table = Table::new(["DEVICE", "SIZE", "BUS", "MODEL", "SERIAL", "MAY BE WRITTEN"]);
    for (info, refusals) in &assessed {
        let verdict = refusals.iter().map(|refusal| refusal.why.as_str()).collect::<Vec<_>>().join("; ");
        table.row([
            info.path.display().to_string(),
            size(info.size),
            info.bus.clone().unwrap_or_default(),
            info.model.clone().unwrap_or_default(),
            info.serial.clone().unwrap_or_default(),
            if refusals.is_empty() { "yes".to_owned() } else { format!("no: {verdict}") },
        ]);
    }
    print(table)
}
