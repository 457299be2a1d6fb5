//! The first boot: whose hook runs, the disk's id, the machine's id, and what must not ask anything
//! (raspios.md sections 1.2, 2.1, 2.2, 2.4).

use crate::config::types::FirstBoot;
use crate::fs::metadata::Meta;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::inventory::types::{FirstBootHook, RUN_LEVELS, Release};
use crate::plan::change::{Action, Content, FileSpec};

use super::build::Inputs;
use super::cmdline::Cmdline;
use super::draft::{Draft, Reason};
use super::error::PlanError;
use super::fstab::{partuuid, with_disk_id};
use super::image::{Image, path};
use super::wifi;

/// Files that the vendor's flasher leaves on the FAT; those of cloud-init are told from stock ones by what
/// they hold.
const LEFTOVERS: [&str; 8] = [
    "/firstrun.sh",
    "/custom.toml",
    "/rpi-preseed.toml",
    "/userconf",
    "/userconf.txt",
    "/failed_userconf.txt",
    "/wpa_supplicant.conf",
    "/wpa_supplicant.conf.txt",
];

/// cloud-init's seed.
const SEED: [&str; 3] = ["/user-data", "/network-config", "/meta-data"];

/// Plans everything about the first boot; the disk id to write, when there is a new one.
pub(super) fn plan(inputs: &Inputs<'_>, draft: &mut Draft) -> Option<u32> {
    let image = Image { inventory: inputs.inventory };
    let pibake = inputs.node.image.first_boot == FirstBoot::Pibake;
    let disk_id = pibake.then(|| new_disk_id(inputs)).flatten();
    if pibake {
        take_out_growth(image, draft);
    } else if inputs.inventory.hook == FirstBootHook::None {
        draft.warn(
            "first_boot is \"stock\", and the image has no first-boot hook left: the card will not grow",
        );
    }
    machine_id(inputs, image, draft);
    leftovers(image, draft);
    edit_fstab(inputs, image, disk_id, draft);
    edit_cmdline(inputs, image, disk_id, draft);
    disk_id
}

/// Links of an init script in the directories of run levels.
pub(super) fn rc_links(image: Image<'_>, script: &str) -> Vec<FsPath> {
    let entries = RUN_LEVELS.into_iter().flat_map(|level| image.entries(Volume::Root, &path(level)));
    // S01name, K01name
    entries.filter(|link| link.name().and_then(|name| name.get(3..)) == Some(script)).collect()
}

/// A fresh id, derived: neither zero, which is none, nor the image's, which other cards have. A GPT names
/// its partitions by ids of its own, and the signature beside it means nothing.
pub(super) fn new_disk_id(inputs: &Inputs<'_>) -> Option<u32> {
    let layout = &inputs.inventory.layout;
    if layout.table != "mbr" {
        return None;
    }
    let ids = (0..).map(|attempt: u32| {
        let purpose = format!("disk id {attempt}");
        u32::from_le_bytes(inputs.identity.seed.derive(&inputs.node.name, &purpose))
    });
    ids.take(16).find(|id| *id != 0 && *id != layout.disk_id)
}

fn take_out_growth(image: Image<'_>, draft: &mut Draft) {
    let reason = Reason::new("first_boot", "pibake grows the card; the vendor's way is taken out");
    let script = path("/etc/init.d/resize2fs_once");
    if image.has(&script) {
        draft.remove(script, &reason);
    }
    for link in rc_links(image, "resize2fs_once") {
        draft.remove(link, &reason);
    }
}

/// Empty, on every release: systemd makes an id at the first boot and writes it down.
///
/// Trixie ships `uninitialized`, which is a first boot as systemd means it: every unit is enabled that no
/// preset forbids, systemd-firstboot may ask on the console, and rpi-resize and sshd-keygen run. With
/// pibake's own growth and host keys nothing of that is needed and some of it unwanted (a unit nobody asked
/// for that fails, a boot that differs after a power cut), so there the text goes and what was baked is
/// what runs. With the stock first boot it stays, for rpi-resize would not grow the card without it.
fn machine_id(inputs: &Inputs<'_>, image: Image<'_>, draft: &mut Draft) {
    let file = path("/etc/machine-id");
    let Some(text) = draft.note(image.text(&file)) else { return };
    let stock = inputs.node.image.first_boot == FirstBoot::Stock;
    let keep = stock && text.is_some_and(|text| text.trim() == "uninitialized");
    if !keep && text != Some("") {
        let reason =
            Reason::new("first_boot", "the machine gets an id of its own, and no first boot that asks");
        let meta = image.meta(&file, Meta::root(0o444));
        draft.text(file, "", meta, &reason);
    }
    let copy = path("/var/lib/dbus/machine-id");
    if image.has(&copy) && image.link(&copy).is_none() {
        draft.remove(copy, &Reason::new("first_boot", "a copy of another machine's id"));
    }
}

/// Plans that what the vendor's flasher left on the FAT goes.
pub(super) fn leftovers(image: Image<'_>, draft: &mut Draft) {
    let reason = Reason::new("image", "left by another tool; it would undo what is baked");
    for file in LEFTOVERS.map(path) {
        if image.has_on(Volume::Boot, &file) {
            draft.put(Volume::Boot, file, Action::Remove, &reason);
        }
    }
    let says_something = |file: &FsPath| {
        let bytes = image.inventory.files.get(&(Volume::Boot, file.clone()));
        bytes.is_some_and(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            text.lines().map(str::trim).any(|line| !line.is_empty() && !line.starts_with('#'))
        })
    };
    // The stock meta-data says something, and nothing about the node.
    if SEED[..2].iter().any(|file| says_something(&path(file))) {
        for file in SEED.map(path) {
            if image.has_on(Volume::Boot, &file) {
                draft.put(Volume::Boot, file, Action::Remove, &reason);
            }
        }
    }
}

/// Plans that fstab names the disk's partitions by its new id.
pub(super) fn edit_fstab(inputs: &Inputs<'_>, image: Image<'_>, disk_id: Option<u32>, draft: &mut Draft) {
    let file = path("/etc/fstab");
    let (Some(new), Some(Some(text))) = (disk_id, draft.note(image.text(&file))) else { return };
    let edited = with_disk_id(text, inputs.inventory.layout.disk_id, new);
    if edited != text {
        let reason = Reason::new("first_boot", "the card's own disk id");
        draft.text(file.clone(), edited, image.meta(&file, Meta::root(0o644)), &reason);
    }
}

fn edit_cmdline(inputs: &Inputs<'_>, image: Image<'_>, disk_id: Option<u32>, draft: &mut Draft) {
    let file = path("/cmdline.txt");
    let text = match draft.note(image.text_on(Volume::Boot, &file)) {
        Some(Some(text)) => text,
        Some(None) => {
            return draft
                .error(PlanError::ImageLacks { what: "cmdline.txt on its FAT partition".to_owned() });
        }
        None => return,
    };
    let mut cmdline = Cmdline::parse(text);
    take_out_words(inputs, &mut cmdline);
    if let Some(new) = disk_id {
        cmdline.replace_in_root(&partuuid(inputs.inventory.layout.disk_id), &partuuid(new));
    }
    add_words(inputs, image, &mut cmdline, draft);
    let reason = Reason::new("first_boot", "what the kernel is told");
    let content = Content::Bytes(cmdline.text().into_bytes());
    draft.put(Volume::Boot, file, Action::File(FileSpec::new(content, Meta::root(0o755))), &reason);
}

fn take_out_words(inputs: &Inputs<'_>, cmdline: &mut Cmdline) {
    let runs_script = cmdline.remove(|word| word.starts_with("systemd.run="));
    cmdline.remove(|word| {
        word.starts_with("systemd.run_success_action=")
            || (runs_script && word == "systemd.unit=kernel-command-line.target")
            || word.starts_with("ds=nocloud")
    });
    if inputs.node.image.first_boot == FirstBoot::Stock {
        return;
    }
    let had_init = cmdline.remove(|word| {
        matches!(
            word,
            "init=/usr/lib/raspi-config/init_resize.sh" | "init=/usr/lib/raspberrypi-sys-mods/firstboot"
        )
    });
    // The vendor's script takes its `quiet` with it.
    cmdline.remove(|word| word == "resize" || (had_init && word == "quiet"));
}

fn add_words(inputs: &Inputs<'_>, image: Image<'_>, cmdline: &mut Cmdline, draft: &mut Draft) {
    // Both names of the switch: kernels from 2013 to now know one or the other (raspios.md 8.2).
    cmdline.add("cgroup_enable=memory");
    cmdline.add("cgroup_memory=1");
    wifi::edit_cmdline(inputs, cmdline);
    if image.has_package("cloud-init") {
        cmdline.set("cloud-init", "disabled");
    }
    if inputs.node.image.first_boot == FirstBoot::Stock && inputs.inventory.release >= Release::Trixie {
        cmdline.set("systemd.firstboot", "no");
    }
    for word in &inputs.node.system.cmdline {
        match check_word(word) {
            Ok(()) => cmdline.add(word),
            Err(message) => {
                draft.error(PlanError::Setting { key: "system.cmdline".to_owned(), message });
            }
        }
    }
}

fn check_word(word: &str) -> Result<(), String> {
    if !Cmdline::is_word(word) {
        return Err(format!("{word:?} is not one word"));
    }
    // The vendor's hooks look for these by how they begin.
    if word.starts_with("resize") || word.starts_with("init=") || word.starts_with("root=") {
        return Err(format!("{word:?} is not yours to set: the first boot depends on it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_word;

    #[test]
    fn words_are_single_and_harmless() {
        for good in ["dwc_otg.lpm_enable=0", "quiet", "x=\"a b\""] {
            assert_eq!(check_word(good), Ok(()));
        }
        for bad in
            ["", "a b", " a", "a\n", "a\nb", "x=\"a", "resize", "resizefs", "init=/bin/sh", "root=/dev/sda"]
        {
            assert!(check_word(bad).is_err(), "{bad:?}");
        }
    }
}
