//! Packages for tests: from the control paragraph they would have, and as files.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use liblzma::write::XzEncoder;

use super::Package;
use super::control::fields;

/// `head` is name, version and architecture, the last two left out for `1` and `arm64`; `more` further
/// fields, one a line.
pub(crate) fn package(head: &str, more: &str) -> Package {
    let mut words = head.split(' ');
    let mut next = |usual: &str| words.next().unwrap_or(usual).to_owned();
    let (name, version, architecture) = (next(""), next("1"), next("arm64"));
    let text = format!("Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n{more}");
    Package::from_paragraph(&fields(&text).unwrap()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A `.deb` with this control file, its parts compressed as their suffix says.
pub(crate) fn deb(control: &str, suffix: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_size(control.len() as u64);
    header.set_mode(0o644);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, "./control", control.as_bytes()).unwrap();
    let control = compress(&archive.into_inner().unwrap(), suffix);
    let data = compress(b"data", suffix);
    let named = |name: &str| format!("{name}.tar{suffix}");
    deb_of(&[("debian-binary", b"2.0\n"), (&named("control"), &control), (&named("data"), &data)])
}

/// An `ar` archive of these members.
pub(crate) fn deb_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ar::Builder::new(Vec::new());
    for (name, content) in members {
        let header = ar::Header::new(name.as_bytes().to_vec(), content.len() as u64);
        archive.append(&header, *content).unwrap();
    }
    archive.into_inner().unwrap()
}

fn compress(bytes: &[u8], suffix: &str) -> Vec<u8> {
    match suffix {
        ".gz" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        ".xz" => {
            let mut encoder = XzEncoder::new(Vec::new(), 1);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        ".zst" => zstd::encode_all(bytes, 1).unwrap(),
        _ => bytes.to_vec(),
    }
}
