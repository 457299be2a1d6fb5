//! Downloads that go wrong on the way.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::server::{Served, Server};
use crate::fetch::download::{Downloader, Obtained, Wanted};
use crate::fetch::error::FetchError;
use crate::fetch::http::Http;
use crate::interrupt::Interrupt;
use crate::progress::Silent;

fn content() -> Vec<u8> {
    (0..200_000_u32).map(|at| (at % 251) as u8).collect()
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Fetches `/file`, which must be [`content`].
fn obtain(server: &Server, cache: &Path) -> Result<Obtained, FetchError> {
    let interrupt = Interrupt::default();
    let http = Http::new(&Silent, &interrupt, &|_| None).impatient();
    let downloader = Downloader::new(&http, cache, &Silent, &interrupt).unwrap();
    let (content, url) = (content(), format!("{}/file", server.uri));
    let sha256 = digest(&content);
    downloader.obtain(&[&url], Wanted { name: "file", size: content.len() as u64, sha256: &sha256 })
}

fn served(served: Served) -> (Server, tempfile::TempDir) {
    let server = Server::start();
    server.serve("/file", served);
    (server, tempfile::tempdir().unwrap())
}

/// The file is what it must be, and so many bytes of it were fetched.
#[track_caller]
fn assert_is_content(obtained: &Obtained, fetched: u64) {
    assert!(fs::read(&obtained.path).unwrap() == content());
    assert_eq!(obtained.fetched, fetched);
}

/// The cache holds no file that is not whole.
#[track_caller]
fn assert_nothing_placed(cache: &Path) {
    let names = fs::read_dir(cache).unwrap().map(|found| found.unwrap().file_name().into_string().unwrap());
    let placed: Vec<_> = names.filter(|name| name != "lock" && !name.ends_with(".part")).collect();
    assert!(placed.is_empty(), "{placed:?}");
}

#[test]
fn a_file_is_fetched_once() {
    let (server, cache) = served(Served::File(content()));
    let first = obtain(&server, cache.path()).unwrap();
    assert_is_content(&first, 200_000);
    let again = obtain(&server, cache.path()).unwrap();
    assert_eq!((again.path, again.fetched), (first.path, 0));
    assert_eq!(server.asked(), ["/file"]);
}

#[test]
fn a_damaged_cache_is_found_out() {
    let (server, cache) = served(Served::File(content()));
    let first = obtain(&server, cache.path()).unwrap();
    fs::write(&first.path, "damaged").unwrap();
    let again = obtain(&server, cache.path()).unwrap();
    assert_is_content(&again, 200_000);
}

#[test]
fn a_broken_off_download_goes_on_where_it_stopped() {
    let (server, cache) = served(Served::Broken(content(), 70_000));
    let obtained = obtain(&server, cache.path()).unwrap();
    assert_is_content(&obtained, 200_000);
    assert_eq!(server.asked(), ["/file", "/file from 70000"]);
}

#[test]
fn an_earlier_runs_part_is_gone_on_from_and_a_foreign_one_is_not() {
    let (server, cache) = served(Served::File(content()));
    let name = data_encoding::HEXLOWER.encode(&digest(&content()));
    let part = cache.path().join(format!("{name}.part"));
    fs::write(&part, &content()[..150_000]).unwrap();
    assert_is_content(&obtain(&server, cache.path()).unwrap(), 50_000);
    // Only when what is missing has come can one tell that the beginning was wrong.
    for (foreign, comes) in [(150_000, 250_000), (200_000, 200_000), (300_000, 200_000)] {
        fs::remove_file(cache.path().join(&name)).unwrap();
        fs::write(&part, vec![1; foreign]).unwrap();
        assert_is_content(&obtain(&server, cache.path()).unwrap(), comes);
    }
}

#[test]
fn a_server_that_knows_no_ranges_sends_all_of_it() {
    let (server, cache) = served(Served::Whole(content()));
    let name = data_encoding::HEXLOWER.encode(&digest(&content()));
    fs::write(cache.path().join(format!("{name}.part")), &content()[..150_000]).unwrap();
    let obtained = obtain(&server, cache.path()).unwrap();
    assert_is_content(&obtained, 200_000);
    assert_eq!(server.asked(), ["/file from 150000"]);
}

#[test]
fn another_file_in_its_place_is_refused() {
    let mut changed = content();
    changed[100_000] ^= 1;
    let (longer, shorter) = ([content(), vec![0]].concat(), content()[..199_999].to_vec());
    for (served_instead, says) in [
        (changed, "digest"),
        (longer, "it has 200001 bytes and not 200000"),
        (shorter, "it has 199999 bytes and not 200000"),
    ] {
        let (server, cache) = served(Served::File(served_instead));
        let refused = obtain(&server, cache.path()).unwrap_err();
        let FetchError::Mismatch { url, what } = &refused else { panic!("{refused:?}") };
        assert!(url.ends_with("/file") && what.contains(says), "{refused}");
        assert_nothing_placed(cache.path());
    }
}

#[test]
fn what_passes_is_tried_again_and_what_does_not_is_not() {
    let (server, cache) = served(Served::Late(503, content()));
    assert!(obtain(&server, cache.path()).is_ok());
    assert_eq!(server.asked().len(), 2);

    let (server, cache) = served(Served::Status(500));
    let refused = obtain(&server, cache.path()).unwrap_err();
    assert!(matches!(refused, FetchError::Status { status: 500, .. }), "{refused:?}");
    assert_eq!(server.asked().len(), 4);

    let (server, cache) = served(Served::Status(404));
    let refused = obtain(&server, cache.path()).unwrap_err();
    assert!(matches!(refused, FetchError::Status { status: 404, .. }), "{refused:?}");
    assert_eq!(server.asked().len(), 1);
    assert_nothing_placed(cache.path());
}

#[test]
fn redirects_are_followed_but_not_in_circles() {
    let (server, cache) = served(Served::Elsewhere("/moved".to_owned()));
    server.file("/moved", content());
    assert!(obtain(&server, cache.path()).is_ok());
    let (server, cache) = served(Served::Elsewhere("/file".to_owned()));
    let refused = obtain(&server, cache.path()).unwrap_err();
    assert!(matches!(refused, FetchError::Network { .. }), "{refused:?}");
    assert!(server.asked().len() < 10);
}

#[test]
fn nobody_there_is_an_error_that_names_the_address() {
    let (server, _cache) = served(Served::File(content()));
    let uri = server.uri.clone();
    drop(server);
    let interrupt = Interrupt::default();
    let http = Http::new(&Silent, &interrupt, &|_| None).impatient();
    let refused = http.read(&format!("{uri}/InRelease"), 10).unwrap_err();
    assert!(refused.to_string().contains("/InRelease"), "{refused}");
    assert!(matches!(refused, FetchError::Network { .. }), "{refused:?}");
}

#[test]
fn an_interrupt_ends_it() {
    let (server, _cache) = served(Served::Status(500));
    let interrupt = Interrupt::default();
    interrupt.request();
    let http = Http::new(&Silent, &interrupt, &|_| None);
    let refused = http.read(&format!("{}/file", server.uri), 10).unwrap_err();
    assert!(matches!(refused, FetchError::Interrupted(_)), "{refused:?}");
    assert!(server.asked().is_empty());
}

#[test]
fn a_file_to_be_read_may_not_be_larger_than_its_limit() {
    let (server, _cache) = served(Served::File(content()));
    let interrupt = Interrupt::default();
    let http = Http::new(&Silent, &interrupt, &|_| None).impatient();
    let url = format!("{}/file", server.uri);
    assert!(http.read(&url, 200_000).unwrap() == Some(content()));
    assert!(matches!(http.read(&url, 199_999), Err(FetchError::Mismatch { .. })));
    assert_eq!(http.read(&format!("{}/none", server.uri), 10).unwrap(), None);
}

#[test]
fn a_proxy_is_asked_for_the_whole_address() {
    let (proxy, direct) = (Server::start(), Server::start());
    let environment = |name: &str| match name {
        "http_proxy" => Some(proxy.uri.replace("http://", "http://me:secret@")),
        "no_proxy" => Some("127.0.0.1".to_owned()),
        _ => None,
    };
    proxy.file("http://archive.test/debian/file", "by proxy");
    direct.file("/file", "directly");
    let interrupt = Interrupt::default();
    let http = Http::new(&Silent, &interrupt, &environment).impatient();
    for _ in 0..2 {
        assert_eq!(http.read("http://archive.test/debian/file", 99).unwrap(), Some(b"by proxy".to_vec()));
    }
    assert_eq!(http.read(&format!("{}/file", direct.uri), 99).unwrap(), Some(b"directly".to_vec()));
    assert_eq!(proxy.asked().len(), 2);
    assert_eq!(direct.asked(), ["/file"]);
}
