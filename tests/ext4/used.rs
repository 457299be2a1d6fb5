//! Used blocks as the editor lists them, against dumpe2fs.

use std::collections::BTreeSet;
use std::path::Path;

use pibake::disk::range::ByteRange;
use pibake::fs::metadata::Meta;

use crate::support::check::{open, room};
use crate::support::disk::{Workspace, fixture, write_sparse};
use crate::support::matrix;
use crate::support::op::at;
use crate::support::tier::oracles_for;
use crate::support::tools::run;

pub(crate) const FIXTURES: [&str; 10] =
    ["pigen", "64bit", "orphan", "uninit", "lazy", "plain", "1k", "16k", "blockmap", "fragmented"];

pub(crate) fn blocks(ranges: &[ByteRange], block_size: u64) -> BTreeSet<u64> {
    assert!(ranges.is_sorted_by(|a, b| a.end() < b.start()), "ranges are sorted and merged");
    ranges.iter().flat_map(|range| range.start() / block_size..range.end() / block_size).collect()
}

#[test]
fn used_and_free_make_the_whole() {
    for name in FIXTURES {
        let mut bytes = fixture(&format!("ext4-{name}"));
        let size = bytes.len() as u64;
        let mut editor = open(&mut bytes);
        let before = room(&editor);
        let used = blocks(&editor.used_ranges().expect("listing"), before.block_size);
        assert_eq!(used.len() as u64 + before.free_blocks, size / before.block_size, "{name}");
        let content = vec![1; 300_000];
        editor.create(&at("/x"), Meta::root(0o644), &mut &content[..], 300_000).expect("creating");
        let after = blocks(&editor.used_ranges().expect("listing"), before.block_size);
        assert!(after.is_superset(&used), "{name}: a new file frees nothing");
        assert_eq!(
            (after.len() - used.len()) as u64,
            before.free_blocks - room(&editor).free_blocks,
            "{name}"
        );
    }
}

#[test]
fn dumpe2fs_agrees() {
    if !oracles_for("dumpe2fs_agrees") {
        return;
    }
    let space = Workspace::new();
    let image = space.path("image");
    let made = [
        &matrix::PI_GEN,
        &matrix::UNINIT,
        &matrix::LAZY,
        &matrix::ONE_KIB,
        &matrix::FRAGMENTED,
        &matrix::BLOCK_MAPPED,
    ];
    let fixtures = FIXTURES.iter().map(|name| fixture(&format!("ext4-{name}")));
    for mut bytes in made.iter().map(|recipe| matrix::build(recipe).bytes).chain(fixtures) {
        write_sparse(&image, &bytes);
        let size = bytes.len() as u64;
        let editor = open(&mut bytes);
        let block = editor.space().block_size;
        let used = blocks(&editor.used_ranges().expect("listing"), block);
        let free = free_by_dumpe2fs(&image);
        let all: BTreeSet<u64> = (0..size / block).collect();
        let wanted: BTreeSet<u64> = all.difference(&free).copied().collect();
        assert!(
            used == wanted,
            "differing blocks: {:?}",
            used.symmetric_difference(&wanted).take(20).collect::<Vec<_>>()
        );
    }
}

/// The `Free blocks:` lines of every group.
pub(crate) fn free_by_dumpe2fs(image: &Path) -> BTreeSet<u64> {
    let mut free = BTreeSet::new();
    for line in run("dumpe2fs", &[&image]).lines() {
        let Some(list) = line.strip_prefix("  Free blocks: ") else { continue };
        for part in list.split(", ").filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<u64>().expect("dumpe2fs writes numbers");
            free.extend(number(first)..=number(last));
        }
    }
    free
}
