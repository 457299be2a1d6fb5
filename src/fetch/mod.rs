//! Bundles: the packages that an image lacks, fetched from the archives it trusts.
//!
//! Every byte that ends up in a bundle is vouched for: a key that the image (or the user) trusts signed the
//! Release file, which names the indexes by their digests, and those name the packages by theirs.

pub mod archives;
pub mod bundle;
mod catalogue;
pub mod clock;
mod download;
pub mod error;
mod forward;
mod http;
pub mod proxy;
mod release;
mod resolve;
mod signature;
pub mod sources;
#[cfg(test)]
mod tests;
mod unpack;
mod wants;

use std::path::Path;

use crate::deb::{self, Package, closure};
use crate::interrupt::Interrupt;
use crate::inventory::types::Inventory;
use crate::progress::{Event, Progress};

use archives::{Mirror, Reader, begins};
use bundle::{Entry, Image, Manifest, Source, Target, file_name};
use catalogue::{Catalogue, Offer};
use clock::Clock;
use download::{Downloader, Wanted};
use error::FetchError;
use http::Http;
use proxy::Environment;
use resolve::Resolver;
use sources::Archive;

/// What bundle is wanted.
pub struct Request<'a> {
    /// The image that it completes.
    pub inventory: &'a Inventory,
    /// The image's file.
    pub image: Image,
    /// Names of packages, or `docker`.
    pub packages: &'a [String],
    /// Archives beside the image's own.
    pub archives: &'a [Archive],
    /// Keyrings for those: what they are called, and what is in them.
    pub keyrings: &'a [(String, Vec<u8>)],
    /// Where archives are taken from.
    pub mirrors: &'a [Mirror],
    /// Archives to do without: the beginning of `URI SUITE`.
    pub without: &'a [String],
    /// The time to judge by.
    pub clock: Clock,
    /// Where the bundle is to be.
    pub dir: &'a Path,
    /// Where what was fetched is kept.
    pub cache_dir: &'a Path,
    /// What names the proxies to go through.
    pub environment: Environment<'a>,
    /// Who hears of progress.
    pub progress: &'a dyn Progress,
    /// How to stop.
    pub interrupt: &'a Interrupt,
}

/// A bundle that was made.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// What is in it.
    pub manifest: Manifest,
    /// Bytes of packages that came over the network.
    pub fetched: u64,
}

/// Makes a bundle.
///
/// # Errors
/// When an archive cannot be fetched or trusted, has not what is needed, or the directory cannot take it.
/// The directory is touched only once everything is in the cache.
pub fn fetch(request: &Request<'_>) -> Result<Fetched, FetchError> {
    let target = Target::look(request.dir, request.packages)?;
    let archives = wanted_archives(request)?;
    let http = Http::new(request.progress, request.interrupt, request.environment);
    let downloader = |kind: &str| {
        Downloader::new(&http, &request.cache_dir.join(kind), request.progress, request.interrupt)
    };
    let mut manifest = Manifest::new(
        request.image.clone(),
        request.inventory.release,
        request.inventory.arch,
        request.packages.to_vec(),
    );
    let mut catalogue = Catalogue::new(request.inventory.arch.name());
    manifest.archives = read(request, &downloader("indexes")?, &archives, &mut catalogue)?;
    let offers = choose(request, &archives, &catalogue)?;
    let downloader = downloader("debs")?;
    let mut fetched = 0;
    let mut cached = Vec::new();
    for offer in offers {
        let entry = entry(offer);
        let url = format!("{}/{}", offer.origin.uri, offer.filename);
        let wanted = Wanted { name: &entry.name, size: offer.size, sha256: &offer.sha256 };
        let obtained = downloader.obtain(&[&url], wanted)?;
        fetched += obtained.fetched;
        cached.push(obtained.path);
        manifest.packages.push(entry);
    }
    let manifest = target.fill(manifest, &cached)?;
    prove(request, &manifest)?;
    Ok(Fetched { manifest, fetched })
}

/// The image's own archives and those named beside them, but for those to do without.
fn wanted_archives(request: &Request<'_>) -> Result<Vec<Archive>, FetchError> {
    let mut warnings = Vec::new();
    let mut archives = sources::of_image(request.inventory, &mut warnings);
    for without in request.without {
        let before = archives.len();
        archives.retain(|archive| !begins(&archive.to_string(), without));
        if archives.len() == before {
            warnings.push(format!("--without {without}: there is no such archive"));
        }
    }
    archives.extend_from_slice(request.archives);
    for warning in warnings {
        request.progress.event(Event::Note(format!("warning: {warning}")));
    }
    if archives.is_empty() { Err(FetchError::NoSources) } else { Ok(archives) }
}

fn read(
    request: &Request<'_>,
    downloader: &Downloader<'_>,
    archives: &[Archive],
    catalogue: &mut Catalogue,
) -> Result<Vec<Source>, FetchError> {
    let reader = Reader {
        downloader,
        inventory: request.inventory,
        keyrings: request.keyrings,
        mirrors: request.mirrors,
        clock: request.clock,
        progress: request.progress,
    };
    archives.iter().map(|archive| reader.read(archive, catalogue)).collect()
}

/// The packages that the image lacks, by name.
fn choose<'a>(
    request: &Request<'a>,
    archives: &[Archive],
    catalogue: &'a Catalogue,
) -> Result<Vec<&'a Offer>, FetchError> {
    let arch = request.inventory.arch.name();
    let resolver = Resolver::new(&request.inventory.packages.installed, catalogue, arch);
    let looked_in: Vec<String> = archives.iter().map(ToString::to_string).collect();
    let looked_in = format!("{} for {}", looked_in.join(", "), arch);
    let roots = wants::roots(request.packages, catalogue, &resolver, &looked_in)?;
    let chosen = resolver.complete(&roots).map_err(|what| FetchError::Missing { what })?;
    Ok(chosen.into_values().collect())
}

fn entry(offer: &Offer) -> Entry {
    let package = &offer.package;
    let version = package.version.to_string();
    Entry {
        name: package.name.clone(),
        file: file_name(&package.name, &version, &package.architecture),
        version,
        architecture: package.architecture.clone(),
        size: offer.size,
        sha256: data_encoding::HEXLOWER.encode(&offer.sha256),
        archive: offer.origin.name.clone(),
    }
}

/// Reads the bundle back: what the packages say of themselves must be enough for dpkg.
fn prove(request: &Request<'_>, manifest: &Manifest) -> Result<(), FetchError> {
    let mut packages = Vec::new();
    for entry in &manifest.packages {
        let found = deb::file::read(&request.dir.join(&entry.file));
        let found = found.map_err(|error| FetchError::Incomplete(format!("{error}: {}", error.source)))?;
        if data_encoding::HEXLOWER.encode(&found.sha256) != entry.sha256 {
            return Err(FetchError::Incomplete(format!("{} was not written as it was fetched", entry.file)));
        }
        packages.push(found.package);
    }
    let staged: Vec<&Package> = packages.iter().collect();
    let inventory = request.inventory;
    closure::check(&inventory.packages.installed, &staged, inventory.arch.name()).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        FetchError::Incomplete(problems.join("; "))
    })
}
