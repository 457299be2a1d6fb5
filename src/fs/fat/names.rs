//! The names of a directory's entries: a long one is kept in entries of its own in front of the short one
//! (Microsoft's specification 1.03, "FAT Long Directory Entries").

use super::check::{ATTR_LONG_NAME, ENTRY_LEN, RawEntry};
use crate::fs::owner::shown;

/// Where the 13 UTF-16 units of a part lie.
const UNITS: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
/// Where a part keeps the sum of the short name that it belongs to.
const SUM: usize = 13;

/// Every entry in use that is no part of a name, with its name as it may be shown.
pub(super) fn named(directory: &[u8]) -> Vec<(String, RawEntry)> {
    let mut found = Vec::new();
    // Parts come last first.
    let mut parts: Vec<&[u8]> = Vec::new();
    for raw in directory.chunks_exact(ENTRY_LEN).take_while(|raw| raw[0] != 0) {
        if raw[0] == 0xe5 {
            parts.clear();
        } else if raw[11] & ATTR_LONG_NAME == ATTR_LONG_NAME {
            parts.push(raw);
        } else {
            let entry = RawEntry::decode(raw);
            let sum = sum(&entry.name);
            let name = long_name(&parts, sum).unwrap_or_else(|| short_name(&entry.name));
            found.push((name, entry));
            parts.clear();
        }
    }
    found
}

/// `None` when the parts belong to another short name, which was written by who knows no long ones.
fn long_name(parts: &[&[u8]], sum: u8) -> Option<String> {
    if parts.is_empty() || parts.iter().any(|part| part[SUM] != sum) {
        return None;
    }
    let units =
        parts.iter().rev().flat_map(|part| UNITS.map(|at| u16::from_le_bytes([part[at], part[at + 1]])));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    Some(shown(String::from_utf16_lossy(&units).as_bytes()))
}

fn short_name(name: &[u8; 11]) -> String {
    let (stem, extension) = (name[..8].trim_ascii_end(), name[8..].trim_ascii_end());
    let dot: &[u8] = if extension.is_empty() { b"" } else { b"." };
    shown(&[stem, dot, extension].concat())
}

fn sum(name: &[u8; 11]) -> u8 {
    name.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}
