//! The cluster's keys: the passphrase they may be under, and what to do when they cannot be used.

use std::fs::File;
use std::io::{self, Read as _};

use crate::cli::prompt;
use crate::config::types::Secret;
use crate::error::{ExitCode, advise};
use crate::keys::KeyError;
use crate::state::StateError;

use super::context::Context;

/// No passphrase is longer: a wrong file name must not fill the memory.
const PASSPHRASE_MAX: u64 = 4096;

/// The passphrase that the keys are under: from `--passphrase-file`, or from the person at the terminal.
pub(super) fn passphrase(context: &Context) -> io::Result<Secret> {
    let Some(path) = &context.common.passphrase_file else {
        return prompt::secret("passphrase of the cluster's keys");
    };
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut text = zeroize::Zeroizing::new(String::new());
    File::open(path).and_then(|file| file.take(PASSPHRASE_MAX).read_to_string(&mut text)).map_err(named)?;
    Ok(Secret::new(text.strip_suffix('\n').unwrap_or(&text).to_owned()))
}

/// What is to be done about keys that cannot be used.
pub(super) fn advised(error: StateError) -> anyhow::Error {
    let (code, what_to_do) = match &error {
        StateError::Key(KeyError::TooEarly { .. }) => {
            (ExitCode::Usage, "set SOURCE_DATE_EPOCH to a later time, or leave it out for the time now")
        }
        StateError::Key(KeyError::Ended { .. }) => (
            ExitCode::Usage,
            "`pibake keys rotate ca` makes a new one; every card must then be flashed again",
        ),
        StateError::Key(KeyError::WrongPassphrase) => {
            (ExitCode::Usage, "try again; nothing was written. A forgotten passphrase cannot be recovered")
        }
        StateError::Passphrase { .. } => {
            (ExitCode::Usage, "run it at a terminal, or name a file that holds it with --passphrase-file")
        }
        _ => return anyhow::Error::from(error).context("reading or making the cluster's keys"),
    };
    advise(code, error, what_to_do)
}
