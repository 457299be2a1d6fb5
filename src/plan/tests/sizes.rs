//! How large the image becomes.

use crate::inventory::types::Release;
use crate::plan::samples::overlay;

use super::Bench;

const MIB: u64 = 1 << 20;

fn bench() -> Bench {
    Bench::new(Release::Bookworm)
}

#[test]
fn an_image_with_room_stays_as_large_as_it_is() {
    let bench = bench();
    assert_eq!(bench.plan().disk.image_size, bench.inventory.layout.image_size);
}

#[test]
fn it_grows_to_what_was_asked_for_in_steps_of_4_mib() {
    let mut bench = bench();
    let base = bench.inventory.layout.image_size;
    bench.node.image.size = Some(base + 1);
    assert_eq!(bench.plan().disk.image_size, base + 4 * MIB);
    bench.node.image.size = Some(base - 1);
    assert_eq!(bench.plan().disk.image_size, base);
}

#[test]
fn it_grows_as_far_as_the_plan_needs() {
    let mut bench = bench();
    let base = bench.inventory.layout.image_size;
    bench.inventory.root_space.free_blocks = 0;
    let few = bench.plan().disk.image_size;
    assert!(few >= base + 16 * MIB && few <= base + 28 * MIB, "{}", (few - base) / MIB);
    let big = "x".repeat(20 << 20);
    let name = "own".to_owned();
    bench.overlays.push(overlay("own", "description = \"d\"", &[("/opt/big", &big)]));
    bench.node.overlays.push(crate::config::types::OverlayUse { name, with: toml::Table::new() });
    let more = bench.plan().disk.image_size;
    assert!(more >= few + 20 * MIB && more <= few + 28 * MIB, "{}", (more - few) / MIB);
    assert_eq!(more % (4 * MIB), 0);
}

#[test]
fn it_grows_for_inodes_too() {
    let mut bench = bench();
    bench.inventory.root_space.free_inodes = Some(0);
    let grown = bench.plan().disk.image_size - bench.inventory.layout.image_size;
    // 256 and those of the plan, one in 16 KiB.
    assert!((4 * MIB..=12 * MIB).contains(&grown), "{}", grown / MIB);
    bench.inventory.root_space.free_inodes = None;
    assert_eq!(bench.plan().disk.image_size, bench.inventory.layout.image_size);
}

#[test]
fn what_cannot_grow_is_refused() {
    let mut bench = bench();
    bench.inventory.layout.root_is_last = false;
    bench.plan();
    bench.inventory.root_space.free_blocks = 0;
    assert!(bench.errors().contains("its root partition is not the last on the disk"), "{}", bench.errors());
    bench.inventory.layout.root_is_last = true;
    bench.node.image.size = Some(3 << 40);
    assert!(bench.errors().contains("more than its partition table can say"));
    bench.inventory.layout.table = "gpt".to_owned();
    bench.plan();
    bench.node.image.size = Some(u64::MAX);
    bench.plan();
}

#[test]
fn a_full_fat_is_refused() {
    let mut bench = bench();
    bench.inventory.boot_space.free_blocks = 1;
    let errors = bench.errors();
    assert!(errors.contains("the FAT partition has 2 KiB free, and 4 KiB are to be written"), "{errors}");
}
