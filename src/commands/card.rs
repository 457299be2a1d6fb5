//! Choosing a card: looking at it, refusing it, showing it, and asking.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::prompt;
use crate::cli::survey::in_short;
use crate::cli::table::{printable, size};
use crate::device::authority::Authority;
use crate::device::identity::Identity;
use crate::device::info::{DeviceInfo, Kind};
use crate::device::platform::{self, System};
use crate::device::policy::{Assessment, ConfirmedTarget, Consent, Options, assess};
use crate::device::refusal::{LookError, Refused};
use crate::disk::block::{BlockRead, FileBlocks};
use crate::error::{ExitCode, advise, advised};
use crate::inventory::survey::survey;
use crate::invoker::Invoker;
use crate::sink;
use crate::sink::card::{CardJob, FlashError, Flashed};
use crate::sink::error::SinkError;

use super::context::Context;

/// The target as the command line names it.
pub(super) struct Wanted {
    pub(super) device: PathBuf,
    pub(super) unmount: bool,
    pub(super) allow_fixed: Option<Option<String>>,
}

/// A target that was looked at: what it is, and what makes it the same one later.
pub(super) struct Looked {
    info: DeviceInfo,
    identity: Identity,
    options: Options,
}

/// Root's rights for opening, unmounting and re-reading a card, and for nothing else.
pub(super) struct Privileged<'a>(pub(super) &'a Invoker);

impl Authority for Privileged<'_> {
    fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<File> {
        self.0.as_root(|| options.open(path))?
    }

    fn unmount(&self, mount_point: &Path) -> io::Result<()> {
        self.0.as_root(|| platform::unmount(mount_point))?
    }

    fn reread_table(&self, disk: &File) -> io::Result<()> {
        self.0.as_root(|| platform::reread_table(disk))?
    }

    fn flush_cached(&self, disk: &File) -> io::Result<()> {
        self.0.as_root(|| platform::flush_cached(disk))?
    }
}

/// Describes the target and refuses what can be refused before anything is baked. `sources` are files that
/// the card's content is read from.
pub(super) fn look(context: &Context, wanted: &Wanted, sources: Vec<PathBuf>) -> anyhow::Result<Looked> {
    let info = System::host().describe(&wanted.device).map_err(refusal)?;
    let options = Options { unmount: wanted.unmount, allow_fixed: wanted.allow_fixed.is_some(), sources };
    accept(&assess(&info, 0, &options))?;
    let identity = Identity::take(&info, &Privileged(&context.invoker));
    Ok(Looked { info, identity, options })
}

/// Shows the target, asks, and gives back what may be written.
pub(super) fn confirm(
    context: &Context,
    wanted: &Wanted,
    looked: Looked,
    node: &str,
    image_size: u64,
) -> anyhow::Result<ConfirmedTarget> {
    let assessment = assess(&looked.info, image_size, &looked.options);
    accept(&assessment)?;
    let consent = if context.common.yes {
        given(wanted)
    } else {
        show(context, &looked.info, node, image_size);
        ask(&assessment)?
    };
    assessment.confirm(&consent, looked.identity).map_err(|refused| refusal(refused.into()))
}

/// Writes a confirmed target, all checks repeated on the open descriptor, and proves it.
pub(super) fn flash(
    context: &Context,
    target: &ConfirmedTarget,
    job: &CardJob<'_>,
) -> anyhow::Result<Flashed> {
    sink::card::flash(target, &System::host(), &Privileged(&context.invoker), job).map_err(
        |error| match error {
            FlashError::Target(error) => refusal(error),
            FlashError::Card(failure) => {
                let way_out = way_out(&failure.error);
                advise(failure.exit_code(), failure, way_out)
            }
        },
    )
}

/// What to do about a card that was not written.
fn way_out(error: &SinkError) -> &'static str {
    match error {
        SinkError::Wraps { .. } | SinkError::Forgetful { .. } => {
            "do not use this card: what is stored beyond its real size is lost"
        }
        _ => "try again; a card or a reader that fails twice is to be replaced",
    }
}

fn accept(assessment: &Assessment) -> anyhow::Result<()> {
    if assessment.refusals().is_empty() {
        return Ok(());
    }
    Err(refusal(Refused(assessment.refusals().to_vec()).into()))
}

fn refusal(error: LookError) -> anyhow::Error {
    let way_out = match &error {
        LookError::Refused(refused) => refused.way_out(),
        LookError::Denied { .. } => "run it with sudo; pibake uses root for opening the card only".to_owned(),
        _ => "nothing was written".to_owned(),
    };
    advise(error.exit_code(), error, way_out)
}

/// What `--yes` agrees to.
fn given(wanted: &Wanted) -> Consent {
    match &wanted.allow_fixed {
        Some(Some(typed)) => Consent::Typed(typed.clone()),
        _ => Consent::Yes,
    }
}

fn ask(assessment: &Assessment) -> anyhow::Result<Consent> {
    if !prompt::somebody_there() {
        return Err(advised(
            ExitCode::Usage,
            "there is nobody to ask whether this card may be overwritten",
            "say --yes if it may",
        ));
    }
    if assessment.needs_typing() {
        let names = assessment.typeable().join("` or `");
        return Ok(Consent::Typed(prompt::line(&format!(
            "This disk cannot be taken out. Type `{names}` to overwrite it:"
        ))?));
    }
    if prompt::yes("Everything on it will be lost.")? {
        Ok(Consent::Yes)
    } else {
        Err(advised(ExitCode::TargetRefused, "not confirmed", "nothing was written"))
    }
}

fn show(context: &Context, info: &DeviceInfo, node: &str, image_size: u64) {
    let mut lines = vec![format!("{}: {}", info.path.display(), describe(info))];
    lines.push(format!("  holds {}", content(context, info)));
    lines.push(format!("  will become {node} ({})", size(image_size)));
    // Whoever cannot see it is not asked either.
    let _ = writeln!(io::stderr(), "{}", lines.join("\n"));
}

/// Model, serial and size in a line.
pub(super) fn describe(info: &DeviceInfo) -> String {
    let model = match (&info.model, &info.kind) {
        (Some(model), _) => printable(model),
        (None, Kind::RegularFile) => "a regular file".to_owned(),
        (None, _) => "unknown model".to_owned(),
    };
    let serial = info.serial.as_ref().map(|serial| format!(", serial {}", printable(serial)));
    format!("{model}{}, {}", serial.unwrap_or_default(), size(info.size))
}

/// What is on the card now; one that cannot be read holds nothing that can be told.
fn content(context: &Context, info: &DeviceInfo) -> String {
    match open_to_read(context, &info.path) {
        Ok(blocks) => in_short(&survey(&blocks)),
        Err(error) => format!("what cannot be read ({error})"),
    }
}

/// Opens a disk or a file to look at it.
pub(super) fn open_to_read(context: &Context, path: &Path) -> io::Result<Arc<dyn BlockRead>> {
    let file = Privileged(&context.invoker).open(path, OpenOptions::new().read(true))?;
    Ok(Arc::new(FileBlocks::new(file)?))
}
