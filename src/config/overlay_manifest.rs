//! `overlay.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use toml::Spanned;

use super::overlay::TreeFile;
use super::overlay_when::When;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;

/// `overlay.toml`.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// One line for people.
    pub description: String,
    /// `[params]`, by name.
    pub params: BTreeMap<String, Param>,
    /// `[[file]]`, in order: of several for one path the first whose condition holds counts.
    pub files: Vec<FileRule>,
    /// `[units] enable`.
    pub enable: Vec<EnableRule>,
    /// `[units] mask`.
    pub mask: Vec<MaskRule>,
    /// `[packages] wanted`: what has to be installed for the overlay to work.
    pub packages: Vec<String>,
}

/// A parameter.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// What values it takes.
    #[serde(rename = "type")]
    pub kind: ParamType,
    /// Its value when none is given; without one it is required.
    pub default: Option<toml::Value>,
    /// One line for people.
    #[serde(default)]
    pub help: String,
    /// Whether it renders only into files of mode 0600 or narrower.
    #[serde(default)]
    pub secret: bool,
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParamType {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A list of texts.
    List,
}

impl ParamType {
    /// Whether the value is of this type.
    #[must_use]
    pub fn accepts(self, value: &toml::Value) -> bool {
        match self {
            ParamType::String => value.is_str(),
            ParamType::Integer => value.is_integer(),
            ParamType::Boolean => value.is_bool(),
            ParamType::List => value.as_array().is_some_and(|items| items.iter().all(toml::Value::is_str)),
        }
    }

    /// The type as a person says it.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            ParamType::String => "a text",
            ParamType::Integer => "a whole number",
            ParamType::Boolean => "true or false",
            ParamType::List => "a list of texts",
        }
    }
}

/// `[[file]]`.
#[derive(Clone, Debug)]
pub struct FileRule {
    /// Which filesystem.
    pub volume: Volume,
    /// Where.
    pub path: FsPath,
    /// What is made there.
    pub made: Made,
    /// Permission bits; `None` goes by the kind of file.
    pub mode: Option<u16>,
    /// Owner, by name as the card's `passwd` has it, or as a number.
    pub owner: String,
    /// Group, likewise.
    pub group: String,
    /// Whether the ext4 IMMUTABLE flag is set.
    pub immutable: bool,
    /// When it counts.
    pub when: When,
}

/// What a `[[file]]` makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// A file of the tree.
    File,
    /// A symbolic link; the target is rendered as a template.
    Link(String),
    /// A directory.
    Directory,
    /// Nothing: what is there goes.
    Removed,
}

/// One entry of `[units] enable`: a name, or a table.
#[derive(Clone, Debug)]
pub struct EnableRule {
    /// The unit.
    pub unit: String,
    /// Targets that want it; empty means what its own `[Install]` section says.
    pub wanted_by: Vec<String>,
    /// When it counts.
    pub when: When,
}

/// One entry of `[units] mask`: a name, or a table.
#[derive(Clone, Debug)]
pub struct MaskRule {
    /// The unit.
    pub unit: String,
    /// When it counts.
    pub when: When,
}

/// What is wrong with a manifest.
#[derive(Debug)]
pub(super) struct ManifestError {
    pub(super) line: Option<usize>,
    pub(super) message: String,
}

/// Reads a manifest and checks it against the tree beside it.
pub(super) fn parse(text: &str, tree: &[TreeFile]) -> Result<Manifest, ManifestError> {
    let raw: RawManifest = toml::from_str(text).map_err(|error| ManifestError {
        line: error.span().map(|span| line_of(text, span.start)),
        message: error.message().to_owned(),
    })?;
    for (name, param) in &raw.params {
        let value = param.get_ref();
        check_param(name, value).map_err(|message| at(text, param, message))?;
    }
    let mut files = Vec::new();
    for file in raw.file {
        let span = file.span();
        let rule = file_rule(file.into_inner(), tree)
            .map_err(|message| ManifestError { line: Some(line_of(text, span.start)), message })?;
        files.push(rule);
    }
    Ok(Manifest {
        description: raw.description,
        params: raw.params.into_iter().map(|(name, param)| (name, param.into_inner())).collect(),
        files,
        enable: (raw.units.enable.into_iter())
            .map(|NameOr(RawEnable { unit, wanted_by, when })| EnableRule { unit, wanted_by, when })
            .collect(),
        mask: (raw.units.mask.into_iter())
            .map(|NameOr(RawMask { unit, when })| MaskRule { unit, when })
            .collect(),
        packages: raw.packages.wanted,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    description: String,
    #[serde(default)]
    params: BTreeMap<String, Spanned<Param>>,
    #[serde(default)]
    file: Vec<Spanned<RawFile>>,
    #[serde(default)]
    units: RawUnits,
    #[serde(default)]
    packages: RawPackages,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    path: String,
    #[serde(default = "root_volume")]
    volume: RawVolume,
    mode: Option<String>,
    #[serde(default = "root_name")]
    owner: String,
    #[serde(default = "root_name")]
    group: String,
    #[serde(default)]
    flags: Vec<Flag>,
    template: Option<bool>,
    link: Option<String>,
    #[serde(default)]
    directory: bool,
    #[serde(default)]
    remove: bool,
    #[serde(default)]
    when: When,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawVolume {
    Root,
    Boot,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Flag {
    Immutable,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUnits {
    #[serde(default)]
    enable: Vec<NameOr<RawEnable>>,
    #[serde(default)]
    mask: Vec<NameOr<RawMask>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEnable {
    unit: String,
    #[serde(default)]
    wanted_by: Vec<String>,
    #[serde(default)]
    when: When,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMask {
    unit: String,
    #[serde(default)]
    when: When,
}

/// A unit by its name alone, or a table that says more.
struct NameOr<T>(T);

impl<'de, T: Deserialize<'de> + From<String>> Deserialize<'de> for NameOr<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrVisitor(PhantomData))
    }
}

struct NameOrVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + From<String>> Visitor<'de> for NameOrVisitor<T> {
    type Value = NameOr<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a unit or a table")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(NameOr(T::from(name.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(NameOr)
    }
}

impl From<String> for RawEnable {
    fn from(unit: String) -> Self {
        Self { unit, wanted_by: Vec::new(), when: When::default() }
    }
}

impl From<String> for RawMask {
    fn from(unit: String) -> Self {
        Self { unit, when: When::default() }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPackages {
    #[serde(default)]
    wanted: Vec<String>,
}

fn root_volume() -> RawVolume {
    RawVolume::Root
}

fn root_name() -> String {
    "root".to_owned()
}

fn check_param(name: &str, param: &Param) -> Result<(), String> {
    match &param.default {
        Some(_) if param.secret => {
            Err(format!("parameter {name:?} is a secret, and secrets have no default"))
        }
        Some(value) if !param.kind.accepts(value) => {
            Err(format!("the default of parameter {name:?} is not {}", param.kind.describe()))
        }
        _ if param.secret && param.kind != ParamType::String => {
            Err(format!("parameter {name:?} is a secret, and secrets are texts"))
        }
        _ => Ok(()),
    }
}

fn file_rule(raw: RawFile, tree: &[TreeFile]) -> Result<FileRule, String> {
    let path = FsPath::new(&raw.path).map_err(|error| error.to_string())?;
    let volume = match raw.volume {
        RawVolume::Root => Volume::Root,
        RawVolume::Boot => Volume::Boot,
    };
    let in_tree = tree.iter().find(|file| file.volume == volume && file.path == path);
    let made = match (raw.link, raw.directory, raw.remove) {
        (None, false, false) => Made::File,
        (Some(target), false, false) => Made::Link(target),
        (None, true, false) => Made::Directory,
        (None, false, true) => Made::Removed,
        _ => return Err(format!("{path} is a link, a directory or removed, not several of these")),
    };
    if made == Made::File {
        let Some(file) = in_tree else {
            return Err(format!("{path} is not in the tree, and neither a link, a directory nor removed"));
        };
        if raw.template.is_some_and(|template| template != file.template) {
            return Err(format!(
                "{path}: a template's name ends in .j2, and {} is what is there",
                file.source
            ));
        }
    }
    let mode = raw.mode.map(|mode| parse_mode(&mode)).transpose()?;
    let has_mode = matches!(made, Made::File | Made::Directory);
    if mode.is_some() && (!has_mode || volume == Volume::Boot) {
        return Err(format!("{path} can have no mode"));
    }
    let immutable = raw.flags.iter().any(|flag| matches!(flag, Flag::Immutable));
    if immutable && (made != Made::File || volume == Volume::Boot) {
        return Err(format!("{path} can have no flags"));
    }
    if matches!(made, Made::Link(_)) && volume == Volume::Boot {
        return Err(format!("{path}: the FAT holds no links"));
    }
    Ok(FileRule { volume, path, made, mode, owner: raw.owner, group: raw.group, immutable, when: raw.when })
}

/// Octal, as a text: a TOML number would be decimal.
fn parse_mode(text: &str) -> Result<u16, String> {
    let digits = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    match u16::from_str_radix(text, 8) {
        Ok(mode) if digits && mode <= 0o7777 => Ok(mode),
        _ => Err(format!("mode {text:?} is not three or four octal digits")),
    }
}

fn at<T>(text: &str, value: &Spanned<T>, message: String) -> ManifestError {
    ManifestError { line: Some(line_of(text, value.span().start)), message }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::{Made, Manifest, parse};
    use crate::config::overlay::TreeFile;
    use crate::fs::path::FsPath;
    use crate::fs::volume::Volume;

    fn tree() -> Vec<TreeFile> {
        vec![TreeFile {
            volume: Volume::Root,
            path: FsPath::new("/etc/a").unwrap(),
            template: true,
            content: Vec::new(),
            executable: false,
            source: "root/etc/a.j2".to_owned(),
        }]
    }

    fn manifest(text: &str) -> Manifest {
        parse(&format!("description = \"d\"\n{text}"), &tree()).unwrap_or_else(|error| panic!("{error:?}"))
    }

    fn refusal(text: &str) -> String {
        let error = parse(&format!("description = \"d\"\n{text}"), &tree()).unwrap_err();
        format!("{}: {}", error.line.unwrap_or(0), error.message)
    }

    #[test]
    fn reads_everything() {
        let manifest = manifest(
            "[params]\n\
             key = { type = \"string\", secret = true, help = \"h\" }\n\
             many = { type = \"list\", default = [\"a\"] }\n\
             [[file]]\npath = \"/etc/a\"\nmode = \"0600\"\nowner = \"www-data\"\nflags = [\"immutable\"]\ntemplate = true\n\
             when = { release = [\"jessie\", \">= bookworm\"], arch = \"armhf\", role = [\"manager\"] }\n\
             [[file]]\npath = \"/etc/b\"\nlink = \"a\"\n\
             [[file]]\npath = \"/x\"\nvolume = \"boot\"\nremove = true\n\
             [units]\nenable = [\"a.service\", { unit = \"b.timer\", wanted_by = [\"timers.target\"] }]\n\
             mask = [{ unit = \"c.service\", when = { first_boot = \"stock\" } }]\n\
             [packages]\nwanted = [\"nfs-common\"]\n",
        );
        let file = &manifest.files[0];
        assert_eq!((file.mode, file.owner.as_str(), file.group.as_str()), (Some(0o600), "www-data", "root"));
        assert!(file.immutable && file.made == Made::File);
        assert_eq!(manifest.files[1].made, Made::Link("a".to_owned()));
        assert_eq!((manifest.files[2].volume, &manifest.files[2].made), (Volume::Boot, &Made::Removed));
        assert_eq!(manifest.enable[1].wanted_by, ["timers.target"]);
        assert_eq!(manifest.mask[0].unit, "c.service");
        assert_eq!(manifest.packages, ["nfs-common"]);
        assert!(manifest.params["key"].secret);
    }

    #[test]
    fn refuses_with_the_line() {
        for (text, expected) in [
            ("x = 1", "2: unknown field `x`"),
            ("[[file]]\npath = \"/etc/a\"\nmod = 1", "4: unknown field `mod`"),
            ("[[file]]\npath = \"/etc/b\"", "2: /etc/b is not in the tree"),
            ("[[file]]\npath = \"etc/b\"\nremove = true", "does not begin with '/'"),
            ("[[file]]\npath = \"/b\"\nremove = true\ndirectory = true", "not several"),
            ("[[file]]\npath = \"/etc/a\"\nmode = \"888\"", "octal digits"),
            ("[[file]]\npath = \"/etc/a\"\nmode = \"+644\"", "octal digits"),
            ("[[file]]\npath = \"/b\"\nlink = \"a\"\nmode = \"0644\"", "can have no mode"),
            ("[[file]]\npath = \"/b\"\nlink = \"a\"\nflags = [\"immutable\"]", "can have no flags"),
            ("[[file]]\npath = \"/b\"\nlink = \"a\"\nvolume = \"boot\"", "holds no links"),
            ("[[file]]\npath = \"/etc/a\"\nflags = [\"append\"]", "unknown variant `append`"),
            ("[[file]]\npath = \"/etc/a\"\ntemplate = false", "ends in .j2"),
            (
                "[[file]]\npath = \"/b\"\nremove = true\nwhen = { release = \"woody\" }",
                "\"woody\" is no release",
            ),
            ("[units]\nmask = [{ unit = \"a\", whem = 1 }]", "unknown field `whem`"),
            ("[units]\nmask = [1]", "the name of a unit or a table"),
            (
                "[[file]]\npath = \"/b\"\nremove = true\nwhen = { relase = \"buster\" }",
                "unknown field `relase`",
            ),
            ("[params]\na = { type = \"text\" }", "unknown variant `text`"),
            ("[params]\na = { type = \"integer\", default = \"x\" }", "3: the default of parameter \"a\""),
            (
                "[params]\na = { type = \"string\", secret = true, default = \"x\" }",
                "secrets have no default",
            ),
            ("[params]\na = { type = \"list\", secret = true }", "secrets are texts"),
        ] {
            let message = refusal(text);
            assert!(message.contains(expected), "{text}\n{message}");
        }
        assert!(parse("", &[]).unwrap_err().message.contains("description"));
    }
}
