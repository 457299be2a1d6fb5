//! Which disks may be read as a whole: those that nothing changes meanwhile.

use super::info::{DeviceInfo, Kind, Usage};
use super::policy::wrong_kind;
use super::refusal::{Refusal, Rule};

/// Every reason against taking a copy of a disk now; none when it is whole and nothing may write to it.
/// Filesystems that are mounted read-only are no reason.
#[must_use]
pub fn refusals(info: &DeviceInfo) -> Vec<Refusal> {
    if let Some(refusal) = wrong_kind(info) {
        return vec![refusal];
    }
    let name = info.path.display();
    let mut refusals = Vec::new();
    if info.size == 0 && info.kind != Kind::RegularFile {
        refusals.push(Refusal::new(Rule::NoCard, format!("there is no card in {name}"), "put the card in"));
    }
    refusals.extend(info.usage.iter().filter_map(|usage| match usage {
        Usage::Mounted { read_only: true, .. } => None,
        Usage::Mounted { device, at, .. } => Some(Refusal::new(
            Rule::Mounted,
            format!("{device} is mounted on {} and may be written to while it is read", at.display()),
            format!("unmount it: `umount {}`", at.display()),
        )),
        Usage::Swap { device } => Some(Refusal::new(
            Rule::SystemDisk,
            format!("{device} is swapped to and is written to while it is read"),
            "put the card into another machine, or switch the swap off with `swapoff`",
        )),
        Usage::Held { device, by } => Some(Refusal::new(
            Rule::Held,
            format!("{device} is held by {by}, which stands on it and may write to it while it is read"),
            format!("release {by} first (`losetup -d`, `dmsetup remove`, `vgchange -an`, `mdadm --stop`)"),
        )),
    }));
    refusals
}

#[cfg(test)]
mod tests {
    use super::super::info::{DevNumber, DeviceInfo, Kind, PartitionInfo, Usage};
    use super::super::refusal::Rule;
    use super::refusals;

    fn disk(usage: Vec<Usage>) -> DeviceInfo {
        DeviceInfo {
            path: "/dev/sdb".into(),
            kernel_name: "sdb".into(),
            number: DevNumber { major: 8, minor: 16 },
            inode: None,
            kind: Kind::Disk,
            model: None,
            serial: None,
            size: 1 << 30,
            bus: None,
            removable: false,
            read_only: true,
            logical_block: 512,
            physical_block: 512,
            diskseq: None,
            partitions: Vec::<PartitionInfo>::new(),
            usage,
        }
    }

    fn rules(info: &DeviceInfo) -> Vec<Rule> {
        refusals(info).iter().map(|refusal| refusal.rule).collect()
    }

    #[test]
    fn what_may_be_written_to_is_refused_and_nothing_else() {
        let mounted = |read_only| Usage::Mounted { device: "sdb2".into(), at: "/mnt".into(), read_only };
        // Neither the lock switch nor that it cannot be taken out matters to a reader.
        assert_eq!(rules(&disk(vec![mounted(true)])), []);
        assert_eq!(rules(&disk(vec![mounted(true), mounted(false)])), [Rule::Mounted]);
        let held = Usage::Held { device: "sdb2".into(), by: "dm-0".into() };
        assert_eq!(
            rules(&disk(vec![held, Usage::Swap { device: "sdb3".into() }])),
            [Rule::Held, Rule::SystemDisk]
        );
        assert_eq!(rules(&DeviceInfo { size: 0, ..disk(Vec::new()) }), [Rule::NoCard]);
        let partition = DeviceInfo { kind: Kind::Partition("sdb".into()), ..disk(Vec::new()) };
        assert_eq!(rules(&partition), [Rule::Partition]);
    }
}
