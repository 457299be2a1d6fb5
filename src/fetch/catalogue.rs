//! What the archives offer. An archive has sixty thousand packages, of which a bundle looks at a few dozen:
//! a paragraph is read when somebody asks for it.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::deb::Package;
use crate::deb::control::{fields, paragraphs};

/// Packages by the names they have and provide.
#[derive(Debug)]
pub(super) struct Catalogue {
    arch: String,
    entries: Vec<Entry>,
    named: HashMap<String, Vec<usize>>,
    provided: HashMap<String, Vec<usize>>,
}

/// A package that an archive offers.
#[derive(Debug)]
pub(super) struct Offer {
    /// What it is.
    pub(super) package: Package,
    /// Below the archive's URI.
    pub(super) filename: String,
    /// Of the `.deb`, in bytes.
    pub(super) size: u64,
    /// Of the `.deb`.
    pub(super) sha256: [u8; 32],
    /// The archive: URI, suite and component.
    pub(super) origin: Rc<Origin>,
    /// How much a system needs it, 0 the most.
    pub(super) priority: u8,
}

/// Where an index came from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The archive's URI as it is fetched from.
    pub(super) uri: String,
    /// What the image calls it: URI, suite and component.
    pub(super) name: String,
}

#[derive(Debug)]
struct Entry {
    text: String,
    origin: Rc<Origin>,
    offer: OnceCell<Option<Offer>>,
}

impl Catalogue {
    /// An empty one, for systems of that architecture.
    #[must_use]
    pub(super) fn new(arch: &str) -> Self {
        Self { arch: arch.to_owned(), entries: Vec::new(), named: HashMap::new(), provided: HashMap::new() }
    }

    /// Takes the packages of an index.
    pub(super) fn add(&mut self, index: &str, origin: &Rc<Origin>) {
        for text in paragraphs(index) {
            let field = |name: &str| {
                let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                rest.map(str::trim)
            };
            let Some(name) = field("Package") else { continue };
            let at = self.entries.len();
            self.named.entry(name.to_owned()).or_default().push(at);
            // `Provides` is written on one line in every index that was ever seen.
            for provided in field("Provides").unwrap_or_default().split(',') {
                let name = provided.trim().split([' ', '(', ':']).next().unwrap_or_default();
                if !name.is_empty() {
                    self.provided.entry(name.to_owned()).or_default().push(at);
                }
            }
            self.entries.push(Entry {
                text: text.to_owned(),
                origin: Rc::clone(origin),
                offer: OnceCell::new(),
            });
        }
    }

    /// The packages of that name, the newest first.
    #[must_use]
    pub(super) fn named(&self, name: &str) -> Vec<&Offer> {
        let mut offers = self.offers(self.named.get(name));
        offers.sort_by(|one, other| other.package.version.cmp(&one.package.version));
        offers
    }

    /// The packages that provide that name: the newest of each, what systems need most first.
    #[must_use]
    pub(super) fn providing(&self, name: &str) -> Vec<&Offer> {
        let mut offers = self.offers(self.provided.get(name));
        offers.sort_by(|one, other| {
            let of = |offer: &Offer| (offer.priority, offer.package.name.clone());
            of(one).cmp(&of(other)).then_with(|| other.package.version.cmp(&one.package.version))
        });
        offers.dedup_by(|one, other| one.package.name == other.package.name);
        offers
    }

    fn offers(&self, at: Option<&Vec<usize>>) -> Vec<&Offer> {
        let entries = at.into_iter().flatten().map(|at| &self.entries[*at]);
        entries
            .filter_map(|entry| entry.offer.get_or_init(|| offer(entry)).as_ref())
            .filter(|offer| offer.package.fits(&self.arch))
            .collect()
    }
}

/// Reads a paragraph. One that makes no sense offers nothing: some other version may do.
fn offer(entry: &Entry) -> Option<Offer> {
    let paragraph = fields(&entry.text).ok()?;
    let own = |name: &str| paragraph.get(name).map(str::trim);
    let filename = own("Filename").filter(|name| is_below(name))?.trim_start_matches("./").to_owned();
    let digest = data_encoding::HEXLOWER_PERMISSIVE.decode(own("SHA256")?.as_bytes()).ok()?;
    Some(Offer {
        package: Package::from_paragraph(&paragraph).ok()?,
        filename,
        size: own("Size")?.parse().ok()?,
        sha256: digest.try_into().ok()?,
        origin: Rc::clone(&entry.origin),
        priority: match own("Priority") {
            Some("required") => 0,
            Some("important") => 1,
            Some("standard") => 2,
            Some("optional") => 3,
            _ => 4,
        },
    })
}

/// Whether a path stays below the archive's URI and is one in a URI.
fn is_below(path: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/-._~+:=@%,!".contains(letter);
    !path.starts_with('/')
        && path.chars().all(plain)
        && !path.split('/').any(|part| matches!(part, "" | ".."))
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::{Catalogue, Origin};

    fn paragraph(name: &str, version: &str, rest: &str) -> String {
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: arm64\nSize: 3\nSHA256: {}\n\
             Filename: pool/{name}_{version}.deb\n{rest}\n",
            "00".repeat(32)
        )
    }

    fn catalogue(paragraphs: &[String]) -> Catalogue {
        let mut catalogue = Catalogue::new("arm64");
        let origin = Rc::new(Origin { uri: "http://a".to_owned(), name: "a suite main".to_owned() });
        catalogue.add(&paragraphs.concat(), &origin);
        catalogue
    }

    #[test]
    fn the_newest_comes_first_and_what_provides_by_need() {
        let catalogue = catalogue(&[
            paragraph("runc", "1.0", ""),
            paragraph("runc", "1:0.9", ""),
            paragraph("crun", "1", "Provides: oci-runtime, x (= 2)\nPriority: optional\n"),
            paragraph("crun", "2", "Provides: oci-runtime\nPriority: optional\n"),
            paragraph("base", "1", "Provides: oci-runtime\nPriority: required\n"),
            paragraph("alien", "1", "Provides: oci-runtime\n").replace("arm64", "s390x"),
        ]);
        let versions: Vec<_> =
            catalogue.named("runc").iter().map(|offer| offer.package.to_string()).collect();
        assert_eq!(versions, ["runc 1:0.9", "runc 1.0"]);
        let provided: Vec<_> =
            catalogue.providing("oci-runtime").iter().map(|offer| offer.package.to_string()).collect();
        assert_eq!(provided, ["base 1", "crun 2"]);
        assert_eq!(catalogue.providing("x").len(), 1);
        assert!(catalogue.named("alien").is_empty() && catalogue.named("none").is_empty());
    }

    #[test]
    fn an_offer_that_leads_elsewhere_or_lacks_its_digest_is_none() {
        for (from, to) in [
            ("Filename: pool/", "Filename: ../pool/"),
            ("Filename: pool/", "Filename: /pool/"),
            ("Filename: pool/", "Filename: http://elsewhere/"),
            ("Filename: pool/", "Filename: pool/?x="),
            ("SHA256: 00", "SHA256: 0"),
            ("SHA256", "MD5sum"),
            ("Size: 3", "Size: -3"),
            ("Version: 1", "Version: a b"),
        ] {
            let text = paragraph("a", "1", "");
            assert!(text.contains(from));
            assert!(catalogue(&[text.replace(from, to)]).named("a").is_empty(), "{to}");
        }
        assert_eq!(catalogue(&[paragraph("a", "1", "")]).named("a").len(), 1);
    }
}
