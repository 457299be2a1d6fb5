//! Images that must not be baked: each is named, and neither it nor the card is touched.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use liblzma::write::XzEncoder;
use pibake::disk::block::BlockRead;
use pibake::fs::metadata::Meta;
use pibake::fs::path::FsPath;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::desk::{DEMO, Desk, cluster, tree};
use super::image::{demo, digest, edit_root, edit_superblock, open, root_range, write_sparse};

/// Fields of the ext4 superblock.
const STATE: usize = 0x3a;
const FEATURE_COMPAT: usize = 0x5c;
const FEATURE_INCOMPAT: usize = 0x60;
const FEATURE_RO_COMPAT: usize = 0x64;

/// The demo image unpacked, a card, and a cluster file that names the image.
fn bench() -> Desk {
    let desk = Desk::bare();
    desk.write("pibake.toml", cluster("lab", "", &["pi1"]).replace("base.img.zst", "base.img"));
    write_sparse(&desk.path("base.img"), demo());
    let card = desk.card("card", 128);
    open(&card).file().write_all_at(b"what was here before", 4096).unwrap();
    desk
}

/// Bakes and flashes, and finds all of it refused with `status`, said so, and nothing touched.
#[track_caller]
fn assert_refused(desk: &Desk, image: &str, status: i32, says: &[&str]) {
    let kept = || (digest(&desk.path(image)), digest(&desk.path("card")));
    let before = kept();
    for args in [&["bake", "--all", "-y"][..], &["flash", "--node", "pi1", "card", "-y"], &["plan", "--all"]]
    {
        let ran = desk.run(&[args, &["--image", image]].concat());
        let ran = ran.ends(status).says(says);
        assert_eq!(ran.out, "", "{args:?}");
    }
    assert!(kept() == before, "the image or the card was written to");
    let baked = |name: &String| name.starts_with("pi1") || name.starts_with(".pi1");
    assert_eq!(tree(&desk.path("")).into_keys().find(baked), None);
    assert_eq!(cached(desk), [] as [String; 0], "an image that was refused stays unpacked");
}

/// Unpacked images in the cache.
fn cached(desk: &Desk) -> Vec<String> {
    let unpacked = |name: &String| name.contains(".img") || name.contains(".part");
    tree(&desk.top().join("cache")).into_keys().filter(unpacked).collect()
}

fn set_bits(superblock: &mut [u8], at: usize, bits: u32) {
    let value = u32::from_le_bytes(superblock[at..at + 4].try_into().unwrap()) | bits;
    superblock[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn the_image_it_all_starts_from_is_not_refused() {
    let desk = bench();
    let before = digest(&desk.path("base.img"));
    edit_superblock(&desk.path("base.img"), |_| ());
    assert!(digest(&desk.path("base.img")) == before, "the checksum is not made as ext4 makes it");
    desk.run(&["bake", "--all", "-y"]).ends(0);
    desk.run(&["flash", "--node", "pi1", "card", "-y"]).ends(0);
    assert!(digest(&desk.path("base.img")) == before, "the base image was written to");
}

#[test]
fn a_filesystem_that_is_not_clean() {
    let desk = bench();
    let image = desk.path("base.img");
    edit_superblock(&image, |superblock| set_bits(superblock, FEATURE_INCOMPAT, 0x4));
    assert_refused(&desk, "base.img", 1, &["journal"]);
    let desk = bench();
    edit_superblock(&desk.path("base.img"), |superblock| superblock[STATE] |= 2);
    assert_refused(&desk, "base.img", 1, &["error"]);
}

#[test]
fn filesystem_features_that_are_not_edited() {
    for (field, bit, name) in [
        (FEATURE_INCOMPAT, 0x8000, "inline_data"),
        (FEATURE_INCOMPAT, 0x10000, "encrypt"),
        (FEATURE_INCOMPAT, 0x20000, "casefold"),
        (FEATURE_INCOMPAT, 0x100, "mmp"),
        (FEATURE_INCOMPAT, 0x8000_0000, "0x80000000"),
        (FEATURE_RO_COMPAT, 0x200, "bigalloc"),
        (FEATURE_RO_COMPAT, 0x100, "quota"),
        (FEATURE_RO_COMPAT, 0x8000, "verity"),
        (FEATURE_COMPAT, 0x200, "sparse_super2"),
        (FEATURE_COMPAT, 0x400, "fast_commit"),
    ] {
        let desk = bench();
        edit_superblock(&desk.path("base.img"), |superblock| set_bits(superblock, field, bit));
        assert_refused(&desk, "base.img", 1, &[name]);
    }
}

#[test]
fn a_superblock_that_is_damaged() {
    let desk = bench();
    let file = open(&desk.path("base.img"));
    let start = root_range(&file).start() + 1024;
    let mut byte = [0];
    file.read_at(start + 0x20, &mut byte).unwrap();
    file.file().write_all_at(&[byte[0] ^ 1], start + 0x20).unwrap();
    assert_refused(&desk, "base.img", 1, &["superblock"]);
}

fn at(path: &str) -> FsPath {
    FsPath::new(path).unwrap()
}

/// Replaces a text of the image.
fn put(image: &Path, path: &str, text: &str) {
    edit_root(image, |root| {
        root.remove_file(&at(path)).unwrap();
        root.create(&at(path), Meta::root(0o644), &mut text.as_bytes(), text.len() as u64).unwrap();
    });
}

#[test]
fn systems_that_are_not_known() {
    let known = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nID=debian\n";
    for (text, says) in [
        (known.replace("12", "77").replace("bookworm", "duke"), "77 (duke)"),
        (known.replace("debian", "alpine").replace("Debian GNU/Linux", "Alpine"), "Alpine"),
        (String::new(), "not Raspberry Pi OS"),
    ] {
        let desk = bench();
        put(&desk.path("base.img"), "/usr/lib/os-release", &text);
        assert_refused(&desk, "base.img", 1, &[says]);
    }
}

#[test]
fn links_of_the_image_that_lead_round_or_out() {
    let desk = bench();
    edit_root(&desk.path("base.img"), |root| {
        root.remove_file(&at("/etc/hostname")).unwrap();
        root.symlink("hostname", &at("/etc/hostname"), 0, 0).unwrap();
    });
    // What is replaced is the link itself; what it led to does not matter.
    desk.run(&["bake", "--all", "-y"]).ends(0);
    let desk = bench();
    edit_root(&desk.path("base.img"), |root| {
        root.rename(&at("/etc/NetworkManager"), "nm").unwrap();
        root.symlink("NetworkManager", &at("/etc/NetworkManager"), 0, 0).unwrap();
    });
    let before = digest(&desk.path("base.img"));
    for args in [&["bake", "--all", "-y"][..], &["flash", "--node", "pi1", "card", "-y"]] {
        desk.run(args).ends(1).says(&["/etc/NetworkManager"]);
    }
    assert!(digest(&desk.path("base.img")) == before && !desk.path("pi1.img").exists());
}

#[test]
fn overlays_never_leave_the_image() {
    let desk = bench();
    edit_root(&desk.path("base.img"), |root| {
        root.symlink("../../../../../../outside", &at("/opt/out"), 0, 0).unwrap();
        root.symlink("round", &at("/opt/round"), 0, 0).unwrap();
    });
    for (name, path) in [("escape", "root/opt/out/file"), ("loop", "root/opt/round/file")] {
        desk.write(&format!("overlays/{name}/overlay.toml"), "description = \"a test\"\n");
        desk.write(&format!("overlays/{name}/{path}"), "content\n");
    }
    let text = |overlay: &str| {
        let more = format!("[[overlay]]\nname = \"{overlay}\"\n");
        cluster("lab", &more, &["pi1"]).replace("base.img.zst", "base.img")
    };
    desk.write("pibake.toml", text("loop"));
    let before = digest(&desk.path("base.img"));
    let ran = desk.run(&["bake", "--all", "-y"]);
    assert!(matches!(ran.status, Some(1 | 2)), "{ran:?}");
    ran.says(&["/opt/round"]);
    desk.write("pibake.toml", text("escape"));
    let ran = desk.run(&["bake", "--all", "-y"]);
    assert!(matches!(ran.status, Some(1 | 2)), "{ran:?}");
    ran.says(&["/opt/out"]);
    assert!(digest(&desk.path("base.img")) == before && !desk.top().join("outside").exists());
    // A path that climbs out by its own words.
    desk.write(
        "overlays/escape/overlay.toml",
        "description = \"x\"\n[[file]]\npath = \"/../../outside\"\nlink = \"x\"\n",
    );
    desk.run(&["bake", "--all", "-y"]).ends(2).says(&["escape", "/../../outside"]);
}

/// A GPT with the demo's two partitions, and the root filesystem last or first.
fn with_gpt(desk: &Desk) {
    let path = desk.path("base.img");
    let mut bytes = demo().to_vec();
    bytes.resize(bytes.len() + (1 << 20), 0);
    let table = pibake::disk::partition_table::read(&bytes).unwrap();
    let ranges: Vec<_> = [1, 2].map(|number| table.partition(number).unwrap().range).to_vec();
    bytes[..8 << 20].fill(0);
    write_sparse(&path, &bytes);
    let mbr = gpt::mbr::ProtectiveMBR::with_lb_size(u32::try_from(bytes.len() / 512 - 1).unwrap());
    mbr.overwrite_lba0(&mut fs::OpenOptions::new().read(true).write(true).open(&path).unwrap()).unwrap();
    let mut disk = gpt::GptConfig::new().writable(true).create(&path).unwrap();
    for (name, range, kind) in [
        ("bootfs", ranges[0], gpt::partition_types::BASIC),
        ("rootfs", ranges[1], gpt::partition_types::LINUX_FS),
    ] {
        let first = range.start() / 512;
        disk.add_partition_at(name, if name == "bootfs" { 1 } else { 2 }, first, range.len() / 512, kind, 0)
            .unwrap();
    }
    disk.write().unwrap();
}

#[test]
fn a_gpt_whose_header_is_damaged() {
    let desk = bench();
    with_gpt(&desk);
    desk.run(&["inspect", "base.img"]).ends(0);
    let damage = |at: u64| {
        open(&desk.path("base.img")).file().write_all_at(&[0x5a; 8], at).unwrap();
    };
    damage(512 + 24);
    let held = desk.run(&["inspect", "base.img", "--json"]).ends(0).json();
    assert!(held["table"]["backup_used"].is_string(), "{held}");
    let size = fs::metadata(desk.path("base.img")).unwrap().len();
    damage(size - 512 + 24);
    assert_refused(&desk, "base.img", 1, &["GPT"]);
}

/// An image whose root filesystem is not the last partition: it cannot grow.
fn boxed_in(desk: &Desk) {
    let mut bytes = demo().to_vec();
    let end = u32::try_from(bytes.len() / 512).unwrap();
    bytes.resize(bytes.len() + (1 << 20), 0);
    let entry = 446 + 2 * 16;
    bytes[entry + 4] = 0x83;
    bytes[entry + 8..entry + 12].copy_from_slice(&end.to_le_bytes());
    bytes[entry + 12..entry + 16].copy_from_slice(&2048u32.to_le_bytes());
    write_sparse(&desk.path("base.img"), &bytes);
}

fn with_overlay(desk: &Desk) {
    let more = "[[overlay]]\nname = \"much\"\n";
    desk.write("pibake.toml", cluster("lab", more, &["pi1"]).replace("base.img.zst", "base.img"));
    desk.write("overlays/much/overlay.toml", "description = \"a test\"\n");
}

/// Files of 15 MiB; overlays hold none of more than 16.
fn large_files(desk: &Desk, dir: &str, count: u32) {
    for number in 0..count {
        desk.card(&format!("{dir}/large{number}.bin"), 15);
    }
}

#[test]
fn no_space_and_no_inodes() {
    let desk = bench();
    boxed_in(&desk);
    desk.run(&["bake", "--all", "-y"]).ends(0);
    fs::remove_file(desk.path("pi1.img")).unwrap();
    with_overlay(&desk);
    fs::create_dir_all(desk.path("overlays/much/root/opt")).unwrap();
    large_files(&desk, "overlays/much/root/opt", 4);
    assert_refused(&desk, "base.img", 2, &["grow", "not the last"]);

    let desk = bench();
    boxed_in(&desk);
    with_overlay(&desk);
    for at in 0..1500 {
        desk.write(&format!("overlays/much/root/opt/many/{at}"), "");
    }
    edit_root(&desk.path("base.img"), |root| {
        let free = root.space().free_inodes;
        root.make_dir(&at("/opt/used"), Meta::root(0o755)).unwrap();
        for number in 0..free.saturating_sub(900) {
            root.create(&at(&format!("/opt/used/{number}")), Meta::root(0o644), &mut &b""[..], 0).unwrap();
        }
    });
    assert_refused(&desk, "base.img", 2, &["grow", "not the last"]);
    // The same where there is room to grow.
    boxed_in(&desk);
    let mut bytes = fs::read(desk.path("base.img")).unwrap();
    bytes.truncate(demo().len());
    bytes[446 + 32..446 + 48].fill(0);
    write_sparse(&desk.path("base.img"), &bytes);
    desk.run(&["bake", "--all", "-y"]).ends(0);
}

#[test]
fn a_boot_partition_that_is_too_small() {
    let desk = bench();
    with_overlay(&desk);
    fs::create_dir_all(desk.path("overlays/much/boot")).unwrap();
    large_files(&desk, "overlays/much/boot", 3);
    assert_refused(&desk, "base.img", 2, &["FAT partition"]);
}

fn packed<W: Write>(mut encoder: W, finish: impl FnOnce(W) -> Vec<u8>) -> Vec<u8> {
    encoder.write_all(&demo()[..60 << 20]).unwrap();
    finish(encoder)
}

#[test]
fn files_that_are_no_images() {
    let desk = bench();
    let iso = {
        let mut bytes = vec![0; 64 << 10];
        bytes[0x8001..0x8006].copy_from_slice(b"CD001");
        bytes
    };
    for (bytes, says) in [
        (b"<!DOCTYPE html><html><head><title>404</title></head></html>".to_vec(), "HTML"),
        (iso, "ISO"),
        (Vec::new(), "empty"),
        (b"<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n</bmap>\n".to_vec(), "bmap"),
        (vec![0; 1 << 20], "zeros"),
        (demo()[..512].to_vec(), "is cut short"),
    ] {
        desk.write("given.img", &bytes);
        assert_refused(&desk, "given.img", 1, &["given.img", says]);
    }
}

#[test]
fn archives_that_are_cut_short_or_go_on() {
    let desk = bench();
    let gz = packed(GzEncoder::new(Vec::new(), Compression::fast()), |gz| gz.finish().unwrap());
    let xz = packed(XzEncoder::new(Vec::new(), 0), |xz| xz.finish().unwrap());
    let zip = {
        let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        zip.start_file("demo.img", SimpleFileOptions::default()).unwrap();
        packed(zip, |zip| zip.finish().unwrap().into_inner())
    };
    for (name, whole) in [("zst", DEMO.to_vec()), ("gz", gz), ("xz", xz), ("zip", zip)] {
        let file = format!("given.{name}");
        desk.write(&file, &whole[..whole.len() - 100]);
        assert_refused(&desk, &file, 1, &[&file]);
        let mut longer = whole.clone();
        longer.extend([0x5a; 4096]);
        desk.write(&file, &longer);
        assert_refused(&desk, &file, 1, &[&file]);
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 0x10;
        desk.write(&file, &damaged);
        assert_refused(&desk, &file, 1, &[&file]);
    }
}
