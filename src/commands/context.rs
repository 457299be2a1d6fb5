//! What every command works with.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use crate::cli::args::Common;
use crate::cli::progress;
use crate::error::{Advise, ExitCode};
use crate::interrupt::Interrupt;
use crate::invoker::{self, Invoker};
use crate::progress::{Event, Progress};

/// What every command works with: who called, with which options, who hears of progress, and how to stop.
pub(super) struct Context {
    pub(super) common: Common,
    pub(super) invoker: Invoker,
    pub(super) progress: Arc<dyn Progress>,
    pub(super) interrupt: Interrupt,
    pub(super) cwd: PathBuf,
    pub(super) cache_dir: PathBuf,
}

impl Context {
    /// Becomes the invoking user, before anything is read or written.
    pub(super) fn new(common: Common) -> anyhow::Result<Self> {
        let invoker = invoker::assume().context("finding out who called")?;
        let interrupt = Interrupt::on_signals().context("listening for signals")?;
        let cwd = std::env::current_dir().context("finding the current directory")?;
        let progress = progress::choose(common.json, common.quiet);
        let cache_dir = invoker.cache_dir(&|name| std::env::var_os(name));
        Ok(Self { common, invoker, progress, interrupt, cwd, cache_dir })
    }

    /// Tells a person something that is no error.
    pub(super) fn note(&self, text: impl Into<String>) {
        self.progress.event(Event::Note(text.into()));
    }

    /// Tells a person what to look at, each line beginning with `warning:`.
    pub(super) fn warn<'a>(&self, warnings: impl IntoIterator<Item = &'a String>) {
        for warning in warnings {
            self.note(format!("warning: {warning}"));
        }
    }

    /// Seconds since 1970 that cards start from: `SOURCE_DATE_EPOCH`, or now.
    pub(super) fn bake_time(&self) -> anyhow::Result<i64> {
        match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(text) => text.parse().ok().filter(|time| *time >= 0).ok_or(()).or_else(|()| {
                Err(io::Error::other(format!("SOURCE_DATE_EPOCH is {text:?}")))
                    .advise(ExitCode::Usage, "set it to seconds since 1970, or leave it out for the time now")
            }),
            Err(_) => Ok(time::OffsetDateTime::now_utc().unix_timestamp()),
        }
    }
}
