//! Where an image's own configuration still speaks of a name or an address: what nobody but its user can judge.

use std::sync::Arc;

use super::at;
use super::error::InventoryError;
use super::find;
use crate::disk::block::BlockRead;
use crate::disk::partition_table;
use crate::fs::FsReader;
use crate::fs::error::FsError;
use crate::fs::metadata::FileType;
use crate::fs::path::FsPath;

/// Where is looked: everything below the first, and in the second of each container's directory.
const CONFIGURATION: &str = "/etc";
const CONTAINERS: &str = "/var/lib/docker/containers";
const CONTAINER_CONFIGURATION: &str = "hostconfig.json";

/// Longer files are no configuration that a person wrote.
const MAX_FILE: u64 = 256 << 10;
/// What is read in all, and how many names and how deep: no `/etc` has nearly as much.
const MAX_BYTES: u64 = 64 << 20;
const MAX_NAMES: usize = 50_000;
const MAX_DEPTH: usize = 24;

/// Lines that name what was looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Path and line, from 1, in order.
    pub lines: Vec<(FsPath, usize)>,
    /// Whether there was more than is looked through.
    pub cut_short: bool,
}

/// Looks for any of `words`, whole and in any case, in the configuration of an image's root filesystem, but not in
/// the files that `skip` holds for. A link is not followed, and what is no text is not looked into.
///
/// # Errors
/// When the image cannot be read.
pub fn search(
    image: &Arc<dyn BlockRead>,
    words: &[String],
    skip: impl Fn(&FsPath) -> bool,
) -> Result<Leftovers, InventoryError> {
    let pair = find::find(image, &partition_table::read(image)?)?;
    let in_root = InventoryError::root(pair.root.number);
    search_in(pair.ext4.reader(), words, skip).map_err(in_root)
}

fn search_in(
    reader: &dyn FsReader,
    words: &[String],
    skip: impl Fn(&FsPath) -> bool,
) -> Result<Leftovers, FsError> {
    let words: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
    let mut found = Leftovers::default();
    let mut read = 0;
    for path in files(reader, &mut found)? {
        if skip(&path) {
            continue;
        }
        let Some(stat) = reader.stat_no_follow(&path)? else { continue };
        if stat.kind != FileType::File || stat.size > MAX_FILE {
            continue;
        }
        read += stat.size;
        if read > MAX_BYTES {
            found.cut_short = true;
            break;
        }
        let bytes = reader.read(&path, MAX_FILE)?;
        if bytes.contains(&0) {
            continue;
        }
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        let lines = text.lines().zip(1..).filter(|(line, _)| words.iter().any(|word| names(line, word)));
        found.lines.extend(lines.map(|(_, number)| (path.clone(), number)));
    }
    Ok(found)
}

/// Every path that may be configuration, in order.
fn files(reader: &dyn FsReader, found: &mut Leftovers) -> Result<Vec<FsPath>, FsError> {
    let mut files = Vec::new();
    let mut pending = vec![at(CONFIGURATION)];
    while let Some(dir) = pending.pop() {
        if files.len() > MAX_NAMES || dir.components().count() > MAX_DEPTH {
            found.cut_short = true;
            continue;
        }
        for (path, kind) in children(reader, &dir)? {
            match kind {
                FileType::Directory => pending.push(path),
                FileType::File => files.push(path),
                _ => {}
            }
        }
    }
    for (container, _) in children(reader, &at(CONTAINERS))? {
        files.extend(container.join(CONTAINER_CONFIGURATION));
    }
    files.sort();
    Ok(files)
}

/// What is in a directory, if it is one; names that are no text are left out.
fn children(reader: &dyn FsReader, dir: &FsPath) -> Result<Vec<(FsPath, FileType)>, FsError> {
    if !reader.stat_no_follow(dir)?.is_some_and(|stat| stat.kind == FileType::Directory) {
        return Ok(Vec::new());
    }
    let entries = reader.read_dir(dir)?.into_iter();
    Ok(entries
        .filter_map(|entry| Some((dir.join(std::str::from_utf8(&entry.name).ok()?).ok()?, entry.kind)))
        .collect())
}

/// Whether a line has the word with nothing before or behind it that would make it another.
fn names(line: &str, word: &str) -> bool {
    let is_part =
        |letter: Option<char>| letter.is_some_and(|l| l.is_ascii_alphanumeric() || "-_".contains(l));
    // 10.0.0.1 is in neither 10.0.0.10, which the above tells, nor 110.0.0.1 or 10.0.0.1.5.
    let is_number = |letter: Option<char>| letter.is_some_and(|l| l.is_ascii_digit());
    let address = word.contains('.');
    line.match_indices(word).any(|(start, _)| {
        let (before, behind) = (&line[..start], &line[start + word.len()..]);
        let (mut last, mut next) = (before.chars().rev(), behind.chars());
        let (left, right) = (last.next(), next.next());
        let longer = address
            && (left == Some('.') && is_number(last.next()) || right == Some('.') && is_number(next.next()));
        // A host's name is the first of its labels: archive.raspberrypi.com is not raspberrypi's.
        let label = !address && left == Some('.');
        !is_part(left) && !is_part(right) && !longer && !label
    })
}

#[cfg(test)]
mod tests {
    use super::{MAX_FILE, names, search_in};
    use crate::inventory::testing::FakeFs;

    #[test]
    fn words_are_whole() {
        for (line, word, expected) in [
            ("127.0.1.1 pi3", "pi3", true),
            ("pi3.local", "pi3", true),
            ("myhostname = pi3, localhost", "pi3", true),
            ("http://www.pi3.com/", "pi3", false),
            ("http://pi3/", "pi3", true),
            ("pi30", "pi3", false),
            ("raspi3", "pi3", false),
            ("pi3-old", "pi3", false),
            ("x_pi3", "pi3", false),
            ("pi30 pi3", "pi3", true),
            ("listen 10.0.0.3:80", "10.0.0.3", true),
            ("10.0.0.3/24", "10.0.0.3", true),
            ("10.0.0.30", "10.0.0.3", false),
            ("110.0.0.3", "10.0.0.3", false),
            ("9.10.0.0.3", "10.0.0.3", false),
            ("10.0.0.3.5", "10.0.0.3", false),
            ("it is 10.0.0.3.", "10.0.0.3", true),
        ] {
            assert_eq!(names(line, word), expected, "{line} {word}");
        }
    }

    #[test]
    fn every_line_of_every_text_is_told_but_of_those_left_out() {
        let long = format!("PI3{}", "x".repeat(MAX_FILE as usize));
        let fs = FakeFs::with(&[
            ("/etc/mailname", "pi3.lan\n"),
            ("/etc/hosts", "1.2.3.4 pi3\n"),
            ("/etc/deep/er/app.conf", "# name\nname=PI3\nother=1\naddress=10.0.0.3\n"),
            ("/etc/long", &long),
            ("/var/lib/docker/containers/abc/hostconfig.json", r#"{"HostIp":"10.0.0.3"}"#),
            ("/var/lib/docker/containers/abc/config.v2.json", "pi3"),
            ("/home/pi/notes", "pi3"),
        ])
        .file("/etc/ld.so.cache", b"pi3\0pi3")
        .link("/etc/link", "/etc/mailname");
        let words = ["pi3".to_owned(), "10.0.0.3".to_owned()];
        let found = search_in(&fs, &words, |path| path.as_str() == "/etc/hosts").unwrap();
        let lines: Vec<String> = found.lines.iter().map(|(path, line)| format!("{path}:{line}")).collect();
        let expected = [
            "/etc/deep/er/app.conf:2",
            "/etc/deep/er/app.conf:4",
            "/etc/mailname:1",
            "/var/lib/docker/containers/abc/hostconfig.json:1",
        ];
        assert_eq!((lines, found.cut_short), (expected.map(str::to_owned).to_vec(), false));
    }

    #[test]
    fn an_image_without_configuration_has_none_left() {
        assert!(search_in(&FakeFs::default(), &["pi3".to_owned()], |_| false).unwrap().lines.is_empty());
    }
}
