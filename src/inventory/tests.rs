//! Over the demo image: a whole disk of 96 MiB in the shape of Raspberry Pi OS Lite Bookworm arm64.

use std::sync::{Arc, OnceLock};

use super::error::InventoryError;
use super::probe::Filesystem;
use super::signs::MachineId;
use super::survey::{summary, survey};
use super::take;
use super::types::{Arch, FirstBootHook, NetworkStack, Release};
use crate::cow::CowImage;
use crate::disk::block::{BlockRead, BlockWrite};
use crate::disk::partition_table;
use crate::disk::window::Window;
use crate::fs::fat::FatVolume;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;

const MIB: u64 = 1 << 20;

fn demo() -> Arc<dyn BlockRead> {
    static IMAGE: OnceLock<Arc<Vec<u8>>> = OnceLock::new();
    let image = IMAGE.get_or_init(|| {
        let packed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/demo.img.zst");
        Arc::new(zstd::decode_all(std::fs::File::open(packed).unwrap()).unwrap())
    });
    Arc::<Vec<u8>>::clone(image)
}

/// The demo image, changed.
fn changed(change: impl FnOnce(&mut CowImage)) -> Arc<dyn BlockRead> {
    let mut cow = CowImage::new(demo());
    change(&mut cow);
    Arc::new(cow)
}

/// The demo image, its firmware partition changed.
fn with_boot(change: impl FnOnce(&mut FatVolume<Window<&mut CowImage>>)) -> Arc<dyn BlockRead> {
    changed(|cow| {
        let range = partition_table::read(cow).unwrap().partition(1).unwrap().range;
        let mut fat = FatVolume::edit(Window::new(cow, range).unwrap(), 0).unwrap();
        change(&mut fat);
        fat.finish().unwrap();
    })
}

fn path(text: &str) -> FsPath {
    FsPath::new(text).unwrap()
}

fn foreign(image: &Arc<dyn BlockRead>) -> String {
    match take(image) {
        Err(InventoryError::Foreign { found }) => found,
        other => panic!("{other:?}"),
    }
}

#[test]
fn takes_the_inventory_of_a_stock_image() {
    let found = take(&demo()).unwrap();
    assert_eq!((found.release, found.arch), (Release::Bookworm, Arch::Arm64));
    assert_eq!((found.stack, found.hook), (NetworkStack::NetworkManager, FirstBootHook::Firstboot));
    assert_eq!((found.os_id.as_str(), found.build_date.as_deref()), ("debian", Some("2025-05-13")));
    assert_eq!(found.firmware_mount.as_str(), "/boot/firmware");
    assert!(!found.booted && found.manifest.is_none());
    assert_eq!((found.layout.boot_number, found.layout.root_number), (1, 2));
    assert_eq!(found.layout.boot, (8 * MIB, 40 * MIB));
    assert!(found.layout.root_is_last);
    assert!(found.boot_space.free_blocks > 0 && found.boot_space.free_inodes.is_none());
    assert!(found.root_space.free_blocks > 0 && found.root_space.free_inodes > Some(0));
    // Between the first Raspberry Pi and the year 2100.
    assert!((1_330_000_000..4_102_444_800).contains(&found.newest_mtime), "{}", found.newest_mtime);
    assert!(found.has_package("network-manager"));
    for (volume, named) in [(Volume::Boot, "/cmdline.txt"), (Volume::Root, "/etc/passwd")] {
        assert!(found.files.contains_key(&(volume, path(named))), "{named}");
    }
}

#[test]
fn printing_it_shows_no_content() {
    let found = take(&demo()).unwrap();
    let shadow = String::from_utf8(found.files[&(Volume::Root, path("/etc/shadow"))].clone()).unwrap();
    let printed = format!("{found:?}");
    assert!(printed.contains("/etc/shadow"));
    assert!(shadow.lines().all(|line| !printed.contains(line)));
}

#[test]
fn tells_a_booted_image_by_its_missing_hook_and_identity() {
    let image = with_boot(|fat| fat.write_file(&path("/cmdline.txt"), b"console=tty1 rootwait\n").unwrap());
    let found = take(&image).unwrap();
    assert_eq!(found.hook, FirstBootHook::None);
    assert!(!found.booted, "its machine-id is empty still");
}

#[test]
fn finds_the_firmware_partition_by_its_content() {
    let image = with_boot(|fat| {
        assert!(fat.remove(&path("/cmdline.txt")).unwrap());
        assert!(fat.remove(&path("/config.txt")).unwrap());
    });
    let found = foreign(&image);
    let expected =
        "Debian GNU/Linux 12 (bookworm), not exactly one firmware partition among 1 FAT \"bootfs\"";
    assert!(found.contains(expected), "{found}");
    // Whatever the table says it is.
    let image = changed(|cow| cow.write_at(446 + 4, &[0x83]).unwrap());
    assert_eq!(take(&image).unwrap().layout.boot_number, 1);
}

#[test]
fn a_root_that_is_not_ext4_is_named() {
    let image = changed(|cow| {
        cow.write_at(48 * MIB, &[0; 8192]).unwrap();
        cow.write_at(48 * MIB + 0x10040, b"_BHRfS_M").unwrap();
    });
    let found = foreign(&image);
    assert!(found.contains("not exactly one Linux root partition") && found.contains("2 btrfs"), "{found}");
}

#[test]
fn no_table_is_no_inventory() {
    for image in [Arc::new(vec![0u8; 1 << 20]) as Arc<dyn BlockRead>, Arc::new(vec![b'<'; 5000])] {
        assert!(matches!(take(&image), Err(InventoryError::Disk(_))));
    }
}

#[test]
fn surveys_a_stock_image() {
    let found = survey(&demo());
    let table = found.table.unwrap();
    assert_eq!((table.disk_id.len(), found.interrupted_flash), (8, false));
    let kinds: Vec<_> = found.partitions.iter().map(|p| (p.number, p.filesystem)).collect();
    assert_eq!(kinds, [(Some(1), Filesystem::Fat), (Some(2), Filesystem::Ext4)]);
    for partition in &found.partitions {
        assert_eq!(partition.used.unwrap() + partition.free.unwrap(), partition.size);
        assert!(partition.used.unwrap() > 0 && partition.problem.is_none());
    }
    let system = found.system.unwrap();
    assert_eq!(system.machine_id, MachineId::Empty);
    assert_eq!((system.hostname.as_deref(), system.user.as_deref()), (Some("raspberrypi"), Some("pi")));
    assert_eq!(serde_json::to_value(summary(&take(&demo()).unwrap())).unwrap()["release"], "bookworm");
}

#[test]
fn recognises_an_interrupted_flash() {
    let found = survey(&changed(|cow| cow.write_at(0, &vec![0; MIB as usize]).unwrap()));
    assert!(found.interrupted_flash && found.table.is_none() && found.table_problem.is_some());
    let where_they_are: Vec<_> = found.partitions.iter().map(|p| (p.start, p.size, p.filesystem)).collect();
    let expected = [(8 * MIB, 40 * MIB, Filesystem::Fat), (48 * MIB, 48 * MIB, Filesystem::Ext4)];
    assert_eq!(where_they_are, expected);
    // An empty card, and one whose first MiB was overwritten with something else, are no such thing.
    let empty: Arc<dyn BlockRead> = Arc::new(vec![0u8; 16 << 20]);
    assert!(!survey(&empty).interrupted_flash);
    let other = changed(|cow| cow.write_at(0, &vec![b'x'; MIB as usize]).unwrap());
    assert!(!survey(&other).interrupted_flash);
}

#[test]
fn surveys_a_filesystem_without_a_table() {
    let fat: Vec<u8> = {
        let (image, mut fat) = (demo(), vec![0; 40 << 20]);
        image.read_at(8 * MIB, &mut fat).unwrap();
        fat
    };
    let found = survey(&(Arc::new(fat) as Arc<dyn BlockRead>));
    assert!(found.table.is_none() && !found.interrupted_flash);
    assert_eq!((found.partitions[0].start, found.partitions[0].size), (0, 40 * MIB));
}

#[test]
fn a_card_whose_journal_must_be_replayed_is_surveyed_and_not_taken() {
    // s_feature_incompat: RECOVER, as while it is mounted.
    let image = changed(|cow| {
        let at = 48 * MIB + 1024 + 0x60;
        let mut features = [0];
        cow.read_at(at, &mut features).unwrap();
        cow.write_at(at, &[features[0] | 4]).unwrap();
        seal_superblock(cow, 48 * MIB);
    });
    assert!(matches!(take(&image), Err(InventoryError::Fs { number: 2, .. })));
    let found = survey(&image);
    assert_eq!(
        found.system.map(|system| system.release),
        Some(Release::Bookworm),
        "{:?}",
        found.system_problem
    );
    assert!(found.system_problem.unwrap().contains("partition 2 (ext4)"));
}

/// Writes the superblock's checksum anew: crc32c of its first 1020 bytes, not inverted at the end.
fn seal_superblock(cow: &mut CowImage, partition: u64) {
    let mut superblock = [0; 1020];
    cow.read_at(partition + 1024, &mut superblock).unwrap();
    let sum = !crc32c::crc32c(&superblock);
    cow.write_at(partition + 1024 + 1020, &sum.to_le_bytes()).unwrap();
}

#[test]
fn a_survey_goes_on_where_something_is_damaged() {
    // The first table entries of the FAT say that the root directory leads to itself.
    let image = changed(|cow| {
        let fat = 8 * MIB;
        let mut reserved = [0; 2];
        cow.read_at(fat + 14, &mut reserved).unwrap();
        let table = fat + u64::from(u16::from_le_bytes(reserved)) * 512;
        cow.write_at(table + 8, &2u32.to_le_bytes()).unwrap();
    });
    let found = survey(&image);
    assert!(found.partitions[0].problem.as_ref().unwrap().contains("second time"));
    assert!(found.partitions[1].problem.is_none());
    assert!(found.system_problem.unwrap().contains("partition 1 (fat)"));
}
