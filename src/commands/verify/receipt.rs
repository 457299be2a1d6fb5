//! A card against the receipt of its flash.

use std::iter;
use std::path::Path;
use std::sync::Arc;

use crate::audit::paths::audit;
use crate::audit::signs::Signs;
use crate::cli::args::{NodeArgs, VerifyArgs};
use crate::device::info::DeviceInfo;
use crate::disk::block::BlockRead;
use crate::error::{Advise, ExitCode, advise, advised};
use crate::inventory::find::Pair;
use crate::sink::card::{CardReader, CheckError, Checked, Differing, Expectation, check};
use crate::sink::receipt::{Receipt, VERSION};
use crate::state::{State, StoredReceipt};
use crate::usage::owner::owners;

use super::super::card::{Privileged, open_to_read, refusal};
use super::super::context::Context;
use super::super::prepare;
use super::found::{Against, Found, Place};
use super::look::{another, describe, open};

/// Ranges of which it is told what lies there. A card of another node differs in hundreds.
const NAMED: usize = 16;
/// Bytes between two places of a range that are looked at: blocks of a filesystem.
const STEP: u64 = 4096;
/// Places looked at in a range. Those that pibake writes down are hardly larger than 8 MiB.
const PLACES: usize = 4096;

/// Reads a card back against the newest receipt of the node and the card.
pub(super) fn compare(context: &Context, args: &VerifyArgs) -> anyhow::Result<Found> {
    let cluster = prepare::cluster(context, true)?;
    prepare::pick(&cluster, &NodeArgs { nodes: vec![args.node.clone()], all: false })?;
    let info = describe(context, &args.device)?;
    let state = prepare::existing_state(context, &cluster)?;
    let (stored, receipt) = newest(state.as_ref(), &args.node, &info)?;
    let card = CardReader::open(&info, &Privileged(&context.invoker)).map_err(refusal)?;
    let checked = read_back(context, &card, args, &stored, &receipt)?;
    let against = Against::Receipt { file: stored.path, flashed: receipt.finished.clone() };
    let mut found = Found::new(&args.node, &info, against);
    found.bytes = checked.bytes;
    found.holds = checked.differing.is_empty();
    if !found.holds {
        explain(context, Arc::new(card), &receipt, checked.differing, &mut found)?;
    }
    Ok(found)
}

/// The newest receipt of a node on this card.
fn newest(state: Option<&State>, node: &str, info: &DeviceInfo) -> anyhow::Result<(StoredReceipt, Receipt)> {
    let mut others = Vec::new();
    let mut newest: Option<(StoredReceipt, Receipt)> = None;
    for stored in state.map_or(Ok(Vec::new()), |state| state.receipts(node))? {
        let receipt = parse(&stored)?;
        if !is_of(&receipt, info) {
            others.push(receipt.serial.unwrap_or_else(|| receipt.device.display().to_string()));
            continue;
        }
        // Times in UTC sort as texts do; of two in one second the later file counts.
        if newest.as_ref().is_none_or(|(_, before)| before.finished <= receipt.finished) {
            newest = Some((stored, receipt));
        }
    }
    others.sort();
    others.dedup();
    newest.ok_or_else(|| {
        let card = info.serial.as_ref().map_or_else(String::new, |serial| format!(", serial {serial}"));
        let others = match &others[..] {
            [] => String::new(),
            others => format!(" (there are some of {})", others.join(", ")),
        };
        advised(
            ExitCode::Usage,
            format!("there is no receipt of {node} on {}{card}{others}", info.path.display()),
            "flash it, put it into the reader it was flashed in, or compare it with a new bake: --fresh",
        )
    })
}

fn parse(stored: &StoredReceipt) -> anyhow::Result<Receipt> {
    let damaged = |why: String| {
        advised(
            ExitCode::Failed,
            format!("the receipt {} is damaged: {why}", stored.path.display()),
            "remove it, and flash the card again or compare it with a new bake: --fresh",
        )
    };
    let receipt: Receipt =
        serde_json::from_value(stored.receipt.clone()).map_err(|error| damaged(error.to_string()))?;
    if receipt.version > VERSION {
        return Err(advised(
            ExitCode::Failed,
            format!("the receipt {} was written by a later pibake", stored.path.display()),
            "use that one",
        ));
    }
    if receipt.ranges.is_empty() {
        return Err(damaged("it has no ranges".to_owned()));
    }
    Ok(receipt)
}

/// Whether a receipt speaks of this card: by its serial, or by its name where it has none.
fn is_of(receipt: &Receipt, info: &DeviceInfo) -> bool {
    match (&receipt.serial, &info.serial) {
        (Some(then), Some(now)) => then == now,
        (None, None) => receipt.device == info.path,
        _ => false,
    }
}

fn read_back(
    context: &Context,
    card: &CardReader,
    args: &VerifyArgs,
    stored: &StoredReceipt,
    receipt: &Receipt,
) -> anyhow::Result<Checked> {
    let expected = Expectation {
        digests: &receipt.ranges,
        device_size: receipt.device_size,
        subject: &args.node,
        progress: context.progress.as_ref(),
        interrupt: &context.interrupt,
    };
    check(card, &expected).map_err(|error| match error {
        CheckError::Receipt { .. } => advise(
            ExitCode::Failed,
            anyhow::Error::new(error).context(format!("reading {}", stored.path.display())),
            "remove it, and flash the card again or compare it with a new bake: --fresh",
        ),
        CheckError::Shrunk { .. } => advise(
            ExitCode::CardMismatch,
            error,
            "this is another card than the one that was flashed, or not all of it",
        ),
        CheckError::Read(error) => {
            let code = error.exit_code();
            advise(code, error, "try again; a card or a reader that fails twice is to be replaced")
        }
    })
}

/// Finds out why a card differs: another node's, used since, or damaged.
fn explain(
    context: &Context,
    card: Arc<dyn BlockRead>,
    receipt: &Receipt,
    differing: Vec<Differing>,
    found: &mut Found,
) -> anyhow::Result<()> {
    let named = name(context, &found.device, &differing)?;
    let (pair, manifest) = match open(&card) {
        Ok(opened) => opened,
        Err(why) => {
            found.problem = Some(why);
            found.differing = places(&differing, named, |_| false);
            return Ok(());
        }
    };
    found.problem = another(&manifest, &receipt.cluster, &receipt.node).or_else(|| {
        (manifest.plan != receipt.plan).then(|| format!("it holds {} of another plan", receipt.node))
    });
    if found.problem.is_some() {
        found.differing = places(&differing, named, |_| false);
        return Ok(());
    }
    let signs = Signs::look(&card, &pair, &manifest, receipt.image_size);
    found.take(audit(&manifest, &pair, signs.used(), &context.interrupt)?);
    found.differing = places(&differing, named, |span| is_explained(&signs, span, &pair));
    found.holds = found.nothing_wrong();
    found.used = [signs.root, signs.boot].concat();
    Ok(())
}

/// The spans, with what lies in the first of them.
fn places(
    differing: &[Differing],
    named: Vec<Vec<String>>,
    is_expected: impl Fn(&Differing) -> bool,
) -> Vec<Place> {
    let named = named.into_iter().chain(iter::repeat_with(Vec::new));
    let places = differing.iter().zip(named);
    places.map(|(span, named)| Place::new(span.range, is_expected(span), named)).collect()
}

/// Whether use accounts for a span. One digest stands for all of its pieces, so one of them is enough: nobody
/// can tell any more which of them changed.
fn is_explained(signs: &Signs, span: &Differing, pair: &Pair) -> bool {
    span.pieces.iter().any(|piece| signs.explain(*piece, pair))
}

/// What lies in the first of the ranges: partitions and files. Structure is read through the cache, which is
/// quick; what counts was read from the medium.
fn name(context: &Context, device: &Path, differing: &[Differing]) -> anyhow::Result<Vec<Vec<String>>> {
    let image = open_to_read(context, device).advise(ExitCode::Failed, "put the card in again")?;
    let places = |span: &Differing| -> Vec<u64> {
        let blocks = span.pieces.iter().flat_map(|piece| (piece.start()..piece.end()).step_by(STEP as usize));
        blocks.take(PLACES).collect()
    };
    let spans: Vec<Vec<u64>> = differing.iter().take(NAMED).map(places).collect();
    let mut told = owners(&image, &spans.concat()).into_iter();
    let named = spans.iter().map(|span| {
        let mut names: Vec<String> = Vec::new();
        for place in told.by_ref().take(span.len()).map(|place| place.to_string()) {
            if !names.contains(&place) {
                names.push(place);
            }
        }
        names
    });
    Ok(named.collect())
}
