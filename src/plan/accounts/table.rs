//! One colon-separated table of `/etc`: `passwd(5)`, `shadow(5)`, `group(5)`, `gshadow(5)`, `subuid(5)`.

/// The lines of a table, each taken apart at its colons. What is not touched is written back as it was,
/// comments and NIS lines included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn parse(text: &str) -> Self {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let rows = if text.is_empty() {
            Vec::new()
        } else {
            text.split('\n').map(|line| line.split(':').map(str::to_owned).collect()).collect()
        };
        Self { rows }
    }

    /// The text; every line ends.
    pub(super) fn text(&self) -> String {
        self.rows.iter().map(|row| row.join(":") + "\n").collect()
    }

    /// The first row of that name.
    pub(super) fn row(&self, name: &str) -> Option<&[String]> {
        self.rows.iter().find(|row| row[0] == name).map(Vec::as_slice)
    }

    /// The first row of that name.
    pub(super) fn row_mut(&mut self, name: &str) -> Option<&mut Vec<String>> {
        self.rows.iter_mut().find(|row| row[0] == name)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &[String]> {
        self.rows.iter().map(Vec::as_slice)
    }

    pub(super) fn rows_mut(&mut self) -> impl Iterator<Item = &mut Vec<String>> {
        self.rows.iter_mut()
    }

    /// Appends a row.
    pub(super) fn push(&mut self, row: &[&str]) {
        self.rows.push(row.iter().map(|field| (*field).to_owned()).collect());
    }

    /// Whether the second field of a row is a password's hash: longer than every sign for "none".
    pub(super) fn holds_hashes(&self) -> bool {
        self.rows().any(|row| row.get(1).is_some_and(|field| field.len() >= 13))
    }

    /// Whether one of the rows has the number in that field.
    pub(super) fn has_number(&self, field: usize, number: u32) -> bool {
        self.rows().any(|row| row.get(field).and_then(|text| text.parse().ok()) == Some(number))
    }
}

/// Puts another name in the place of one, in a list with commas.
pub(super) fn rename_in_list(list: &mut String, old: &str, new: &str) {
    let names: Vec<&str> = list.split(',').map(|name| if name == old { new } else { name }).collect();
    *list = names.join(",");
}

/// Adds a name to a list with commas.
pub(super) fn add_to_list(list: &mut String, name: &str) {
    if list.is_empty() {
        name.clone_into(list);
    } else if !list.split(',').any(|other| other == name) {
        list.push(',');
        list.push_str(name);
    }
}

#[cfg(test)]
mod tests {
    use super::{Table, add_to_list, rename_in_list};

    #[test]
    fn keeps_what_it_does_not_touch() {
        for text in ["", "root:x:0:0:root:/root:/bin/bash\n", "# a comment\n+::::::\n\npi:x\n"] {
            assert_eq!(Table::parse(text).text(), text);
        }
        assert_eq!(Table::parse("a:b").text(), "a:b\n");
    }

    #[test]
    fn tells_hashes_from_signs() {
        assert!(!Table::parse("a:*::\nb:!::\nc:!*::\nd\n").holds_hashes());
        assert!(Table::parse("a:*::\nb:abcdefghijklm::\n").holds_hashes());
        assert!(Table::parse("a:$6$salt$hashhash::\n").holds_hashes());
    }

    #[test]
    fn lists_change_by_whole_names() {
        let mut list = "pi,pia,api".to_owned();
        rename_in_list(&mut list, "pi", "anna");
        assert_eq!(list, "anna,pia,api");
        add_to_list(&mut list, "api");
        add_to_list(&mut list, "ap");
        assert_eq!(list, "anna,pia,api,ap");
        let mut empty = String::new();
        add_to_list(&mut empty, "x");
        assert_eq!(empty, "x");
    }
}
