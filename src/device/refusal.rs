//! Why a target is not written to, and what can be done about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::ExitCode;

/// Which rule of design.md section 6 refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Nothing is there; nothing is ever created.
    Missing,
    /// It is something else than a disk or a regular file.
    NotADisk,
    /// It is part of a disk.
    Partition,
    /// The running system lives on it.
    SystemDisk,
    /// A filesystem on it is mounted.
    Mounted,
    /// Another device stands on it.
    Held,
    /// It refuses writes.
    ReadOnly,
    /// A reader without a card.
    NoCard,
    /// The image does not fit.
    TooSmall,
    /// It cannot be taken out, so it may not be what was meant.
    Fixed,
    /// It is the file that is to be written to it.
    Source,
    /// It was named twice.
    Twice,
    /// It is no longer what was shown.
    Changed,
    /// Somebody else has it open.
    Busy,
    /// Nobody confirmed it, or something else was typed than asked for.
    Unconfirmed,
}

/// One reason, with the way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The rule.
    pub rule: Rule,
    /// Why, in a sentence without a full stop.
    pub why: String,
    /// What can be done about it.
    pub way_out: String,
}

impl Refusal {
    /// A refusal by `rule`.
    #[must_use]
    pub fn new(rule: Rule, why: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { rule, why: printable(why.into()), way_out: printable(way_out.into()) }
    }

    /// The disk is another one than before: `what` differs.
    pub(super) fn changed(path: &Path, what: &str) -> Self {
        Self::new(
            Rule::Changed,
            format!("{} is not what was confirmed: another {what}", path.display()),
            "look at it again with `pibake devices` and start over",
        )
    }
}

/// Text without control characters: mount points are named after labels of cards, which can hold anything.
fn printable(text: String) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

/// A path as it may be shown.
fn shown(path: &Path) -> String {
    printable(path.display().to_string())
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// Several reasons at once; never none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(|refusal| refusal.why.as_str()).collect::<Vec<_>>().join("; "))]
pub struct Refused(pub Vec<Refusal>);

impl Refused {
    /// What can be done about all of them, each said once.
    #[must_use]
    pub fn way_out(&self) -> String {
        let mut ways: Vec<&str> = Vec::new();
        for refusal in &self.0 {
            if !ways.contains(&refusal.way_out.as_str()) {
                ways.push(&refusal.way_out);
            }
        }
        ways.join("; ")
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(vec![refusal])
    }
}

/// Why a target could not be described, opened or kept.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// A rule refuses it: exit status 3.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The user may not open it.
    #[error("{} may not be opened by this user", shown(path))]
    Denied {
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A mounted filesystem could not be unmounted.
    #[error("unmounting {}", shown(at))]
    Unmount {
        /// The mount point.
        at: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system could not be asked about it.
    #[error("looking at {}", shown(path))]
    Io {
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl From<Refusal> for LookError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.into())
    }
}

impl LookError {
    /// The exit status it deserves.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Refused(_) | Self::Unmount { .. } => ExitCode::TargetRefused,
            Self::Denied { .. } | Self::Io { .. } => ExitCode::Failed,
        }
    }

    /// What can be done about it, in a line.
    #[must_use]
    pub fn way_out(&self) -> String {
        match self {
            Self::Refused(refused) => refused.way_out(),
            Self::Denied { path, .. } => format!(
                "nothing was written: run it again with sudo, which is used for opening the card and for nothing \
                 else, or make it yours, a device until it is taken out: `sudo chown \"$USER\" {}`",
                shown(path)
            ),
            Self::Unmount { at, .. } => format!(
                "nothing was written: close what uses it (`sudo fuser -vm {0}` shows it), then `sudo umount {0}`",
                shown(at)
            ),
            Self::Io { path, .. } => format!(
                "nothing was written: put the card in again, and see whether `pibake devices` lists {}",
                shown(path)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::LookError;
    use crate::error::ExitCode;

    #[test]
    fn what_is_no_rule_says_what_to_do_as_well() {
        let source = || io::Error::from(io::ErrorKind::PermissionDenied);
        for (error, code, ways) in [
            (
                LookError::Denied { path: "/dev/sdb".into(), source: source() },
                ExitCode::Failed,
                ["with sudo", "`sudo chown \"$USER\" /dev/sdb`"],
            ),
            (
                LookError::Unmount { at: "/media/\x1b[2Jcard".into(), source: source() },
                ExitCode::TargetRefused,
                ["`sudo fuser -vm /media/[2Jcard`", "`sudo umount /media/[2Jcard`"],
            ),
            (
                LookError::Io { path: "/dev/sdb".into(), source: source() },
                ExitCode::Failed,
                ["put the card in again", "`pibake devices` lists /dev/sdb"],
            ),
        ] {
            assert_eq!(error.exit_code(), code);
            assert!(!error.to_string().contains('\x1b'), "{error}");
            let way_out = error.way_out();
            assert!(way_out.starts_with("nothing was written: "), "{way_out}");
            assert!(ways.iter().all(|way| way_out.contains(way)), "{way_out}");
        }
    }
}
