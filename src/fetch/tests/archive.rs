//! An archive of a few packages, an image that takes its packages from there, and what is fetched for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::macros::format_description;

use super::keys::{ArchiveKey, archive_key, now};
use super::server::Server;
use crate::deb::Package;
use crate::deb::status::Status;
use crate::deb::testing::deb;
use crate::fetch::archives::Mirror;
use crate::fetch::bundle::Image;
use crate::fetch::clock::Clock;
use crate::fetch::error::FetchError;
use crate::fetch::sources::Archive;
use crate::fetch::{Fetched, Request, fetch};
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::interrupt::Interrupt;
use crate::inventory::types::{Arch, FirstBootHook, Inventory, Layout, NetworkStack, Release, Space};
use crate::progress::Silent;

pub(super) const KEYRING: &str = "/usr/share/keyrings/test.gpg";

/// A suite of an archive, and what it says of itself.
pub(super) struct Suite {
    /// Where it is below the server.
    pub(super) uri: &'static str,
    /// Its name in the path.
    pub(super) name: &'static str,
    /// `Suite` and `Codename`.
    pub(super) codename: &'static str,
    /// Days from now that its Release file was made and is good until.
    pub(super) days: (i64, i64),
    pub(super) by_hash: bool,
}

pub(super) const BOOKWORM: Suite =
    Suite { uri: "/debian", name: "bookworm", codename: "bookworm", days: (-2, 5), by_hash: true };

impl Suite {
    /// Serves the suite with these packages: name, version, further fields.
    pub(super) fn publish(&self, server: &Server, packages: &[(&str, &str, &str)]) {
        let release = self.release(server, packages);
        server.file(&self.path("InRelease"), archive_key().clearsign(&release));
    }

    /// The same with `Release` and `Release.gpg`.
    pub(super) fn publish_detached(&self, server: &Server, packages: &[(&str, &str, &str)]) {
        let release = self.release(server, packages);
        server.file(&self.path("Release.gpg"), archive_key().detached(release.as_bytes()));
        server.file(&self.path("Release"), release);
    }

    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/dists/{}/{name}", self.uri, self.name)
    }

    /// Serves packages and their index; answers with the Release file.
    pub(super) fn release(&self, server: &Server, packages: &[(&str, &str, &str)]) -> String {
        let mut index = String::new();
        for (name, version, fields) in packages {
            let control = format!("Package: {name}\nVersion: {version}\nArchitecture: arm64\n{fields}");
            let (bytes, file) = (deb(&control, ".xz"), format!("pool/{name}_{version}_arm64.deb"));
            let digest = hex(&bytes);
            let _ = writeln!(index, "{control}Filename: {file}\nSize: {}\nSHA256: {digest}\n", bytes.len());
            server.file(&format!("{}/{file}", self.uri), bytes);
        }
        let packed = zstd::encode_all(index.as_bytes(), 1).unwrap();
        let by_hash = format!("main/binary-arm64/by-hash/SHA256/{}", hex(&packed));
        let place = if self.by_hash { by_hash } else { "main/binary-arm64/Packages.zst".to_owned() };
        server.file(&self.path(&place), packed.clone());
        let (made, until) = (day(self.days.0), day(self.days.1));
        format!(
            "Suite: {0}\nCodename: {0}\nDate: {made}\nValid-Until: {until}\nAcquire-By-Hash: {1}\n\
             Architectures: arm64\nComponents: main\nSHA256:\n {2} {3} main/binary-arm64/Packages\n \
             {4} {5} main/binary-arm64/Packages.zst\n",
            self.codename,
            if self.by_hash { "yes" } else { "no" },
            hex(index.as_bytes()),
            index.len(),
            hex(&packed),
            packed.len(),
        )
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

fn day(days: i64) -> String {
    let form = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] UTC"
    );
    (OffsetDateTime::now_utc() + time::Duration::days(days)).format(form).unwrap()
}

/// An arm64 Bookworm image with these packages and files.
pub(super) fn image(installed: Vec<Package>, files: &[(&str, &[u8])]) -> Inventory {
    let path = |path: &str| (Volume::Root, FsPath::new(path).unwrap());
    Inventory {
        release: Release::Bookworm,
        os_id: "debian".to_owned(),
        pretty_name: "Debian".to_owned(),
        build_date: None,
        arch: Arch::Arm64,
        stack: NetworkStack::NetworkManager,
        hook: FirstBootHook::None,
        firmware_mount: FsPath::new("/boot/firmware").unwrap(),
        layout: Layout {
            table: "mbr".to_owned(),
            disk_id: 1,
            image_size: 0,
            boot_number: 1,
            root_number: 2,
            boot: (0, 0),
            root: (0, 0),
            root_is_last: true,
        },
        boot_space: Space { block_size: 512, free_blocks: 0, free_inodes: None },
        root_space: Space { block_size: 4096, free_blocks: 0, free_inodes: None },
        booted: false,
        newest_mtime: 0,
        packages: Status { installed, unfinished: Vec::new() },
        files: files.iter().map(|(at, bytes)| (path(at), bytes.to_vec())).collect(),
        present: BTreeSet::new(),
        meta: BTreeMap::new(),
        links: BTreeMap::new(),
        manifest: None,
    }
}

/// Somebody who fetches, with a directory of their own for the bundle and the cache.
pub(super) struct Desk {
    pub(super) server: Server,
    pub(super) home: tempfile::TempDir,
    pub(super) inventory: Inventory,
    pub(super) archives: Vec<Archive>,
    pub(super) keyrings: Vec<(String, Vec<u8>)>,
    pub(super) mirrors: Vec<Mirror>,
    pub(super) without: Vec<String>,
    pub(super) clock: Clock,
}

impl Desk {
    /// With an image whose one source is the server's `/debian`, signed by the archive key.
    pub(super) fn new(installed: Vec<Package>) -> Self {
        Self::trusting(archive_key(), installed)
    }

    pub(super) fn trusting(key: &ArchiveKey, installed: Vec<Package>) -> Self {
        let server = Server::start();
        let source = format!("deb [signed-by={KEYRING}] {}/debian/ bookworm main\n", server.uri);
        let files: &[(&str, &[u8])] =
            &[("/etc/apt/sources.list", source.as_bytes()), (KEYRING, &key.public())];
        Self {
            inventory: image(installed, files),
            server,
            home: tempfile::tempdir().unwrap(),
            archives: Vec::new(),
            keyrings: Vec::new(),
            mirrors: Vec::new(),
            without: Vec::new(),
            clock: now(),
        }
    }

    pub(super) fn dir(&self) -> std::path::PathBuf {
        self.home.path().join("bundle")
    }

    pub(super) fn fetch(&self, packages: &[&str]) -> Result<Fetched, FetchError> {
        self.fetch_into(packages, &self.dir())
    }

    pub(super) fn fetch_into(&self, packages: &[&str], dir: &Path) -> Result<Fetched, FetchError> {
        let packages: Vec<String> = packages.iter().map(|name| (*name).to_owned()).collect();
        fetch(&Request {
            inventory: &self.inventory,
            image: Image { file: "card.img".to_owned(), sha256: "00".repeat(32) },
            packages: &packages,
            archives: &self.archives,
            keyrings: &self.keyrings,
            mirrors: &self.mirrors,
            without: &self.without,
            clock: self.clock,
            dir,
            cache_dir: &self.home.path().join("cache"),
            // A proxy of whoever runs the tests cannot reach this machine's loopback.
            environment: &|_| None,
            progress: &Silent,
            interrupt: &Interrupt::default(),
        })
    }

    /// The names in the bundle's directory.
    pub(super) fn names(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.dir()).unwrap();
        let mut names: Vec<String> =
            names.map(|found| found.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}
