//! dpkg's own list of what is installed, `/var/lib/dpkg/status` (deb822(5); the field `Status` is
//! described in dpkg(1), "Package states").

use super::Package;
use super::control::{ControlError, fields, paragraphs};

/// What dpkg says is installed.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Installed and configured, on hold or not; those that wait for a trigger count.
    pub installed: Vec<Package>,
    /// Names of what an interrupted dpkg left half done.
    pub unfinished: Vec<String>,
}

impl Status {
    /// Whether a package is installed that runs on `native`.
    #[must_use]
    pub fn has(&self, name: &str, native: &str) -> bool {
        self.installed.iter().any(|package| package.name == name && package.fits(native))
    }

    /// dpkg's own architecture: dpkg's or, without dpkg, libc6's.
    #[must_use]
    pub fn architecture(&self) -> Option<&str> {
        let of = |name: &str| {
            let package = self.installed.iter().find(|package| package.name == name)?;
            Some(package.architecture.as_str())
        };
        of("dpkg").or_else(|| of("libc6"))
    }
}

/// Reads the text of the status file.
///
/// # Errors
/// What of it cannot be read; dpkg on the node would stop at the same place.
pub fn read(text: &str) -> Result<Status, ControlError> {
    let mut status = Status::default();
    for paragraph in paragraphs(text) {
        let paragraph = fields(paragraph)?;
        // Want, error flag, state.
        let state = paragraph.get("Status").and_then(|words| words.split_whitespace().nth(2));
        match state {
            Some("installed" | "triggers-awaited" | "triggers-pending") => {
                status.installed.push(Package::from_paragraph(&paragraph)?);
            }
            Some("half-installed" | "unpacked" | "half-configured") => {
                status.unfinished.push(paragraph.get("Package").unwrap_or_default().to_owned());
            }
            _ => {}
        }
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::read;

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

Package: never
Status: unknown ok not-installed
Architecture: arm64

Package: libc6
Status: hold ok installed
Architecture: armhf
Version: 2.36-9

Package: half
Status: install reinstreq half-installed
Architecture: arm64

Package: unpacked
Status: install ok unpacked
Architecture: arm64
Version: 1

Package: man-db
Status: install ok triggers-pending
Architecture: arm64
Version: 2

Package: tzdata
Version: 2024a
Architecture: all
Status: install ok installed";

    #[test]
    fn takes_what_is_there_and_names_what_is_half_done() {
        let status = read(STATUS).unwrap();
        let installed: Vec<_> = status.installed.iter().map(ToString::to_string).collect();
        assert_eq!(installed, ["dpkg 1.21.22", "libc6 2.36-9", "man-db 2", "tzdata 2024a"]);
        assert_eq!(status.unfinished, ["half", "unpacked"]);
        assert_eq!(status.architecture(), Some("arm64"));
    }

    #[test]
    fn without_dpkg_the_c_library_says_the_architecture() {
        let libc = "Package: libc6\nStatus: install ok installed\nArchitecture: armhf\nVersion: 1\n";
        assert_eq!(read(libc).unwrap().architecture(), Some("armhf"));
        assert_eq!(read("").unwrap().architecture(), None);
    }

    #[test]
    fn what_dpkg_could_not_read_is_refused() {
        for (text, says) in [
            ("nonsense\n", "not a control paragraph"),
            ("Package: a\nStatus: install ok installed\nArchitecture: all\n", "a has no field Version"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        // Of what is not there nobody needs a version.
        assert!(read("Package: a\nStatus: purge ok not-installed\n").unwrap().installed.is_empty());
    }
}
