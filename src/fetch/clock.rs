//! What time it is for signatures and Release files, and how their dates are written.

use std::time::{SystemTime, UNIX_EPOCH};

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// The time to judge by.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The time now.
    pub now: SystemTime,
    /// Whether what has run out still counts, if it was in force when it was signed: archives of releases
    /// that Debian has ended are kept but not signed anew.
    pub allow_expired: bool,
}

impl Clock {
    /// Seconds since 1970.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        self.now
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }
}

/// `Sat, 11 Jul 2026 10:16:37`, without the zone.
const RELEASE: &[BorrowedFormatItem<'_>] =
    format_description!("[day padding:none] [month repr:short] [year] [hour padding:none]:[minute]:[second]");
const DAY: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

/// Seconds since 1970 of a date as Release files write it: RFC 2822, always in UTC.
#[must_use]
pub fn parse_date(text: &str) -> Option<i64> {
    let text = text.split_once(", ").map_or(text, |(_weekday, rest)| rest).trim();
    let (date, zone) = text.rsplit_once(' ')?;
    matches!(zone, "UTC" | "GMT" | "Z" | "+0000").then_some(())?;
    Some(PrimitiveDateTime::parse(date.trim_start(), RELEASE).ok()?.assume_utc().unix_timestamp())
}

/// The day that a moment (seconds since 1970) belongs to: `2026-07-11`.
#[must_use]
pub fn date(seconds: i64) -> String {
    let date = OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|date| date.format(DAY).ok());
    date.unwrap_or_else(|| format!("{seconds} s after 1970"))
}

#[cfg(test)]
mod tests {
    use super::{date, parse_date};

    #[test]
    fn dates_of_release_files() {
        assert_eq!(parse_date("Sat, 11 Jul 2026 10:16:37 UTC"), Some(1_783_764_997));
        assert_eq!(parse_date("Sat, 01 Jul 2023 0:16:37 +0000"), Some(1_688_170_597));
        for wrong in
            ["", "Sat", "Sat, 11 Jul 2026 10:16:37 CEST", "Sat, 31 Feb 2026 10:16:37 UTC", "2026-07-11"]
        {
            assert_eq!(parse_date(wrong), None, "{wrong}");
        }
        assert_eq!(date(1_783_764_997), "2026-07-11");
        assert_eq!(date(i64::MAX), "9223372036854775807 s after 1970");
    }
}
