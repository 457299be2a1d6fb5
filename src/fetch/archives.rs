//! From archives to what they offer: signatures checked, indexes fetched and read.

use std::rc::Rc;
use std::str::FromStr;

use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::inventory::types::Inventory;
use crate::progress::{Event, Progress};

use super::bundle::Source;
use super::catalogue::{Catalogue, Origin};
use super::clock::{Clock, date};
use super::download::{Downloader, Wanted};
use super::error::FetchError;
use super::release::{IndexFile, Release, Unfit};
use super::signature::{self, Distrust, Keyring, Signed};
use super::sources::Archive;
use super::unpack::unpack;

/// Release files and signatures are far smaller, in bytes.
const MAX_RELEASE: u64 = 2 << 20;
/// An index unpacks to no more, in bytes, where the archive does not say to how much.
const MAX_UNPACKED: u64 = 512 << 20;

/// Where archives are taken from instead: `OLD=NEW`, each the beginning of a URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    old: String,
    new: String,
}

impl FromStr for Mirror {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_uri = |text: &str| text.starts_with("http://") || text.starts_with("https://");
        match text.split_once("=http") {
            Some((old, new)) if is_uri(old) && is_uri(&format!("http{new}")) => {
                let trimmed = |uri: &str| uri.trim_end_matches('/').to_owned();
                Ok(Self { old: trimmed(old), new: trimmed(&format!("http{new}")) })
            }
            _ => Err("expected OLD=NEW, both beginning with http:// or https://".to_owned()),
        }
    }
}

/// Whether `beginning` is all of `uri`, or ends where a part of its path does.
#[must_use]
pub(super) fn begins(uri: &str, beginning: &str) -> bool {
    let rest = uri.strip_prefix(beginning.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ' ']))
}

/// The URI that stands for `uri`; of several that would, the one that says most.
#[must_use]
pub(super) fn mirrored(uri: &str, mirrors: &[Mirror]) -> String {
    let found =
        mirrors.iter().filter(|mirror| begins(uri, &mirror.old)).max_by_key(|mirror| mirror.old.len());
    found.map_or_else(|| uri.to_owned(), |mirror| format!("{}{}", mirror.new, &uri[mirror.old.len()..]))
}

/// What reads archives.
pub(super) struct Reader<'a> {
    /// What fetches.
    pub(super) downloader: &'a Downloader<'a>,
    /// The image, for its keyrings.
    pub(super) inventory: &'a Inventory,
    /// The keyrings named on the command line: what they are called, and what is in them.
    pub(super) keyrings: &'a [(String, Vec<u8>)],
    /// Where archives are taken from.
    pub(super) mirrors: &'a [Mirror],
    /// The time to judge by.
    pub(super) clock: Clock,
    /// Who hears of what was read.
    pub(super) progress: &'a dyn Progress,
}

impl Reader<'_> {
    /// Reads an archive into the catalogue; also answers with what a person should know about it.
    ///
    /// # Errors
    /// When it cannot be fetched or is not to be trusted.
    pub(super) fn read(&self, archive: &Archive, catalogue: &mut Catalogue) -> Result<Source, FetchError> {
        let uri = mirrored(&archive.uri, self.mirrors);
        let suite = format!("{uri}/dists/{}", archive.suite);
        let signed = self.signed(archive, &suite)?;
        let unfit = |unfit| match unfit {
            Unfit::Wrong(what) => FetchError::Release { archive: archive.to_string(), what },
            Unfit::Expired(what) => FetchError::Expired { archive: archive.to_string(), what },
        };
        let release = Release::parse(&signed.text).map_err(unfit)?;
        release.check(&archive.suite, self.clock).map_err(unfit)?;
        for component in &archive.components {
            let indexes = release.indexes(component, self.inventory.arch.name());
            if indexes.is_empty() {
                let note = format!("{archive} has no {component} for {}", self.inventory.arch.name());
                self.progress.event(Event::Note(note));
            }
            let origin = Rc::new(Origin { uri: uri.clone(), name: format!("{archive} {component}") });
            for index in indexes {
                let name = format!("{} {component}", archive.suite);
                catalogue.add(&self.index(&index, &suite, &name)?, &origin);
            }
        }
        Ok(Source { archive: archive.to_string(), date: date(release.date), key: signed.key })
    }

    /// The archive's Release file: `InRelease`, or `Release` with its signature beside it.
    fn signed(&self, archive: &Archive, suite: &str) -> Result<Signed, FetchError> {
        let keyring = self.keyring(archive)?;
        let distrust = |distrust| match distrust {
            Distrust::Bad(what) => FetchError::Signature { archive: archive.to_string(), what },
            Distrust::Expired(what) => FetchError::Expired { archive: archive.to_string(), what },
        };
        if let Some(bytes) = self.downloader.http.read(&format!("{suite}/InRelease"), MAX_RELEASE)? {
            return signature::clearsigned(&bytes, &keyring, self.clock).map_err(distrust);
        }
        let absent = || FetchError::NoSuite { archive: archive.to_string(), url: suite.to_owned() };
        let release =
            self.downloader.http.read(&format!("{suite}/Release"), MAX_RELEASE)?.ok_or_else(absent)?;
        let beside = self.downloader.http.read(&format!("{suite}/Release.gpg"), MAX_RELEASE)?;
        let beside =
            beside.ok_or_else(|| distrust(Distrust::Bad("its Release file is not signed".to_owned())))?;
        signature::detached(&release, &beside, &keyring, self.clock).map_err(distrust)
    }

    /// The keys that may sign an archive.
    fn keyring(&self, archive: &Archive) -> Result<Keyring, FetchError> {
        let signed_by = &archive.signed_by;
        let mut keyring = Keyring::default();
        let mut take = |name: &str, bytes: &[u8]| -> Result<(), FetchError> {
            let parsed = Keyring::parse(bytes);
            let parsed = parsed.map_err(|what| FetchError::Keyring { keyring: name.to_owned(), what })?;
            keyring.extend(parsed);
            Ok(())
        };
        if signed_by.given && !self.keyrings.is_empty() {
            self.keyrings.iter().try_for_each(|(name, bytes)| take(name, bytes))?;
        } else if let Some(inline) = &signed_by.inline {
            take(&format!("in the source of {archive}"), inline.as_bytes())?;
        } else if !signed_by.files.is_empty() {
            for path in &signed_by.files {
                let bytes =
                    FsPath::new(path).ok().and_then(|path| self.inventory.files.get(&(Volume::Root, path)));
                let absent = || FetchError::Keyring {
                    keyring: format!("{path} of the image"),
                    what: format!("is not there, and {archive} must be signed by it"),
                };
                take(&format!("{path} of the image"), bytes.ok_or_else(absent)?)?;
            }
        } else {
            keyring = self.trusted();
        }
        if signed_by.fingerprints.is_empty() {
            Ok(keyring)
        } else {
            Ok(keyring.only(&signed_by.fingerprints))
        }
    }

    /// Every key that the image trusts for all archives. A file there that is none is passed over, as apt
    /// does.
    fn trusted(&self) -> Keyring {
        let is_trusted = |path: &FsPath| {
            let path = path.to_string();
            let in_parts = path.starts_with("/etc/apt/trusted.gpg.d/")
                && (path.ends_with(".gpg") || path.ends_with(".asc"));
            in_parts || path == "/etc/apt/trusted.gpg"
        };
        let files = self
            .inventory
            .files
            .iter()
            .filter(|((volume, path), _)| *volume == Volume::Root && is_trusted(path));
        let mut keyring = Keyring::default();
        files.filter_map(|(_, bytes)| Keyring::parse(bytes).ok()).for_each(|found| keyring.extend(found));
        keyring
    }

    /// The text of an index: fetched, or as it was fetched before.
    fn index(&self, index: &IndexFile, suite: &str, name: &str) -> Result<String, FetchError> {
        let urls = [format!("{suite}/{}", index.path), format!("{suite}/{}", index.named)];
        let wanted = Wanted { name, size: index.size, sha256: &index.sha256 };
        let path = self.downloader.obtain(&[&urls[0], &urls[1]], wanted)?.path;
        let packed = std::fs::read(&path).map_err(FetchError::io("reading", &path))?;
        let text = unpack(&packed, index.packing, index.unpacked.unwrap_or(MAX_UNPACKED).min(MAX_UNPACKED));
        text.map_err(|what| FetchError::Index { url: urls[1].clone(), what })
    }
}

#[cfg(test)]
mod tests {
    use super::{Mirror, begins, mirrored};

    #[test]
    fn a_mirror_stands_for_all_below_it() {
        let parse = |text: &str| text.parse::<Mirror>();
        let mirrors = [
            parse("http://deb.debian.org=http://cache:3142/deb.debian.org").unwrap(),
            parse("http://deb.debian.org/debian-security/=https://near/security/").unwrap(),
        ];
        for (uri, expected) in [
            ("http://deb.debian.org/debian", "http://cache:3142/deb.debian.org/debian"),
            ("http://deb.debian.org/debian-security", "https://near/security"),
            (
                "http://deb.debian.org/debian-security-debug",
                "http://cache:3142/deb.debian.org/debian-security-debug",
            ),
            ("http://deb.debian.org.evil/debian", "http://deb.debian.org.evil/debian"),
        ] {
            assert_eq!(mirrored(uri, &mirrors), expected);
        }
        for wrong in ["", "http://a", "a=http://b", "http://a=b", "http://a=", "http://a=httpx"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_archive_is_named_by_its_beginning_or_with_its_suite() {
        let archive = "http://deb.debian.org/debian bookworm-updates";
        for name in ["http://deb.debian.org", "http://deb.debian.org/debian/", archive] {
            assert!(begins(archive, name), "{name}");
        }
        for name in ["http://deb.debian.org/deb", "http://deb.debian.org/debian bookworm", "deb.debian.org"] {
            assert!(!begins(archive, name), "{name}");
        }
    }
}
