//! Whether a system grows by itself when it starts.

use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::inventory::types::{FirstBootHook, Inventory};

/// What starts pibake's own growth.
const OWN: &str = "/etc/systemd/system/multi-user.target.wants/pibake-first-boot.service";

/// What grows the root partition the next time the system starts, if something does.
pub(super) fn growth_of(inventory: &Inventory) -> Option<&'static str> {
    let has = |path| FsPath::new(path).is_ok_and(|path| inventory.present.contains(&(Volume::Root, path)));
    if inventory.hook != FirstBootHook::None {
        Some("the vendor's first boot")
    } else if has(OWN) {
        Some("pibake's own unit")
    } else {
        None
    }
}
