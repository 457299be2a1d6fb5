//! Times: how they are written, and a clock that starts no earlier than the bake (raspios.md section 9).

use time::OffsetDateTime;
use time::macros::format_description;

use crate::fs::metadata::Meta;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::inventory::types::Release;
use crate::plan::change::{Action, Content, FileSpec};

use super::accounts::Names;
use super::build::Inputs;
use super::draft::{Draft, Reason};
use super::error::PlanError;
use super::image::{Image, path};

/// `2026-11-20T09:00:00Z`
pub(super) fn rfc3339(seconds: i64) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    at(seconds).format(&format).unwrap_or_else(|_| seconds.to_string())
}

/// Days since 1970, as `/etc/shadow` counts; never 0, which would ask for a new password at login.
pub(super) fn shadow_day(seconds: i64) -> i64 {
    (seconds / 86_400).max(1)
}

/// Plans the clock's floor.
///
/// Both helpers of the releases are served: fake-hwclock's text, and the modification time of timesyncd's
/// file (every time written is the bake time, so that making the file is all there is to do).
pub(super) fn plan(inputs: &Inputs<'_>, names: &Names, draft: &mut Draft) {
    check_bake_time(inputs, draft);
    let image = Image { inventory: inputs.inventory };
    let reason = Reason::new("clock", "the clock starts no earlier than the bake");
    let data = path("/etc/fake-hwclock.data");
    if image.has_package("fake-hwclock") || image.has(&data) {
        let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]\n");
        let text = at(inputs.bake_time).format(&format).unwrap_or_default();
        let meta = image.meta(&data, Meta::root(0o644));
        draft.text(data, text, meta, &reason);
    }
    let clock = timesync_clock(inputs.inventory.release);
    let owner = names.user("systemd-timesync").unwrap_or((0, 0));
    let meta = Meta { mode: 0o644, uid: owner.0, gid: owner.1 };
    let file = FileSpec::new(Content::Bytes(Vec::new()), meta);
    if let Some(dir) = clock.parent().filter(|dir| !image.has(dir)) {
        let meta = Meta { mode: 0o755, uid: owner.0, gid: owner.1 };
        draft.put(Volume::Root, dir, Action::Directory(meta), &reason);
    }
    draft.put(Volume::Root, clock, Action::File(file), &reason);
}

/// systemd 235 moved the file into a directory of its own.
fn timesync_clock(release: Release) -> FsPath {
    if release <= Release::Stretch {
        path("/var/lib/systemd/clock")
    } else {
        path("/var/lib/systemd/timesync/clock")
    }
}

/// Both times are whole seconds, and equality passes: an image made in the second of the bake is fine.
/// A file dated into the future by a wrong clock of its builder is the image's newest like any other: the
/// card would otherwise start before it, which is what the rule is for.
fn check_bake_time(inputs: &Inputs<'_>, draft: &mut Draft) {
    let newest = inputs.inventory.newest_mtime;
    if inputs.bake_time < newest {
        draft.error(PlanError::BakeTime { bake: rfc3339(inputs.bake_time), newest: rfc3339(newest) });
    }
}

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::{rfc3339, shadow_day};

    #[test]
    fn writes_times() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_763_629_201), "2025-11-20T09:00:01Z");
        assert_eq!((shadow_day(0), shadow_day(86_400 * 20_000 + 5)), (1, 20_000));
    }
}
