//! Which bytes of whole images are in use, before dumpe2fs and fsck.vfat: those that `PIBAKE_IMAGES` holds.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use pibake::disk::block::{BlockRead, FileBlocks};
use pibake::disk::range::ByteRange;
use pibake::disk::ranges;
use pibake::usage::used::{Content, PartitionUse, used};

use crate::tier::asked;

#[test]
fn dumpe2fs_and_fsck_vfat_count_the_same() {
    if !asked("oracles", "used bytes of whole images") {
        return;
    }
    let Some(folder) = std::env::var_os("PIBAKE_IMAGES") else {
        eprintln!("NOT RUN: used bytes of whole images; PIBAKE_IMAGES names a folder of them");
        return;
    };
    let mut images = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "img") && !path.is_symlink() {
            compare(&path);
            images += 1;
        }
    }
    assert!(images > 0, "there is no .img in PIBAKE_IMAGES");
}

fn compare(path: &Path) {
    let image = FileBlocks::new(File::open(path).unwrap()).unwrap();
    let started = Instant::now();
    let found = used(&image, &[]).unwrap();
    let took = started.elapsed();
    let name = path.file_name().unwrap().to_string_lossy();
    assert_eq!(found.notes, [], "{name}");
    eprintln!("{name}: {} of {} bytes used, told in {took:?}", found.bytes(), image.size());
    let work = tempfile::tempdir().unwrap();
    let copy = work.path().join("used");
    write_used(&image, &found.ranges, &copy);
    for partition in &found.partitions {
        let alone = work.path().join("partition");
        cut(&copy, partition, &alone);
        let (counted, size) = match partition.content {
            Content::Ext4 => by_dumpe2fs(&alone),
            Content::Fat => by_fsck(&alone),
            other => panic!("{name}: {other:?} in partition {}", partition.number),
        };
        // Behind the filesystem the end of the partition is kept.
        let kept = (partition.range.len() - size).min(128 << 10);
        assert_eq!(partition.used, counted + kept, "{name}, partition {}", partition.number);
        eprintln!("  partition {}: {counted} bytes, and {kept} behind the filesystem", partition.number);
    }
}

/// Writes the used bytes of an image into a file of garbage.
fn write_used(image: &FileBlocks, used: &[ByteRange], to: &Path) {
    let file = File::create(to).unwrap();
    let whole = [ByteRange::with_len(0, image.size()).unwrap()];
    for (set, garbage) in [(ranges::without(&whole, used), true), (used.to_vec(), false)] {
        for range in set {
            let mut at = range.start();
            while at < range.end() {
                let mut bytes = vec![0xa5; (range.end() - at).min(1 << 20) as usize];
                if !garbage {
                    image.read_at(at, &mut bytes).unwrap();
                }
                file.write_all_at(&bytes, at).unwrap();
                at += bytes.len() as u64;
            }
        }
    }
}

fn cut(image: &Path, partition: &PartitionUse, to: &Path) {
    let (skip, count) = (partition.range.start(), partition.range.len());
    run(
        "dd",
        &[
            &format!("if={}", image.display()),
            &format!("of={}", to.display()),
            "bs=1M",
            "iflag=skip_bytes,count_bytes",
            &format!("skip={skip}"),
            &format!("count={count}"),
        ],
    );
}

/// Used bytes and length of an ext4 that e2fsck finds nothing wrong with.
fn by_dumpe2fs(filesystem: &Path) -> (u64, u64) {
    let at = filesystem.to_str().unwrap();
    run("e2fsck", &["-fn", at]);
    let head = run("dumpe2fs", &["-h", at]);
    let number = |name: &str| -> u64 {
        head.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap()
    };
    let (blocks, free, size) = (number("Block count:"), number("Free blocks:"), number("Block size:"));
    ((blocks - free) * size, blocks * size)
}

/// Used bytes and length of a FAT that fsck.vfat finds nothing wrong with.
fn by_fsck(filesystem: &Path) -> (u64, u64) {
    let said = run("fsck.vfat", &["-nv", filesystem.to_str().unwrap()]);
    let number = |text: &str| -> u64 {
        let line = said.lines().find(|line| line.contains(text)).unwrap();
        line.split_whitespace().find_map(|word| word.parse().ok()).unwrap()
    };
    let counts = said.lines().last().unwrap().split_whitespace().rfind(|word| word.contains('/')).unwrap();
    let used: u64 = counts.split('/').next().unwrap().parse().unwrap();
    let data = said.lines().find_map(|line| line.trim().strip_prefix("Data area starts at byte ")).unwrap();
    let data: u64 = data.split_whitespace().next().unwrap().parse().unwrap();
    (data + used * number("bytes per cluster"), number("sectors total") * number("bytes per logical sector"))
}

fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).env("LC_ALL", "C").output();
    let output = output.unwrap_or_else(|error| panic!("running {program}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}
