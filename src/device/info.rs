//! What is known about a disk.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// The kernel's number of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DevNumber {
    /// Which driver.
    pub major: u64,
    /// Which of its devices.
    pub minor: u64,
}

impl DevNumber {
    /// Reads `8:1`, as sysfs and mountinfo write it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once(':')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for DevNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl Serialize for DevNumber {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What kind of thing a target is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A whole disk: USB, SATA, NVMe, virtio and whatever else has no kind of its own.
    Disk,
    /// A card in an SD slot.
    Sd,
    /// A soldered eMMC.
    Emmc,
    /// One of an eMMC's hardware partitions (`boot0`, `rpmb`, `gp0`).
    EmmcPart,
    /// A loop device, and the file it stands on.
    Loop(Option<PathBuf>),
    /// A loop device that stands on another block device.
    LoopOnDevice(PathBuf),
    /// A partition of the disk named.
    Partition(String),
    /// A CD or DVD drive.
    Optical,
    /// Made of other devices: device mapper, RAID.
    Mapped,
    /// Memory used as a disk: `zram`, `ram`.
    Memory,
    /// An existing regular file standing for a card.
    RegularFile,
}

/// A partition as the kernel sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionInfo {
    /// The kernel's name, `sdb1`.
    pub name: String,
    /// Its number on the disk.
    pub number: u32,
    /// Where it starts, in bytes.
    pub start: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// How a disk, or something on it, is in use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Usage {
    /// A filesystem on it is mounted.
    Mounted {
        /// The device that is mounted: the disk, a partition, or something standing on them.
        device: String,
        /// Where.
        at: PathBuf,
        /// Whether nobody can write to the filesystem, wherever it is mounted.
        read_only: bool,
    },
    /// It is swapped to.
    Swap {
        /// The device that is swapped to, or holds the file that is.
        device: String,
    },
    /// Another device stands on it: RAID, LVM, encryption, a loop device.
    Held {
        /// The disk or partition.
        device: String,
        /// Who holds it.
        by: String,
    },
}

/// A disk, or a regular file standing for one. Text in it has been stripped of control characters: it comes
/// from the hardware and goes to a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceInfo {
    /// The device itself, every symbolic link resolved.
    pub path: PathBuf,
    /// The kernel's name, `sdb`; empty for a regular file.
    pub kernel_name: String,
    /// The kernel's number; for a regular file that of its filesystem.
    pub number: DevNumber,
    /// For a regular file, its number in the filesystem.
    pub inode: Option<u64>,
    /// What it is.
    pub kind: Kind,
    /// Maker and model, as far as it says.
    pub model: Option<String>,
    /// Serial number; of a USB reader its own, not the card's.
    pub serial: Option<String>,
    /// Size in bytes; 0 when a reader holds no card.
    pub size: u64,
    /// How it is connected: `usb`, `mmc`, `nvme`, `scsi`, `virtio`.
    pub bus: Option<String>,
    /// Whether it can be taken out: sysfs `removable` is 1, or it is an SD card, whose slot may say 0.
    pub removable: bool,
    /// Whether it refuses writes, by a switch on the card for example.
    pub read_only: bool,
    /// The unit of direct reads and writes, in bytes.
    pub logical_block: u32,
    /// The unit the medium works in, in bytes.
    pub physical_block: u32,
    /// Counts up each time a medium is put in, where the kernel (5.15 or later) tells.
    pub diskseq: Option<u64>,
    /// What the kernel knows of its partition table, by number.
    pub partitions: Vec<PartitionInfo>,
    /// Everything that uses it, directly or through devices that stand on it.
    pub usage: Vec<Usage>,
}

impl DeviceInfo {
    /// Whether both describe one disk, whatever names were used. Loop devices on one file are one disk.
    #[must_use]
    pub fn is_same_disk(&self, other: &Self) -> bool {
        let same_file = match (&self.kind, &other.kind) {
            (Kind::Loop(Some(one)), Kind::Loop(Some(other))) => one == other,
            _ => false,
        };
        same_file || self.number == other.number && self.inode == other.inode
    }

    /// The partition that holds the byte at `offset`, for messages.
    #[must_use]
    pub fn partition_at(&self, offset: u64) -> Option<&PartitionInfo> {
        self.partitions.iter().find(|part| offset >= part.start && offset - part.start < part.size)
    }
}

/// Text from the hardware as it may be shown: no control characters, no space around it; `None` when empty.
pub(super) fn cleaned(text: &[u8]) -> Option<String> {
    let text: String = String::from_utf8_lossy(text)
        .chars()
        .filter(|letter| !letter.is_control() && *letter != char::REPLACEMENT_CHARACTER)
        .collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{DevNumber, cleaned};

    #[test]
    fn numbers_are_read_strictly() {
        assert_eq!(DevNumber::parse("8:17\n"), Some(DevNumber { major: 8, minor: 17 }));
        for bad in ["", "8", "8:", ":1", "8:1:2", "-1:2", "a:b"] {
            assert_eq!(DevNumber::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn hardware_text_cannot_steer_a_terminal() {
        assert_eq!(cleaned(b"  SD\x1b[2JCARD \n\0"), Some("SD[2JCARD".to_owned()));
        assert_eq!(cleaned(b" \n"), None);
        assert_eq!(cleaned(b"\xff\xfe"), None);
    }
}
