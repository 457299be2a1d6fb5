//! Manifests of any content are read or refused; what is read is written and read again as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pibake::backup::manifest::Manifest;

fuzz_target!(|bytes: &[u8]| {
    let manifest = match Manifest::parse(bytes) {
        Ok(manifest) => manifest,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(manifest.used <= manifest.image_size);
    assert!(manifest.holes.iter().all(|hole| hole.start + hole.len <= manifest.image_size));
    assert!(!manifest.archive.file.contains('/') && !manifest.bmap.file.contains('/'));
    let again = Manifest::parse(manifest.to_json().as_bytes()).expect("what was written is read");
    assert_eq!(again, manifest);
});
