//! Looking at a card that may not be what it should.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::audit::manifest::Manifest;
use crate::device::info::{DeviceInfo, Usage};
use crate::device::platform::System;
use crate::device::policy::{Options, assess};
use crate::device::refusal::{Refused, Rule};
use crate::disk::block::BlockRead;
use crate::disk::partition_table;
use crate::inventory::find::{Pair, find};
use crate::inventory::survey::survey;

use super::super::card::refusal;
use super::super::context::Context;

/// Describes a card; what is no whole disk and no file standing for one is refused.
pub(super) fn describe(context: &Context, device: &Path) -> anyhow::Result<DeviceInfo> {
    let info = System::host().describe(device).map_err(refusal)?;
    // Rules that keep a disk from being written are no reason not to read it.
    let options = Options { unmount: true, allow_fixed: true, sources: Vec::new() };
    let mut refusals = assess(&info, 0, &options).refusals().to_vec();
    refusals.retain(|refusal| matches!(refusal.rule, Rule::NotADisk | Rule::Partition | Rule::NoCard));
    if !refusals.is_empty() {
        return Err(refusal(Refused(refusals).into()));
    }
    let mounted = info.usage.iter().find_map(|usage| match usage {
        Usage::Mounted { at, .. } => Some(at),
        _ => None,
    });
    if let Some(at) = mounted {
        context.warn(&[format!(
            "{} is mounted on {}: what is not written out yet is not on the card",
            info.path.display(),
            at.display()
        )]);
    }
    Ok(info)
}

/// The two filesystems of a card and its manifest, or in a few words what keeps them from being found.
pub(super) fn open(card: &Arc<dyn BlockRead>) -> Result<(Pair, Manifest), String> {
    let opened = || -> anyhow::Result<(Pair, Manifest)> {
        let table = partition_table::read(card).context("reading its partition table")?;
        let pair = find(card, &table).context("looking for its filesystems")?;
        let manifest = Manifest::of(pair.ext4.reader())?;
        Ok((pair, manifest))
    };
    opened().map_err(|error| {
        if survey(card).interrupted_flash {
            return "an interrupted flash: it has no partition table and does not boot".to_owned();
        }
        format!("{error:#}")
    })
}

/// In what a card's manifest names another node than the one meant, if it does.
pub(super) fn another(manifest: &Manifest, cluster: &str, node: &str) -> Option<String> {
    (manifest.node != node || manifest.cluster != cluster)
        .then(|| format!("it holds node {} of cluster {}", manifest.node, manifest.cluster))
}
