//! Whole fetches: what ends up in the directory, and what is refused.

use std::fs;

use pgp::composed::KeyType;

use super::archive::{BOOKWORM, Desk, KEYRING, Suite, hex};
use super::keys::{ArchiveKey, archive_key, in_days};
use super::server::Served;
use crate::deb::testing::package;
use crate::fetch::clock::Clock;
use crate::fetch::error::FetchError;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;

const DOCKER: [(&str, &str, &str); 4] = [
    ("docker.io", "20.10", "Depends: libc6, runc (>= 1.1)\n"),
    ("runc", "1.1", "Depends: libc6 (>= 2.30)\n"),
    ("iptables", "1:1.8", ""),
    ("vim", "9", ""),
];

fn desk() -> Desk {
    let desk = Desk::new(vec![package("libc6 2.36", "")]);
    BOOKWORM.publish(&desk.server, &DOCKER);
    desk
}

/// Fetching Docker is refused, in words, before the directory is touched.
#[track_caller]
fn refused(desk: &Desk) -> String {
    let error = desk.fetch(&["docker"]).unwrap_err();
    assert!(!desk.dir().exists(), "{error}");
    format!("{:#}", anyhow::Error::from(error))
}

#[test]
fn docker_is_fetched_with_what_it_needs_and_once() {
    let desk = desk();
    let made = desk.fetch(&["docker"]).unwrap();
    let files = ["docker.io_20.10_arm64.deb", "iptables_1%3a1.8_arm64.deb", "runc_1.1_arm64.deb"];
    assert_eq!(desk.names(), [&["SHA256SUMS", "bundle.json"][..], &files].concat());
    let sums = fs::read_to_string(desk.dir().join("SHA256SUMS")).unwrap();
    for (line, file) in sums.lines().zip(files) {
        assert_eq!(line, format!("{}  {file}", hex(&fs::read(desk.dir().join(file)).unwrap())));
    }
    assert_eq!(made.fetched, made.manifest.packages.iter().map(|package| package.size).sum::<u64>());
    assert_eq!(made.manifest.archives[0].key, archive_key().fingerprint());
    assert_eq!(made.manifest.packages[1].version, "1:1.8");
    assert_eq!(made.manifest.packages[0].archive, format!("{}/debian bookworm main", desk.server.uri));

    desk.server.asked();
    let before = fs::read(desk.dir().join("bundle.json")).unwrap();
    assert_eq!(desk.fetch(&["docker"]).unwrap().fetched, 0);
    assert_eq!(desk.server.asked(), [BOOKWORM.path("InRelease")]);
    assert_eq!(fs::read(desk.dir().join("bundle.json")).unwrap(), before);
}

#[test]
fn an_image_that_has_it_all_gets_an_empty_bundle() {
    let installed = DOCKER.map(|(name, version, fields)| package(&format!("{name} {version}"), fields));
    let desk = Desk::new(installed.into_iter().chain([package("libc6 2.36", "")]).collect());
    BOOKWORM.publish(&desk.server, &DOCKER);
    assert!(desk.fetch(&["docker"]).unwrap().manifest.packages.is_empty());
    assert_eq!(desk.names(), ["SHA256SUMS", "bundle.json"]);
}

#[test]
fn archives_without_inrelease_or_by_hash_are_read_too() {
    let desk = Desk::new(vec![package("libc6 2.36", "")]);
    Suite { by_hash: false, ..BOOKWORM }.publish_detached(&desk.server, &DOCKER);
    assert_eq!(desk.fetch(&["runc"]).unwrap().manifest.packages.len(), 1);
    let desk = Desk::new(vec![package("libc6 2.36", "")]);
    BOOKWORM.publish_detached(&desk.server, &DOCKER);
    desk.server.remove(&BOOKWORM.path("Release.gpg"));
    assert!(refused(&desk).contains("is not signed"));
}

#[test]
fn an_index_that_is_not_there_by_its_digest_is_there_by_its_name() {
    let desk = Desk::new(vec![package("libc6 2.36", "")]);
    // Says by-hash, and has only the name.
    let release = Suite { by_hash: false, ..BOOKWORM }.release(&desk.server, &DOCKER);
    let release = release.replace("Acquire-By-Hash: no", "Acquire-By-Hash: yes");
    desk.server.file(&BOOKWORM.path("InRelease"), archive_key().clearsign(&release));
    assert_eq!(desk.fetch(&["docker"]).unwrap().manifest.packages.len(), 3);
}

#[test]
fn an_archive_that_another_key_signed_is_refused() {
    let other = ArchiveKey::new(KeyType::Ed25519Legacy);
    let mut desk = Desk::trusting(&other, vec![package("libc6 2.36", "")]);
    BOOKWORM.publish(&desk.server, &DOCKER);
    let why = refused(&desk);
    assert!(why.contains("debian bookworm is not good: it was made by"), "{why}");
    // A key that is trusted for all archives is none for one that names its keyring.
    let parts = FsPath::new("/etc/apt/trusted.gpg.d/archive.gpg").unwrap();
    desk.inventory.files.insert((Volume::Root, parts), archive_key().public());
    assert!(refused(&desk).contains("is not good"));
    // But for one that does not.
    let list = (Volume::Root, FsPath::new("/etc/apt/sources.list").unwrap());
    desk.inventory.files.insert(list, format!("deb {}/debian bookworm main", desk.server.uri).into_bytes());
    assert!(desk.fetch(&["docker"]).is_ok());
}

#[test]
fn a_keyring_that_is_not_there_is_named() {
    let mut desk = desk();
    desk.inventory.files.remove(&(Volume::Root, FsPath::new(KEYRING).unwrap()));
    let why = refused(&desk);
    assert!(why.contains(&format!("the keyring {KEYRING} of the image: is not there")), "{why}");
}

#[test]
fn a_changed_index_or_package_is_refused() {
    let desk = desk();
    let release = BOOKWORM.release(&desk.server, &DOCKER);
    let digest = release.lines().last().unwrap().split_whitespace().next().unwrap();
    let index = BOOKWORM.path(&format!("main/binary-arm64/by-hash/SHA256/{digest}"));
    let evil = zstd::encode_all(&b"Package: docker.io\nVersion: 99\n"[..], 1).unwrap();
    desk.server.file(&index, evil);
    let why = refused(&desk);
    assert!(why.contains(&index) && why.contains("not what the archive's signed index says"), "{why}");

    let desk = self::desk();
    let good = crate::deb::testing::deb("Package: runc\nVersion: 1.1\nArchitecture: arm64\n", ".xz");
    desk.server.file("/debian/pool/runc_1.1_arm64.deb", good);
    let why = refused(&desk);
    assert!(why.contains("/debian/pool/runc_1.1_arm64.deb is not what"), "{why}");
}

#[test]
fn a_release_that_ran_out_is_refused_unless_that_is_asked_for() {
    let mut desk = Desk::new(vec![package("libc6 2.36", "")]);
    Suite { days: (-20, -3), ..BOOKWORM }.publish(&desk.server, &DOCKER);
    let why = refused(&desk);
    assert!(why.contains("out of date: its Release file was good until"), "{why}");
    desk.clock.allow_expired = true;
    assert!(desk.fetch(&["docker"]).is_ok());
    // A machine whose clock is behind.
    let mut desk = self::desk();
    desk.clock = Clock { now: std::time::SystemTime::UNIX_EPOCH, ..desk.clock };
    assert!(refused(&desk).contains("yet to come on this machine's clock"));
    desk.clock = in_days(30);
    assert!(refused(&desk).contains("good until"));
}

#[test]
fn another_suite_in_place_of_the_one_asked_for_is_refused() {
    let desk = Desk::new(vec![package("libc6 2.36", "")]);
    Suite { codename: "buster", ..BOOKWORM }.publish(&desk.server, &DOCKER);
    assert!(refused(&desk).contains("is of another suite: it says Codename buster"));
}

#[test]
fn a_suite_or_a_package_that_is_not_there_is_named() {
    let desk = Desk::new(vec![package("libc6 2.36", "")]);
    let why = refused(&desk);
    assert!(why.contains("has no such suite") && why.contains("/debian/dists/bookworm"), "{why}");
    let desk = self::desk();
    let error = desk.fetch(&["docker-ce", "emacs"]).unwrap_err();
    let (why, (code, _)) = (error.to_string(), error.advice());
    assert!(why.contains("no archive has docker-ce, docker-ce-cli, containerd.io, emacs"), "{why}");
    assert!(why.contains("armhf packages up to Bookworm") && why.contains("for arm64"), "{why}");
    assert_eq!(code, crate::error::ExitCode::Failed);
}

#[test]
fn archives_can_be_taken_from_elsewhere_left_out_and_added() {
    let mut desk = desk();
    let source = "deb http://gone.test/debian bookworm main\ndeb http://other.test/x bookworm main\n";
    desk.inventory.files.insert((Volume::Root, FsPath::new("/etc/apt/sources.list").unwrap()), source.into());
    desk.without = vec!["http://other.test".to_owned()];
    desk.mirrors = vec![format!("http://gone.test={}", desk.server.uri).parse().unwrap()];
    let parts = FsPath::new("/etc/apt/trusted.gpg.d/archive.asc").unwrap();
    desk.inventory.files.insert((Volume::Root, parts), archive_key().armoured().into());
    let made = desk.fetch(&["vim"]).unwrap();
    assert_eq!(made.manifest.packages[0].archive, "http://gone.test/debian bookworm main");

    desk.without =
        vec!["http://".to_owned(), "http://gone.test".to_owned(), "http://other.test/x bookworm".to_owned()];
    assert!(matches!(desk.fetch(&["vim"]), Err(FetchError::NoSources)));
    let own = ArchiveKey::new(KeyType::Ed25519Legacy);
    let release = Suite { uri: "/own", ..BOOKWORM }.release(&desk.server, &[("tool", "1", "")]);
    desk.server.file("/own/dists/bookworm/InRelease", own.clearsign(&release));
    desk.archives = vec![format!("{}/own bookworm main", desk.server.uri).parse().unwrap()];
    assert!(matches!(
        desk.fetch_into(&["tool"], &desk.home.path().join("own")),
        Err(FetchError::Signature { .. })
    ));
    desk.keyrings = vec![("own.gpg".to_owned(), own.public())];
    assert!(desk.fetch_into(&["tool"], &desk.home.path().join("own")).is_ok());
}

#[test]
fn what_an_earlier_bundle_left_goes_and_what_is_somebody_elses_stays() {
    let desk = desk();
    desk.fetch(&["docker"]).unwrap();
    fs::write(desk.dir().join("mine.deb"), "mine").unwrap();
    let mut newer = DOCKER;
    newer[1].1 = "1.2";
    BOOKWORM.publish(&desk.server, &newer);
    desk.fetch(&["docker"]).unwrap();
    let names = desk.names();
    assert!(
        names.contains(&"runc_1.2_arm64.deb".to_owned()) && !names.contains(&"runc_1.1_arm64.deb".to_owned())
    );
    assert!(names.contains(&"mine.deb".to_owned()), "{names:?}");
    assert_eq!(fs::read_to_string(desk.dir().join("SHA256SUMS")).unwrap().lines().count(), 3);
}

#[test]
fn a_run_that_was_cut_short_is_cleaned_up_after() {
    let desk = desk();
    desk.fetch(&["docker"]).unwrap();
    let manifest = desk.dir().join("bundle.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let cut = text.replacen(
        "\"packages\"",
        "\"leftover\": [\"old_1_arm64.deb\", \"../precious.deb\"],\n  \"packages\"",
        1,
    );
    fs::write(&manifest, cut).unwrap();
    for file in ["old_1_arm64.deb", "../precious.deb"] {
        fs::write(desk.dir().join(file), "x").unwrap();
    }
    fs::remove_file(desk.dir().join("runc_1.1_arm64.deb")).unwrap();
    desk.fetch(&["docker"]).unwrap();
    assert!(!desk.names().contains(&"old_1_arm64.deb".to_owned()));
    assert!(desk.names().contains(&"runc_1.1_arm64.deb".to_owned()));
    assert!(desk.dir().join("../precious.deb").exists());
    assert_eq!(fs::read_to_string(&manifest).unwrap(), text);
}

#[test]
fn files_in_the_way_are_not_replaced() {
    let desk = desk();
    fs::create_dir(desk.dir()).unwrap();
    let mine = desk.dir().join("runc_1.1_arm64.deb");
    fs::write(&mine, "mine").unwrap();
    let refused = desk.fetch(&["docker"]).unwrap_err();
    assert!(matches!(&refused, FetchError::Occupied { path, .. } if *path == mine), "{refused:?}");
    assert_eq!(fs::read(&mine).unwrap(), b"mine");
    assert_eq!(desk.names(), ["runc_1.1_arm64.deb"]);

    fs::write(desk.dir().join("bundle.json"), "{}").unwrap();
    desk.server.asked();
    assert!(matches!(desk.fetch(&["docker"]), Err(FetchError::Occupied { .. })));
    assert!(desk.server.asked().is_empty(), "nothing is fetched for a directory that cannot take it");
}

#[test]
fn a_bundle_of_other_packages_is_not_taken_apart() {
    let desk = desk();
    desk.fetch(&["vim"]).unwrap();
    let refused = desk.fetch(&["runc"]).unwrap_err().to_string();
    assert!(refused.contains("the bundle there is of vim"), "{refused}");
    assert_eq!(desk.fetch(&["runc", "vim"]).unwrap().manifest.packages.len(), 2);
}

#[test]
fn a_package_that_is_not_what_its_index_says_is_found_out() {
    let desk = Desk::new(Vec::new());
    // The index promises a package without needs; the file itself has some.
    let release = BOOKWORM.release(&desk.server, &[("a", "1", "Depends: not-there\n")]);
    let file = "/debian/pool/a_1_arm64.deb";
    let deb =
        crate::deb::testing::deb("Package: a\nVersion: 1\nArchitecture: arm64\nDepends: not-there\n", ".xz");
    let index = format!(
        "Package: a\nVersion: 1\nArchitecture: arm64\nFilename: pool/a_1_arm64.deb\nSize: {}\nSHA256: {}\n",
        deb.len(),
        hex(&deb)
    );
    desk.server.file(file, deb);
    let listed = release.split("SHA256:").next().unwrap();
    let release =
        format!("{listed}SHA256:\n {} {} main/binary-arm64/Packages\n", hex(index.as_bytes()), index.len());
    desk.server.file(&BOOKWORM.path("main/binary-arm64/Packages"), index);
    desk.server.file(&BOOKWORM.path("InRelease"), archive_key().clearsign(&release));
    let refused = desk.fetch(&["a"]).unwrap_err();
    assert!(
        matches!(&refused, FetchError::Incomplete(why) if why.contains("a 1 needs not-there")),
        "{refused:?}"
    );
}

#[test]
fn a_server_that_answers_with_errors_is_told_from_one_that_has_nothing() {
    let desk = desk();
    desk.server.serve(&BOOKWORM.path("InRelease"), Served::Status(401));
    assert!(refused(&desk).contains("the server answered 401"));
    desk.server.serve(&BOOKWORM.path("InRelease"), Served::File(vec![b'x'; 3 << 20]));
    assert!(refused(&desk).contains("larger"));
}
