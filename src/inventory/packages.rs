//! Installed packages, from dpkg's status file (deb-control(5), dpkg-query(1)).

use std::collections::BTreeMap;
use std::io::{self, Write};

/// Longest line taken: the file may be long, a field is not.
const MAX_LINE: usize = 64 << 10;

/// What the status file says, read as it streams by.
#[derive(Debug, Default)]
pub(super) struct Packages {
    installed: Vec<Installed>,
    paragraph: Installed,
    is_installed: bool,
    line: Vec<u8>,
}

/// A paragraph's fields.
#[derive(Debug, Default)]
struct Installed {
    name: String,
    version: String,
    arch: String,
}

impl Packages {
    /// dpkg's own architecture: dpkg's or, without dpkg, libc6's.
    pub(super) fn architecture(&self) -> Option<&str> {
        let arch_of = |name: &str| {
            self.installed.iter().find(|package| package.name == name).map(|package| package.arch.as_str())
        };
        arch_of("dpkg").or_else(|| arch_of("libc6"))
    }

    /// Names and versions; packages of another architecture than `native` are named `NAME:ARCH`.
    pub(super) fn by_name(self, native: &str) -> BTreeMap<String, String> {
        let named = |package: Installed| {
            if package.arch == native || package.arch == "all" {
                (package.name, package.version)
            } else {
                (format!("{}:{}", package.name, package.arch), package.version)
            }
        };
        self.installed.into_iter().map(named).collect()
    }

    /// Takes the last paragraph, which no empty line need end.
    pub(super) fn finish(mut self) -> Self {
        self.end_line();
        self.end_paragraph();
        self
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            self.end_paragraph();
            return;
        }
        let Ok(line) = std::str::from_utf8(&line) else { return };
        match line.split_once(": ") {
            Some(("Package", value)) => self.paragraph.name = value.trim().to_owned(),
            Some(("Version", value)) => self.paragraph.version = value.trim().to_owned(),
            Some(("Architecture", value)) => self.paragraph.arch = value.trim().to_owned(),
            // Want, error flag, state: only the last says whether it is there.
            Some(("Status", value)) => self.is_installed = value.trim().ends_with(" installed"),
            _ => {}
        }
    }

    fn end_paragraph(&mut self) {
        let paragraph = std::mem::take(&mut self.paragraph);
        if std::mem::take(&mut self.is_installed) && !paragraph.name.is_empty() {
            self.installed.push(paragraph);
        }
    }
}

impl Write for Packages {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut lines = data.split(|byte| *byte == b'\n');
        let first = lines.next().unwrap_or_default();
        self.extend_line(first);
        for line in lines {
            self.end_line();
            self.extend_line(line);
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Packages {
    fn extend_line(&mut self, part: &[u8]) {
        let room = MAX_LINE - self.line.len();
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::Packages;

    const STATUS: &str = "\
Package: dpkg
Status: install ok installed
Architecture: arm64
Version: 1.21.22
Description: package
 management: Package: no field

Package: gone
Status: deinstall ok config-files
Architecture: arm64
Version: 1

Package: libc6
Status: hold ok installed
Architecture: armhf
Version: 2.36-9

Package: tzdata
Version: 2024a
Architecture: all
Status: install ok installed";

    fn parse(text: &str, piece: usize) -> Packages {
        let mut packages = Packages::default();
        for part in text.as_bytes().chunks(piece) {
            packages.write_all(part).unwrap();
        }
        packages.finish()
    }

    #[test]
    fn takes_what_is_installed_however_it_streams_by() {
        for piece in [1, 7, 4096] {
            let packages = parse(STATUS, piece);
            assert_eq!(packages.architecture(), Some("arm64"));
            let by_name: Vec<_> = packages.by_name("arm64").into_iter().collect();
            let expected = [("dpkg", "1.21.22"), ("libc6:armhf", "2.36-9"), ("tzdata", "2024a")];
            assert_eq!(by_name, expected.map(|(name, version)| (name.to_owned(), version.to_owned())));
        }
    }

    #[test]
    fn long_lines_and_odd_bytes_do_no_harm() {
        let long =
            format!("Package: a\nStatus: install ok installed\nConffiles: {}\n\n", "x".repeat(1 << 20));
        assert_eq!(parse(&long, 1000).by_name("armhf").len(), 1);
        let mut packages = Packages::default();
        packages.write_all(b"Package: \xff\nStatus: install ok installed\n\n\n\n").unwrap();
        assert!(packages.finish().by_name("armhf").is_empty());
    }
}
