//! Descriptions and judgements of machines made of files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::System;
use crate::device::info::{DeviceInfo, Kind, Usage};
use crate::device::policy::{Options, assess};
use crate::device::refusal::Rule;

/// A machine whose `sys`, `proc` and `dev` are files in a directory.
struct Machine {
    dir: tempfile::TempDir,
    mounts: String,
    swaps: String,
}

const GIB: u64 = 1 << 30;

impl Machine {
    /// One with a system disk: `sda1` on `/boot/efi`, `sda2` on `/`.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut machine =
            Self { dir, mounts: String::new(), swaps: "Filename Type Size Used Priority\n".into() };
        machine.disk("pci0/ata1", "sda", "8:0", 200 * GIB, &[("removable", "0"), ("device/model", "DISK")]);
        machine.partition("sda", 1, "8:1", GIB);
        machine.partition("sda", 2, "8:2", 100 * GIB);
        machine.mount("8:2", "/", "ext4", "/dev/sda2");
        machine.mount("8:1", "/boot/efi", "vfat", "/dev/sda1");
        machine
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn write(&self, path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn device_dir(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.at("sys/class/block").join(name)).unwrap()
    }

    fn register(&self, name: &str, dir: &Path, number: &str, size: u64) {
        for (attribute, value) in [("dev", number), ("size", &(size / 512).to_string()), ("ro", "0")] {
            self.write(&dir.join(attribute), &format!("{value}\n"));
        }
        let class = self.at("sys/class/block");
        fs::create_dir_all(&class).unwrap();
        symlink(dir, class.join(name)).unwrap();
        self.write(&self.at("dev").join(name), "");
    }

    /// A disk below a bus device; `attributes` starting with `device/` are the bus device's.
    fn disk(&mut self, bus: &str, name: &str, number: &str, size: u64, attributes: &[(&str, &str)]) {
        let parent = self.at("sys/devices").join(bus);
        let dir = parent.join("block").join(name);
        self.register(name, &dir, number, size);
        symlink(&parent, dir.join("device")).unwrap();
        for (attribute, value) in attributes {
            self.write(&dir.join(attribute), &format!("{value}\n"));
        }
    }

    fn virtual_disk(&mut self, name: &str, number: &str, size: u64, attributes: &[(&str, &str)]) {
        let dir = self.at("sys/devices/virtual/block").join(name);
        self.register(name, &dir, number, size);
        for (attribute, value) in attributes {
            self.write(&dir.join(attribute), &format!("{value}\n"));
        }
    }

    fn partition(&mut self, disk: &str, index: u32, number: &str, size: u64) {
        let separator = if disk.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
        let name = format!("{disk}{separator}{index}");
        let dir = self.device_dir(disk).join(&name);
        self.register(&name, &dir, number, size);
        self.write(&dir.join("partition"), &index.to_string());
        self.write(&dir.join("start"), &(2048 * index).to_string());
    }

    fn stands_on(&mut self, top: &str, below: &str) {
        for (holder, kind, held) in [(top, "slaves", below), (below, "holders", top)] {
            let dir = self.device_dir(holder).join(kind);
            fs::create_dir_all(&dir).unwrap();
            symlink(self.device_dir(held), dir.join(held)).unwrap();
        }
    }

    fn mount(&mut self, number: &str, at: &str, fs_type: &str, source: &str) {
        self.mounts += &format!("30 22 {number} / {at} rw,relatime shared:1 - {fs_type} {source} rw\n");
    }

    fn usb_card(&mut self) {
        self.write(&self.at("sys/devices/pci0/usb1/1-2/idVendor"), "1234\n");
        self.write(&self.at("sys/devices/pci0/usb1/1-2/serial"), "READER0001\n");
        let attributes = [
            ("removable", "1"),
            ("diskseq", "12"),
            ("device/vendor", "Generic "),
            ("device/model", "STORAGE DEVICE  "),
            ("queue/logical_block_size", "512"),
        ];
        self.disk("pci0/usb1/1-2/1-2:1.0/host6/6:0:0:0", "sdb", "8:16", 32 * GIB, &attributes);
    }

    fn system(&self) -> System {
        self.write(&self.at("proc/self/mountinfo"), &self.mounts);
        self.write(&self.at("proc/swaps"), &self.swaps);
        System::at(self.dir.path())
    }

    fn info(&self, name: &str) -> DeviceInfo {
        self.system().named(name).unwrap().unwrap()
    }

    fn rules(&self, name: &str) -> Vec<Rule> {
        self.rules_with(name, &Options::default())
    }

    fn rules_with(&self, name: &str, options: &Options) -> Vec<Rule> {
        let assessment = assess(&self.info(name), GIB, options);
        assessment.refusals().iter().map(|refusal| refusal.rule).collect()
    }
}

#[test]
fn a_card_in_a_usb_reader_is_described_and_allowed() {
    let mut machine = Machine::new();
    machine.usb_card();
    machine.partition("sdb", 2, "8:18", 8 * GIB);
    machine.partition("sdb", 1, "8:17", GIB);
    let info = machine.info("sdb");
    assert_eq!(info.path, Path::new("/dev/sdb"));
    assert_eq!(info.model.as_deref(), Some("Generic STORAGE DEVICE"));
    assert_eq!(info.serial.as_deref(), Some("READER0001"));
    assert_eq!(info.bus.as_deref(), Some("usb"));
    assert_eq!((info.size, info.diskseq), (32 * GIB, Some(12)));
    assert_eq!(info.kind, Kind::Disk);
    let names: Vec<&str> = info.partitions.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, ["sdb1", "sdb2"]);
    assert_eq!(info.partition_at(1024 * 1024).unwrap().name, "sdb1");
    assert!(info.partition_at(0).is_none());
    assert_eq!(info.usage, []);
    assert_eq!(machine.rules("sdb"), []);
}

#[test]
fn the_system_disk_has_no_way_round() {
    let machine = Machine::new();
    let everything = Options { unmount: true, allow_fixed: true, sources: Vec::new() };
    assert!(machine.rules_with("sda", &everything).contains(&Rule::SystemDisk));
    let assessment = assess(&machine.info("sda"), GIB, &everything);
    let why = &assessment.refusals()[0].why;
    assert!(why.contains("/, /boot/efi") || why.contains("/boot/efi, /"), "{why}");
}

#[test]
fn mounts_that_make_a_system_disk_and_mounts_that_do_not() {
    for (at, rule) in [
        ("/", Rule::SystemDisk),
        ("/boot", Rule::SystemDisk),
        ("/boot/firmware", Rule::SystemDisk),
        ("/home", Rule::SystemDisk),
        ("/home/ann", Rule::SystemDisk),
        ("/usr", Rule::SystemDisk),
        ("/var", Rule::SystemDisk),
        ("/var/lib/docker", Rule::SystemDisk),
        ("/home/ann/card", Rule::Mounted),
        ("/media/ann/bootfs", Rule::Mounted),
        ("/mnt", Rule::Mounted),
        ("/bootstrap", Rule::Mounted),
    ] {
        let mut machine = Machine::new();
        machine.usb_card();
        machine.partition("sdb", 1, "8:17", GIB);
        machine.mount("8:17", at, "vfat", "/dev/sdb1");
        assert_eq!(machine.rules("sdb"), [rule], "{at}");
        let unmounting = Options { unmount: true, ..Options::default() };
        let allowed = machine.rules_with("sdb", &unmounting).is_empty();
        assert_eq!(allowed, rule == Rule::Mounted, "{at}");
    }
}

#[test]
fn swap_on_a_partition_and_in_a_file() {
    let mut machine = Machine::new();
    machine.usb_card();
    machine.partition("sdb", 1, "8:17", GIB);
    machine.swaps += "/dev/sdb1 partition 1000 0 -2\n";
    assert_eq!(machine.rules("sdb"), [Rule::SystemDisk]);

    let mut machine = Machine::new();
    machine.usb_card();
    machine.partition("sdb", 1, "8:17", GIB);
    machine.mount("8:17", "/mnt", "ext4", "/dev/sdb1");
    machine.swaps += "/mnt/swapfile file 1000 0 -2\n";
    assert_eq!(machine.rules("sdb"), [Rule::SystemDisk]);
}

#[test]
fn what_stands_on_a_disk_counts_however_deep() {
    let mut machine = Machine::new();
    machine.usb_card();
    machine.partition("sdb", 1, "8:17", GIB);
    machine.virtual_disk("md0", "9:0", GIB, &[("md/level", "raid1")]);
    machine.virtual_disk("dm-0", "252:0", GIB, &[("dm/name", "crypt")]);
    machine.virtual_disk("dm-1", "252:1", GIB, &[("dm/name", "home")]);
    machine.stands_on("md0", "sdb1");
    machine.stands_on("dm-0", "md0");
    machine.stands_on("dm-1", "dm-0");
    assert_eq!(machine.rules("sdb"), [Rule::Held]);
    assert_eq!(machine.rules("dm-1"), [Rule::NotADisk]);
    assert_eq!(machine.rules("md0"), [Rule::NotADisk]);
    machine.mount("252:1", "/home", "ext4", "/dev/mapper/home");
    assert_eq!(machine.rules("sdb"), [Rule::SystemDisk]);
    let usage = machine.info("sdb").usage;
    assert!(
        usage.contains(&Usage::Mounted { device: "dm-1".into(), at: "/home".into(), read_only: false }),
        "{usage:?}"
    );
    assert!(usage.contains(&Usage::Held { device: "sdb1".into(), by: "md0".into() }), "{usage:?}");
}

#[test]
fn every_disk_of_a_btrfs_is_mounted() {
    let mut machine = Machine::new();
    machine.usb_card();
    machine.partition("sdb", 1, "8:17", GIB);
    machine.disk("pci0/ata2", "sdc", "8:32", 200 * GIB, &[("removable", "0"), ("device/model", "DISK")]);
    let devices = machine.at("sys/fs/btrfs/0c5f/devices");
    fs::create_dir_all(&devices).unwrap();
    for name in ["sdb1", "sdc"] {
        symlink(machine.device_dir(name), devices.join(name)).unwrap();
    }
    machine.mount("0:41", "/home", "btrfs", "/dev/sdc");
    assert_eq!(machine.rules("sdb"), [Rule::SystemDisk]);
    // Even when the source says nothing.
    machine.mounts = machine.mounts.replace("/dev/sdc", "/dev/root");
    assert_eq!(machine.rules("sdb"), [Rule::SystemDisk]);
}

#[test]
fn filesystems_without_a_number_are_found_by_their_source() {
    let mut machine = Machine::new();
    machine.usb_card();
    machine.partition("sdb", 1, "8:17", GIB);
    fs::create_dir_all(machine.at("dev/disk/by-label")).unwrap();
    symlink(machine.at("dev/sdb1"), machine.at("dev/disk/by-label/CARD")).unwrap();
    machine.mount("0:50", "/mnt", "fuseblk", "/dev/disk/by-label/CARD");
    assert_eq!(machine.rules("sdb"), [Rule::Mounted]);
}

#[test]
fn a_partition_names_its_disk() {
    let mut machine = Machine::new();
    machine.usb_card();
    machine.partition("sdb", 1, "8:17", GIB);
    assert_eq!(machine.rules("sdb1"), [Rule::Partition]);
    let assessment = assess(&machine.info("sdb1"), GIB, &Options::default());
    assert!(assessment.refusals()[0].way_out.contains("/dev/sdb"));
}

#[test]
fn a_built_in_sd_slot_is_removable_and_an_emmc_is_not() {
    let mut machine = Machine::new();
    let sd =
        [("removable", "0"), ("device/type", "SD"), ("device/name", "SC32G"), ("device/serial", "0x1234")];
    machine.disk("pci0/mmc0/mmc0:0001", "mmcblk0", "179:0", 32 * GIB, &sd);
    machine.partition("mmcblk0", 1, "179:1", GIB);
    let emmc =
        [("removable", "0"), ("device/type", "MMC"), ("device/name", "BJTD4R"), ("device/serial", "0x99")];
    machine.disk("pci0/mmc1/mmc1:0001", "mmcblk1", "179:8", 32 * GIB, &emmc);
    machine.disk("pci0/mmc1/mmc1:0001", "mmcblk1boot0", "179:16", 4 << 20, &[("removable", "0")]);

    let card = machine.info("mmcblk0");
    assert_eq!((card.kind, card.removable), (Kind::Sd, true));
    assert_eq!(card.model.as_deref(), Some("SC32G"));
    assert_eq!(machine.rules("mmcblk0"), []);
    assert_eq!(machine.rules("mmcblk0p1"), [Rule::Partition]);
    assert_eq!(machine.rules("mmcblk1"), [Rule::Fixed]);
    let allowing = Options { allow_fixed: true, ..Options::default() };
    assert_eq!(machine.rules_with("mmcblk1", &allowing), []);
    assert_eq!(machine.rules_with("mmcblk1boot0", &allowing), [Rule::NotADisk]);
}

#[test]
fn read_only_empty_and_small() {
    let mut machine = Machine::new();
    machine.usb_card();
    machine.write(&machine.device_dir("sdb").join("ro"), "1\n");
    assert_eq!(machine.rules("sdb"), [Rule::ReadOnly]);
    machine.write(&machine.device_dir("sdb").join("ro"), "0\n");
    machine.write(&machine.device_dir("sdb").join("size"), "0\n");
    assert_eq!(machine.rules("sdb"), [Rule::NoCard]);
    machine.write(&machine.device_dir("sdb").join("size"), &format!("{}\n", GIB / 512 - 1));
    assert_eq!(machine.rules("sdb"), [Rule::TooSmall]);
    machine.write(&machine.device_dir("sdb").join("size"), &format!("{}\n", GIB / 512));
    assert_eq!(machine.rules("sdb"), []);
}

#[test]
fn loop_devices() {
    let mut machine = Machine::new();
    machine.usb_card();
    let file = machine.at("card.img");
    machine.write(&file, "");
    let backing = file.to_str().unwrap().to_owned();
    machine.virtual_disk("loop0", "7:0", GIB, &[("loop/backing_file", &backing)]);
    machine.virtual_disk("loop1", "7:1", GIB, &[("loop/backing_file", &backing)]);
    machine.virtual_disk("loop2", "7:2", GIB, &[("loop/backing_file", "/dev/sdb")]);
    machine.virtual_disk("loop3", "7:3", 0, &[]);
    assert_eq!(machine.rules("loop0"), []);
    assert_eq!(machine.rules("loop2"), [Rule::NotADisk]);
    assert_eq!(machine.rules("loop3"), [Rule::NotADisk]);
    // A loop device on the card holds the card, and what is mounted there is mounted from it.
    assert_eq!(machine.rules("sdb"), [Rule::Held]);
    machine.mount("7:2", "/mnt", "ext4", "/dev/loop2");
    assert_eq!(machine.rules("sdb"), [Rule::Mounted, Rule::Held]);
    // Two loop devices on one file are one disk.
    machine.mount("7:1", "/mnt2", "ext4", "/dev/loop1");
    assert_eq!(machine.rules("loop0"), [Rule::Mounted]);
}

#[test]
fn what_is_no_card_at_all() {
    let mut machine = Machine::new();
    machine.disk("pci0/ata3", "sr0", "11:0", GIB, &[("removable", "1")]);
    machine.virtual_disk("zram0", "253:0", GIB, &[]);
    machine.disk("pci0/virtio1", "vda", "254:0", 32 * GIB, &[("removable", "0")]);
    assert_eq!(machine.rules("sr0"), [Rule::NotADisk]);
    assert_eq!(machine.rules("zram0"), [Rule::NotADisk]);
    // Nothing to type, so no way to allow it.
    let allowing = Options { allow_fixed: true, ..Options::default() };
    assert_eq!(machine.rules_with("vda", &allowing), [Rule::Fixed]);
}

#[test]
fn the_list_has_disks_and_no_parts_of_them() {
    let mut machine = Machine::new();
    machine.usb_card();
    machine.partition("sdb", 1, "8:17", GIB);
    machine.virtual_disk("loop0", "7:0", 0, &[]);
    machine.virtual_disk("zram0", "253:0", GIB, &[]);
    let list = machine.system().list().unwrap();
    let names: Vec<&str> = list.iter().map(|info| info.kernel_name.as_str()).collect();
    assert_eq!(names, ["sda", "sdb"]);
}

#[test]
fn a_machine_without_devices_has_none() {
    let mut machine = Machine::new();
    fs::remove_dir_all(machine.at("sys")).unwrap();
    assert_eq!(machine.system().list().unwrap(), []);
    machine.mounts += "nonsense\n";
    machine.system().list().unwrap_err();
}

#[test]
fn a_mountinfo_that_is_not_understood_refuses_everything() {
    let mut machine = Machine::new();
    machine.mounts += "nonsense\n";
    machine.system().list().unwrap_err();
}

#[test]
fn serial_numbers_of_scsi_and_nvme() {
    let mut machine = Machine::new();
    machine.disk("pci0/ata2", "sdc", "8:32", GIB, &[("removable", "0"), ("device/model", "SSD")]);
    fs::write(machine.device_dir("sdc").join("device/vpd_pg80"), b"\0\x80\0\x06 S3R1Lxx").unwrap();
    assert_eq!(machine.info("sdc").serial.as_deref(), Some("S3R1L"));
    let attributes = [("device/model", "NVME DISK"), ("device/serial", "N123  ")];
    machine.disk("pci0/nvme/nvme0", "nvme0n1", "259:0", GIB, &attributes);
    let info = machine.info("nvme0n1");
    assert_eq!((info.model.as_deref(), info.serial.as_deref()), (Some("NVME DISK"), Some("N123")));
}
