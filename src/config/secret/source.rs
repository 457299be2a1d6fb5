//! How a secret's source is written: a string, or a table with one of four keys.

use std::path::PathBuf;

use toml::Value;

use crate::config::types::{Secret, SecretSource};

/// What a source may look like, for errors.
const FORMS: &str = "{ prompt = \"…\" }, { env = \"…\" }, { file = \"…\" } or { command = [\"…\"] }";

/// Reads a secret's source, as it stands in a cluster file or among an overlay's parameters.
///
/// # Errors
/// The end of a sentence saying what is wrong with it; never the secret itself.
pub fn parse_source(value: &Value) -> Result<SecretSource, String> {
    let table = match value {
        Value::String(text) => return Ok(SecretSource::Plain(Secret::new(text.clone()))),
        Value::Table(table) => table,
        other => return Err(format!("expected {FORMS}, found {}", other.type_str())),
    };
    let mut entries = table.iter();
    let (Some((key, value)), None) = (entries.next(), entries.next()) else {
        return Err(format!("expected one of {FORMS}, found {} keys", table.len()));
    };
    match (key.as_str(), value) {
        ("prompt", Value::String(text)) if !text.is_empty() => Ok(SecretSource::Prompt(text.clone())),
        ("env", Value::String(name)) if is_variable(name) => Ok(SecretSource::Env(name.clone())),
        ("file", Value::String(path)) if !path.is_empty() => Ok(SecretSource::File(PathBuf::from(path))),
        ("command", Value::Array(words)) => {
            let words: Option<Vec<String>> =
                words.iter().map(|word| word.as_str().map(str::to_owned)).collect();
            words
                .filter(|words| words.first().is_some_and(|program| !program.is_empty()))
                .map(SecretSource::Command)
                .ok_or_else(|| "`command` is a list of strings: the program and its arguments".to_owned())
        }
        ("command", _) => Err("`command` is a list of strings: the program and its arguments".to_owned()),
        ("env", _) => Err("`env` is the name of an environment variable".to_owned()),
        ("prompt" | "file", _) => Err(format!("`{key}` is a string that is not empty")),
        _ => Err(format!("unknown key `{key}`; expected {FORMS}")),
    }
}

/// A name that POSIX allows and every shell can set.
fn is_variable(name: &str) -> bool {
    name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::parse_source;
    use crate::config::types::SecretSource;

    fn parse(text: &str) -> Result<SecretSource, String> {
        let table: toml::Table = format!("x = {text}").parse().expect("the test's TOML is sound");
        parse_source(&table["x"])
    }

    #[test]
    fn the_four_forms_and_the_plain_one() {
        assert!(matches!(parse("\"x\""), Ok(SecretSource::Plain(_))));
        assert!(matches!(parse("{ prompt = \"p\" }"), Ok(SecretSource::Prompt(text)) if text == "p"));
        assert!(matches!(parse("{ env = \"V_1\" }"), Ok(SecretSource::Env(name)) if name == "V_1"));
        assert!(matches!(parse("{ file = \"f\" }"), Ok(SecretSource::File(_))));
        assert!(
            matches!(parse("{ command = [\"a\", \"b\"] }"), Ok(SecretSource::Command(words)) if words.len() == 2)
        );
    }

    #[test]
    fn anything_else_is_refused_without_its_content() {
        for wrong in [
            "3",
            "{}",
            "{ prompt = \"\" }",
            "{ env = \"hunter2=x\" }",
            "{ env = \"1\" }",
            "{ file = 3 }",
            "{ command = \"hunter2\" }",
            "{ command = [] }",
            "{ command = [3] }",
            "{ value = \"hunter2\" }",
            "{ prompt = \"a\", env = \"b\" }",
        ] {
            let message = parse(wrong).expect_err(wrong);
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
