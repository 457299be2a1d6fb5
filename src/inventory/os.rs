//! Which system an image holds: release and architecture, or what else it is (raspios.md, section 11).

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::at;
use super::error::InventoryError;
use super::types::{Arch, Release};
use crate::deb::status::{self, Status};
use crate::fs::FsReader;
use crate::fs::error::FsError;

/// Texts looked at here are a few lines long.
const SHORT: u64 = 64 << 10;
/// `dpkg`'s status file: 1 MB for a Lite image, 5 MB for a desktop.
const STATUS: u64 = 64 << 20;

/// What the root filesystem says it is.
pub(super) struct Os {
    pub(super) release: Release,
    pub(super) os_id: String,
    pub(super) pretty_name: String,
    pub(super) build_date: Option<String>,
    pub(super) arch: Arch,
    pub(super) packages: Status,
}

impl Os {
    /// See [`super::types::Inventory::has_package`].
    pub(super) fn has_package(&self, name: &str) -> bool {
        self.packages.has(name, self.arch.name())
    }
}

/// Reads what the root filesystem says it is, as far as that is Raspberry Pi OS of a known release;
/// `number` is its partition's.
pub(super) fn identify(boot: &dyn FsReader, root: &dyn FsReader, number: u32) -> Result<Os, InventoryError> {
    let fault = InventoryError::root(number);
    let fields = os_release(root).map_err(&fault)?;
    let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let (os_id, pretty_name) = (field("ID"), field("PRETTY_NAME"));
    if let Some(found) = other_system(Some(boot), root, &fields).map_err(&fault)? {
        return Err(InventoryError::foreign(found));
    }
    let packages = read_packages(root).map_err(&fault)?;
    let packages = status::read(&packages)
        .map_err(|error| InventoryError::Odd { what: format!("dpkg's status cannot be read: {error}") })?;
    let issue = short_text(root, "/etc/rpi-issue").map_err(&fault)?;
    let vendors = ["raspberrypi-sys-mods", "raspi-config", "raspberrypi-kernel"];
    let arch = architecture(root, &packages).map_err(&fault)?;
    if os_id != "raspbian" && issue.is_none() && !vendors.iter().any(|name| packages.has(name, &arch)) {
        return Err(InventoryError::foreign(format!("{pretty_name} without Raspberry Pi's packages")));
    }
    let debian_version = short_text(root, "/etc/debian_version").map_err(&fault)?;
    let release = release(&fields, debian_version.as_deref().unwrap_or_default()).ok_or_else(|| {
        InventoryError::UnknownRelease { found: describe(&fields, debian_version.as_deref()) }
    })?;
    let arch = match arch.as_str() {
        "armhf" => Arch::Armhf,
        "arm64" => Arch::Arm64,
        "amd64" => Arch::Amd64,
        "" => return Err(InventoryError::Odd { what: "its architecture is written nowhere".into() }),
        other => return Err(InventoryError::Odd { what: format!("its architecture is {other}") }),
    };
    Ok(Os { release, os_id, pretty_name, build_date: issue.as_deref().and_then(build_date), arch, packages })
}

/// What the system in a root filesystem is called, whichever it is.
pub(super) fn name(root: &dyn FsReader) -> Option<String> {
    let fields = os_release(root).ok()?;
    match other_system(None, root, &fields) {
        Ok(Some(name)) => Some(name),
        _ => fields.get("PRETTY_NAME").cloned(),
    }
}

/// What another system calls itself, by os-release's ID or by files that only it has.
fn other_system(
    boot: Option<&dyn FsReader>,
    root: &dyn FsReader,
    fields: &BTreeMap<String, String>,
) -> Result<Option<String>, FsError> {
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let (os_id, pretty_name) = (field("ID"), field("PRETTY_NAME"));
    let named = |name: &str| Some(format!("{name} ({pretty_name})"));
    if fields.keys().any(|name| name.starts_with("HYPRIOT_")) {
        return Ok(named("HypriotOS"));
    }
    for (path, name) in [("/boot/dietpi/.version", "DietPi"), ("/etc/armbian-release", "Armbian")] {
        if root.stat_no_follow(&at(path))?.is_some() {
            return Ok(named(name));
        }
    }
    if let Some(boot) = boot
        && boot.stat_no_follow(&at("/dietpi.txt"))?.is_some()
    {
        return Ok(named("DietPi"));
    }
    match os_id {
        "raspbian" | "debian" => {}
        "" => return Ok(Some("a Linux without a name in /etc/os-release".to_owned())),
        _ if pretty_name.is_empty() => return Ok(Some(os_id.to_owned())),
        _ => return Ok(Some(pretty_name.to_owned())),
    }
    let fstab = short_text(root, "/etc/fstab")?.unwrap_or_default();
    Ok(fstab.contains("/dev/disk/by-slot/").then(|| "an image made by rpi-image-gen".to_owned()))
}

/// os-release(5): `NAME=value`, quoted or not.
pub(super) fn os_release(root: &dyn FsReader) -> Result<BTreeMap<String, String>, FsError> {
    let text = match short_text(root, "/etc/os-release")? {
        Some(text) => text,
        None => short_text(root, "/usr/lib/os-release")?.unwrap_or_default(),
    };
    let fields = text.lines().filter_map(|line| line.trim().split_once('='));
    Ok(fields
        .filter(|(name, _)| !name.starts_with('#'))
        .map(|(name, value)| (name.to_owned(), value.trim_matches(['"', '\'']).to_owned()))
        .collect())
}

/// The release's name: VERSION_CODENAME; `VERSION="8 (jessie)"` where that is missing (Jessie, Stretch);
/// then the numbers of os-release and `/etc/debian_version`.
fn release(fields: &BTreeMap<String, String>, debian_version: &str) -> Option<Release> {
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let in_parentheses =
        field("VERSION").split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(name, _)| name);
    let names = [field("VERSION_CODENAME"), in_parentheses.unwrap_or_default()];
    if let Some(name) = names.iter().find(|name| !name.is_empty()) {
        return by_name(name);
    }
    let numbers = [field("VERSION_ID"), debian_version.trim()];
    let number = numbers.iter().find(|number| !number.is_empty())?;
    by_number(number).or_else(|| by_name(number.split('/').next().unwrap_or_default()))
}

fn by_name(name: &str) -> Option<Release> {
    Some(match name.trim() {
        "jessie" => Release::Jessie,
        "stretch" => Release::Stretch,
        "buster" => Release::Buster,
        "bullseye" => Release::Bullseye,
        "bookworm" => Release::Bookworm,
        "trixie" => Release::Trixie,
        _ => return None,
    })
}

fn by_number(number: &str) -> Option<Release> {
    Some(match number.split('.').next()? {
        "8" => Release::Jessie,
        "9" => Release::Stretch,
        "10" => Release::Buster,
        "11" => Release::Bullseye,
        "12" => Release::Bookworm,
        "13" => Release::Trixie,
        _ => return None,
    })
}

/// What to call an image of a release that is not known.
fn describe(fields: &BTreeMap<String, String>, debian_version: Option<&str>) -> String {
    match fields.get("PRETTY_NAME").filter(|name| !name.is_empty()) {
        Some(name) => name.clone(),
        None => format!("Debian {}", debian_version.unwrap_or("of no version").trim()),
    }
}

/// The date in `/etc/rpi-issue`: `Raspberry Pi reference 2025-05-13`.
fn build_date(issue: &str) -> Option<String> {
    let word = issue.lines().next()?.split_whitespace().last()?;
    let is_date = word.len() == 10 && word.chars().all(|c| c.is_ascii_digit() || c == '-');
    is_date.then(|| word.to_owned())
}

/// The text of dpkg's status; empty in an image without dpkg. Names of maintainers need not be UTF-8.
fn read_packages(root: &dyn FsReader) -> Result<String, FsError> {
    match root.read(&at("/var/lib/dpkg/status"), STATUS) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(FsError::NotFound { .. }) => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// dpkg's name of the architecture; empty when it is written nowhere.
fn architecture(root: &dyn FsReader, packages: &Status) -> Result<String, FsError> {
    // dpkg writes its own architecture first, when foreign ones were added.
    if let Some(text) = short_text(root, "/var/lib/dpkg/arch")?
        && let Some(first) = text.lines().next().filter(|line| !line.trim().is_empty())
    {
        return Ok(first.trim().to_owned());
    }
    if let Some(arch) = packages.architecture() {
        return Ok(arch.to_owned());
    }
    Ok(elf_machine(root)?.unwrap_or_default().to_owned())
}

/// What a program was built for: e_machine in the ELF header (elf(5)).
fn elf_machine(root: &dyn FsReader) -> Result<Option<&'static str>, FsError> {
    for path in ["/usr/bin/dpkg", "/bin/true", "/usr/bin/true"] {
        let mut head = Head(Vec::new());
        match root.read_to(&at(path), &mut head) {
            // The error with which the head refused what came behind it.
            Ok(_) | Err(FsError::Io(_)) => {}
            Err(FsError::NotFound { .. } | FsError::NotAFile { .. }) => continue,
            Err(error) => return Err(error),
        }
        if let [0x7f, b'E', b'L', b'F', _, 1, ..] = head.0[..]
            && let Some([low, high]) = head.0.get(18..20)
        {
            return Ok(match u16::from_le_bytes([*low, *high]) {
                40 => Some("armhf"),
                183 => Some("arm64"),
                62 => Some("amd64"),
                _ => None,
            });
        }
    }
    Ok(None)
}

/// The first 64 bytes of what is written to it; more is refused.
struct Head(Vec<u8>);

impl Write for Head {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let len = data.len().min(64 - self.0.len());
        self.0.extend_from_slice(&data[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A short text, `None` when it is not there.
pub(super) fn short_text(root: &dyn FsReader, path: &'static str) -> Result<Option<String>, FsError> {
    match root.read(&at(path), SHORT) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(FsError::NotFound { .. } | FsError::NotAFile { .. } | FsError::NotADirectory { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::{Os, identify};
    use crate::inventory::error::InventoryError;
    use crate::inventory::testing::FakeFs;
    use crate::inventory::types::{Arch, Release};

    const STATUS: &str = "Package: dpkg\nStatus: install ok installed\nArchitecture: armhf\nVersion: 1\n";
    const ISSUE: &str = "Raspberry Pi reference 2023-05-03\nGenerated using pi-gen\n";

    fn look(texts: &[(&str, &str)]) -> Result<Os, InventoryError> {
        identify(&FakeFs::default(), &FakeFs::with(texts), 2)
    }

    fn pi(os_release: &str, debian_version: &str) -> Result<Os, InventoryError> {
        look(&[
            ("/etc/os-release", os_release),
            ("/etc/debian_version", debian_version),
            ("/etc/rpi-issue", ISSUE),
            ("/var/lib/dpkg/status", STATUS),
        ])
    }

    #[test]
    fn knows_every_release() {
        for (os_release, debian_version, expected) in [
            ("ID=raspbian\nVERSION=\"8 (jessie)\"\nVERSION_ID=\"8\"", "8.0", Release::Jessie),
            ("ID=raspbian\nVERSION=\"9 (stretch)\"\nVERSION_ID=\"9\"", "9.8", Release::Stretch),
            ("ID=raspbian\nVERSION=\"10 (buster)\"\nVERSION_CODENAME=buster", "10.13", Release::Buster),
            ("ID=debian\nVERSION_CODENAME=bullseye", "11.7", Release::Bullseye),
            ("ID=debian\nVERSION_CODENAME='bookworm'", "12.5", Release::Bookworm),
            ("ID=debian\nVERSION_ID=\"13\"", "13.1", Release::Trixie),
            ("ID=debian", "trixie/sid\n", Release::Trixie),
            ("ID=raspbian\n# VERSION_CODENAME=buster\n", "9.1\n", Release::Stretch),
        ] {
            let os = pi(os_release, debian_version).unwrap_or_else(|error| panic!("{os_release}: {error}"));
            assert_eq!(os.release, expected, "{os_release}");
            assert_eq!((os.arch, os.build_date.as_deref()), (Arch::Armhf, Some("2023-05-03")));
        }
    }

    #[test]
    fn refuses_releases_it_does_not_know_by_name() {
        for (os_release, debian_version, says) in [
            (
                "ID=debian\nVERSION_CODENAME=forky\nPRETTY_NAME=\"Debian 14 (forky)\"",
                "14.0",
                "Debian 14 (forky)",
            ),
            ("ID=raspbian", "7.11\n", "Debian 7.11"),
            // A known number does not make an unknown name right.
            ("ID=debian\nVERSION_CODENAME=sid\nVERSION_ID=13", "13.0", "Debian 13.0"),
        ] {
            match pi(os_release, debian_version) {
                Err(InventoryError::UnknownRelease { found }) => assert_eq!(found, says),
                other => panic!("{os_release}: {:?}", other.map(|os| os.release)),
            }
        }
    }

    #[test]
    fn names_other_systems() {
        let found = |texts: &[(&str, &str)]| match look(texts) {
            Err(InventoryError::Foreign { found }) => found,
            other => panic!("{:?}", other.map(|os| os.release)),
        };
        let release = ("/etc/os-release", "ID=debian\nVERSION_CODENAME=bookworm\nPRETTY_NAME=\"Debian 12\"");
        let ubuntu = "ID=ubuntu\nID_LIKE=debian\nPRETTY_NAME=\"Ubuntu 22.04.3 LTS\"";
        assert_eq!(found(&[("/usr/lib/os-release", ubuntu)]), "Ubuntu 22.04.3 LTS");
        assert_eq!(found(&[release, ("/etc/armbian-release", "")]), "Armbian (Debian 12)");
        assert_eq!(found(&[release, ("/boot/dietpi/.version", "")]), "DietPi (Debian 12)");
        let hypriot = format!("{}\nHYPRIOT_OS=\"HypriotOS/armhf\"", release.1);
        assert_eq!(found(&[("/etc/os-release", &hypriot)]), "HypriotOS (Debian 12)");
        assert_eq!(found(&[release]), "Debian 12 without Raspberry Pi's packages");
        assert_eq!(found(&[("/etc/os-release", "")]), "a Linux without a name in /etc/os-release");
        let slots = "/dev/disk/by-slot/system / ext4 rw 0 1";
        assert_eq!(found(&[release, ("/etc/fstab", slots)]), "an image made by rpi-image-gen");
    }

    #[test]
    fn finds_the_architecture_in_three_places() {
        let release = ("/etc/os-release", "ID=raspbian\nVERSION_CODENAME=bookworm");
        let root = FakeFs::with(&[
            release,
            ("/var/lib/dpkg/arch", "arm64\narmhf\n"),
            ("/var/lib/dpkg/status", STATUS),
        ]);
        let os = identify(&FakeFs::default(), &root, 2).unwrap();
        assert_eq!(os.arch, Arch::Arm64);
        assert!(!os.has_package("dpkg"), "the one that is there is for armhf");
        assert_eq!(os.packages.installed[0].architecture, "armhf");

        let mut elf = vec![0; 4096];
        elf[..6].copy_from_slice(b"\x7fELF\x01\x01");
        elf[18] = 40;
        let root = FakeFs::with(&[release]).file("/usr/bin/dpkg", &elf);
        assert_eq!(identify(&FakeFs::default(), &root, 2).unwrap().arch, Arch::Armhf);

        elf[18] = 243;
        let root = FakeFs::with(&[release]).file("/usr/bin/dpkg", &elf);
        assert!(matches!(identify(&FakeFs::default(), &root, 2), Err(InventoryError::Odd { .. })));
        assert!(matches!(look(&[release]), Err(InventoryError::Odd { .. })));
        let riscv = ("/var/lib/dpkg/arch", "riscv64\n");
        match look(&[release, riscv]) {
            Err(InventoryError::Odd { what }) => assert!(what.contains("riscv64")),
            other => panic!("{:?}", other.map(|os| os.arch)),
        }
    }
}
