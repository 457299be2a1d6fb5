//! Says which tier this run is.

use crate::support::tier::{oracles, say};

#[test]
fn tier_is_announced() {
    if oracles() {
        say("tier ORACLES: with e2fsprogs and kernel mounts");
    } else {
        say("tier DEFAULT: no outside programs; PIBAKE_TIER=oracles runs the rest");
    }
}
