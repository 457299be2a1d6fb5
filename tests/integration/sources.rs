//! Base images as people give them: every format, every mistake, and a cache that survives anything.

use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use flate2::write::GzEncoder;
use liblzma::stream::{Check, MtStreamBuilder, Stream};
use liblzma::write::XzEncoder;
use pibake::disk::block::BlockRead;
use pibake::interrupt::Interrupt;
use pibake::progress::{Event, Phase, Progress, Silent};
use pibake::source::error::SourceError;
use pibake::source::format::{Format, Packing};
use pibake::source::{BaseImage, OpenImage, open};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::tier::asked;

pub(crate) const MIB: usize = 1 << 20;

/// Set for the child process that [`a_killed_run_leaves_nothing_that_matters`] kills.
const CHILD_DIR: &str = "PIBAKE_TEST_CHILD_DIR";

/// A directory with a cache in it, and everything pibake said.
pub(crate) struct Bench {
    dir: TempDir,
    pub(crate) events: Arc<Events>,
}

#[derive(Default)]
pub(crate) struct Events(Mutex<Vec<Event>>);

impl Progress for Events {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), events: Arc::default() }
    }

    /// Writes a file and lets it grow old enough to be remembered.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        thread::sleep(Duration::from_millis(60));
        path
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    pub(crate) fn open(&self, path: &Path) -> Result<BaseImage, SourceError> {
        self.open_expecting(path, None)
    }

    fn open_expecting(&self, path: &Path, sha256: Option<[u8; 32]>) -> Result<BaseImage, SourceError> {
        let progress: Arc<dyn Progress> = self.events.clone();
        open(&OpenImage {
            path,
            expected_sha256: sha256,
            cache_dir: &self.cache(),
            progress: &progress,
            interrupt: &Interrupt::default(),
        })
    }

    /// Writes `bytes`, and answers the error of opening them and its message.
    fn refused(&self, bytes: &[u8]) -> (SourceError, String) {
        let path = self.dir.path().join("given.img.xz");
        fs::write(&path, bytes).unwrap();
        let error = self.open(&path).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("given.img.xz"), "no file is named: {message}");
        assert_eq!(self.images(), [] as [String; 0], "something stayed behind after: {message}");
        (error, message)
    }

    /// What is in the cache of images, but for locks.
    pub(crate) fn images(&self) -> Vec<String> {
        let Ok(found) = fs::read_dir(self.cache().join("images")) else { return Vec::new() };
        let mut names: Vec<String> =
            found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.ends_with(".lock"));
        names.sort();
        names
    }

    /// The phases that were gone through since this was last asked.
    pub(crate) fn phases(&self) -> Vec<Phase> {
        let events = std::mem::take(&mut *self.events.0.lock().unwrap());
        events
            .iter()
            .filter_map(|event| match event {
                Event::Start { phase, .. } => Some(*phase),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn notes(&self) -> Vec<String> {
        let events = self.events.0.lock().unwrap();
        let notes = events.iter().filter_map(|event| match event {
            Event::Note(note) => Some(note.clone()),
            _ => None,
        });
        notes.collect()
    }
}

/// A small disk: an MBR with two partitions, data here and there, holes in between, an odd size.
pub(crate) fn disk_image() -> Vec<u8> {
    let mut image = vec![0; 6 * MIB + 1536];
    for (at, kind, start, sectors) in [(446, 0x0c, 2048u32, 2048u32), (462, 0x83, 4096, 8192)] {
        image[at + 4] = kind;
        image[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
        image[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
    }
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    let mut random = fastrand::Rng::with_seed(7);
    for range in [MIB..MIB + 70_000, 3 * MIB - 100..3 * MIB + 300_000] {
        image[range].fill_with(|| random.u8(..));
    }
    let last = image.len() - 1;
    image[last] = 1;
    image
}

pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = XzEncoder::new(Vec::new(), 0);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn xz_in_blocks(bytes: &[u8], block: u64) -> Vec<u8> {
    let stream = MtStreamBuilder::new().threads(2).preset(0).check(Check::Crc64).block_size(block).encoder();
    let mut encoder = XzEncoder::new_stream(Vec::new(), stream.unwrap());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One frame with a checksum.
fn zst(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip_with(files: &[(&str, &[u8])], options: SimpleFileOptions) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        if name.ends_with('/') {
            writer.add_directory(*name, options).unwrap();
        } else {
            writer.start_file(*name, options).unwrap();
            writer.write_all(bytes).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    zip_with(files, SimpleFileOptions::default())
}

pub(crate) fn content(image: &BaseImage) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(image.size).unwrap()];
    image.blocks.read_at(0, &mut bytes).unwrap();
    bytes
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[test]
fn every_format_gives_the_same_image() {
    let disk = disk_image();
    let (first, second) = disk.split_at(3 * MIB + 17);
    let big = SimpleFileOptions::default().large_file(true);
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let skippable = b"\x5e\x2a\x4d\x18\x04\0\0\0skip".as_slice();
    let dir = ("boot/", b"".as_slice());
    let image = ("2019-raspbian.img", disk.as_slice());
    let readme = ("README.txt", b"hello\n".as_slice());
    for (name, format, bytes) in [
        ("raw", Format::Raw, disk.clone()),
        ("xz", Format::Packed(Packing::Xz), xz(&disk)),
        ("xz, blocks", Format::Packed(Packing::Xz), xz_in_blocks(&disk, 500_000)),
        ("xz, streams", Format::Packed(Packing::Xz), [xz(first), xz_in_blocks(second, 1 << 20)].concat()),
        (
            "xz, padded streams",
            Format::Packed(Packing::Xz),
            [xz(first), vec![0; 8], xz(second), vec![0; 4]].concat(),
        ),
        ("gz", Format::Packed(Packing::Gz), gz(&disk)),
        ("gz, members", Format::Packed(Packing::Gz), [gz(first), gz(second)].concat()),
        ("gz, zeros behind", Format::Packed(Packing::Gz), [gz(&disk), vec![0; 513]].concat()),
        ("zst", Format::Packed(Packing::Zst), zst(&disk)),
        (
            "zst, frames",
            Format::Packed(Packing::Zst),
            [skippable, &zst(first), skippable, &zst(second), skippable].concat(),
        ),
        ("zip", Format::Packed(Packing::Zip), zip_of(&[image])),
        ("zip, stored", Format::Packed(Packing::Zip), zip_with(&[image], stored)),
        ("zip64", Format::Packed(Packing::Zip), zip_with(&[image], big)),
        ("zip, with others", Format::Packed(Packing::Zip), zip_of(&[dir, readme, image])),
    ] {
        let bench = Bench::new();
        // By content, never by name.
        let path = bench.file("image.iso", &bytes);
        let opened = bench.open_expecting(&path, Some(sha256(&bytes))).unwrap();
        assert_eq!(opened.format, format, "{name}");
        assert_eq!(opened.size, disk.len() as u64, "{name}");
        assert!(content(&opened) == disk, "{name}: the content differs");
        assert_eq!(opened.source_sha256, sha256(&bytes), "{name}");
        assert_eq!(fs::read(&opened.file).unwrap().len(), disk.len(), "{name}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{name}: the source was written to");
        assert_eq!(opened.file == path, format == Format::Raw, "{name}: only raw images stay where they are");
        opened.still_same().unwrap();
    }
}

#[test]
fn zeros_become_holes() {
    let bench = Bench::new();
    let mut disk = disk_image();
    disk.resize(64 * MIB, 0);
    let opened = bench.open(&bench.file("image", &gz(&disk))).unwrap();
    let metadata = fs::metadata(&opened.file).unwrap();
    assert_eq!(metadata.len(), disk.len() as u64);
    assert!(metadata.blocks() * 512 < 2 * MIB as u64, "{} blocks are used", metadata.blocks());
    assert!(opened.blocks.is_hole(32 * MIB as u64, MIB as u64));
    assert!(!opened.blocks.is_hole(0, 512));
}

#[test]
fn things_that_are_no_image_are_named() {
    let bench = Bench::new();
    let mut iso = vec![0; 40_000];
    iso[32769..32774].copy_from_slice(b"CD001");
    let mut fat = vec![0; 4096];
    fat[..3].copy_from_slice(&[0xeb, 0x58, 0x90]);
    fat[82..90].copy_from_slice(b"FAT32   ");
    fat[510..512].copy_from_slice(&[0x55, 0xaa]);
    for (bytes, want) in [
        (b"".to_vec(), "an empty file"),
        (b"<!DOCTYPE html><html><title>404</title></html>".to_vec(), "an HTML page"),
        (iso, "an ISO 9660 image"),
        (b"<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n".to_vec(), "a .bmap block map"),
        (b"%PDF-1.4 and so on".to_vec(), "a PDF document"),
        (fat, "a bare FAT filesystem"),
        (vec![0; MIB], "zeros"),
        (b"\x7fELF\x02\x01\x01".to_vec(), "an ELF program"),
        (b"5f2c...  raspios.img.xz\n".to_vec(), "a text file"),
    ] {
        for (packed, bytes) in [(false, bytes.clone()), (true, gz(&bytes)), (true, xz(&bytes))] {
            let (error, message) = bench.refused(&bytes);
            assert!(matches!(error, SourceError::LooksLike { packed: p, .. } if p == packed), "{error:?}");
            assert!(message.contains(want), "{want}: {message}");
        }
    }
}

#[test]
fn what_cannot_be_opened_is_said_so() {
    let bench = Bench::new();
    let missing = bench.dir.path().join("missing.img");
    assert!(matches!(bench.open(&missing), Err(SourceError::NotFound { .. })));
    assert!(!missing.exists());
    assert!(matches!(bench.open(bench.dir.path()), Err(SourceError::NotAFile { what: "a directory", .. })));
    assert!(matches!(bench.open(Path::new("/dev/null")), Err(SourceError::NotAFile { .. })));
}

#[test]
fn archives_cut_short_are_told_from_damaged_ones() {
    let disk = disk_image();
    for (name, bytes) in [
        ("xz", xz(&disk)),
        ("xz, blocks", xz_in_blocks(&disk, 500_000)),
        ("xz, streams", [xz(&disk[..MIB]), xz(&disk[MIB..])].concat()),
        ("gz", gz(&disk)),
        ("zst", zst(&disk)),
        ("zip", zip_of(&[("a.img", &disk)])),
    ] {
        let bench = Bench::new();
        for keep in [bytes.len() / 2, bytes.len() - 1, bytes.len() - 9] {
            let (error, message) = bench.refused(&bytes[..keep]);
            let SourceError::Truncated { offset, .. } = error else { panic!("{name}, {keep}: {error:?}") };
            assert_eq!(offset, keep as u64, "{name}: {message}");
        }
    }
}

#[test]
fn damage_is_found_wherever_it_is() {
    let disk = disk_image();
    for (name, bytes) in [
        ("xz", xz(&disk)),
        ("xz, blocks", xz_in_blocks(&disk, 500_000)),
        ("gz", gz(&disk)),
        ("zst", zst(&disk)),
        ("zip", zip_of(&[("a.img", &disk)])),
    ] {
        let bench = Bench::new();
        // The last byte of the packed random data, far from any header.
        let at = bytes.len() / 3;
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let (error, message) = bench.refused(&damaged);
        let SourceError::Corrupt { offset, .. } = error else { panic!("{name}: {error:?}") };
        assert!(offset >= at as u64 && offset <= bytes.len() as u64, "{name}: {message}");
    }
}

#[test]
fn garbage_behind_an_archive_is_refused_where_it_begins() {
    let disk = disk_image();
    for (name, bytes) in
        [("xz", xz(&disk)), ("gz", gz(&disk)), ("zst", zst(&disk)), ("zip", zip_of(&[("a.img", &disk)]))]
    {
        let bench = Bench::new();
        for garbage in [b"<html>".as_slice(), b"\0\0\0\0x", b"\x1f"] {
            let (error, message) = bench.refused(&[&bytes, garbage].concat());
            let SourceError::TrailingGarbage { offset, .. } = error else { panic!("{name}: {error:?}") };
            assert_eq!(offset, bytes.len() as u64, "{name}: {message}");
        }
    }
    let (error, _) = Bench::new().refused(&[xz(&disk), vec![0; 3]].concat());
    assert!(matches!(error, SourceError::TrailingGarbage { .. }), "padding of 3 bytes: {error:?}");
}

#[test]
fn an_image_cut_short_is_found_by_its_partition_table() {
    let disk = disk_image();
    let cut = &disk[..5 * MIB];
    for bytes in [cut.to_vec(), xz(cut), zip_of(&[("a.img", cut)])] {
        let (error, message) = Bench::new().refused(&bytes);
        let SourceError::Truncated { offset, format: Format::Raw, .. } = error else { panic!("{error:?}") };
        assert_eq!(offset, 5 * MIB as u64);
        assert!(message.contains("its partition table reaches to byte 6291456"), "{message}");
    }
}

#[test]
fn archives_in_archives_are_refused() {
    let disk = disk_image();
    for bytes in [gz(&xz(&disk)), xz(&xz(&disk)), zst(&xz(&disk)), zip_of(&[("a.img.xz", &xz(&disk))])] {
        let (error, message) = Bench::new().refused(&bytes);
        assert!(matches!(error, SourceError::Nested { inner: Packing::Xz, .. }), "{error:?}");
        assert!(message.contains("unpack the outer one first"), "{message}");
    }
}

#[test]
fn a_zip_holds_exactly_one_image() {
    let disk = disk_image();
    let many: Vec<String> = (0..300).map(|n| format!("{n}.txt")).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), b"x".as_slice())).collect();
    for (files, want) in [
        (vec![], "no file"),
        (vec![("empty/", b"".as_slice())], "no file"),
        (vec![("README.txt", b"hello\n".as_slice())], "no disk image (but \"README.txt\", a text file)"),
        (vec![("a.img", &disk), ("b\n.img", &disk)], "2 disk images (\"a.img\", \"b\\n.img\")"),
        (many, "300 files"),
    ] {
        let (error, message) = Bench::new().refused(&zip_of(&files));
        assert!(matches!(error, SourceError::NotOneImage { .. }), "{error:?}");
        assert!(message.contains(want), "{want}: {message}");
    }
}

#[test]
fn a_zip_whose_directory_lies_is_refused() {
    let disk = disk_image();
    let whole = zip_of(&[("a.img", &disk)]);
    let directory = whole.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").unwrap();
    // Central directory header: CRC at 16, unpacked size at 24, offset of the local header at 42.
    for (name, field) in [("crc", 16), ("size", 24), ("offset", 42)] {
        let mut bytes = whole.clone();
        bytes[directory + field] ^= 1;
        let (error, _) = Bench::new().refused(&bytes);
        let told = matches!(error, SourceError::Corrupt { .. } | SourceError::Truncated { .. });
        assert!(told, "{name}: {error:?}");
    }
}

#[test]
fn a_zip_that_cannot_be_unpacked_says_why() {
    let whole = zip_of(&[("a.img", &disk_image())]);
    let directory = whole.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").unwrap();
    // General purpose flags and compression method, in the local and in the central header.
    for (field, value, want) in [(6, 1, "it is encrypted"), (8, 14, "pack it again with deflate")] {
        let mut bytes = whole.clone();
        bytes[field] = value;
        bytes[directory + field + 2] = value;
        let (error, message) = Bench::new().refused(&bytes);
        assert!(matches!(error, SourceError::Unsupported { .. }), "{error:?}");
        assert!(message.contains(want), "{message}");
    }
}

#[test]
fn dictionaries_too_large_for_many_threads_are_decoded_by_fewer() {
    let disk = disk_image();
    let (first, second) = disk.split_at(4 * MIB);
    let large = |bytes: &[u8]| {
        let mut options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
        options.dict_size(96 << 20);
        let mut filters = liblzma::stream::Filters::new();
        filters.lzma2(&options);
        let stream = Stream::new_stream_encoder(&filters, Check::Sha256).unwrap();
        let mut encoder = XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let bench = Bench::new();
    let opened = bench.open(&bench.file("image", &[xz(first), large(second)].concat())).unwrap();
    assert!(content(&opened) == disk);
}

#[test]
fn a_first_block_too_short_to_tell_anything_is_no_obstacle() {
    let disk = disk_image();
    let bench = Bench::new();
    let opened = bench.open(&bench.file("image", &[xz(&disk[..100]), xz(&disk[100..])].concat())).unwrap();
    assert!(content(&opened) == disk);
    let (error, _) = Bench::new().refused(&[xz(b"<html>"), xz(b"<body>")].concat());
    assert!(matches!(error, SourceError::LooksLike { packed: true, .. }), "{error:?}");
}

#[test]
fn a_window_beyond_all_memory_is_refused() {
    // A frame header (RFC 8878, 3.1.1.1) whose window descriptor asks for 2 GiB, and one raw block.
    let frame = [b"\x28\xb5\x2f\xfd\x00".as_slice(), &[21 << 3], &[0x01, 0, 0]].concat();
    let (error, message) = Bench::new().refused(&frame);
    assert!(matches!(error, SourceError::Unsupported { .. }), "{error:?}");
    assert!(message.contains("window is larger than 128 MiB"), "{message}");
}

#[test]
fn a_dictionary_beyond_all_memory_is_refused() {
    let mut options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
    options.dict_size(256 << 20);
    let mut filters = liblzma::stream::Filters::new();
    filters.lzma2(&options);
    let stream = Stream::new_stream_encoder(&filters, Check::Crc32).unwrap();
    let mut encoder = XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(&disk_image()).unwrap();
    let (error, message) = Bench::new().refused(&encoder.finish().unwrap());
    assert!(matches!(error, SourceError::Unsupported { .. }), "{error:?}");
    assert!(message.contains("dictionary is larger than 128 MiB"), "{message}");
}

#[test]
fn a_wrong_digest_stops_everything() {
    let disk = disk_image();
    for bytes in [disk.clone(), xz(&disk)] {
        let bench = Bench::new();
        let path = bench.file("image", &bytes);
        for _ in 0..2 {
            let error = bench.open_expecting(&path, Some([0xab; 32])).unwrap_err();
            assert!(matches!(error, SourceError::DigestMismatch { .. }), "{error:?}");
            let message = error.to_string();
            assert!(message.contains(&"ab".repeat(32)), "{message}");
            assert!(message.contains(&data_encoding::HEXLOWER.encode(&sha256(&bytes))), "{message}");
            assert!(!bench.phases().contains(&Phase::Decoding), "unpacked before it was checked");
            assert_eq!(bench.images(), [] as [String; 0]);
        }
    }
}

#[test]
fn the_second_time_nothing_is_read_but_the_image() {
    let bench = Bench::new();
    let path = bench.file("image", &xz(&disk_image()));
    let first = bench.open(&path).unwrap();
    assert_eq!(bench.phases(), [Phase::Checking, Phase::Decoding]);
    let before = fs::metadata(&first.file).unwrap();

    let second = bench.open(&path).unwrap();
    assert_eq!(bench.phases(), []);
    let after = fs::metadata(&second.file).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));

    // Another copy of the same file is hashed, but not unpacked.
    let copy = bench.file("copy", &fs::read(&path).unwrap());
    assert_eq!(bench.open(&copy).unwrap().file, first.file);
    assert_eq!(bench.phases(), [Phase::Checking]);
}

#[test]
fn a_raw_image_is_hashed_once_and_never_copied() {
    let bench = Bench::new();
    let path = bench.file("image", &disk_image());
    assert_eq!(bench.open(&path).unwrap().file, path);
    assert_eq!(bench.phases(), [Phase::Checking]);
    bench.open(&path).unwrap();
    assert_eq!(bench.phases(), []);
    assert_eq!(bench.images(), [] as [String; 0]);
}

#[test]
fn a_changed_source_is_hashed_again() {
    let bench = Bench::new();
    let mut disk = disk_image();
    let path = bench.file("image", &xz(&disk));
    let old = bench.open(&path).unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    disk[MIB] ^= 1;
    bench.file("image", &xz(&disk));
    File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    let new = bench.open(&path).unwrap();
    assert_ne!(old.source_sha256, new.source_sha256);
    assert!(content(&new) == disk);
}

#[test]
fn a_damaged_cache_entry_is_noticed_and_remade() {
    let disk = disk_image();
    let bench = Bench::new();
    let path = bench.file("image", &zst(&disk));
    let entry = bench.open(&path).unwrap().file;
    let write = |at: u64, bytes: &[u8]| {
        use std::os::unix::fs::FileExt;
        // Hidden behind the modification time it had.
        let file = File::options().write(true).open(&entry).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.write_all_at(bytes, at).unwrap();
        file.set_modified(modified).unwrap();
    };
    let sidecar = entry.with_extension("json");
    let damages: [(&str, &dyn Fn()); 5] = [
        ("truncated", &|| File::options().write(true).open(&entry).unwrap().set_len(MIB as u64).unwrap()),
        ("grown", &|| File::options().write(true).open(&entry).unwrap().set_len(7 * MIB as u64).unwrap()),
        ("tampered with", &|| write(MIB as u64 + 5, b"tampered")),
        ("replaced", &|| {
            fs::remove_file(&entry).unwrap();
            fs::write(&entry, vec![1; disk.len()]).unwrap();
        }),
        ("without a sidecar", &|| fs::write(&sidecar, "{}").unwrap()),
    ];
    for (name, damage) in damages {
        thread::sleep(Duration::from_millis(20));
        bench.phases();
        damage();
        let opened = bench.open(&path).unwrap();
        assert!(content(&opened) == disk, "{name}");
        assert!(bench.phases().contains(&Phase::Decoding), "{name}: not remade");
        bench.open(&path).unwrap();
        assert_eq!(bench.phases(), [], "{name}: remade twice");
    }
    assert_eq!(bench.images().len(), 2, "{:?}", bench.images());
}

#[test]
fn a_touched_cache_entry_is_checked_and_kept() {
    let bench = Bench::new();
    let path = bench.file("image", &gz(&disk_image()));
    let entry = bench.open(&path).unwrap().file;
    let inode = fs::metadata(&entry).unwrap().ino();
    bench.phases();
    thread::sleep(Duration::from_millis(20));
    File::options().write(true).open(&entry).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    bench.open(&path).unwrap();
    assert_eq!(bench.phases(), [Phase::Checking], "the content was to be hashed");
    assert_eq!(fs::metadata(&entry).unwrap().ino(), inode);
    bench.open(&path).unwrap();
    assert_eq!(bench.phases(), [], "the new stamp was to be kept");
}

#[test]
fn a_base_that_changes_under_us_is_noticed() {
    let bench = Bench::new();
    let disk = disk_image();
    for bytes in [disk.clone(), gz(&disk)] {
        let opened = bench.open(&bench.file("image", &bytes)).unwrap();
        opened.still_same().unwrap();
        thread::sleep(Duration::from_millis(20));
        File::options().append(true).open(&opened.file).unwrap().write_all(b"x").unwrap();
        assert!(matches!(opened.still_same(), Err(SourceError::Changed { .. })));
        fs::remove_file(&opened.file).unwrap();
        assert!(opened.still_same().is_err());
    }
}

#[test]
fn two_at_once_unpack_once() {
    let bench = Bench::new();
    let mut disk = disk_image();
    disk.resize(200 * MIB, 0);
    let path = bench.file("image", &zst(&disk));
    thread::scope(|threads| {
        for opened in [(); 4].map(|()| threads.spawn(|| bench.open(&path).unwrap())) {
            assert_eq!(opened.join().unwrap().size, disk.len() as u64);
        }
    });
    let waited = bench.notes().iter().filter(|note| note.contains("waiting for another pibake")).count();
    assert!(waited <= 3);
    assert_eq!(bench.phases().iter().filter(|phase| **phase == Phase::Decoding).count(), 1);
    assert_eq!(bench.images().len(), 2, "{:?}", bench.images());
}

#[test]
fn an_interrupt_leaves_nothing() {
    let bench = Bench::new();
    let path = bench.file("image", &gz(&disk_image()));
    // Requested from within, as soon as unpacking has begun.
    struct Interrupting(Interrupt);
    impl Progress for Interrupting {
        fn event(&self, event: Event) {
            if matches!(event, Event::Advance { phase: Phase::Decoding, .. }) {
                self.0.request();
            }
        }
    }
    let interrupt = Interrupt::default();
    let interrupting: Arc<dyn Progress> = Arc::new(Interrupting(interrupt.clone()));
    let opened = open(&OpenImage {
        path: &path,
        expected_sha256: None,
        cache_dir: &bench.cache(),
        progress: &interrupting,
        interrupt: &interrupt,
    });
    assert!(matches!(opened, Err(SourceError::Interrupted(_))), "{opened:?}");
    assert_eq!(bench.images(), [] as [String; 0]);
    bench.open(&path).unwrap();
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let bench = Bench::new();
    fs::write(bench.cache(), "a file in the way").unwrap();
    let error = bench.open(&bench.file("image", &gz(&disk_image()))).unwrap_err();
    assert!(matches!(error, SourceError::Io { doing: "making", .. }), "{error:?}");
    // A raw image needs no cache, so it only costs a note.
    let raw = bench.file("raw", &disk_image());
    bench.open(&raw).unwrap();
    assert!(bench.notes().iter().any(|note| note.contains("the digest is not remembered")));
}

/// The tier `root`: a filesystem of its own size has to be mounted.
#[test]
fn a_full_disk_is_told_and_left_clean() {
    use nix::mount::{MsFlags, mount, umount};
    if !asked("root", "a full disk") {
        return;
    }
    let bench = Bench::new();
    let cache = bench.cache();
    fs::create_dir(&cache).unwrap();
    mount(Some("tmpfs"), &cache, Some("tmpfs"), MsFlags::empty(), Some("size=256k"))
        .expect("PIBAKE_TIER=root was asked for, but nothing can be mounted");
    let disk = disk_image();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for bytes in [gz(&disk), xz_in_blocks(&disk, 500_000)] {
            let (error, message) = bench.refused(&bytes);
            assert!(matches!(error, SourceError::NoSpace { .. }), "{error:?}");
            assert!(message.contains("cache/images"), "{message}");
        }
    }));
    umount(&cache).unwrap();
    outcome.unwrap();
}

#[test]
fn a_killed_run_leaves_nothing_that_matters() {
    let bench = Bench::new();
    // 8 GiB of zeros behind a disk, in members: small to make, long to unpack.
    let zeros = gz(&vec![0; 32 * MIB]);
    bench.file("image", &[gz(&disk_image()[..MIB * 6]), zeros.repeat(256)].concat());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sources::child_of_a_killed_run", "--ignored"])
        .env(CHILD_DIR, bench.dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let unfinished = || bench.images().iter().any(|name| name.ends_with(".img.part"));
    let patience = Instant::now() + Duration::from_secs(60);
    while !unfinished() {
        assert!(child.try_wait().unwrap().is_none(), "the child ended too early");
        assert!(Instant::now() < patience, "the child never began");
        thread::sleep(Duration::from_millis(5));
    }
    // Another entry's run does not touch it while its owner lives ...
    let other = bench.file("other", &gz(&disk_image()));
    bench.open(&other).unwrap();
    assert!(unfinished(), "removed from under a living run");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(unfinished(), "the child had finished");
    assert_eq!(bench.images().len(), 4, "{:?}", bench.images());
    // ... and the next one that has something to unpack clears it away.
    bench.open(&bench.file("third", &zst(&disk_image()))).unwrap();
    assert!(!unfinished());
}

#[test]
#[ignore = "the process that a_killed_run_leaves_nothing_that_matters starts and kills"]
fn child_of_a_killed_run() {
    let dir = PathBuf::from(std::env::var_os(CHILD_DIR).expect("only to be run as a child"));
    open(&OpenImage {
        path: &dir.join("image"),
        expected_sha256: None,
        cache_dir: &dir.join("cache"),
        progress: &(Arc::new(Silent) as Arc<dyn Progress>),
        interrupt: &Interrupt::default(),
    })
    .unwrap();
}
