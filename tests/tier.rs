//! Tiers of tests: what needs root, other programs or a network runs only when `PIBAKE_TIER`, a list with commas,
//! asks for it, and then it must be able to (tests/README.md).

use std::io::Write as _;

/// Whether a tier was asked for.
pub(crate) fn is_asked(tier: &str) -> bool {
    std::env::var("PIBAKE_TIER").is_ok_and(|tiers| tiers.split(',').any(|asked| asked == tier))
}

/// Whether a tier was asked for. If not, says that `what` does not run.
pub(crate) fn asked(tier: &str, what: &str) -> bool {
    let asked = is_asked(tier);
    if !asked {
        // Not by a macro: the harness keeps to itself what the tests that pass print so.
        let _ = writeln!(std::io::stderr(), "NOT RUN: {what}; PIBAKE_TIER={tier} runs it");
    }
    asked
}
