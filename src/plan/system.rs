//! `[system]`: time zone, locale and keyboard, as far as they are edits or need checking.

use crate::fs::metadata::Meta;
use crate::fs::path::FsPath;
use crate::inventory::types::Release;

use super::build::Inputs;
use super::draft::{Draft, Reason};
use super::error::PlanError;
use super::image::{Image, path};

/// Plans the edits and checks the values against what the image has.
pub(super) fn plan(inputs: &Inputs<'_>, draft: &mut Draft) {
    let image = Image { inventory: inputs.inventory };
    let system = &inputs.node.system;
    if let Some(timezone) = &system.timezone {
        check_timezone(image, timezone, draft);
    }
    if let Some(locale) = &system.locale {
        plan_locale(image, locale, draft);
    }
    if let Some(keymap) = &system.keymap {
        plan_keymap(image, keymap, draft);
    }
    if !system.ntp.is_empty() && inputs.inventory.release == Release::Jessie {
        draft.error(PlanError::Setting {
            key: "system.ntp".to_owned(),
            message: "Jessie's timesyncd reads no directory of settings; leave it out".to_owned(),
        });
    }
    for server in system.ntp.iter().filter(|server| !is_word(server)) {
        draft.error(PlanError::Setting {
            key: "system.ntp".to_owned(),
            message: format!("{server:?} is no server"),
        });
    }
}

/// The text of shell assignments with one of them set: in place, or at the end.
pub(super) fn with_assignment(text: &str, key: &str, value: &str) -> String {
    let assignment = format!("{key}={value}\n");
    let mut there = false;
    let mut edited: String = text
        .split_inclusive('\n')
        .filter_map(|line| match line.trim_start().strip_prefix(key) {
            Some(rest) if rest.starts_with('=') => {
                (!std::mem::replace(&mut there, true)).then(|| assignment.clone())
            }
            _ => Some(line.to_owned()),
        })
        .collect();
    if !there {
        if !edited.is_empty() && !edited.ends_with('\n') {
            edited.push('\n');
        }
        edited.push_str(&assignment);
    }
    edited
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-_/+@".contains(&byte))
}

/// The zones the image has are the files below `/usr/share/zoneinfo`; Trixie keeps old names
/// (`US/Pacific`) in a package of their own.
fn check_timezone(image: Image<'_>, timezone: &str, draft: &mut Draft) {
    let wrong = |message: String| PlanError::Setting { key: "system.timezone".to_owned(), message };
    let zones = path("/usr/share/zoneinfo");
    let file = FsPath::new(&format!("{zones}/{timezone}"));
    let (true, Ok(file)) = (is_word(timezone), file) else {
        return draft.error(wrong(format!("{timezone:?} is no name of a time zone")));
    };
    let known = image.below(&zones);
    if known.is_empty() {
        let what = format!("time zones (package tzdata), and system.timezone is {timezone}");
        draft.error(PlanError::ImageLacks { what });
    } else if !known.contains(&file) || known.iter().any(|other| other.parent().as_ref() == Some(&file)) {
        let names = known.iter().filter_map(|path| path.as_str().strip_prefix("/usr/share/zoneinfo/"));
        let nearest = names.min_by_key(|name| strsim::damerau_levenshtein(name, timezone)).unwrap_or("UTC");
        draft.error(wrong(format!("the image has no time zone {timezone:?}; did you mean {nearest:?}?")));
    }
}

/// The locale is made at the node's first boot by the overlay's unit; here it is entered into the list of
/// those to make, which package upgrades go by.
fn plan_locale(image: Image<'_>, locale: &str, draft: &mut Draft) {
    let wrong = |message: String| PlanError::Setting { key: "system.locale".to_owned(), message };
    if !is_word(locale) {
        return draft.error(wrong(format!("{locale:?} is no name of a locale")));
    }
    if matches!(locale, "C" | "POSIX" | "C.UTF-8") {
        return;
    }
    let file = path("/etc/locale.gen");
    let Some(text) = draft.note(image.text(&file)) else { return };
    let Some(text) = text else {
        let message = format!("the image has no package locales to make {locale:?} with; C.UTF-8 is there");
        return draft.error(wrong(message));
    };
    match with_locale(text, locale) {
        Some(edited) => {
            let reason = Reason::new("[system]", "the locale is made");
            draft.text(file.clone(), edited, image.meta(&file, Meta::root(0o644)), &reason);
        }
        None => draft.error(wrong(format!("the image knows no locale {locale:?}"))),
    }
}

/// `locale.gen` with a locale's line switched on; `None` when it has no such line.
fn with_locale(text: &str, locale: &str) -> Option<String> {
    let is_it = |line: &str| {
        let mut words = line.trim_start_matches(['#', ' ']).split_whitespace();
        words.next() == Some(locale) && words.next().is_some() && words.next().is_none()
    };
    text.lines().any(is_it).then(|| {
        text.split_inclusive('\n')
            .map(|line| if is_it(line) { line.trim_start_matches(['#', ' ']) } else { line })
            .collect()
    })
}

fn plan_keymap(image: Image<'_>, keymap: &str, draft: &mut Draft) {
    if !is_word(keymap) {
        let message = format!("{keymap:?} is no keyboard layout");
        return draft.error(PlanError::Setting { key: "system.keymap".to_owned(), message });
    }
    let file = path("/etc/default/keyboard");
    let Some(text) = draft.note(image.text(&file)) else { return };
    let stock =
        "XKBMODEL=\"pc105\"\nXKBLAYOUT=\"gb\"\nXKBVARIANT=\"\"\nXKBOPTIONS=\"\"\n\nBACKSPACE=\"guess\"\n";
    let edited = with_assignment(text.unwrap_or(stock), "XKBLAYOUT", &format!("\"{keymap}\""));
    let reason = Reason::new("[system]", "the keyboard layout");
    draft.text(file.clone(), edited, image.meta(&file, Meta::root(0o644)), &reason);
}

#[cfg(test)]
mod tests {
    use super::{with_assignment, with_locale};

    #[test]
    fn assignments_are_set_in_place_or_at_the_end() {
        assert_eq!(with_assignment("A=1\n# B=2\nB=3\nB=4\n", "B", "x"), "A=1\n# B=2\nB=x\n");
        assert_eq!(with_assignment("BB=1", "B", "x"), "BB=1\nB=x\n");
        assert_eq!(with_assignment("", "B", "x"), "B=x\n");
    }

    #[test]
    fn locales_are_switched_on_by_their_whole_name() {
        let text = "# This file\n# de_DE.UTF-8 UTF-8\n# de_DE ISO-8859-1\nen_GB.UTF-8 UTF-8\n";
        let edited = with_locale(text, "de_DE.UTF-8").unwrap();
        assert_eq!(edited, "# This file\nde_DE.UTF-8 UTF-8\n# de_DE ISO-8859-1\nen_GB.UTF-8 UTF-8\n");
        assert_eq!(with_locale(&edited, "de_DE.UTF-8").unwrap(), edited);
        assert_eq!(with_locale(text, "xx_XX.UTF-8"), None);
        assert_eq!(with_locale("# This file is\n", "This"), None);
    }
}
