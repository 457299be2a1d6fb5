//! What a Release file says: which suite it is, until when, and which indexes belong to it
//! (deb-repository format, <https://wiki.debian.org/DebianRepository/Format>).

use std::collections::BTreeMap;

use deb822_fast::Paragraph;

use super::clock::{Clock, date, parse_date};

/// Clocks of build machines and laptops differ; a Release file of tomorrow is not worth refusing.
const FUTURE: i64 = 24 * 3600;
/// An index larger than this, in bytes, is not of any archive known.
const MAX_INDEX: u64 = 1 << 30;

/// A Release file, as far as it matters here.
#[derive(Debug)]
pub(super) struct Release {
    suite: Option<String>,
    codename: Option<String>,
    /// Seconds since 1970.
    pub(super) date: i64,
    /// Seconds since 1970.
    valid_until: Option<i64>,
    by_hash: bool,
    /// Whether packages for all architectures are in an index of their own.
    all_apart: bool,
    /// Size and SHA-256 of every file that the archive vouches for.
    files: BTreeMap<String, (u64, [u8; 32])>,
}

/// How an index is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// Not at all.
    None,
    /// xz.
    Xz,
    /// zstd.
    Zst,
    /// gzip.
    Gz,
}

/// Where an index is, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IndexFile {
    /// Below the suite's directory; by its digest where the archive has that.
    pub(super) path: String,
    /// Below the suite's directory, by its name.
    pub(super) named: String,
    /// Bytes.
    pub(super) size: u64,
    /// Of the file as it is fetched.
    pub(super) sha256: [u8; 32],
    /// How it is packed.
    pub(super) packing: Packing,
    /// Bytes once it is unpacked, where the archive says so.
    pub(super) unpacked: Option<u64>,
}

/// Why a Release file does not do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is none, or another suite's.
    Wrong(String),
    /// It has run out.
    Expired(String),
}

impl Release {
    /// Reads a Release file.
    ///
    /// # Errors
    /// What it lacks.
    pub(super) fn parse(text: &str) -> Result<Self, Unfit> {
        let wrong = |what: &str| Unfit::Wrong(what.to_owned());
        let fields: Paragraph = text.parse().map_err(|_| wrong("cannot be read"))?;
        let own = |name: &str| {
            fields.get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let yes = |name: &str| own(name).is_some_and(|value| value.eq_ignore_ascii_case("yes"));
        let moment = |name: &str| match own(name) {
            Some(value) => {
                parse_date(&value).map(Some).ok_or_else(|| Unfit::Wrong(format!("has the {name} {value:?}")))
            }
            None => Ok(None),
        };
        let list = |name: &str| own(name).unwrap_or_default();
        let has_all = list("Architectures").split_whitespace().any(|arch| arch == "all");
        let no_all =
            list("No-Support-for-Architecture-all").split_whitespace().any(|kind| kind == "Packages");
        let digests = fields
            .get("SHA256")
            .ok_or_else(|| wrong("lists no SHA-256 digests, and older ones can be forged"))?;
        Ok(Self {
            suite: own("Suite"),
            codename: own("Codename"),
            date: moment("Date")?.ok_or_else(|| wrong("has no Date"))?,
            valid_until: moment("Valid-Until")?,
            by_hash: yes("Acquire-By-Hash"),
            all_apart: has_all && !no_all,
            files: digests.lines().filter_map(file).collect(),
        })
    }

    /// Checks that this is the suite asked for, and of a time that is neither over nor to come.
    ///
    /// # Errors
    /// Why it does not do.
    pub(super) fn check(&self, suite: &str, clock: Clock) -> Result<(), Unfit> {
        // Security suites were called `buster/updates` and have the codename `buster`.
        let names = [suite, suite.split('/').next().unwrap_or(suite)];
        let is = |name: &Option<String>| name.as_deref().is_some_and(|name| names.contains(&name));
        if !is(&self.suite) && !is(&self.codename) {
            let unnamed = || "nothing".to_owned();
            let (codename, of) =
                (self.codename.clone().unwrap_or_else(unnamed), self.suite.clone().unwrap_or_else(unnamed));
            return Err(Unfit::Wrong(format!(
                "is of another suite: it says Codename {codename}, Suite {of}"
            )));
        }
        let now = clock.seconds();
        if self.date > now.saturating_add(FUTURE) {
            let what = format!(
                "its date, {}, is yet to come on this machine's clock ({})",
                date(self.date),
                date(now)
            );
            return Err(Unfit::Expired(what));
        }
        match self.valid_until {
            Some(end) if end < now && !clock.allow_expired => {
                Err(Unfit::Expired(format!("its Release file was good until {}", date(end))))
            }
            _ => Ok(()),
        }
    }

    /// The indexes of a component's packages for an architecture: its own, and that of packages for all
    /// architectures where the archive keeps one apart.
    #[must_use]
    pub(super) fn indexes(&self, component: &str, arch: &str) -> Vec<IndexFile> {
        let all = self.all_apart.then_some("all");
        [Some(arch), all].into_iter().flatten().filter_map(|arch| self.index(component, arch)).collect()
    }

    fn index(&self, component: &str, arch: &str) -> Option<IndexFile> {
        let plain = format!("{component}/binary-{arch}/Packages");
        let unpacked = self.files.get(&plain).map(|(size, _)| *size);
        let forms = [(".xz", Packing::Xz), (".zst", Packing::Zst), (".gz", Packing::Gz), ("", Packing::None)];
        forms.into_iter().find_map(|(extension, packing)| {
            let named = format!("{plain}{extension}");
            let (size, sha256) = *self.files.get(&named)?;
            let hex = data_encoding::HEXLOWER.encode(&sha256);
            let by_hash = || format!("{component}/binary-{arch}/by-hash/SHA256/{hex}");
            let path = if self.by_hash { by_hash() } else { named.clone() };
            Some(IndexFile { path, named, size, sha256, packing, unpacked })
        })
    }
}

/// `DIGEST SIZE NAME`
fn file(line: &str) -> Option<(String, (u64, [u8; 32]))> {
    let mut words = line.split_whitespace();
    let digest = data_encoding::HEXLOWER_PERMISSIVE.decode(words.next()?.as_bytes()).ok()?;
    let size = words.next()?.parse().ok().filter(|size| *size <= MAX_INDEX)?;
    Some((words.next()?.to_owned(), (size, digest.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{Packing, Release, Unfit};
    use crate::fetch::clock::Clock;

    const TEXT: &str = "\
Origin: Debian
Suite: oldstable-security
Codename: bookworm-security
Date: Sat, 11 Jul 2026 10:16:37 UTC
Valid-Until: Sat, 18 Jul 2026 10:16:37 UTC
Acquire-By-Hash: yes
Architectures: all arm64
Components: updates/main
SHA256:
 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855        9 main/binary-arm64/Packages
 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855        1 main/binary-arm64/Packages.gz
 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855        2 main/binary-arm64/Packages.xz
 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855        3 main/binary-all/Packages.gz
 nonsense 3 main/binary-all/Packages.xz
 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 99999999999999 main/binary-armhf/Packages
";
    /// The day after the Release file's date.
    const NEXT_DAY: u64 = 1_783_764_997 + 86_400;

    fn clock(seconds: u64, allow_expired: bool) -> Clock {
        Clock { now: UNIX_EPOCH + Duration::from_secs(seconds), allow_expired }
    }

    fn edited(from: &str, to: &str) -> Result<Release, Unfit> {
        assert!(TEXT.contains(from));
        Release::parse(&TEXT.replace(from, to))
    }

    #[test]
    fn indexes_are_found_by_digest_or_by_name() {
        let release = Release::parse(TEXT).unwrap();
        let found = release.indexes("main", "arm64");
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].packing, found[0].size, found[0].unpacked), (Packing::Xz, 2, Some(9)));
        assert!(found[0].path.starts_with("main/binary-arm64/by-hash/SHA256/e3b0c442"), "{}", found[0].path);
        assert_eq!((found[1].packing, found[1].named.as_str()), (Packing::Gz, "main/binary-all/Packages.gz"));
        let by_name =
            edited("Acquire-By-Hash: yes\n", "No-Support-for-Architecture-all: Packages\n").unwrap();
        let found = by_name.indexes("main", "arm64");
        assert_eq!((found.len(), found[0].path.as_str()), (1, "main/binary-arm64/Packages.xz"));
        assert!(release.indexes("contrib", "arm64").is_empty());
        assert_eq!(release.indexes("main", "armhf").len(), 1, "a size without sense is not believed");
    }

    #[test]
    fn a_release_of_another_suite_or_time_is_refused() {
        let release = Release::parse(TEXT).unwrap();
        for suite in ["bookworm-security", "oldstable-security", "bookworm-security/updates"] {
            assert_eq!(release.check(suite, clock(NEXT_DAY, false)), Ok(()), "{suite}");
        }
        for suite in ["bookworm", "trixie-security"] {
            assert!(matches!(release.check(suite, clock(NEXT_DAY, false)), Err(Unfit::Wrong(_))), "{suite}");
        }
        let late = NEXT_DAY + 7 * 86_400;
        let refused = release.check("bookworm-security", clock(late, false)).unwrap_err();
        assert_eq!(refused, Unfit::Expired("its Release file was good until 2026-07-18".to_owned()));
        assert_eq!(release.check("bookworm-security", clock(late, true)), Ok(()));
        let early = clock(NEXT_DAY - 4 * 86_400, true);
        assert!(matches!(release.check("bookworm-security", early), Err(Unfit::Expired(_))));
    }

    #[test]
    fn a_release_that_lacks_something_is_refused() {
        for (from, to, what) in [
            ("SHA256:", "SHA1:", "SHA-256"),
            ("Date: Sat, 11 Jul 2026 10:16:37 UTC\n", "", "no Date"),
            ("Sat, 18 Jul 2026", "Sat, 38 Jul 2026", "Valid-Until"),
            ("Origin: Debian", " Origin", "cannot be read"),
        ] {
            let Err(Unfit::Wrong(why)) = edited(from, to) else { panic!("{from} was not missed") };
            assert!(why.contains(what), "{why}");
        }
    }
}
