//! Captures of simulated cards, real block devices that break as cards do: the tier `card`.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};

use pibake::backup::manifest::{Manifest, Origin};
use pibake::disk::ranges;
use pibake::usage::owner::owners;
use pibake::usage::used::used;

use crate::card_bed::{SimulatedCard, card_tier};

/// A card that holds the demo image.
fn card(options: &[&str]) -> (SimulatedCard, Vec<u8>) {
    let mut card = SimulatedCard::new("128M", options);
    let packed: &[u8] = include_bytes!("../fixtures/demo.img.zst");
    let mut image = zstd::decode_all(packed).unwrap();
    card.pull_out();
    card.store().write_all_at(&image, 0).unwrap();
    card.plug_in("128M", options);
    image.resize(128 << 20, 0);
    (card, image)
}

fn capture(card: &SimulatedCard, dir: &Path, more: &[&str]) -> Output {
    let archive = dir.join("old.img.zst");
    Command::new(env!("CARGO_BIN_EXE_pibake"))
        .arg("capture")
        .args([card.path.as_path(), "-o".as_ref(), archive.as_path()])
        .args(more)
        .env("HOME", dir)
        .env("XDG_CACHE_HOME", dir)
        .output()
        .unwrap()
}

fn files(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file()).count()
}

fn zeroed(image: &[u8], kept: &[pibake::disk::range::ByteRange]) -> Vec<u8> {
    let mut zeroed = vec![0; image.len()];
    for range in kept {
        let inside =
            (range.start() - range.start() % 4096) as usize..range.end().next_multiple_of(4096) as usize;
        zeroed[inside.clone()].copy_from_slice(&image[inside]);
    }
    zeroed
}

#[test]
fn a_sound_card_is_captured_and_nothing_but_what_is_in_use_is_read() {
    if !card_tier() {
        return;
    }
    let (mut card, image) = card(&[]);
    let dir = tempfile::tempdir().unwrap();
    let output = capture(&card, dir.path(), &[]);
    assert!(output.status.success(), "{output:?}");
    let in_use = used(&image, &[]).unwrap();
    let packed = fs::read(dir.path().join("old.img.zst")).unwrap();
    assert!(zstd::decode_all(packed.as_slice()).unwrap() == zeroed(&image, &in_use.ranges));
    let manifest = Manifest::read(&dir.path().join("old.json")).unwrap();
    assert!(matches!(manifest.source, Origin::Card { size, .. } if size == 128 << 20));
    let (written, read) = card.traffic();
    assert_eq!(written, 0);
    // Tables and directories are read through the cache, which reads ahead.
    assert!(read <= in_use.bytes() + (24 << 20), "{read} of {}", in_use.bytes());
}

#[test]
fn a_bad_block_ends_a_capture_and_is_left_out_of_a_rescue() {
    if !card_tier() {
        return;
    }
    let (_, image) = card(&[]);
    // A block of a file whose content the survey has no use for.
    let in_use = used(&image, &[]).unwrap();
    let root = in_use.partitions[1].range;
    let blocks: Vec<u64> = in_use
        .ranges
        .iter()
        .filter(|range| root.contains(**range))
        .flat_map(|range| (range.start()..range.end()).step_by(4096))
        .collect();
    let file = "partition 2, /usr/share/zoneinfo/";
    let places = owners(&image, &blocks);
    let (bad, place) =
        blocks.iter().zip(&places).find(|(_, place)| place.to_string().starts_with(file)).unwrap();
    let (bad, place) = (*bad, place.to_string());
    let at = bad + 100;
    let fault = format!("fail_read_at={at}");
    let (card, image) = card(&[&fault]);
    let dir = tempfile::tempdir().unwrap();
    let output = capture(&card, dir.path(), &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("reading bytes {bad}-{}", bad + 4096)), "{said}");
    assert!(said.contains(&place) && said.contains("--rescue"), "{said}");
    assert_eq!(files(dir.path()), 0);

    let output = capture(&card, dir.path(), &["--rescue"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains(&format!("bytes {bad}-{}", bad + 4096)), "{said}");
    let manifest = Manifest::read(&dir.path().join("old.json")).unwrap();
    assert_eq!((manifest.holes.len(), manifest.holes[0].start, manifest.holes[0].len), (1, bad, 4096));
    assert_eq!(manifest.holes[0].holds, [place]);
    let hole = [pibake::disk::range::ByteRange::with_len(bad, 4096).unwrap()];
    let kept = ranges::without(&in_use.ranges, &hole);
    let packed = fs::read(dir.path().join("old.img.zst")).unwrap();
    assert!(zstd::decode_all(packed.as_slice()).unwrap() == zeroed(&image, &kept));
    let map = manifest.check_bmap(&fs::read(dir.path().join("old.img.bmap")).unwrap()).unwrap();
    assert!(map.ranges.iter().all(|mapped| mapped.range.intersect(hole[0]).is_none()));
}
