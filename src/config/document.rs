//! A TOML file as a tree in which everything knows its line.

use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::error::Report;
use super::place::Place;

/// A value and where it stands.
#[derive(Clone)]
pub(super) struct Item {
    pub(super) value: Value,
    pub(super) place: Place,
}

impl Item {
    /// The value without its places.
    pub(super) fn to_toml(&self) -> toml::Value {
        match &self.value {
            Value::Text(text) => toml::Value::String(text.clone()),
            Value::Integer(integer) => toml::Value::Integer(*integer),
            Value::Boolean(boolean) => toml::Value::Boolean(*boolean),
            Value::Float(float) => toml::Value::Float(*float),
            Value::Date(date) => toml::Value::Datetime(*date),
            Value::List(items) => toml::Value::Array(items.iter().map(Item::to_toml).collect()),
            Value::Table(table) => toml::Value::Table(table.to_toml()),
        }
    }
}

/// What a TOML value can be.
#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Item>),
    Table(Table),
    Float(f64),
    Date(toml::value::Datetime),
}

impl Value {
    /// What it is, for an error.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Boolean(_) => "a boolean",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Float(_) => "a float",
            Value::Date(_) => "a date",
        }
    }
}

/// A table's entries in file order.
#[derive(Clone, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

/// One key and its value.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) item: Item,
}

impl Table {
    /// The value of a key.
    pub(super) fn item(&self, key: &str) -> Option<&Item> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.item)
    }

    /// The table without its places.
    pub(super) fn to_toml(&self) -> toml::Table {
        self.entries.iter().map(|entry| (entry.key.clone(), entry.item.to_toml())).collect()
    }
}

/// Reads a file's text; `None` after syntax errors, all of which are reported.
pub(super) fn parse(file: &Arc<str>, text: &str, report: &Report) -> Option<Table> {
    let lines = Lines { file, text, report };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let place = error.span().map_or_else(|| Place::whole(file), |span| lines.place(&span));
        report.error(&place, error.message());
    }
    errors.is_empty().then(|| lines.table(document.get_ref()))
}

/// Turns byte offsets into lines.
struct Lines<'a> {
    file: &'a Arc<str>,
    text: &'a str,
    report: &'a Report,
}

impl Lines<'_> {
    fn place(&self, span: &Range<usize>) -> Place {
        let before = self.text.as_bytes().get(..span.start).unwrap_or(self.text.as_bytes());
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        Place { file: Arc::clone(self.file), line: Some(line) }
    }

    /// The parser bounds the depth, so this recursion is bounded too.
    fn table(&self, table: &DeTable<'_>) -> Table {
        let entries = table
            .iter()
            .map(|(key, value)| Entry {
                key: key.get_ref().to_string(),
                key_place: self.place(&key.span()),
                item: self.item(value.get_ref(), &value.span()),
            })
            .collect();
        Table { entries }
    }

    fn item(&self, value: &DeValue<'_>, span: &Range<usize>) -> Item {
        let value = match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(integer) => {
                let parsed = i64::from_str_radix(integer.as_str(), integer.radix());
                Value::Integer(self.number(parsed.ok(), span))
            }
            DeValue::Boolean(boolean) => Value::Boolean(*boolean),
            DeValue::Float(float) => Value::Float(self.number(float.as_str().parse().ok(), span)),
            DeValue::Datetime(date) => Value::Date(*date),
            DeValue::Array(items) => {
                Value::List(items.iter().map(|item| self.item(item.get_ref(), &item.span())).collect())
            }
            DeValue::Table(table) => Value::Table(self.table(table)),
        };
        Item { value, place: self.place(span) }
    }

    /// A number, reported when it does not fit into 64 bits.
    fn number<T: Default>(&self, number: Option<T>, span: &Range<usize>) -> T {
        number.unwrap_or_else(|| {
            self.report.error(&self.place(span), "this number does not fit into 64 bits");
            T::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Value, parse};
    use crate::config::error::Report;

    #[test]
    fn everything_knows_its_line() {
        let report = Report::default();
        let text =
            "name = \"x\"\r\n\r\n[[node]]\r\nname = \"a\"\r\n[node.network]\r\ndns = [\r\n \"1\",\r\n 2]\r\n";
        let table = parse(&Arc::from("f"), text, &report).expect("the text is sound");
        let Value::List(nodes) = &table.item("node").expect("there is a node").value else { panic!() };
        assert_eq!(nodes[0].place.line, Some(3));
        let Value::Table(node) = &nodes[0].value else { panic!() };
        let Value::Table(network) = &node.item("network").expect("it has a network").value else { panic!() };
        let Value::List(dns) = &network.item("dns").expect("it has servers").value else { panic!() };
        assert_eq!((dns[0].place.line, dns[1].place.line), (Some(7), Some(8)));
    }

    #[test]
    fn every_syntax_error_is_reported_with_its_line() {
        let report = Report::default();
        assert!(parse(&Arc::from("f"), "a =\nb = 1\nb = 2\n[c\n", &report).is_none());
        let errors = report.finish().expect_err("the text is broken");
        let lines: Vec<_> = errors.iter().map(|error| error.line()).collect();
        assert_eq!(lines, [Some(1), Some(3), Some(4)], "{errors}");
    }
}
