//! What sysfs says about the hardware of a disk: model, serial, bus, kind.
//!
//! Attributes: `Documentation/ABI/{stable,testing}/sysfs-block*`, `Documentation/driver-api/mmc/mmc-dev-attrs.rst`
//! and `drivers/scsi/scsi_sysfs.c` of the kernel.

use std::fs;
use std::path::{Path, PathBuf};

use crate::device::info::{Kind, cleaned};

/// One block device's directory in sysfs.
pub(super) struct Hardware<'a> {
    pub(super) name: &'a str,
    pub(super) dir: &'a Path,
}

impl Hardware<'_> {
    /// The kind of a whole disk; what `loop` devices stand on, and whether that is a device, was found
    /// elsewhere.
    pub(super) fn kind(&self, backing: Option<&PathBuf>, on_device: bool) -> Kind {
        let digits_after = |prefix: &str| {
            self.name
                .strip_prefix(prefix)
                .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
        };
        if digits_after("loop") {
            match backing {
                Some(device) if on_device => Kind::LoopOnDevice(device.clone()),
                file => Kind::Loop(file.cloned()),
            }
        } else if self.dir.join("dm").exists() || self.dir.join("md").exists() {
            Kind::Mapped
        } else if digits_after("zram") || digits_after("ram") {
            Kind::Memory
        } else if digits_after("sr") {
            Kind::Optical
        } else if self.name.starts_with("mmcblk") {
            match (digits_after("mmcblk"), self.text("device/type").as_deref()) {
                (true, Some("SD")) => Kind::Sd,
                (true, _) => Kind::Emmc,
                (false, _) => Kind::EmmcPart,
            }
        } else {
            Kind::Disk
        }
    }

    pub(super) fn model(&self) -> Option<String> {
        // MMC calls it `name`; SCSI and USB say the maker apart.
        let model = self.text("device/model").or_else(|| self.text("device/name"))?;
        Some(match self.text("device/vendor") {
            // Not a PCI number, which virtio has there.
            Some(vendor) if !vendor.starts_with("0x") => format!("{vendor} {model}"),
            _ => model,
        })
    }

    /// The serial number: the device's own, then that of the USB device it is part of, then SCSI's.
    pub(super) fn serial(&self) -> Option<String> {
        self.text("device/serial")
            .or_else(|| self.text("serial"))
            .or_else(|| read_text(&self.usb_device()?.join("serial")))
            .or_else(|| self.unit_serial())
            .or_else(|| self.text("device/wwid"))
            .or_else(|| self.text("wwid"))
    }

    pub(super) fn bus(&self) -> Option<String> {
        if self.usb_device().is_some() {
            return Some("usb".to_owned());
        }
        let subsystem = fs::canonicalize(self.dir.join("device/subsystem")).ok()?;
        cleaned(subsystem.file_name()?.as_encoded_bytes())
    }

    pub(super) fn text(&self, attribute: &str) -> Option<String> {
        read_text(&self.dir.join(attribute))
    }

    pub(super) fn number(&self, attribute: &str) -> Option<u64> {
        self.text(attribute)?.parse().ok()
    }

    /// SCSI's Unit Serial Number page (SPC-4 7.8.14): a header of four bytes, the last the length.
    fn unit_serial(&self) -> Option<String> {
        let page = fs::read(self.dir.join("device/vpd_pg80")).ok()?;
        let (header, rest) = page.split_first_chunk::<4>()?;
        cleaned(rest.get(..usize::from(header[3]))?)
    }

    /// The directory of the USB device above the disk, if there is one.
    fn usb_device(&self) -> Option<PathBuf> {
        let device = fs::canonicalize(self.dir.join("device")).ok()?;
        device.ancestors().find(|dir| dir.join("idVendor").exists()).map(Path::to_owned)
    }
}

fn read_text(path: &Path) -> Option<String> {
    cleaned(&fs::read(path).ok()?)
}
