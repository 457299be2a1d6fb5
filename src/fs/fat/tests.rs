use std::collections::BTreeMap;

use super::testing::{fat16, fat32, volume};
use super::{FatVolume, check, usage};
use crate::disk::block::BlockRead;
use crate::disk::ranges;
use crate::fs::FsReader;
use crate::fs::error::FsError;
use crate::fs::metadata::FileType;
use crate::fs::path::FsPath;

const NOW: i64 = 1_700_000_000;

fn path(text: &str) -> FsPath {
    FsPath::new(text).unwrap()
}

fn filled(rng: &mut fastrand::Rng, len: usize) -> Vec<u8> {
    std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
}

fn opening_fails(medium: &Vec<u8>) -> String {
    match FatVolume::open(medium) {
        Ok(_) => panic!("it was opened"),
        Err(error @ (FsError::Corrupt { .. } | FsError::Unsupported { .. })) => error.to_string(),
        Err(error) => panic!("{error}"),
    }
}

/// Random edits of a volume full of old data; returns it and what it should hold.
fn edit_randomly(seed: u64, mut medium: Vec<u8>) -> (Vec<u8>, BTreeMap<String, Option<Vec<u8>>>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    // What freed clusters hold must never be taken for directory entries.
    let data_at = super::Geometry::read(&medium).unwrap().data_at as usize + 4096;
    for old in medium[data_at..].chunks_exact_mut(12) {
        old.copy_from_slice(
            rng.choice([b"OLD     TXT ", b"xLD     TXTx", b"\xe5\x01AA\xff\x0fBBCCDD"]).unwrap(),
        );
    }
    let mut model: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
    let mut fat = FatVolume::edit(medium, NOW).unwrap();
    for _ in 0..250 {
        let name = format!("{}{}.txt", "a long name of a file ".repeat(rng.usize(0..4)), rng.u8(0..60));
        let dirs: Vec<String> = model.iter().filter(|(_, v)| v.is_none()).map(|(k, _)| k.clone()).collect();
        let parent = if rng.bool() { String::new() } else { rng.choice(&dirs).cloned().unwrap_or_default() };
        let at = format!("{parent}/{name}");
        match rng.u8(0..10) {
            0 if dirs.len() < 12 => {
                let at = format!("{parent}/dir {}", rng.u8(0..9));
                fat.make_dir(&path(&at)).unwrap();
                model.insert(at, None);
            }
            1 => {
                let keys: Vec<String> = model.keys().cloned().collect();
                if let Some(at) = rng.choice(&keys) {
                    assert!(fat.remove(&path(at)).unwrap());
                    model.retain(|key, _| key != at && !key.starts_with(&format!("{at}/")));
                }
                assert!(!fat.remove(&path("/never")).unwrap());
            }
            _ => {
                let len = rng.usize(0..6000);
                let content = filled(&mut rng, len);
                fat.write_file(&path(&at), &content).unwrap();
                model.insert(at, Some(content));
            }
        }
    }
    (fat.finish().unwrap(), model)
}

fn compare(medium: &Vec<u8>, model: &BTreeMap<String, Option<Vec<u8>>>) {
    let fat = FatVolume::open(medium).unwrap();
    for (at, content) in model {
        match content {
            Some(content) => assert!(fat.read(&path(at), 1 << 20).unwrap() == *content, "{at}"),
            None => assert_eq!(fat.stat(&path(at)).unwrap().unwrap().kind, FileType::Directory, "{at}"),
        }
    }
    let mut found = 0;
    let mut pending = vec![FsPath::root()];
    while let Some(dir) = pending.pop() {
        for entry in fat.read_dir(&dir).unwrap() {
            found += 1;
            let at = dir.join(std::str::from_utf8(&entry.name).unwrap()).unwrap();
            assert!(model.contains_key(at.as_str()), "{at} was never made");
            if entry.kind == FileType::Directory {
                pending.push(at);
            }
        }
    }
    assert_eq!(found, model.len());
    // Every cluster in use belongs to something.
    let (space, used) = (fat.space().unwrap(), usage(medium).unwrap());
    assert_eq!(used.remarks, []);
    let allocated = ranges::total(&used.ranges) - fat.geometry.data_at;
    assert_eq!(allocated / space.cluster_size, space.clusters - space.free_clusters);
}

#[test]
fn does_what_a_map_of_files_does() {
    for seed in 0..6 {
        let (medium, model) = edit_randomly(seed, if seed % 2 == 0 { fat32() } else { fat16() });
        compare(&medium, &model);
    }
}

#[test]
fn fsck_finds_nothing() {
    use std::process::Command;
    if !crate::tier::asked("oracles", "fsck.vfat over edited volumes") {
        return;
    }
    for seed in 0..20 {
        let empty = match seed % 3 {
            0 => fat32(),
            1 => fat16(),
            _ => volume(fatfs::FatType::Fat32, 2048, 66_000),
        };
        let (medium, model) = edit_randomly(seed, empty);
        compare(&medium, &model);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &medium).unwrap();
        let output = Command::new("fsck.vfat").arg("-nv").arg(file.path()).output();
        let output = output.expect("fsck.vfat cannot be run");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "seed {seed}: {said}");
    }
}

#[test]
fn the_same_edits_give_the_same_bytes() {
    let (one, _) = edit_randomly(3, fat32());
    let (two, _) = edit_randomly(3, fat32());
    assert!(one == two);
}

#[test]
fn tells_what_it_is() {
    for (medium, kind, cluster) in [(fat32(), "fat32", 512), (fat16(), "fat16", 2048)] {
        let mut fat = FatVolume::edit(medium, NOW + 1).unwrap();
        assert_eq!((fat.label(), fat.volume_id()), (Some("bootfs"), 0x1234_abcd));
        assert_eq!((fat.type_name(), fat.space().unwrap().cluster_size), (kind, cluster));
        let free = fat.space().unwrap().free_clusters;
        fat.write_file(&path("/Overlays/Some Long Name.dtbo"), &[7; 5000]).unwrap();
        assert_eq!(fat.space().unwrap().free_clusters, free - 1 - 5000u64.div_ceil(cluster));
        let medium = fat.finish().unwrap();
        let fat = FatVolume::open(medium).unwrap();
        let stat = fat.stat(&path("/OVERLAYS/some long name.DTBO")).unwrap().unwrap();
        assert_eq!((stat.kind, stat.size, stat.mtime), (FileType::File, 5000, Some(NOW)));
        assert_eq!(fat.read_dir(&FsPath::root()).unwrap()[0].name, b"Overlays");
        assert!(!fat.is_dirty());
    }
}

#[test]
fn a_shorter_content_leaves_nothing_of_the_longer() {
    let mut fat = FatVolume::edit(fat32(), NOW).unwrap();
    let free = fat.space().unwrap().free_clusters;
    for content in [&[1u8; 3000][..], b"short", b""] {
        fat.write_file(&path("/cmdline.txt"), content).unwrap();
        assert_eq!(fat.read(&path("/cmdline.txt"), 3000).unwrap(), content);
    }
    assert_eq!(fat.space().unwrap().free_clusters, free);
}

#[test]
fn renames_and_refuses_to_overwrite() {
    let mut fat = FatVolume::edit(fat32(), NOW).unwrap();
    fat.write_file(&path("/d/one"), b"1").unwrap();
    fat.write_file(&path("/d/two"), b"2").unwrap();
    assert!(matches!(fat.rename(&path("/d/one"), "TWO"), Err(FsError::Exists { .. })));
    assert!(matches!(fat.rename(&path("/d/none"), "x"), Err(FsError::NotFound { .. })));
    fat.rename(&path("/d/one"), "three of them").unwrap();
    assert_eq!(fat.read(&path("/d/three of them"), 1).unwrap(), b"1");
    assert!(fat.stat(&path("/d/one")).unwrap().is_none());
}

#[test]
fn refuses_without_touching_anything() {
    let mut fat = FatVolume::edit(fat16(), NOW).unwrap();
    fat.write_file(&path("/file"), b"x").unwrap();
    fat.make_dir(&path("/dir")).unwrap();
    let before = fat.space().unwrap();
    let (mut none, too_much) = (std::io::empty(), 11 << 20);
    assert!(matches!(fat.write_stream(&path("/big"), too_much, &mut none), Err(FsError::NoSpace { .. })));
    assert!(matches!(fat.write_stream(&path("/big"), 1 << 32, &mut none), Err(FsError::TooLarge { .. })));
    assert!(matches!(fat.write_file(&path("/dir"), b""), Err(FsError::NotAFile { .. })));
    assert!(matches!(fat.write_file(&path("/file/x"), b""), Err(FsError::NotADirectory { .. })));
    assert!(matches!(fat.make_dir(&path("/file")), Err(FsError::NotADirectory { .. })));
    for bad in ["/a:b", "/.hidden", "/end.", "/\u{1F600}", "/tab\t"] {
        assert!(matches!(fat.write_file(&path(bad), b""), Err(FsError::BadName { .. })), "{bad}");
    }
    assert!(matches!(fat.read(&path("/file"), 0), Err(FsError::TooLarge { size: 1, .. })));
    assert!(matches!(fat.read(&path("/dir"), 9), Err(FsError::NotAFile { .. })));
    assert!(matches!(fat.read_dir(&path("/file")), Err(FsError::NotADirectory { .. })));
    assert!(matches!(fat.read(&path("/none"), 9), Err(FsError::NotFound { .. })));
    assert_eq!(fat.space().unwrap(), before);
    let names: Vec<_> = fat.read_dir(&FsPath::root()).unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(names, [b"dir".to_vec(), b"file".to_vec()]);
}

#[test]
fn says_when_the_root_directory_of_fat16_is_full() {
    let mut fat = FatVolume::edit(fat16(), NOW).unwrap();
    let full = (0..600).find_map(|n| match fat.write_file(&path(&format!("/file{n}")), b"") {
        Ok(()) => None,
        Err(error) => Some((n, error)),
    });
    let (made, error) = full.unwrap();
    assert!(matches!(error, FsError::NoSpace { needed: 64, .. }), "{error}");
    let medium = fat.finish().unwrap();
    assert_eq!(FatVolume::open(medium).unwrap().read_dir(&FsPath::root()).unwrap().len(), made);
}

#[test]
fn a_short_source_is_an_error() {
    let mut fat = FatVolume::edit(fat32(), NOW).unwrap();
    for (size, given) in [(10, 9), (10, 11)] {
        let given = vec![0u8; given];
        assert!(matches!(fat.write_stream(&path("/f"), size, &mut &given[..]), Err(FsError::Io(_))));
    }
}

#[test]
fn reading_writes_nothing() {
    struct Untouchable(Vec<u8>);
    impl BlockRead for Untouchable {
        fn size(&self) -> u64 {
            self.0.size()
        }
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
            self.0.read_at(offset, buf)
        }
    }
    // A medium that cannot be written at all, with a count that `fatfs` would like to put right.
    let mut medium = fat32();
    medium[512 + 488..512 + 492].fill(0xff);
    let fat = FatVolume::open(Untouchable(medium)).unwrap();
    assert!(fat.space().unwrap().free_clusters > 0);
}

#[test]
fn puts_a_wrong_free_count_right() {
    let mut medium = fat32();
    medium[512 + 488..512 + 492].copy_from_slice(&5u32.to_le_bytes());
    let medium = FatVolume::edit(medium, NOW).unwrap().finish().unwrap();
    let counted = FatVolume::open(&medium).unwrap().space().unwrap().free_clusters;
    assert_eq!(medium[512 + 488..512 + 492], (counted as u32).to_le_bytes());
}

#[test]
fn refuses_chains_that_cannot_be() {
    let mut fat = FatVolume::edit(fat32(), NOW).unwrap();
    fat.write_file(&path("/a"), &[1; 1500]).unwrap();
    fat.write_file(&path("/b"), &[2; 1500]).unwrap();
    let table = fat.geometry.table_at as usize;
    let medium = fat.finish().unwrap();
    let with = |cluster: usize, value: u32| {
        let mut medium = medium.clone();
        medium[table + 4 * cluster..][..4].copy_from_slice(&value.to_le_bytes());
        opening_fails(&medium)
    };
    // Clusters 3 to 5 are a's, 6 to 8 b's.
    assert!(with(5, 3).contains("cluster 3 a second time"));
    assert!(with(5, 6).contains("cluster 6 a second time"));
    assert!(with(4, 0x0fff_fff0).contains("which is none"));
    assert!(with(4, 0).contains("free or bad"));
    assert!(with(3, 0x0fff_ffff).contains("1500 bytes long in clusters for 512"));
    assert!(with(2, 2).contains("the root directory"));
}

#[test]
fn refuses_boot_sectors_that_cannot_be() {
    let medium = fat32();
    let with = |at: usize, bytes: &[u8]| {
        let mut medium = medium.clone();
        medium[at..at + bytes.len()].copy_from_slice(bytes);
        opening_fails(&medium)
    };
    for (at, bytes, says) in [
        (3, &b"EXFAT   "[..], "exFAT"),
        (11, &[0, 0], "sectors of 0 bytes"),
        (11, &[1, 2], "sectors of 513 bytes"),
        (13, &[0], "clusters of 0 sectors"),
        (13, &[128], "too few for FAT32"),
        (14, &[0, 0], "0 reserved sectors"),
        (16, &[0], "and 0 tables"),
        (17, &[1, 0], "1 entries in the root directory"),
        (19, &[1, 0], "no length, or two"),
        (32, &[0, 0, 0, 0x7f], "in a partition of"),
        (36, &[0xff, 0xff, 0xff, 0xff], "no room for clusters"),
        (36, &[1, 0, 0, 0], "too short for"),
        (40, &[0x85], "table 5 in use of 2"),
        (42, &[1], "version 1"),
        (44, &[0, 0, 0, 0], "root directory in cluster 0"),
        (48, &[0xff, 0xff], "FSInfo in sector 65535"),
        (510, &[0, 0], "55 aa"),
    ] {
        let error = with(at, bytes);
        assert!(error.contains(says), "{at}: {error}");
    }
    assert!(opening_fails(&vec![0; 511]).contains("shorter than a sector"));
}

#[test]
fn survives_any_bytes() {
    let (good, model) = edit_randomly(1, fat16());
    let geometry = super::Geometry::read(&good).unwrap();
    let mut opened = 0;
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut medium = good.clone();
        let table = geometry.table_at as usize..geometry.table_at as usize + 2000;
        let places = [11..64, table, geometry.root_at as usize..geometry.root_at as usize + 4096];
        for _ in 0..rng.usize(1..5) {
            let place = rng.choice(&places).unwrap().clone();
            let at = rng.usize(place);
            medium[at] = rng.u8(..);
        }
        let Ok(mut fat) = FatVolume::edit(medium, NOW) else { continue };
        opened += 1;
        for at in model.keys() {
            // Whatever they answer, they answer.
            let _ = fat.read(&path(at), 1 << 20);
            let _ = fat.read_dir(&path(at));
        }
        let _ = fat.write_file(&path("/new file with a long name"), &[1; 9999]);
        let _ = fat.remove(&path("/dir 1"));
        let _ = fat.finish();
    }
    assert!(opened > 8, "hardly any volume was opened: {opened}");
}

#[test]
fn a_directory_that_leads_to_itself_is_refused() {
    let mut fat = FatVolume::edit(fat32(), NOW).unwrap();
    fat.make_dir(&path("/d/e")).unwrap();
    let at = fat.geometry.cluster_at(3) as usize;
    let mut medium = fat.finish().unwrap();
    let entries: Vec<_> = check::entries(&medium[at..at + 512]).collect();
    assert_eq!(entries.iter().map(|e| e.cluster).collect::<Vec<_>>(), [3, 0, 4], "., .. and e");
    // Entry 3 is e's long name, 4 e itself.
    medium[at + 4 * 32 - 32 + 26] = 3;
    assert!(opening_fails(&medium).contains("second time"));
}
