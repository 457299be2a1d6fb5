//! A cluster file of any content is read or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pibake::config::{Selection, load};

fuzz_target!(|text: &str| {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("pibake.toml"), text).expect("writing");
    let selection = Selection {
        cwd: folder.path().to_owned(),
        home: folder.path().to_owned(),
        allow_two_managers: true,
        ..Selection::default()
    };
    match load(&selection) {
        Ok(cluster) => assert!(!cluster.nodes.is_empty()),
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
});
