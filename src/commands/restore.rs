//! `pibake restore`: any image onto a card, proved.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::json;

use crate::cli::args::CardArgs;
use crate::cli::print;
use crate::cli::table::Table;
use crate::source::{self, OpenImage};

use super::card::{self, Leave};
use super::context::Context;
use super::writing::{HEADING, Ready, Written, row, unusable};

pub(super) fn run(context: &Context, file: &Path, device: &PathBuf, args: &CardArgs) -> anyhow::Result<()> {
    let source = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let looked = card::look(context, std::slice::from_ref(device), args, &[source])?;
    let request = OpenImage {
        path: file,
        expected_sha256: None,
        cache_dir: &context.cache_dir,
        progress: &context.progress,
        interrupt: &context.interrupt,
    };
    let base = source::open_arriving(&request)
        .map_err(|error| unusable(error, "name an image, packed or not, as it was published or baked"))?;
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
    let ready = Ready::new(context, name, Arc::clone(&base.blocks), &base, args)?;
    let cards = looked.into_iter().map(|looked| (looked, ready.becomes())).collect();
    let targets = card::confirm(context, args, cards, Leave::Yes)?;
    let target = targets.first().context("no card was confirmed")?;
    let written = ready.write(context, target)?;
    tell(context, &ready, &written)
}

fn tell(context: &Context, ready: &Ready<'_>, written: &Written) -> anyhow::Result<()> {
    let (what, device, report) = (ready.becomes().what, &written.flashed.device, &written.flashed.report);
    if context.common.json {
        return print(format_args!(
            "{:#}\n",
            json!({
                "file": what,
                "device": device.path,
                "serial": device.serial,
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
