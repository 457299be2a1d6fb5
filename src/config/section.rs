//! Reading a table key by key: wrong types and unknown keys become errors with their place.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::document::{Entry, Item, Table, Value};
use super::error::Report;
use super::place::{At, Place};
use super::secret::parse_source;
use super::types::SecretSource;

/// A table being read. What nobody asked for by [`Section::finish`] is unknown.
pub(super) struct Section<'a> {
    table: &'a Table,
    /// As a person writes it: `[network]`, `[[node]]`.
    title: String,
    place: Place,
    asked: RefCell<Vec<&'static str>>,
    report: &'a Report,
}

impl<'a> Section<'a> {
    /// Begins with a table.
    pub(super) fn new(table: &'a Table, title: &str, place: Place, report: &'a Report) -> Self {
        Self { table, title: title.to_owned(), place, asked: RefCell::default(), report }
    }

    /// Where the table begins.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Where errors go.
    pub(super) fn report(&self) -> &'a Report {
        self.report
    }

    /// A key's name as an error says it.
    pub(super) fn name(&self, key: &str) -> String {
        format!("`{key}` in {}", self.title)
    }

    /// Whether a key is written, rightly or wrongly.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.item(key).is_some()
    }

    /// A key's value of any type.
    pub(super) fn item(&self, key: &'static str) -> Option<&'a Item> {
        self.asked.borrow_mut().push(key);
        self.table.item(key)
    }

    /// A string of a form that `parse` knows; its error is the end of the sentence "`key`: …".
    pub(super) fn parsed<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        let item = self.item(key)?;
        self.parse_item(key, item, &parse)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, choices: &[(&'static str, T)]) -> Option<At<T>> {
        self.parsed(key, |text| match choices.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(*value),
            None => {
                let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
                let mut message = format!("{text:?} is none of {}", words.join(", "));
                if let Some(near) = nearest(text, words.iter().copied()) {
                    let _ = write!(message, "; did you mean {near:?}?");
                }
                Err(message)
            }
        })
    }

    /// A boolean.
    pub(super) fn boolean(&self, key: &'static str) -> Option<At<bool>> {
        let item = self.item(key)?;
        match item.value {
            Value::Boolean(value) => Some(At { value, place: item.place.clone() }),
            _ => self.wrong_type(key, item, "true or false"),
        }
    }

    /// An integer within bounds.
    pub(super) fn integer(&self, key: &'static str, least: i64, most: i64) -> Option<At<i64>> {
        let item = self.item(key)?;
        match item.value {
            Value::Integer(value) if (least..=most).contains(&value) => {
                Some(At { value, place: item.place.clone() })
            }
            _ => self.wrong_type(key, item, &format!("an integer from {least} to {most}")),
        }
    }

    /// A list of strings of a form that `parse` knows; wrong ones are reported and left out.
    pub(super) fn parsed_list<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<At<T>>> {
        let item = self.item(key)?;
        let Value::List(items) = &item.value else {
            return self.wrong_type(key, item, "a list of strings");
        };
        Some(items.iter().filter_map(|item| self.parse_item(key, item, &parse)).collect())
    }

    /// Where a secret comes from. One that stands in the file itself is warned about.
    pub(super) fn secret(&self, key: &'static str) -> Option<At<SecretSource>> {
        let item = self.item(key)?;
        self.secret_item(key, item)
    }

    /// A table of secrets, each under a name that `check` allows.
    pub(super) fn secrets(
        &self,
        key: &'static str,
        check: impl Fn(&str) -> Result<String, String>,
    ) -> Option<BTreeMap<String, SecretSource>> {
        let item = self.item(key)?;
        let Value::Table(table) = &item.value else {
            return self.wrong_type(key, item, "a table of secrets");
        };
        let mut secrets = BTreeMap::new();
        for Entry { key: name, key_place, item } in &table.entries {
            match check(name) {
                Ok(name) => {
                    secrets.extend(self.secret_item(&name, item).map(|source| (name.clone(), source.value)));
                }
                Err(message) => self.report.error(key_place, format!("{}: {message}", self.name(key))),
            }
        }
        Some(secrets)
    }

    fn secret_item(&self, key: &str, item: &Item) -> Option<At<SecretSource>> {
        match parse_source(&item.to_toml()) {
            Ok(value) => {
                if matches!(value, SecretSource::Plain(_)) {
                    self.report.warn(
                        &item.place,
                        format!("{} is in clear text; {{ prompt = \"…\" }} would ask for it", self.name(key)),
                    );
                }
                Some(At { value, place: item.place.clone() })
            }
            Err(message) => {
                self.report.error(&item.place, format!("{}: {message}", self.name(key)));
                None
            }
        }
    }

    /// A table below this one, under its own title.
    pub(super) fn section(&self, key: &'static str, title: &str) -> Option<Section<'a>> {
        let item = self.item(key)?;
        match &item.value {
            Value::Table(table) => Some(Section::new(table, title, item.place.clone(), self.report)),
            _ => self.wrong_type(key, item, "a table"),
        }
    }

    /// A list of tables below this one; `title` is that of each.
    pub(super) fn sections(&self, key: &'static str, title: &str) -> Option<Vec<Section<'a>>> {
        let item = self.item(key)?;
        let Value::List(items) = &item.value else {
            return self.wrong_type(key, item, &format!("a list of tables ({title})"));
        };
        let sections = items.iter().filter_map(|item| match &item.value {
            Value::Table(table) => Some(Section::new(table, title, item.place.clone(), self.report)),
            _ => self.wrong_type(key, item, &format!("tables ({title})")),
        });
        Some(sections.collect())
    }

    /// A value that must be there.
    pub(super) fn require<T>(&self, key: &'static str, value: Option<At<T>>) -> Option<At<T>> {
        // What is there but wrong has been reported already.
        if value.is_none() && !self.has(key) {
            self.report.error(&self.place, format!("{} is missing", self.name(key)));
        }
        value
    }

    /// Reports a key's value as being of the wrong type.
    pub(super) fn wrong_type<T>(&self, key: &str, item: &Item, expected: &str) -> Option<T> {
        let message = format!("{}: expected {expected}, found {}", self.name(key), item.value.kind());
        self.report.error(&item.place, message);
        None
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self) {
        let known = self.asked.borrow();
        for Entry { key, key_place, .. } in &self.table.entries {
            if known.contains(&key.as_str()) {
                continue;
            }
            let mut message = format!("unknown key `{key}` in {}", self.title);
            if let Some(home) = home_of(key) {
                let prefix = if self.title.contains("node") { "node." } else { "" };
                let _ = write!(message, "; it belongs in [{prefix}{home}]");
            } else if let Some(near) = nearest(key, known.iter().copied()) {
                let _ = write!(message, "; did you mean `{near}`?");
            }
            self.report.error(key_place, message);
        }
    }

    fn parse_item<T>(
        &self,
        key: &str,
        item: &Item,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        let Value::Text(text) = &item.value else { return self.wrong_type(key, item, "a string") };
        match parse(text) {
            Ok(value) => Some(At { value, place: item.place.clone() }),
            Err(message) => {
                self.report.error(&item.place, format!("{}: {message}", self.name(key)));
                None
            }
        }
    }
}

/// The section that a key belongs in which nobody would look for elsewhere.
fn home_of(key: &str) -> Option<&'static str> {
    const HOMES: [(&str, &[&str]); 5] = [
        ("image", &["source", "sha256", "size", "first_boot"]),
        ("network", &["interface", "gateway", "dns", "search", "resolv_conf", "wifi"]),
        ("network.wifi", &["ssid", "psk", "country", "hidden"]),
        ("system", &["timezone", "locale", "keymap", "ntp", "packages", "cmdline"]),
        ("docker", &["install", "bundle", "tls", "images"]),
    ];
    HOMES.into_iter().find(|(_, keys)| keys.contains(&key)).map(|(home, _)| home)
}

/// The known word that is most likely meant, if any is near enough to be worth a guess.
pub(super) fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let word = word.to_lowercase();
    known
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|(distance, candidate)| {
            // A third of the word may be wrong; a plural or a missing half still counts.
            *distance * 3 <= candidate.len().max(3)
                || candidate.starts_with(&word)
                || word.starts_with(*candidate)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_words_are_guessed_and_far_ones_are_not() {
        let keys = ["name", "address", "role", "labels", "authorized_keys"];
        assert_eq!(nearest("adress", keys.into_iter()), Some("address"));
        assert_eq!(nearest("authorised_keys", keys.into_iter()), Some("authorized_keys"));
        assert_eq!(nearest("label", keys.into_iter()), Some("labels"));
        assert_eq!(nearest("Name", keys.into_iter()), Some("name"));
        assert_eq!(nearest("colour", keys.into_iter()), None);
        assert_eq!(nearest("x", keys.into_iter()), None);
    }
}
