//! The clock that `fatfs` dates files by. It must be one `&'static` object, while every volume has a bake
//! time of its own: a volume cannot leave its thread, so the time is the thread's.

use std::cell::Cell;

use fatfs::{Date, DateTime, Time, TimeProvider};

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(0) };
}

/// Tells the time given to [`set`].
pub(super) static CLOCK: BakeClock = BakeClock;

#[derive(Debug)]
pub(super) struct BakeClock;

/// Seconds since 1970: what the clock says on this thread from now on.
pub(super) fn set(now: i64) {
    NOW.set(now);
}

/// A time of `fatfs` as seconds since 1970; `None` when it is no date.
pub(super) fn seconds(at: DateTime) -> Option<i64> {
    let month = time::Month::try_from(u8::try_from(at.date.month).ok()?).ok()?;
    let day = u8::try_from(at.date.day).ok()?;
    let date = time::Date::from_calendar_date(i32::from(at.date.year), month, day).ok()?;
    let of = |part: u16| u8::try_from(part).ok();
    let time = time::Time::from_hms(of(at.time.hour)?, of(at.time.min)?, of(at.time.sec)?).ok()?;
    Some(time::PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp())
}

impl TimeProvider for BakeClock {
    fn get_current_date(&self) -> Date {
        self.get_current_date_time().date
    }

    fn get_current_date_time(&self) -> DateTime {
        // 1980-01-01 to 2107-12-31: what seven bits of years can say.
        let now = NOW.get().clamp(315_532_800, 4_354_819_198);
        let now = time::OffsetDateTime::from_unix_timestamp(now).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
        DateTime {
            date: Date {
                year: now.year().clamp(1980, 2107) as u16,
                month: u16::from(u8::from(now.month())),
                day: u16::from(now.day()),
            },
            time: Time {
                hour: u16::from(now.hour()),
                min: u16::from(now.minute()),
                sec: u16::from(now.second()) & !1,
                millis: 0,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use fatfs::TimeProvider;

    use super::{CLOCK, seconds, set};

    #[test]
    fn keeps_the_time_to_two_seconds_and_inside_what_fat_can_say() {
        for (now, kept) in [
            (1_700_000_001, 1_700_000_000),
            (0, 315_532_800),
            (i64::MIN, 315_532_800),
            (i64::MAX, 4_354_819_198),
        ] {
            set(now);
            assert_eq!(seconds(CLOCK.get_current_date_time()), Some(kept), "{now}");
        }
    }

    #[test]
    fn a_date_that_is_none_is_none() {
        set(0);
        let mut at = CLOCK.get_current_date_time();
        at.date.month = 13;
        assert_eq!(seconds(at), None);
    }
}
