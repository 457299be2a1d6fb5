//! Tiers of tests: what needs root, other programs or a network runs only when `PIBAKE_TIER`, a list with commas,
//! asks for it, and then it must be able to (tests/README.md).

/// Whether a tier was asked for. If not, says that `what` does not run.
pub(crate) fn asked(tier: &str, what: &str) -> bool {
    let asked = std::env::var("PIBAKE_TIER").is_ok_and(|tiers| tiers.split(',').any(|asked| asked == tier));
    if !asked {
        eprintln!("NOT RUN: {what}; PIBAKE_TIER={tier} runs it");
    }
    asked
}
