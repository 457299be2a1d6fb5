//! Tiers that run as root.

use nix::unistd::geteuid;

use crate::tier::asked;

/// Whether a tier was asked for; it must be run as root then. If not, says that `what` does not run.
pub(crate) fn asked_as_root(tier: &str, what: &str) -> bool {
    let asked = asked(tier, what);
    assert!(!asked || geteuid().is_root(), "PIBAKE_TIER={tier} was asked for, but this is not root");
    asked
}
