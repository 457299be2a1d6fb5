//! Which archives an image takes its packages from (sources.list(5)): one-line and deb822 style.

use std::str::FromStr;

use deb822_fast::{Deb822, Paragraph};

use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::inventory::types::Inventory;

/// One suite of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// `http://deb.debian.org/debian`, no slash at its end.
    pub uri: String,
    /// `bookworm-updates`.
    pub suite: String,
    /// `main`, …
    pub components: Vec<String>,
    /// Who must have signed it.
    pub signed_by: SignedBy,
}

/// Who must have signed an archive; empty: any key that the image trusts for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignedBy {
    /// Keyrings in the image.
    pub files: Vec<String>,
    /// Fingerprints in hexadecimal digits, `!` after one allowed.
    pub fingerprints: Vec<String>,
    /// An armoured key in the source itself.
    pub inline: Option<String>,
    /// The keyrings that go with `--archive`.
    pub given: bool,
}

impl std::fmt::Display for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.uri, self.suite)
    }
}

impl FromStr for Archive {
    type Err = String;

    /// `URI SUITE COMPONENT...`, as `--archive` takes it.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let (Some(uri), Some(suite)) = (words.next(), words.next()) else {
            return Err("expected 'URI SUITE COMPONENT...'".to_owned());
        };
        check(uri, suite)?;
        let components: Vec<String> = words.map(str::to_owned).collect();
        if components.is_empty() {
            return Err("expected 'URI SUITE COMPONENT...': no component is named".to_owned());
        }
        let signed_by = SignedBy { given: true, ..SignedBy::default() };
        Ok(Self { uri: uri.trim_end_matches('/').to_owned(), suite: suite.to_owned(), components, signed_by })
    }
}

/// The archives of an image, in the order apt reads them. What cannot be used is told in `warnings`.
#[must_use]
pub fn of_image(inventory: &Inventory, warnings: &mut Vec<String>) -> Vec<Archive> {
    let mut reader = Reader { arch: inventory.arch.name(), found: Vec::new(), warnings };
    let directory = FsPath::new("/etc/apt/sources.list.d").expect("constant paths are valid");
    let main = FsPath::new("/etc/apt/sources.list").expect("constant paths are valid");
    if let Some(text) = inventory.files.get(&(Volume::Root, main.clone())) {
        reader.one_line_file(&main, &String::from_utf8_lossy(text));
    }
    let files = inventory
        .files
        .iter()
        .filter(|((volume, path), _)| *volume == Volume::Root && path.parent().as_ref() == Some(&directory));
    for ((_, path), text) in files {
        let text = String::from_utf8_lossy(text);
        match path.name().and_then(|name| name.rsplit_once('.')) {
            Some((_, "list")) => reader.one_line_file(path, &text),
            Some((_, "sources")) => reader.deb822_file(path, &text),
            _ => {}
        }
    }
    reader.found
}

struct Reader<'a> {
    arch: &'a str,
    found: Vec<Archive>,
    warnings: &'a mut Vec<String>,
}

/// A source as written, before its URIs and suites are multiplied out.
#[derive(Default)]
struct Written<'a> {
    uris: Vec<&'a str>,
    suites: Vec<&'a str>,
    components: Vec<String>,
    architectures: Vec<&'a str>,
    signed_by: SignedBy,
}

impl Reader<'_> {
    fn one_line_file(&mut self, path: &FsPath, text: &str) {
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let Some(rest) =
                line.trim().strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t', '[']))
            else {
                continue;
            };
            let place = format!("{path} line {}", number + 1);
            match one_line(rest.trim_start()) {
                Some(written) => self.add(&place, written),
                None => self.warnings.push(format!("{place} is no apt source that can be understood")),
            }
        }
    }

    fn deb822_file(&mut self, path: &FsPath, text: &str) {
        let Ok(paragraphs) = text.parse::<Deb822>() else {
            self.warnings.push(format!("{path} is no list of apt sources that can be understood"));
            return;
        };
        for paragraph in paragraphs.iter() {
            let off =
                field(paragraph, "Enabled").is_some_and(|value| matches!(value.trim(), "no" | "false" | "0"));
            if !off && words(paragraph, "Types").contains(&"deb") {
                self.add(&path.to_string(), from_paragraph(paragraph));
            }
        }
    }

    fn add(&mut self, place: &str, written: Written<'_>) {
        if !written.architectures.is_empty() && !written.architectures.contains(&self.arch) {
            return;
        }
        for uri in &written.uris {
            for suite in &written.suites {
                let (uri, suite) = (uri.replace("$(ARCH)", self.arch), suite.replace("$(ARCH)", self.arch));
                if let Err(why) = check(&uri, &suite) {
                    self.warnings.push(format!("{place}: {uri} {suite} is left out: {why}"));
                    continue;
                }
                self.found.push(Archive {
                    uri: uri.trim_end_matches('/').to_owned(),
                    suite,
                    components: written.components.clone(),
                    signed_by: written.signed_by.clone(),
                });
            }
        }
    }
}

/// Whether a URI and a suite can be put together and fetched.
fn check(uri: &str, suite: &str) -> Result<(), String> {
    if !uri.starts_with("http://") && !uri.starts_with("https://") {
        return Err("only http and https can be fetched from".to_owned());
    }
    if suite.ends_with('/') {
        return Err("flat archives are not read".to_owned());
    }
    let odd = |c: char| c.is_control() || matches!(c, '?' | '#' | '\\');
    if uri.contains(odd)
        || suite.contains(odd)
        || suite.split('/').any(|part| matches!(part, "" | "." | ".."))
    {
        return Err("it is no address of an archive".to_owned());
    }
    Ok(())
}

/// `[ options ] URI SUITE COMPONENT...`
fn one_line(rest: &str) -> Option<Written<'_>> {
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut written = Written::default();
    for (name, value) in options.split_whitespace().filter_map(|option| option.split_once('=')) {
        match name {
            "arch" => written.architectures = value.split(',').collect(),
            "signed-by" => written.signed_by = signed_by(value.split(',')),
            _ => {}
        }
    }
    let mut words = rest.split_whitespace();
    written.uris = vec![words.next()?];
    written.suites = vec![words.next()?];
    written.components = words.map(str::to_owned).collect();
    Some(written)
}

fn from_paragraph(paragraph: &Paragraph) -> Written<'_> {
    let signed = field(paragraph, "Signed-By").unwrap_or_default();
    Written {
        uris: words(paragraph, "URIs"),
        suites: words(paragraph, "Suites"),
        components: words(paragraph, "Components").into_iter().map(str::to_owned).collect(),
        architectures: words(paragraph, "Architectures"),
        signed_by: if signed.contains("-----BEGIN") {
            SignedBy { inline: Some(armour(signed)), ..SignedBy::default() }
        } else {
            signed_by(signed.split([',', ' ', '\t', '\n']))
        },
    }
}

/// An armoured key out of a field, where an empty line is written as a dot.
fn armour(value: &str) -> String {
    let lines = value.lines().map(str::trim).skip_while(|line| line.is_empty());
    lines.map(|line| if line == "." { "\n".to_owned() } else { format!("{line}\n") }).collect()
}

fn signed_by<'a>(values: impl Iterator<Item = &'a str>) -> SignedBy {
    let (files, fingerprints) = values
        .map(str::trim)
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
        .partition(|value| value.starts_with('/'));
    SignedBy { files, fingerprints, ..SignedBy::default() }
}

/// A field whatever the case of its name.
fn field<'a>(paragraph: &'a Paragraph, name: &str) -> Option<&'a str> {
    paragraph.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn words<'a>(paragraph: &'a Paragraph, name: &str) -> Vec<&'a str> {
    field(paragraph, name).unwrap_or_default().split_whitespace().collect()
}
