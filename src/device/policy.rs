//! Which targets may be written: the rules of design.md section 6, 1 to 3, on descriptions alone.
//!
//! Nothing else makes a [`ConfirmedTarget`].

use std::path::{Path, PathBuf};

use super::identity::Identity;
use super::info::{DeviceInfo, Kind, Usage};
use super::refusal::{Refusal, Refused, Rule};

/// What the user allowed on the command line.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Unmount what is mounted of the card (`--unmount`).
    pub unmount: bool,
    /// A disk that cannot be taken out will do (`--allow-fixed`), once its serial or model was typed.
    pub allow_fixed: bool,
    /// What the image is read from, symbolic links resolved.
    pub sources: Vec<PathBuf>,
}

/// What the user said to what was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Yes, at the terminal or by `--yes`.
    Yes,
    /// The serial or the model, typed at the terminal or given as `--allow-fixed=SERIAL`.
    Typed(String),
}

/// What the rules say about one target.
#[derive(Clone, Debug)]
pub struct Assessment {
    info: DeviceInfo,
    image_size: u64,
    options: Options,
    refusals: Vec<Refusal>,
}

/// A target that passed every rule and that the user confirmed.
#[derive(Clone, Debug)]
pub struct ConfirmedTarget {
    info: DeviceInfo,
    image_size: u64,
    options: Options,
    identity: Identity,
}

/// Judges a target for an image of `image_size` bytes.
#[must_use]
pub fn assess(info: &DeviceInfo, image_size: u64, options: &Options) -> Assessment {
    let mut refusals = Vec::new();
    refusals.extend(wrong_kind(info));
    if refusals.is_empty() {
        refusals.extend(in_use(info, options));
        refusals.extend(unfit(info, image_size));
        refusals.extend(fixed(info, options));
        refusals.extend(is_source(info, options));
    }
    Assessment { info: info.clone(), image_size, options: options.clone(), refusals }
}

/// Refuses disks that are among those named more than once, under whatever names.
#[must_use]
pub fn named_twice(infos: &[&DeviceInfo]) -> Vec<Refusal> {
    let seen = |at: usize| infos[..at].iter().any(|before| before.is_same_disk(infos[at]));
    let twice = (0..infos.len()).filter(|at| seen(*at)).map(|at| {
        Refusal::new(
            Rule::Twice,
            format!("{} was named twice", name(infos[at])),
            "name each card once; `ls -l /dev/disk/by-id` tells which names are one disk's",
        )
    });
    twice.collect()
}

impl Assessment {
    /// Every reason against it; none when it may be written once confirmed.
    #[must_use]
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }

    /// Whether a yes is not enough: the serial or the model has to be typed.
    #[must_use]
    pub fn needs_typing(&self) -> bool {
        is_fixed(&self.info)
    }

    /// What may be typed: the serial, the model.
    #[must_use]
    pub fn typeable(&self) -> Vec<&str> {
        [&self.info.serial, &self.info.model].into_iter().flatten().map(String::as_str).collect()
    }

    /// The target, once the user said yes to what was shown of it; `identity` is what it was when shown.
    ///
    /// # Errors
    /// When a rule refuses it, something else was typed than asked for, or `identity` is another disk's.
    pub fn confirm(self, consent: &Consent, identity: Identity) -> Result<ConfirmedTarget, Refused> {
        if !self.refusals.is_empty() {
            return Err(Refused(self.refusals));
        }
        if let Some(what) = identity.difference(&Identity::described(&self.info)) {
            return Err(Refusal::changed(&self.info.path, what).into());
        }
        let agreed = match consent {
            Consent::Yes => !self.needs_typing(),
            Consent::Typed(text) => !self.needs_typing() || self.typeable().contains(&text.trim()),
        };
        if !agreed {
            return Err(Refusal::new(
                Rule::Unconfirmed,
                format!(
                    "{} cannot be taken out, and neither its serial nor its model was typed",
                    name(&self.info)
                ),
                format!("type `{}`, or give it with --allow-fixed=", self.typeable().join("` or `")),
            )
            .into());
        }
        let Self { info, image_size, options, .. } = self;
        Ok(ConfirmedTarget { info, image_size, options, identity })
    }
}

impl ConfirmedTarget {
    /// The disk as it was shown.
    #[must_use]
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where filesystems of it are mounted, deepest first, if the user wants them unmounted.
    pub(super) fn to_unmount(&self) -> Vec<&Path> {
        let mut mounts: Vec<&Path> =
            if self.options.unmount { mounts(&self.info).collect() } else { Vec::new() };
        mounts.sort_by_key(|at| std::cmp::Reverse(at.components().count()));
        mounts
    }

    /// Judges the disk again as it is now; nothing may be mounted any more.
    pub(super) fn reassess(&self, now: &DeviceInfo) -> Vec<Refusal> {
        let options = Options { unmount: false, ..self.options.clone() };
        assess(now, self.image_size, &options).refusals
    }
}

fn name(info: &DeviceInfo) -> std::path::Display<'_> {
    info.path.display()
}

fn mounts(info: &DeviceInfo) -> impl Iterator<Item = &Path> {
    info.usage.iter().filter_map(|usage| match usage {
        Usage::Mounted { at, .. } => Some(at.as_path()),
        Usage::Swap { .. } | Usage::Held { .. } => None,
    })
}

/// What is no disk, and what is none that can be a card.
pub(super) fn wrong_kind(info: &DeviceInfo) -> Option<Refusal> {
    let name = name(info);
    let (rule, why, way_out) = match &info.kind {
        Kind::Partition(of) => (
            Rule::Partition,
            format!("{name} is a partition: an image holds the whole disk, partition table included"),
            format!("name the disk itself: /dev/{}", of.replace('!', "/")),
        ),
        Kind::EmmcPart => (
            Rule::NotADisk,
            format!("{name} is a hardware partition of an eMMC"),
            "name the eMMC itself".to_owned(),
        ),
        Kind::Optical => not_a_card(format!("{name} is an optical drive")),
        Kind::Mapped => not_a_card(format!("{name} is made of other devices (RAID, LVM, encryption)")),
        Kind::Memory => not_a_card(format!("{name} is memory, not a disk")),
        Kind::Loop(None) => not_a_card(format!("{name} is a loop device with no file behind it")),
        Kind::LoopOnDevice(on) => (
            Rule::NotADisk,
            format!("{name} is a loop device on {}", on.display()),
            format!("detach it with `losetup -d {name}` and name {} itself", on.display()),
        ),
        Kind::Loop(Some(_)) | Kind::Disk | Kind::Sd | Kind::Emmc | Kind::RegularFile => return None,
    };
    Some(Refusal::new(rule, why, way_out))
}

fn not_a_card(why: String) -> (Rule, String, String) {
    (Rule::NotADisk, why, "name a card; `pibake devices` lists them".to_owned())
}

/// Mounts, swap and holders.
fn in_use(info: &DeviceInfo, options: &Options) -> Vec<Refusal> {
    let name = name(info);
    let mut refusals = Vec::new();
    let swapped = info.usage.iter().any(|usage| matches!(usage, Usage::Swap { .. }));
    let system: Vec<String> = mounts(info)
        .filter(|at| is_system(at))
        .map(|at| at.display().to_string())
        .chain(swapped.then(|| "swap".to_owned()))
        .collect();
    if !system.is_empty() {
        refusals.push(Refusal::new(
            Rule::SystemDisk,
            format!("{name} is a disk of this system: it holds {}", system.join(", ")),
            "there is no way to write it from here: name another disk; `pibake devices` lists the cards",
        ));
        return refusals;
    }
    let mounted: Vec<String> = mounts(info).map(|at| at.display().to_string()).collect();
    if !mounted.is_empty() && !options.unmount {
        refusals.push(Refusal::new(
            Rule::Mounted,
            format!("{name} is mounted on {}", mounted.join(", ")),
            "unmount it, or let pibake do it with --unmount",
        ));
    }
    refusals.extend(info.usage.iter().filter_map(|usage| match usage {
        Usage::Held { device, by } => Some(Refusal::new(
            Rule::Held,
            format!("{device} is held by {by}, which stands on it"),
            format!("release {by} first (`losetup -d`, `dmsetup remove`, `vgchange -an`, `mdadm --stop`)"),
        )),
        Usage::Mounted { .. } | Usage::Swap { .. } => None,
    }));
    refusals
}

/// Whether what is mounted here belongs to the running system. Below `/boot`, `/usr` and `/var` everything
/// does, and so does one person's home; deeper below `/home` people mount their cards themselves.
fn is_system(at: &Path) -> bool {
    at == Path::new("/")
        || ["/boot", "/usr", "/var"].iter().any(|dir| at.starts_with(dir))
        || (at.starts_with("/home") && at.components().count() <= 3)
}

/// Read-only, empty, too small.
fn unfit(info: &DeviceInfo, image_size: u64) -> Option<Refusal> {
    let name = name(info);
    if info.size == 0 && info.kind != Kind::RegularFile {
        return Some(Refusal::new(Rule::NoCard, format!("there is no card in {name}"), "put the card in"));
    }
    if info.read_only {
        return Some(Refusal::new(
            Rule::ReadOnly,
            format!("{name} is read-only"),
            "move the lock switch of the card or its adapter; a card that stays read-only is worn out",
        ));
    }
    (info.size < image_size).then(|| {
        Refusal::new(
            Rule::TooSmall,
            format!("{name} holds {} bytes, the image needs {image_size}", info.size),
            "use a larger card, or less in the image",
        )
    })
}

/// Whether it cannot be taken out. A loop device and a regular file are never what was not meant.
fn is_fixed(info: &DeviceInfo) -> bool {
    match info.kind {
        Kind::Loop(_) | Kind::LoopOnDevice(_) | Kind::RegularFile | Kind::Sd => false,
        Kind::Emmc => true,
        _ => !info.removable,
    }
}

fn fixed(info: &DeviceInfo, options: &Options) -> Option<Refusal> {
    if !is_fixed(info) {
        return None;
    }
    let why = format!("{} cannot be taken out of this machine, so it may not be what you mean", name(info));
    match info.serial.as_ref().or(info.model.as_ref()) {
        None => Some(Refusal::new(
            Rule::Fixed,
            format!("{why}, and it has neither a serial number nor a model to tell it by"),
            "write it from another machine or through a card reader",
        )),
        Some(_) if options.allow_fixed => None,
        Some(told_by) => Some(Refusal::new(
            Rule::Fixed,
            why,
            format!(
                "if it is, say --allow-fixed and type `{told_by}`; with --yes, --allow-fixed='{told_by}'"
            ),
        )),
    }
}

fn is_source(info: &DeviceInfo, options: &Options) -> Option<Refusal> {
    let behind = match &info.kind {
        Kind::Loop(Some(file)) => file,
        _ => &info.path,
    };
    (options.sources.contains(&info.path) || options.sources.contains(behind)).then(|| {
        Refusal::new(
            Rule::Source,
            format!("{} is what the image is read from", name(info)),
            "name another target",
        )
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Consent, Options, assess};
    use crate::device::authority::Own;
    use crate::device::identity::Identity;
    use crate::device::info::{DevNumber, DeviceInfo, Kind, Usage};
    use crate::device::refusal::Rule;

    fn disk() -> DeviceInfo {
        DeviceInfo {
            path: PathBuf::from("/dev/no-such-disk"),
            kernel_name: "no-such-disk".into(),
            number: DevNumber { major: 8, minor: 16 },
            inode: None,
            kind: Kind::Disk,
            model: Some("STORAGE DEVICE".into()),
            serial: Some("S1".into()),
            size: 1000,
            bus: Some("usb".into()),
            removable: false,
            read_only: false,
            logical_block: 512,
            physical_block: 512,
            diskseq: Some(3),
            partitions: Vec::new(),
            usage: Vec::new(),
        }
    }

    fn confirm(info: &DeviceInfo, options: &Options, consent: &Consent) -> Result<(), Vec<Rule>> {
        assess(info, 1000, options)
            .confirm(consent, Identity::take(info, &Own))
            .map(|_| ())
            .map_err(|refused| refused.0.iter().map(|refusal| refusal.rule).collect())
    }

    fn typed(text: &str) -> Consent {
        Consent::Typed(text.into())
    }

    #[test]
    fn a_fixed_disk_needs_the_option_and_its_serial_or_model() {
        let options = Options { allow_fixed: true, ..Options::default() };
        let none = Options::default();
        assert_eq!(confirm(&disk(), &none, &typed("S1")), Err(vec![Rule::Fixed]));
        assert_eq!(confirm(&disk(), &options, &Consent::Yes), Err(vec![Rule::Unconfirmed]));
        for wrong in ["", "S", "s1", "S1 STORAGE DEVICE", "/dev/no-such-disk"] {
            assert_eq!(confirm(&disk(), &options, &typed(wrong)), Err(vec![Rule::Unconfirmed]), "{wrong}");
        }
        assert_eq!(confirm(&disk(), &options, &typed("S1\n")), Ok(()));
        assert_eq!(confirm(&disk(), &options, &typed("STORAGE DEVICE")), Ok(()));
        let nameless = DeviceInfo { model: None, serial: None, ..disk() };
        assert_eq!(confirm(&nameless, &options, &typed("")), Err(vec![Rule::Fixed]));
    }

    #[test]
    fn a_removable_disk_needs_a_yes() {
        let card = DeviceInfo { removable: true, ..disk() };
        assert_eq!(confirm(&card, &Options::default(), &Consent::Yes), Ok(()));
        assert_eq!(confirm(&card, &Options::default(), &typed("anything")), Ok(()));
    }

    #[test]
    fn a_refused_disk_cannot_be_confirmed_and_says_every_reason() {
        let usage = vec![
            Usage::Mounted { device: "sdb1".into(), at: "/mnt".into(), read_only: false },
            Usage::Held { device: "sdb2".into(), by: "dm-0".into() },
        ];
        let card = DeviceInfo { removable: true, read_only: true, usage, ..disk() };
        let rules = confirm(&card, &Options::default(), &Consent::Yes).unwrap_err();
        assert_eq!(rules, [Rule::Mounted, Rule::Held, Rule::ReadOnly]);
        for refusal in assess(&card, 1000, &Options::default()).refusals() {
            for text in [&refusal.why, &refusal.way_out] {
                assert!(!text.is_empty() && !text.ends_with('.'), "{text}");
            }
        }
    }

    #[test]
    fn what_was_shown_and_what_is_confirmed_are_one_disk() {
        let card = DeviceInfo { removable: true, ..disk() };
        let other = DeviceInfo { diskseq: Some(4), ..card.clone() };
        let refused = assess(&card, 1000, &Options::default())
            .confirm(&Consent::Yes, Identity::take(&other, &Own))
            .unwrap_err();
        assert_eq!(refused.0[0].rule, Rule::Changed);
    }

    #[test]
    fn a_label_cannot_steer_a_terminal() {
        let usage =
            vec![Usage::Mounted { device: "sdb1".into(), at: "/media/\x1b[2Jcard".into(), read_only: true }];
        let card = DeviceInfo { removable: true, usage, ..disk() };
        let why = assess(&card, 1000, &Options::default()).refusals()[0].why.clone();
        assert!(why.ends_with("/media/[2Jcard"), "{why:?}");
    }

    #[test]
    fn what_the_image_is_read_from_is_not_written_to() {
        let file = DeviceInfo { kind: Kind::RegularFile, inode: Some(7), ..disk() };
        let options = Options { sources: vec![file.path.clone()], ..Options::default() };
        assert_eq!(confirm(&file, &options, &Consent::Yes), Err(vec![Rule::Source]));
        let kind = Kind::Loop(Some(file.path));
        let looped = DeviceInfo { path: "/dev/loop0".into(), kind, ..disk() };
        assert_eq!(confirm(&looped, &options, &Consent::Yes), Err(vec![Rule::Source]));
    }

    #[test]
    fn two_names_of_one_disk_are_one_disk() {
        let other_name = DeviceInfo { path: "/dev/other".into(), ..disk() };
        assert!(disk().is_same_disk(&other_name));
        assert!(!disk().is_same_disk(&DeviceInfo { number: DevNumber { major: 8, minor: 32 }, ..disk() }));
        assert!(!disk().is_same_disk(&DeviceInfo { inode: Some(1), ..disk() }));
        let looped = |minor, file: &str| DeviceInfo {
            number: DevNumber { major: 7, minor },
            kind: Kind::Loop(Some(file.into())),
            ..disk()
        };
        assert!(looped(0, "/card").is_same_disk(&looped(1, "/card")));
        assert!(!looped(0, "/card").is_same_disk(&looped(1, "/other")));
    }

    #[test]
    fn what_changed_is_named() {
        let before = Identity::take(&disk(), &Own);
        assert_eq!(before.difference(&Identity::take(&disk(), &Own)), None);
        for (now, what) in [
            (DeviceInfo { serial: None, ..disk() }, "serial number"),
            (DeviceInfo { model: Some("X".into()), ..disk() }, "model"),
            (DeviceInfo { size: 999, ..disk() }, "size"),
            (DeviceInfo { diskseq: Some(4), ..disk() }, "card in the reader"),
            (DeviceInfo { number: DevNumber { major: 8, minor: 0 }, ..disk() }, "device"),
        ] {
            assert_eq!(before.difference(&Identity::take(&now, &Own)), Some(what));
        }
    }
}
