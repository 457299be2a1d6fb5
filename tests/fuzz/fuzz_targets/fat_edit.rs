//! A FAT volume: damaged ones do no harm, sound ones hold what was written.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pibake::cow::CowImage;
use pibake::disk::range::ByteRange;
use pibake::disk::window::Window;
use pibake::fs::FsReader;
use pibake::fs::fat::{FatVolume, usage};
use pibake::fs::path::FsPath;
use pibake_fuzz::{DISK, Patch, lay};

/// Where the fixture's FAT lies.
const START: u64 = 8 << 20;
const SIZE: u64 = 40 << 20;
/// Boot sector, both tables and the first clusters.
const HEAD: u64 = 1 << 20;
const NOW: i64 = 1_800_000_000;

#[derive(Arbitrary, Debug)]
enum Step {
    Write { folder: u8, name: u8, len: u16, byte: u8 },
    MakeDir { folder: u8 },
    Remove { folder: u8, name: u8 },
    Rename { folder: u8, name: u8, to: u8 },
}

fuzz_target!(|input: (Vec<Patch>, Vec<Step>)| {
    let (patches, steps) = input;
    let mut disk = DISK.view();
    if patches.is_empty() {
        on_a_sound_volume(&mut disk, &steps);
    } else {
        lay(&mut disk, &patches, START, HEAD);
        on_a_damaged_volume(&mut disk, &steps);
    }
});

fn window(disk: &mut CowImage) -> Window<&mut CowImage> {
    Window::new(disk, ByteRange::with_len(START, SIZE).expect("a range")).expect("inside")
}

fn folder(number: u8) -> FsPath {
    FsPath::new(["/", "/overlays", "/New Folder", "/new/deeper"][usize::from(number) % 4]).expect("a path")
}

fn path(at: u8, name: u8) -> FsPath {
    folder(at).join(&file_name(name)).expect("a name")
}

fn file_name(number: u8) -> String {
    match number % 3 {
        0 => format!("F{number}.TXT"),
        1 => format!("a longer name, {number}.conf"),
        _ => format!("ü{number}"),
    }
}

fn on_a_sound_volume(disk: &mut CowImage, steps: &[Step]) {
    let mut model: BTreeMap<FsPath, Vec<u8>> = BTreeMap::new();
    let mut volume = FatVolume::edit(window(disk), NOW).expect("a sound volume");
    for step in steps {
        match *step {
            Step::Write { folder, name, len, byte } => {
                let (at, content) = (path(folder, name), vec![byte; usize::from(len)]);
                volume.write_file(&at, &content).expect("there is room");
                model.insert(at, content);
            }
            Step::MakeDir { folder: at } => volume.make_dir(&folder(at)).expect("there is room"),
            Step::Remove { folder, name } => {
                let at = path(folder, name);
                assert_eq!(volume.remove(&at).expect("removing"), model.remove(&at).is_some());
            }
            Step::Rename { folder, name, to } => {
                let (from, target) = (path(folder, name), path(folder, to));
                let possible = model.contains_key(&from) && !model.contains_key(&target);
                assert_eq!(volume.rename(&from, &file_name(to)).is_ok(), possible);
                if possible {
                    let content = model.remove(&from).expect("just looked");
                    model.insert(target, content);
                }
            }
        }
    }
    volume.finish().expect("finishing");
    let volume = FatVolume::open(window(disk)).expect("what was written can be read");
    for (path, content) in &model {
        assert!(volume.read(path, u64::from(u16::MAX)).expect("there") == *content, "{path}");
    }
}

fn on_a_damaged_volume(disk: &mut CowImage, steps: &[Step]) {
    let _ = usage(window(disk));
    let Ok(mut volume) = FatVolume::edit(window(disk), NOW) else { return };
    let _ = volume.space();
    let _ = volume.read_dir(&FsPath::root());
    for step in steps {
        let _ = match *step {
            Step::Write { folder, name, len, byte } => {
                volume.write_file(&path(folder, name), &vec![byte; len.into()])
            }
            Step::MakeDir { folder: at } => volume.make_dir(&folder(at)),
            Step::Remove { folder, name } => volume.remove(&path(folder, name)).map(drop),
            Step::Rename { folder, name, to } => volume.rename(&path(folder, name), &file_name(to)),
        };
    }
    let _ = volume.finish();
}
