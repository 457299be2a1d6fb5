//! What is asked for, as packages: `docker` and `docker-ce` stand for several (Debian's and Docker's own
//! way of splitting it up).

use crate::deb::Package;

use super::catalogue::{Catalogue, Offer};
use super::error::FetchError;
use super::resolve::Resolver;

/// The packages behind a name: those that must be had, and those that are taken where there are any.
struct Meaning {
    must: &'static [&'static str],
    may: &'static [&'static str],
}

/// Debian's. From Trixie on the `docker` command is in docker-cli, which docker.io only recommends, and so
/// is iptables in every release, without which Docker does not start; and apparmor, without which no
/// container starts where the kernel has AppArmor on.
const DOCKER: Meaning = Meaning { must: &["docker.io", "iptables"], may: &["docker-cli", "apparmor"] };
/// Docker's own.
const DOCKER_CE: Meaning =
    Meaning { must: &["docker-ce", "docker-ce-cli", "containerd.io", "iptables"], may: &["apparmor"] };

/// The offers to begin with: the newest of every package asked for that the image does not have as new.
///
/// # Errors
/// When no archive has one of them.
pub(super) fn roots<'a>(
    asked: &[String],
    catalogue: &'a Catalogue,
    resolver: &Resolver<'a>,
    archives: &str,
) -> Result<Vec<&'a Offer>, FetchError> {
    let mut roots: Vec<&Offer> = Vec::new();
    let mut missing = Vec::new();
    for name in asked {
        let meaning = match name.as_str() {
            "docker" => Some(&DOCKER),
            "docker-ce" => Some(&DOCKER_CE),
            _ => None,
        };
        let (must, may) = match meaning {
            Some(meaning) => (meaning.must.to_vec(), meaning.may),
            None => (vec![name.as_str()], &[][..]),
        };
        for (name, needed) in
            must.into_iter().map(|name| (name, true)).chain(may.iter().map(|name| (*name, false)))
        {
            let installed = resolver.installed(name);
            match catalogue.named(name).first().copied() {
                Some(offer) if is_news(offer, installed, meaning.is_some()) => roots.push(offer),
                Some(_) => {}
                None if needed && installed.is_none() => missing.push(name.to_owned()),
                None => {}
            }
        }
    }
    if missing.is_empty() {
        return Ok(roots);
    }
    Err(FetchError::Missing {
        what: format!("no archive has {}{}; looked in {archives}", missing.join(", "), hint(&missing)),
    })
}

/// Whether an offer is to be taken: what somebody named is brought up to date, what only belongs to it is
/// left as it is.
fn is_news(offer: &Offer, installed: Option<&Package>, belongs: bool) -> bool {
    installed.is_none_or(|old| !belongs && old.version < offer.package.version)
}

/// What people who look for a package in vain should know.
fn hint(missing: &[String]) -> &'static str {
    if missing.iter().any(|name| matches!(name.as_str(), "docker-ce" | "docker-ce-cli" | "containerd.io")) {
        " (Docker's own archive must be named with --archive; its linux/raspbian has armhf packages up to Bookworm \
         and Docker 28, its linux/debian has them for ARMv7; `pibake fetch docker` takes Debian's docker.io)"
    } else {
        ""
    }
}
