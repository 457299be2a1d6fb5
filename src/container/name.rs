//! Names of images: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`, of which Docker leaves out what is usual.

use super::error::{Problem, corrupt};

/// The longest name that makes sense: 255 of the repository, 128 of the tag, 72 of the digest.
const NAME_MAX: usize = 460;

/// A name as Docker shows it, with its tag: `docker.io/library/web` is `web:latest`. A digest stays as it
/// is.
#[must_use]
pub fn familiar(name: &str) -> String {
    let name = name.strip_prefix("index.").unwrap_or(name);
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = match name.strip_prefix("library/") {
        Some(rest) if !rest.contains('/') => rest,
        _ => name,
    };
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") }
}

/// Whether a name says which registry it is from: its first part is a host, which has a dot or a port or is
/// `localhost`.
#[must_use]
pub fn names_registry(name: &str) -> bool {
    name.split_once('/').is_some_and(|(host, _)| host.contains(['.', ':']) || host == "localhost")
}

/// A name that an archive gives, in its familiar form: archives are no more to be trusted on a terminal or
/// in a manifest than anything else.
pub(super) fn checked(name: &str) -> Result<String, Problem> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@+".contains(&byte);
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins && name.len() <= NAME_MAX && name.bytes().all(sound) {
        return Ok(familiar(name));
    }
    let shown: String = name.chars().take(64).collect();
    Err(corrupt(format!("{shown:?} is no name of an image")))
}

/// A word of a platform.
pub(super) fn check_word(word: &str) -> Result<(), Problem> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if word.len() <= 32 && word.bytes().all(sound) {
        return Ok(());
    }
    let shown: String = word.chars().take(32).collect();
    Err(corrupt(format!("{shown:?} is no word of a platform")))
}

#[cfg(test)]
mod tests {
    use super::{checked, familiar, names_registry};

    #[test]
    fn what_is_usual_is_left_out() {
        for (name, expected) in [
            ("web", "web:latest"),
            ("web:1", "web:1"),
            ("docker.io/library/web:1", "web:1"),
            ("index.docker.io/library/web", "web:latest"),
            ("docker.io/anna/web", "anna/web:latest"),
            ("library/anna/web:1", "library/anna/web:1"),
            ("localhost:5000/web", "localhost:5000/web:latest"),
            ("web@sha256:00", "web@sha256:00"),
        ] {
            assert_eq!(familiar(name), expected);
        }
    }

    #[test]
    fn hosts_have_dots_or_ports() {
        for name in ["ghcr.io/a/b", "localhost/web", "pi1:5000/web"] {
            assert!(names_registry(name), "{name}");
        }
        for name in ["web", "web:1.2", "anna/web:1", "web.x"] {
            assert!(!names_registry(name), "{name}");
        }
    }

    #[test]
    fn names_that_are_none_are_refused() {
        assert_eq!(checked("a/b:1").unwrap(), "a/b:1");
        for name in ["", " ", "-x", "a b", "a\u{1b}[2J", "ä:1", &"a".repeat(500)] {
            assert!(checked(name).is_err(), "{name:?}");
        }
    }
}
