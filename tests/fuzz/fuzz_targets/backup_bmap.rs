//! Block maps of any content, sealed with their own checksum or not, are read or refused; what is read lies in
//! the image, and is written and read again as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pibake::backup::bmap::Bmap;
use pibake::backup::digest::Sha256;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // Random bytes hardly ever have the right checksum.
    if let Some(sealed) = sealed(bytes) {
        check(sealed.as_bytes());
    }
});

fn check(bytes: &[u8]) {
    let map = match Bmap::parse(bytes) {
        Ok(map) => map,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(map.mapped() <= map.image_size);
    assert!(map.ranges.windows(2).all(|pair| pair[0].range.end() <= pair[1].range.start()));
    assert!(map.ranges.iter().all(|mapped| mapped.range.end() <= map.image_size));
    assert_eq!(Bmap::parse(map.to_xml().as_bytes()).expect("what was written is read"), map);
}

/// The text with its checksum made right, where it has the place for one.
fn sealed(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (before, behind) = text.split_once("<BmapFileChecksum>")?;
    let (_, behind) = behind.split_once('<')?;
    let with = |digits: &str| format!("{before}<BmapFileChecksum>{digits}<{behind}");
    Some(with(&Sha256::of(with(&"0".repeat(64)).as_bytes()).to_string()))
}
