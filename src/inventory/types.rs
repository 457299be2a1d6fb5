//! The inventory as a value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::deb::status::Status;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;

/// A Debian release as Raspberry Pi OS uses it; ordered by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Release {
    /// Debian 8.
    Jessie,
    /// Debian 9.
    Stretch,
    /// Debian 10.
    Buster,
    /// Debian 11.
    Bullseye,
    /// Debian 12.
    Bookworm,
    /// Debian 13.
    Trixie,
}

/// Directories of links to init scripts, one a run level.
pub const RUN_LEVELS: [&str; 8] = [
    "/etc/rc0.d",
    "/etc/rc1.d",
    "/etc/rc2.d",
    "/etc/rc3.d",
    "/etc/rc4.d",
    "/etc/rc5.d",
    "/etc/rc6.d",
    "/etc/rcS.d",
];

/// A Debian architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 32-bit ARM.
    Armhf,
    /// 64-bit ARM.
    Arm64,
    /// For the test bed.
    Amd64,
}

impl Arch {
    /// As dpkg calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Arch::Armhf => "armhf",
            Arch::Arm64 => "arm64",
            Arch::Amd64 => "amd64",
        }
    }
}

/// What configures the network in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkStack {
    /// dhcpcd5, enabled.
    Dhcpcd,
    /// NetworkManager, enabled.
    NetworkManager,
}

/// The vendor's first-boot hook, as the kernel command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstBootHook {
    /// `init=/usr/lib/raspi-config/init_resize.sh`
    InitResize,
    /// `init=/usr/lib/raspberrypi-sys-mods/firstboot`
    Firstboot,
    /// the bare word `resize`
    Resize,
    /// none: the image has booted already, or never had one
    None,
}

/// Free room in a filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Space {
    /// Size of a block or cluster in bytes.
    pub block_size: u64,
    /// Blocks or clusters free.
    pub free_blocks: u64,
    /// Inodes free; `None` on FAT.
    pub free_inodes: Option<u64>,
}

/// The disk around the filesystems.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layout {
    /// `mbr`, `gpt` or `hybrid`.
    pub table: String,
    /// The MBR disk signature.
    pub disk_id: u32,
    /// Size of the image in bytes.
    pub image_size: u64,
    /// Number of the firmware (FAT) partition, from 1.
    pub boot_number: u32,
    /// Number of the root partition, from 1.
    pub root_number: u32,
    /// Firmware partition: first byte and length in bytes.
    pub boot: (u64, u64),
    /// Root partition: first byte and length in bytes.
    pub root: (u64, u64),
    /// Whether the root partition is the last on the disk, so that it can grow.
    pub root_is_last: bool,
}

/// What was found. Its files hold password hashes, so printing it shows none.
#[derive(Clone)]
pub struct Inventory {
    /// The release.
    pub release: Release,
    /// `ID` of os-release: `raspbian` or `debian`.
    pub os_id: String,
    /// `PRETTY_NAME` of os-release.
    pub pretty_name: String,
    /// The vendor's build date from `/etc/rpi-issue`, `2025-05-13`.
    pub build_date: Option<String>,
    /// dpkg's architecture.
    pub arch: Arch,
    /// What configures the network.
    pub stack: NetworkStack,
    /// The first-boot hook.
    pub hook: FirstBootHook,
    /// Where the image mounts its FAT partition: `/boot` or `/boot/firmware`.
    pub firmware_mount: FsPath,
    /// The disk around it.
    pub layout: Layout,
    /// Free room on the FAT.
    pub boot_space: Space,
    /// Free room in the root filesystem.
    pub root_space: Space,
    /// Whether the image has been booted already (machine-id is set, hooks gone).
    pub booted: bool,
    /// Seconds since 1970 of the newest file in the root filesystem.
    pub newest_mtime: i64,
    /// What dpkg's status says is installed.
    pub packages: Status,
    /// The texts a plan edits or looks at, by volume and path; absent files are absent.
    pub files: BTreeMap<(Volume, FsPath), Vec<u8>>,
    /// Paths looked for and found, of any kind: units, directories, links (not followed).
    pub present: BTreeSet<(Volume, FsPath)>,
    /// Mode and owner of every path in `files` and `present`.
    pub meta: BTreeMap<(Volume, FsPath), crate::fs::metadata::Meta>,
    /// Symbolic links among `present`, and their targets.
    pub links: BTreeMap<(Volume, FsPath), String>,
    /// What an earlier pibake recorded in `/usr/share/pibake/manifest.json`.
    pub manifest: Option<serde_json::Value>,
}

impl Inventory {
    /// Whether a package is installed that this system's own programs can use.
    #[must_use]
    pub fn has_package(&self, name: &str) -> bool {
        self.packages.has(name, self.arch.name())
    }
}

impl fmt::Debug for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inventory")
            .field("release", &self.release)
            .field("pretty_name", &self.pretty_name)
            .field("build_date", &self.build_date)
            .field("arch", &self.arch)
            .field("stack", &self.stack)
            .field("hook", &self.hook)
            .field("firmware_mount", &self.firmware_mount)
            .field("layout", &self.layout)
            .field("boot_space", &self.boot_space)
            .field("root_space", &self.root_space)
            .field("booted", &self.booted)
            .field("newest_mtime", &self.newest_mtime)
            .field("packages", &self.packages.installed.len())
            .field("files", &self.files.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
