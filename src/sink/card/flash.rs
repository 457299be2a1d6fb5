//! The one door to a card: a confirmed target goes in, a report comes out.

use super::job::{CardFailure, CardJob, CardState};
use super::report::CardReport;
use super::target::TargetMedium;
use super::write::write_card;
use crate::device::authority::Authority;
use crate::device::info::{DeviceInfo, Kind};
use crate::device::platform::System;
use crate::device::policy::ConfirmedTarget;
use crate::device::refusal::LookError;
use crate::error::ExitCode;
use crate::progress::Event;

/// A card that was written and proved.
#[derive(Clone, Debug)]
pub struct Flashed {
    /// The disk as it was when it was opened.
    pub device: DeviceInfo,
    /// What it holds.
    pub report: CardReport,
    /// Whether the reader let go of it.
    pub ejected: bool,
}

/// Why a card was not written.
#[derive(Debug, thiserror::Error)]
pub enum FlashError {
    /// It was not opened; nothing was written.
    #[error(transparent)]
    Target(#[from] LookError),
    /// Writing or proving it failed.
    #[error(transparent)]
    Card(#[from] CardFailure),
}

impl FlashError {
    /// The exit status it deserves.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Target(error) => error.exit_code(),
            Self::Card(failure) => failure.exit_code(),
        }
    }

    /// What the card is now.
    #[must_use]
    pub fn state(&self) -> CardState {
        match self {
            Self::Target(_) => CardState::Untouched,
            Self::Card(failure) => failure.state,
        }
    }
}

/// Opens a confirmed target, writes it, proves it and lets it go. Every check of the source has to have
/// passed before: the first thing that happens to the card is that it is made unbootable.
///
/// # Errors
/// When the target is no longer what was confirmed, or the card was not written and proved.
pub fn flash(
    target: &ConfirmedTarget,
    system: &System,
    authority: &dyn Authority,
    job: &CardJob<'_>,
) -> Result<Flashed, FlashError> {
    let open = target.open(system, authority)?;
    let device = open.info().clone();
    let medium = TargetMedium::new(open, authority);
    let report = write_card(&medium, job)?;
    for range in report.rewritten() {
        job.progress.event(Event::Note(format!(
            "{} read back wrong ({range}{}) and then rightly when written again: the card may be wearing out",
            device.path.display(),
            (job.place)(range.start()).map(|place| format!(", in {place}")).unwrap_or_default()
        )));
    }
    let ejected = let_go(medium, &device, job);
    Ok(Flashed { device, report, ejected })
}

/// Ejects the card if that is wanted, and else shows its new partitions here. Whether it was ejected; that neither
/// can be done takes nothing from what it holds.
fn let_go(medium: TargetMedium<'_>, device: &DeviceInfo, job: &CardJob<'_>) -> bool {
    let note = |text: String| job.progress.event(Event::Note(text));
    let path = device.path.display();
    if job.eject {
        match medium.eject() {
            Ok(()) => return true,
            Err(error) => {
                note(format!("{path} cannot be ejected from here ({error}): take the card out by hand"))
            }
        }
    }
    // A loop device without partitions says no, and that is all right.
    if let (Err(error), false) = (medium.release(), matches!(device.kind, Kind::Loop(_))) {
        note(format!(
            "the new partitions of {path} show here once the card is taken out and put back in ({error})"
        ));
    }
    false
}
