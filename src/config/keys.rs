//! `authorized_keys`: lines as sshd(8) reads them, or files that hold such lines.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ssh_key::authorized_keys::Entry;
use ssh_key::{Algorithm, AuthorizedKeys};

use super::document::{Item, Value};
use super::paths::Paths;
use super::section::Section;
use super::text::plain;

/// A file of public keys is small; a wrong name must not fill the memory.
const KEYS_FILE_MAX: u64 = 1 << 20;

/// What a line that is a key, and no path, begins with.
const KEY_TYPES: [&str; 4] = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"];

/// What `authorized_keys` came to.
pub(super) struct Keys {
    /// One key a line, in order, each once.
    pub(super) lines: Vec<String>,
    /// Whether an entry was reported as wrong.
    pub(super) wrong: bool,
}

/// Reads the key `authorized_keys`: every entry a key, or the path of a file that is read here and now.
pub(super) fn read_keys(section: &Section<'_>, paths: Paths<'_>) -> Option<Keys> {
    const KEY: &str = "authorized_keys";
    let item = section.item(KEY)?;
    let mut keys = Keys { lines: Vec::new(), wrong: false };
    let Value::List(items) = &item.value else {
        section.wrong_type::<()>(KEY, item, "a list of public keys and of files with such keys");
        keys.wrong = true;
        return Some(keys);
    };
    for item in items {
        match read_entry(item, paths) {
            Ok(lines) => {
                for line in lines {
                    if !keys.lines.contains(&line) {
                        keys.lines.push(line);
                    }
                }
            }
            Err(message) => {
                section.report().error(&item.place, format!("{}: {message}", section.name(KEY)));
                keys.wrong = true;
            }
        }
    }
    Some(keys)
}

fn read_entry(item: &Item, paths: Paths<'_>) -> Result<Vec<String>, String> {
    let Value::Text(text) = &item.value else {
        return Err(format!("expected a string, found {}", item.value.kind()));
    };
    let text = text.trim();
    if is_private(text) {
        // Not printed: it is a secret already in the wrong place.
        return Err("this is a private key; put the public one here (the file ending in .pub)".to_owned());
    }
    if KEY_TYPES.iter().any(|name| text.starts_with(name)) {
        return read_line(text).map(|line| vec![line]);
    }
    // With options before it, a key does not begin with its type.
    if let Ok(line) = read_line(text) {
        return Ok(vec![line]);
    }
    if text.is_empty() || text.contains('\n') {
        return Err("this is neither a public key nor the path of a file with one".to_owned());
    }
    read_file(&paths.resolve(text))
}

fn read_file(path: &Path) -> Result<Vec<String>, String> {
    let shown = path.display();
    let cannot = |error: std::io::Error| format!("cannot read {shown}: {}", plain(&error));
    let file = File::open(path).map_err(cannot)?;
    if !file.metadata().map_err(cannot)?.is_file() {
        return Err(format!("{shown} is not a file"));
    }
    let mut bytes = Vec::new();
    file.take(KEYS_FILE_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > KEYS_FILE_MAX {
        return Err(format!("{shown} is too big to be a file of public keys"));
    }
    let Ok(text) = String::from_utf8(bytes) else { return Err(format!("{shown} is no text file")) };
    if is_private(&text) {
        return Err(format!("{shown} is a private key; name the public one (usually {shown}.pub)"));
    }
    if text.contains("BEGIN SSH2 PUBLIC KEY") {
        return Err(format!("{shown} is in the format of RFC 4716; convert it: ssh-keygen -i -f {shown}"));
    }
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            lines.push(read_line(line).map_err(|message| format!("{shown}:{}: {message}", index + 1))?);
        }
    }
    if lines.is_empty() { Err(format!("{shown} holds no public key")) } else { Ok(lines) }
}

/// One key, with or without options before it and a comment behind it.
fn read_line(line: &str) -> Result<String, String> {
    let entry: Entry = match AuthorizedKeys::new(line).next() {
        Some(Ok(entry)) if !line.contains(['\n', '\r']) => entry,
        _ => return Err(format!("{:?} is no public key: is it whole?", shortened(line))),
    };
    if entry.public_key().algorithm() == Algorithm::Dsa {
        return Err("a DSA key opens nothing: OpenSSH refuses them since 7.0; make an ed25519 key".to_owned());
    }
    Ok(line.to_owned())
}

fn is_private(text: &str) -> bool {
    // The last is what every key of OpenSSH's own format begins with, lines around it or not.
    (text.contains("-----BEGIN") && text.contains("PRIVATE KEY"))
        || text.starts_with("PuTTY-User-Key-File")
        || text.contains("b3BlbnNzaC1rZXktdjE")
}

/// Enough of a line to know it by.
fn shortened(line: &str) -> String {
    const SHOWN: usize = 24;
    let mut short: String = line.chars().take(SHOWN).collect();
    if line.chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    short
}
