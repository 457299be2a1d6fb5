//! Control paragraphs (deb-control(5)): one package each, its fields read with the room's types.

use deb822_fast::Paragraph;
use debian_control::lossy::Relations;
use debversion::Version;

use super::Package;

/// Why a paragraph describes no package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Not the form of a control paragraph.
    #[error("not a control paragraph: {why}")]
    Form {
        /// What the parser stumbled over.
        why: String,
    },
    /// A field that every package has is missing.
    #[error("{package} has no field {field}")]
    Missing {
        /// Which package; "a package" when that is what is missing.
        package: String,
        /// The field's name.
        field: &'static str,
    },
    /// A field whose value is not what the field takes.
    #[error("{package}: {field} is {value:?}: {why}")]
    Field {
        /// Which package.
        package: String,
        /// The field's name.
        field: &'static str,
        /// Its value, the beginning of it when it is long.
        value: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The paragraphs of a text, which empty lines part (deb822(5)).
pub fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    let is_empty = |line: &str| line.trim().is_empty();
    let mut rest = text;
    std::iter::from_fn(move || {
        let skip = rest.split_inclusive('\n').take_while(|line| is_empty(line)).map(str::len).sum();
        rest = &rest[skip..];
        let len = rest.split_inclusive('\n').take_while(|line| !is_empty(line)).map(str::len).sum();
        let (paragraph, after) = rest.split_at(len);
        rest = after;
        (!paragraph.is_empty()).then_some(paragraph)
    })
}

/// Reads one paragraph's fields.
///
/// # Errors
/// `Form`.
pub fn fields(text: &str) -> Result<Paragraph, ControlError> {
    text.parse().map_err(|error: deb822_fast::Error| ControlError::Form { why: error.to_string() })
}

impl Package {
    /// The package that a paragraph describes.
    ///
    /// # Errors
    /// `Missing` or `Field`.
    pub fn from_paragraph(paragraph: &Paragraph) -> Result<Package, ControlError> {
        let name = paragraph.get("Package").unwrap_or("a package").trim();
        let read = Reader { paragraph, name };
        let word = |field, also| read.checked(field, |text| is_word(text, also), "no name of that kind");
        Ok(Package {
            name: word("Package", "+-.")?,
            version: read.version()?,
            architecture: word("Architecture", "-")?,
            multi_arch: read.optional("Multi-Arch").to_owned(),
            depends: read.relations(&["Pre-Depends", "Depends"])?,
            conflicts: read.relations(&["Breaks", "Conflicts"])?,
            provides: read.relations(&["Provides"])?,
            replaces: read.relations(&["Replaces"])?,
            // Missing in some packages of third parties; anything but a number says as little.
            installed_size: read.optional("Installed-Size").parse().unwrap_or(0),
        })
    }
}

struct Reader<'a> {
    paragraph: &'a Paragraph,
    name: &'a str,
}

impl<'a> Reader<'a> {
    fn optional(&self, field: &str) -> &'a str {
        self.paragraph.get(field).unwrap_or_default().trim()
    }

    fn required(&self, field: &'static str) -> Result<&'a str, ControlError> {
        match self.optional(field) {
            "" => Err(ControlError::Missing { package: self.name.to_owned(), field }),
            value => Ok(value),
        }
    }

    fn checked(
        &self,
        field: &'static str,
        fits: impl Fn(&str) -> bool,
        why: &str,
    ) -> Result<String, ControlError> {
        let value = self.required(field)?;
        if fits(value) { Ok(value.to_owned()) } else { Err(self.wrong(field, value, why)) }
    }

    /// Underscores and the like are against the policy and have been seen; dpkg takes them with a warning.
    fn version(&self) -> Result<Version, ControlError> {
        let value = self.required("Version")?;
        Version::parse_lenient(value).map_err(|_| self.wrong("Version", value, "no version"))
    }

    fn relations(&self, names: &[&'static str]) -> Result<Relations, ControlError> {
        let mut all = Relations::new();
        for field in names {
            let value = self.optional(field);
            let relations: Relations =
                value.parse().map_err(|why: String| self.wrong(field, value, &why.to_lowercase()))?;
            all.0.extend(relations.0);
        }
        Ok(all)
    }

    fn wrong(&self, field: &'static str, value: &str, why: &str) -> ControlError {
        let value = value.chars().take(80).collect();
        ControlError::Field { package: self.name.to_owned(), field, value, why: why.to_owned() }
    }
}

/// Letters, digits and some others, a letter or digit first: fit for a file's name and for a line of words.
fn is_word(text: &str, also: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || also.contains(letter))
        && text.len() <= 200
}

#[cfg(test)]
mod tests {
    use super::{ControlError, fields, paragraphs};
    use crate::deb::Package;

    fn package(text: &str) -> Result<Package, ControlError> {
        Package::from_paragraph(&fields(text)?)
    }

    #[test]
    fn takes_every_field() {
        let text = "Package: docker.io\nVersion: 1:20.10.24+dfsg1-1+deb12u1\nArchitecture: arm64\n\
                    Multi-Arch: foreign\nInstalled-Size: 140000\nPre-Depends: dpkg (>= 1.17)\n\
                    Depends: adduser, libc6 (>= 2.34),\n iptables | nftables:any (>> 1~)\nBreaks: a (<< 2)\n\
                    Conflicts: b\nProvides: engine (= 3), x\nReplaces: c\nDescription: d\n .\n text: with\n";
        let found = package(text).unwrap();
        assert_eq!(found.to_string(), "docker.io 1:20.10.24+dfsg1-1+deb12u1");
        assert_eq!((found.architecture.as_str(), found.multi_arch.as_str()), ("arm64", "foreign"));
        assert_eq!(
            found.depends.to_string(),
            "dpkg (>= 1.17), adduser, libc6 (>= 2.34), iptables | nftables:any (>> 1~)"
        );
        assert_eq!(found.conflicts.to_string(), "a (<< 2), b");
        assert_eq!(found.provides.to_string(), "engine (= 3), x");
        assert_eq!((found.replaces.to_string().as_str(), found.installed_size), ("c", 140_000));
        assert!(found.fits("arm64") && !found.fits("armhf"));
    }

    #[test]
    fn what_describes_no_package_is_named() {
        let base = "Package: a\nVersion: 1\nArchitecture: all\n";
        for (text, says) in [
            ("", "not a control paragraph"),
            ("no colon\n", "not a control paragraph"),
            (" Package: a\n", "not a control paragraph"),
            ("Version: 1\nArchitecture: all\n", "a package has no field Package"),
            ("Package: a\nArchitecture: all\n", "a has no field Version"),
            ("Package: a\nVersion: 1\n", "a has no field Architecture"),
            ("Package: ../../etc\nVersion: 1\nArchitecture: all\n", "Package is \"../../etc\""),
            ("Package: a b\nVersion: 1\nArchitecture: all\n", "Package is \"a b\""),
            ("Package: a\nVersion: 1 2\nArchitecture: all\n", "a: Version is \"1 2\": no version"),
            ("Package: a\nVersion: 1/2\nArchitecture: all\n", "a: Version is \"1/2\": no version"),
            ("Package: a\nVersion: 1\nArchitecture: a/b\n", "a: Architecture is \"a/b\""),
            (&format!("{base}Depends: b (>= )\n"), "a: Depends is \"b (>= )\""),
            (&format!("{base}Provides: (x\n"), "a: Provides is \"(x\""),
            (&format!("{base}Depends: | b\n"), "a: Depends is \"| b\""),
        ] {
            let error = package(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text:?}: {error}");
        }
        assert!(package(base).is_ok());
        let long = package(&format!("{base}Depends: ({}\n", "x".repeat(1 << 20))).unwrap_err().to_string();
        assert!(long.len() < 300, "{}", long.len());
    }

    #[test]
    fn paragraphs_are_parted_by_empty_lines() {
        let found = |text| paragraphs(text).collect::<Vec<_>>();
        assert_eq!(found("\n\na\nb\n \nc"), ["a\nb\n", "c"]);
        assert_eq!(found(""), Vec::<&str>::new());
        assert_eq!(found("\n \n"), Vec::<&str>::new());
        assert_eq!(found("a"), ["a"]);
    }
}
