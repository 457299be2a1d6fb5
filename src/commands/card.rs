//! Choosing cards: looking at them, refusing them, showing them, and asking.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use crate::cli::args::CardArgs;
use crate::cli::progress::quiet;
use crate::cli::prompt;
use crate::cli::survey::in_short;
use crate::cli::table::{printable, size};
use crate::device::authority::Authority;
use crate::device::identity::Identity;
use crate::device::info::{DeviceInfo, Kind};
use crate::device::platform::{self, System};
use crate::device::policy::{Assessment, ConfirmedTarget, Consent, Options, assess, named_twice};
use crate::device::refusal::{LookError, Refusal, Refused};
use crate::disk::block::{BlockRead, FileBlocks};
use crate::error::{Advise, ExitCode, advise, advised};
use crate::inventory::survey::survey;
use crate::invoker::Invoker;

use super::context::Context;

/// A target that was looked at: what it is, and what makes it the same one later.
pub(super) struct Looked {
    pub(super) info: DeviceInfo,
    identity: Identity,
    options: Options,
}

/// What a card is to become.
pub(super) struct Becomes {
    /// A node, or a file.
    pub(super) what: String,
    /// Bytes of the image.
    pub(super) size: u64,
}

/// Whether `--yes` is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// It is, for cards that were there when the run began.
    Yes,
    /// Somebody has to be asked.
    Asked,
}

/// Root's rights for opening, unmounting, re-reading and ejecting a card, and for nothing else.
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

    fn eject(&self, disk: &File) -> io::Result<()> {
        self.0.as_root(|| platform::eject(disk))?
    }

    fn flush_cached(&self, disk: &File) -> io::Result<()> {
        self.0.as_root(|| platform::flush_cached(disk))?
    }
}

/// Describes the targets and refuses what can be refused before anything is baked. `sources` are files that
/// the cards' content is read from.
pub(super) fn look(
    context: &Context,
    devices: &[PathBuf],
    args: &CardArgs,
    sources: &[PathBuf],
) -> anyhow::Result<Vec<Looked>> {
    let options =
        Options { unmount: args.unmount, allow_fixed: args.allow_fixed.is_some(), sources: sources.to_vec() };
    let infos = devices.iter().map(|device| System::host().describe(device).map_err(refusal));
    let infos = infos.collect::<anyhow::Result<Vec<_>>>()?;
    let refused = infos.iter().flat_map(|info| assess(info, 0, &options).refusals().to_vec());
    accept(refused.chain(named_twice(&infos.iter().collect::<Vec<_>>())))?;
    let looked = |info| {
        let identity = Identity::take(&info, &Privileged(&context.invoker));
        Looked { info, identity, options: options.clone() }
    };
    Ok(infos.into_iter().map(looked).collect())
}

/// Shows the targets, asks, and gives back what may be written.
pub(super) fn confirm(
    context: &Context,
    args: &CardArgs,
    cards: Vec<(Looked, Becomes)>,
    leave: Leave,
) -> anyhow::Result<Vec<ConfirmedTarget>> {
    let assessed: Vec<(Assessment, Looked, Becomes)> = cards
        .into_iter()
        .map(|(looked, becomes)| (assess(&looked.info, becomes.size, &looked.options), looked, becomes))
        .collect();
    accept(assessed.iter().flat_map(|(assessment, ..)| assessment.refusals().to_vec()))?;
    let consents = if context.common.yes && leave == Leave::Yes {
        assessed.iter().map(|_| given(args)).collect()
    } else {
        // The image may still be on its way.
        let _quiet = quiet();
        for (_, looked, becomes) in &assessed {
            show(context, &looked.info, becomes);
        }
        ask(context, &assessed)?
    };
    let confirmed = assessed.into_iter().zip(&consents);
    confirmed
        .map(|((assessment, looked, _), consent)| {
            assessment.confirm(consent, looked.identity).map_err(|refused| refusal(refused.into()))
        })
        .collect()
}

fn accept(refusals: impl IntoIterator<Item = Refusal>) -> anyhow::Result<()> {
    let refusals: Vec<Refusal> = refusals.into_iter().collect();
    if refusals.is_empty() { Ok(()) } else { Err(refusal(Refused(refusals).into())) }
}

/// An error of the device room, with what can be done about it.
pub(super) fn refusal(error: LookError) -> anyhow::Error {
    let way_out = error.way_out();
    advise(error.exit_code(), error, way_out)
}

/// What `--yes` agrees to.
fn given(args: &CardArgs) -> Consent {
    match &args.allow_fixed {
        Some(Some(typed)) => Consent::Typed(typed.clone()),
        _ => Consent::Yes,
    }
}

/// One question for all cards that a yes is enough for, and one for each disk that cannot be taken out.
fn ask(context: &Context, assessed: &[(Assessment, Looked, Becomes)]) -> anyhow::Result<Vec<Consent>> {
    if !prompt::somebody_there() {
        return Err(advised(
            ExitCode::Usage,
            "there is nobody to ask whether this card may be overwritten",
            "say --yes if it may",
        ));
    }
    let mut agreed = None;
    assessed
        .iter()
        .map(|(assessment, looked, _)| {
            if assessment.needs_typing() {
                return type_name(context, assessment, &looked.info).map(Consent::Typed);
            }
            let which = if assessed.len() == 1 { "it" } else { "these cards" };
            let yes = match agreed {
                Some(yes) => yes,
                None => {
                    let question = format!("Everything on {which} will be lost.");
                    *agreed.insert(answered(prompt::yes(&question, &context.interrupt))?)
                }
            };
            if yes {
                Ok(Consent::Yes)
            } else {
                Err(advised(ExitCode::TargetRefused, "not confirmed", "nothing was written"))
            }
        })
        .collect()
}

fn type_name(context: &Context, assessment: &Assessment, info: &DeviceInfo) -> anyhow::Result<String> {
    let names = assessment.typeable().join("` or `");
    let question = format!("{} cannot be taken out. Type `{names}` to overwrite it:", info.path.display());
    answered(prompt::line(&question, &context.interrupt))
}

/// An answer, or why there is none.
fn answered<T>(answer: io::Result<T>) -> anyhow::Result<T> {
    answer.context("asking whether a card may be overwritten").advise(ExitCode::Failed, "nothing was written")
}

fn show(context: &Context, info: &DeviceInfo, becomes: &Becomes) {
    let mut lines = vec![format!("{}: {}", info.path.display(), describe(info))];
    lines.push(format!("  holds {}", content(context, info)));
    lines.push(format!("  will become {} ({})", becomes.what, size(becomes.size)));
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
pub(super) fn content(context: &Context, info: &DeviceInfo) -> String {
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::given;
    use crate::cli::args::{Cli, Command};
    use crate::device::policy::Consent;

    fn consent(option: &[&str]) -> Consent {
        let words = ["pibake", "flash", "--node", "pi1", "/dev/sdb", "--yes"].iter().chain(option);
        match Cli::parse_from(words).command {
            Command::Flash(args) => given(&args.card),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn yes_types_nothing() {
        assert_eq!(consent(&[]), Consent::Yes);
        // Which is not enough for a disk that cannot be taken out.
        assert_eq!(consent(&["--allow-fixed"]), Consent::Yes);
        assert_eq!(consent(&["--allow-fixed=S1"]), Consent::Typed("S1".to_owned()));
    }
}
