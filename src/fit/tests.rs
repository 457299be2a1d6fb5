//! Images on cards of other sizes. What e2fsprogs does is tried in `tests/integration/restore`.

use std::path::Path;
use std::sync::Arc;

use super::error::FitError;
use super::{Fit, FitImage, Fitted, Why, fit};
use crate::disk::block::BlockRead;
use crate::disk::partition_table;
use crate::disk::range::ByteRange;
use crate::disk::window::Window;
use crate::error::ExitCode;
use crate::fs::FsReader;
use crate::fs::ext4::{Ext4Editor, Stamp, history};
use crate::fs::fat::FatVolume;
use crate::fs::path::FsPath;
use crate::interrupt::Interrupt;
use crate::progress::Silent;

const MIB: u64 = 1 << 20;
/// Of the demo image, in bytes: a FAT from 8 MiB on, the root filesystem from 48 MiB on.
const SIZE: u64 = 96 * MIB;
const ROOT: u64 = 48 * MIB;

fn stamp() -> Stamp {
    Stamp { time: 1_800_000_000, generation_seed: [0; 32] }
}

/// The demo image as it is published.
fn stock() -> Vec<u8> {
    let packed: &[u8] = include_bytes!("../../tests/fixtures/demo.img.zst");
    zstd::decode_all(packed).unwrap()
}

fn path(path: &str) -> FsPath {
    FsPath::new(path).unwrap()
}

/// The same after its first boot: no hook is left on the command line.
fn booted() -> Vec<u8> {
    let mut image = stock();
    let range = partition_table::read(&image).unwrap().partition(1).unwrap().range;
    let mut fat = FatVolume::edit(Window::new(&mut image, range).unwrap(), 1_800_000_000).unwrap();
    let cmdline = String::from_utf8(fat.read(&path("/cmdline.txt"), 4096).unwrap()).unwrap();
    let words: Vec<&str> = cmdline.split_whitespace().filter(|word| !word.starts_with("init=")).collect();
    assert!(words.len() < cmdline.split_whitespace().count(), "{cmdline}");
    let text = words.join(" ") + "\n";
    fat.write_stream(&path("/cmdline.txt"), text.len() as u64, &mut text.as_bytes()).unwrap();
    fat.finish().unwrap();
    image
}

fn fitted(image: Vec<u8>, card: u64) -> Result<Fitted, FitError> {
    let base: Arc<dyn BlockRead> = Arc::new(image);
    let dir = tempfile::tempdir().unwrap();
    let interrupt = Interrupt::default();
    let request = FitImage {
        card,
        as_is: false,
        stamp: stamp(),
        work_dir: dir.path(),
        progress: &Silent,
        interrupt: &interrupt,
    };
    fit(&base, &request)
}

fn root_of(image: &dyn BlockRead) -> ByteRange {
    partition_table::read(image).unwrap().partition(2).unwrap().range
}

#[test]
fn a_system_that_was_booted_grows_with_its_filesystem() {
    let card = 300 * MIB + 12_345;
    let Fitted { image, fit, notes } = fitted(booted(), card).unwrap();
    assert_eq!(fit, Fit::Grown { from: SIZE - ROOT, to: 252 * MIB });
    assert!(notes.is_empty());
    assert_eq!(image.size(), 300 * MIB);
    assert_eq!(root_of(&image), ByteRange::new(ROOT, 300 * MIB).unwrap());
    let root = Window::new(&image, root_of(&image)).unwrap();
    assert!(history(&root).unwrap().clean);
    assert_eq!(crate::fs::ext4::usage(&root, &[]).unwrap().size, 252 * MIB);
}

#[test]
fn a_system_that_grows_by_itself_is_left_to_it() {
    let Fitted { image, fit, .. } = fitted(stock(), 300 * MIB).unwrap();
    assert_eq!(fit, Fit::AsIs { why: Why::GrowsItself("the vendor's first boot".to_owned()) });
    assert_eq!(image.size(), SIZE);
    assert!(image.dirty_ranges().is_empty());

    let mut baked = booted();
    let range = root_of(&baked);
    let mut root = Ext4Editor::open(Window::new(&mut baked, range).unwrap(), stamp()).unwrap();
    let wants = "/etc/systemd/system/multi-user.target.wants/pibake-first-boot.service";
    root.symlink("../pibake-first-boot.service", &path(wants), 0, 0).unwrap();
    root.finish().unwrap();
    let Fitted { fit, .. } = fitted(baked, 300 * MIB).unwrap();
    assert_eq!(fit, Fit::AsIs { why: Why::GrowsItself("pibake's own unit".to_owned()) });
}

#[test]
fn what_is_as_large_or_nearly_or_unknown_stays() {
    for card in [SIZE, SIZE + 512, SIZE + 15 * MIB] {
        assert_eq!(fitted(booted(), card).unwrap().fit, Fit::AsIs { why: Why::Fits }, "{card}");
    }
    let unknown = fitted(vec![7; 4 << 20], 8 * MIB).unwrap();
    assert!(matches!(unknown.fit, Fit::AsIs { why: Why::Unknown(_) }));
    let mut foreign = booted();
    foreign[8 << 20..9 << 20].fill(0);
    assert!(matches!(fitted(foreign, 200 * MIB).unwrap().fit, Fit::AsIs { why: Why::Unknown(_) }));
    let base: Arc<dyn BlockRead> = Arc::new(booted());
    let interrupt = Interrupt::default();
    let as_is = FitImage {
        card: 200 * MIB,
        as_is: true,
        stamp: stamp(),
        work_dir: Path::new("/nowhere"),
        progress: &Silent,
        interrupt: &interrupt,
    };
    assert_eq!(fit(&base, &as_is).unwrap().fit, Fit::AsIs { why: Why::Asked });
}

#[test]
fn a_partition_that_is_not_the_last_stays() {
    let mut image = booted();
    // A third one, in a MiB behind the second.
    image.resize(97 << 20, 0);
    let at = 446 + 32;
    image[at + 4] = 0x83;
    image[at + 8..at + 12].copy_from_slice(&(96u32 * 2048).to_le_bytes());
    image[at + 12..at + 16].copy_from_slice(&2048u32.to_le_bytes());
    assert_eq!(fitted(image, 200 * MIB).unwrap().fit, Fit::AsIs { why: Why::NotLast(2) });
}

#[test]
fn what_lies_behind_the_last_partition_is_cut() {
    let mut image = booted();
    image.resize(100 << 20, 0xee);
    let card = 98 * MIB + 1000;
    let Fitted { image: cut, fit, .. } = fitted(image.clone(), card).unwrap();
    let to = 98 * MIB + 512;
    assert_eq!(fit, Fit::Cut { from: 100 * MIB, to });
    let mut bytes = vec![0; cut.size() as usize];
    cut.read_at(0, &mut bytes).unwrap();
    assert!(bytes == image[..to as usize]);
}

#[test]
fn a_filesystem_that_does_not_fill_its_partition_is_left_as_it_is() {
    let mut image = booted();
    // The partition grows, the filesystem does not.
    image.resize(200 << 20, 0);
    partition_table::grow_last(&mut image, 2, 200 * MIB).unwrap();
    let Fitted { image: fitted, fit, .. } = fitted(image.clone(), 150 * MIB).unwrap();
    assert_eq!(fit, Fit::Shrunk { from: 152 * MIB, to: 102 * MIB });
    assert_eq!(root_of(&fitted), ByteRange::new(ROOT, 150 * MIB).unwrap());
    let mut root = vec![0; (SIZE - ROOT) as usize];
    fitted.read_at(ROOT, &mut root).unwrap();
    assert!(root == image[ROOT as usize..SIZE as usize]);
}

#[test]
fn files_that_do_not_fit_are_told_with_both_sizes() {
    for (card, says) in [(49 * MIB, "files of partition 2"), (40 * MIB, "before partition 2 begins")] {
        let error = fitted(booted(), card).err().unwrap();
        assert!(matches!(error, FitError::TooSmall { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(says) && text.contains(&format!("holds {card} bytes")), "{text}");
        assert_eq!(error.exit_code(), ExitCode::TargetRefused);
        assert!(error.way_out().contains("bytes"));
    }
    // A partition at the end that is no ext4 is not shrunk.
    let mut image = booted();
    image[(ROOT + 1024) as usize..(ROOT + 2048) as usize].fill(0);
    let error = fitted(image, 90 * MIB).err().unwrap();
    assert!(error.to_string().contains("number 2, is not shrunk"), "{error}");
}
