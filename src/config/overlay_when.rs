//! `when` in an overlay's manifest: conditions on the image and the node.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Error as _, IntoDeserializer, SeqAccess, Visitor};

use super::types::{FirstBoot, ResolvConf, Role};
use crate::inventory::types::{Arch, NetworkStack, Release};

/// A condition: everything given has to hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// The image's release.
    pub release: Option<OneOrMany<ReleaseTest>>,
    /// The image's architecture.
    pub arch: Option<OneOrMany<Arch>>,
    /// What configures the network in the image.
    pub network_stack: Option<OneOrMany<NetworkStack>>,
    /// The node's role.
    pub role: Option<OneOrMany<Role>>,
    /// The node's `first_boot`.
    pub first_boot: Option<OneOrMany<FirstBoot>>,
    /// The node's `resolv_conf`.
    pub resolv_conf: Option<OneOrMany<ResolvConf>>,
    /// A package that is installed in the image; of several, any.
    pub package: Option<OneOrMany<String>>,
}

/// One value or several, `x` or `["x", "y"]`: any of them has to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMany<T>(Vec<T>);

impl<T> OneOrMany<T> {
    /// Whether the test holds for any of the values.
    pub fn any(&self, test: impl Fn(&T) -> bool) -> bool {
        self.0.iter().any(test)
    }
}

// By hand: what serde derives for "either of two forms" hides what is wrong with the value.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

struct OneOrManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        T::deserialize(text.into_deserializer()).map(|value| OneOrMany(vec![value]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element()? {
            values.push(value);
        }
        Ok(OneOrMany(values))
    }
}

/// `bookworm`, `>= bookworm`, `> …`, `<= …`, `< …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleaseTest {
    least: Release,
    most: Release,
}

impl ReleaseTest {
    /// Whether the release passes.
    #[must_use]
    pub fn holds(self, release: Release) -> bool {
        self.least <= release && release <= self.most
    }
}

const RELEASES: [(&str, Release); 6] = [
    ("jessie", Release::Jessie),
    ("stretch", Release::Stretch),
    ("buster", Release::Buster),
    ("bullseye", Release::Bullseye),
    ("bookworm", Release::Bookworm),
    ("trixie", Release::Trixie),
];

impl<'de> Deserialize<'de> for ReleaseTest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (operator, name) = ["<=", ">=", "<", ">"]
            .into_iter()
            .find_map(|operator| Some((operator, text.strip_prefix(operator)?)))
            .unwrap_or(("", &text));
        let position = RELEASES
            .iter()
            .position(|(known, _)| *known == name.trim())
            .ok_or_else(|| D::Error::custom(format!("{:?} is no release known to pibake", name.trim())))?;
        let range = match operator {
            "<=" => 0..=position,
            ">=" => position..=RELEASES.len() - 1,
            "<" if position > 0 => 0..=position - 1,
            ">" if position + 1 < RELEASES.len() => position + 1..=RELEASES.len() - 1,
            "" => position..=position,
            _ => return Err(D::Error::custom(format!("no release is {text:?}"))),
        };
        Ok(Self { least: RELEASES[*range.start()].1, most: RELEASES[*range.end()].1 })
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, StrDeserializer};

    use super::{OneOrMany, RELEASES, ReleaseTest, When};

    fn test(text: &str) -> Result<ReleaseTest, Error> {
        let deserializer: StrDeserializer<'_, Error> = text.into_deserializer();
        ReleaseTest::deserialize(deserializer)
    }

    #[test]
    fn compares_releases() {
        let passing = |text: &str| {
            let test = test(text).unwrap();
            let passing = RELEASES.iter().filter(|(_, release)| test.holds(*release));
            passing.map(|(name, _)| *name).collect::<Vec<_>>()
        };
        assert_eq!(passing("buster"), ["buster"]);
        assert_eq!(passing("<= stretch"), ["jessie", "stretch"]);
        assert_eq!(passing("<stretch"), ["jessie"]);
        assert_eq!(passing(">= bookworm"), ["bookworm", "trixie"]);
        assert_eq!(passing("> bookworm"), ["trixie"]);
    }

    #[test]
    fn refuses_what_no_release_passes() {
        for (text, expected) in [
            ("woody", "no release known"),
            ("= bookworm", "no release known"),
            ("", "no release known"),
            ("< jessie", "no release is"),
            ("> trixie", "no release is"),
        ] {
            let message = test(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn any_of_several_values_has_to_hold() {
        let when: When = toml::from_str("role = [\"worker\", \"none\"]\npackage = \"x\"").unwrap();
        assert!(when.role.unwrap().any(|role| *role == crate::config::types::Role::None));
        assert_eq!(when.package, Some(OneOrMany(vec!["x".to_owned()])));
        assert!(toml::from_str::<When>("role = [1]").is_err());
        assert!(toml::from_str::<When>("arch = \"mips\"").is_err());
    }
}
