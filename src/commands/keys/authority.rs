//! `pibake keys import`, `protect` and `unprotect`: the CAs themselves.

use std::path::Path;

use crate::cli::prompt;
use crate::config::types::Secret;
use crate::error::{Advise, ExitCode, advised};
use crate::keys::KeyError;
use crate::keys::authority::Authority;

use super::{Desk, rotate};

pub(super) fn import(
    desk: &Desk<'_>,
    certificate: &Path,
    key: &Path,
    accept_node_keys: bool,
) -> anyhow::Result<()> {
    let nothing = "nothing was written";
    let (certificate_text, _) = super::small_file(certificate).advise(ExitCode::Usage, nothing)?;
    let key_text = super::secret_file(desk.context, key).advise(ExitCode::Usage, nothing)?;
    let imported = Authority::import(certificate_text.expose(), key_text.expose(), accept_node_keys);
    let authority = imported.map_err(|error| {
        let what_to_do = match &error {
            KeyError::Unlimited { .. } => {
                "if it has never signed a server's key that would pass for a client's, say --accept-node-keys"
            }
            _ => nothing,
        };
        let paths = format!("{} and {}", certificate.display(), key.display());
        crate::error::advise(ExitCode::Usage, anyhow::Error::from(error).context(paths), what_to_do)
    })?;
    rotate::agreed(desk)?;
    desk.change(|locked, authorities| authorities.import_tls(locked, &authority))?;
    rotate::replaced(desk)
}

pub(super) fn protect(desk: &Desk<'_>) -> anyhow::Result<()> {
    let protection = desk.state.protection()?;
    if protection.protected && !protection.open {
        return Err(advised(
            ExitCode::Usage,
            "the CAs' private keys are under a passphrase already",
            "`pibake keys unprotect` first, to change it",
        ));
    }
    // Half of them are, after a run that was killed: then it is asked for as always.
    let new = if protection.protected { Secret::new(String::new()) } else { new_passphrase(desk)? };
    desk.change(|locked, authorities| authorities.protect(locked, &desk.cluster.name, new.clone()))?;
    desk.context.note(
        "the CAs' private keys are under the passphrase now; it cannot be recovered when it is forgotten\n\
         copies of the state from before, in backups for example, still hold them in clear text",
    );
    Ok(())
}

pub(super) fn unprotect(desk: &Desk<'_>) -> anyhow::Result<()> {
    if !desk.state.protection()?.protected {
        return Err(advised(
            ExitCode::Usage,
            "the CAs' private keys are under no passphrase",
            "there is nothing to do",
        ));
    }
    desk.change(|locked, authorities| authorities.unprotect(locked, &desk.cluster.name))?;
    desk.context.note("the CAs' private keys are kept in clear text now");
    Ok(())
}

/// A new passphrase: from the file, or typed twice.
fn new_passphrase(desk: &Desk<'_>) -> anyhow::Result<Secret> {
    let help =
        "run it at a terminal, or name a file that holds it with --passphrase-file; nothing was written";
    let first = super::passphrase(desk.context).advise(ExitCode::Usage, help)?;
    if first.expose().is_empty() {
        return Err(advised(ExitCode::Usage, "the passphrase is empty", "nothing was written"));
    }
    if desk.context.common.passphrase_file.is_none() && prompt::secret("the same again")? != first {
        return Err(advised(ExitCode::Usage, "they are not the same", "nothing was written; try again"));
    }
    Ok(first)
}
