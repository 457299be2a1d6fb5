//! An overlay's manifest of any content is read or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pibake::config::overlay::{LoadedOverlay, Origin, TreeFile};
use pibake::fs::path::FsPath;
use pibake::fs::volume::Volume;

fuzz_target!(|text: &str| {
    let tree = ["etc/plain", "etc/template"].map(|path| TreeFile {
        volume: Volume::Root,
        path: FsPath::new(&format!("/{path}")).expect("a path"),
        template: path.ends_with("template"),
        content: b"{{ node.name }}".to_vec(),
        executable: false,
        source: format!("root/{path}"),
    });
    match LoadedOverlay::new("fuzzed", Origin::BuiltIn, text, tree.to_vec()) {
        Ok(overlay) => assert!(overlay.secret_params().count() <= overlay.manifest.params.len()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
