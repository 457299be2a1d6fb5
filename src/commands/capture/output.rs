//! The files of a backup: what they are called, and whether they may be written.

use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use crate::backup::names::Names;
use crate::cli::prompt;
use crate::error::{ExitCode, advised};

use super::super::context::Context;

/// The names asked for, or hostname and date in the current directory.
pub(super) fn choose(output: Option<&Path>, hostname: Option<&str>, cwd: &Path) -> anyhow::Result<Names> {
    let path = output.map_or_else(|| cwd.join(by_itself(hostname)), Path::to_owned);
    Names::of(&path).filter(|names| names.archive == path).ok_or_else(|| {
        advised(
            ExitCode::Usage,
            format!("{} is no name of a backup", path.display()),
            "name it NAME.img.zst; NAME.img.bmap and NAME.json are written beside it",
        )
    })
}

/// `pi3-2026-11-30.img.zst`. Hostnames come from cards, so only what a hostname may hold is taken.
fn by_itself(hostname: Option<&str>) -> PathBuf {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let host: String = hostname.unwrap_or_default().chars().filter(|c| is_plain(*c)).take(64).collect();
    let host = match host.trim_matches(['-', '.']) {
        "" => "card",
        host => host,
    };
    PathBuf::from(format!("{host}-{}.img.zst", OffsetDateTime::now_utc().date()))
}

/// Refuses names that belong to what is captured; files that are there are overwritten only on a yes.
pub(super) fn check(context: &Context, names: &Names, sources: &[&Path]) -> anyhow::Result<()> {
    for path in names.all() {
        if path.canonicalize().is_ok_and(|real| sources.contains(&real.as_path())) {
            return Err(advised(
                ExitCode::Usage,
                format!("{} is what is captured", path.display()),
                "name another file with -o",
            ));
        }
    }
    let there: Vec<String> = names
        .all()
        .into_iter()
        .filter(|path| path.symlink_metadata().is_ok())
        .map(|path| path.display().to_string())
        .collect();
    if there.is_empty() || context.common.yes {
        return Ok(());
    }
    let (verb, it) = if there.len() == 1 { ("is", "it") } else { ("are", "them") };
    if prompt::somebody_there()
        && prompt::yes(
            &format!("{} {verb} there already and would be lost.", there.join(", ")),
            &context.interrupt,
        )?
    {
        return Ok(());
    }
    Err(advised(
        ExitCode::Usage,
        format!("{} {verb} there already", there.join(", ")),
        format!("name another file with -o, or say --yes to overwrite {it}"),
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{by_itself, choose};

    #[test]
    fn hostnames_from_cards_name_files_and_nothing_else() {
        for (hostname, expected) in [
            (Some("pi3"), "pi3-"),
            (Some("../../etc/x"), "etcx-"),
            (Some("\x1b[2J"), "2J-"),
            (Some(""), "card-"),
            (None, "card-"),
        ] {
            let name = by_itself(hostname).to_str().unwrap().to_owned();
            assert!(name.starts_with(expected) && name.ends_with(".img.zst"), "{name}");
            assert_eq!(name.len(), expected.len() + 18, "{name}");
        }
    }

    #[test]
    fn only_archives_are_named() {
        let cwd = Path::new("/w");
        assert_eq!(
            choose(Some(Path::new("d/a.img.zst")), None, cwd).unwrap().manifest,
            Path::new("d/a.json")
        );
        assert!(choose(None, Some("pi1"), cwd).unwrap().bmap.starts_with("/w"));
        for bad in ["a.img", "a.json", "d/", ".img.zst", "a.zst"] {
            assert!(choose(Some(Path::new(bad)), None, cwd).is_err(), "{bad}");
        }
    }
}
