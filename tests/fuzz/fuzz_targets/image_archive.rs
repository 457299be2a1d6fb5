//! Archives of any content are read or refused; what is read can be made over into the same images.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pibake::container::{read, repack};

fuzz_target!(|bytes: &[u8]| {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, made) = (dir.path().join("x.tar"), dir.path().join("made.tar"));
    std::fs::write(&path, bytes).expect("a file");
    let archive = match read(&path, &|| false) {
        Ok(archive) => archive,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(!archive.images.is_empty());
    let images: Vec<_> = archive.images.iter().collect();
    let out = std::fs::File::create(&made).expect("a file");
    repack(&archive, &images, out, &|| false).expect("what was read is read again");
    let again = read(&made, &|| false).expect("what was made is read");
    assert!(again.loads_everywhere());
    for (image, before) in again.images.iter().zip(&archive.images) {
        assert_eq!((&image.id, image.unpacked), (&before.id, before.unpacked));
    }
});
