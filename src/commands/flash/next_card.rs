//! One reader, card after card: asking for the next one, and noticing that it is in.

use std::thread;
use std::time::Duration;

use crate::device::info::DeviceInfo;
use crate::device::platform::System;

use super::super::card::{self, Looked};
use super::super::prepare::Planned;
use super::round::Kitchen;

/// How often the readers are looked at.
const EVERY: Duration = Duration::from_millis(300);

/// Asks for the cards of a round, and waits until each reader holds another one than before.
pub(super) fn wait(
    kitchen: &Kitchen<'_>,
    round: &[Planned],
    before: &[DeviceInfo],
) -> anyhow::Result<Vec<Looked>> {
    let devices = &kitchen.args.devices[..round.len()];
    for (planned, device) in round.iter().zip(devices) {
        kitchen.context.note(format!("insert {}'s card into {}", planned.node.name, device.display()));
    }
    let mut readers: Vec<Reader<'_>> = before.iter().take(round.len()).map(Reader::new).collect();
    loop {
        kitchen.context.interrupt.check()?;
        let mut all = true;
        for (reader, device) in readers.iter_mut().zip(devices) {
            // A device that is away, or on its way, cannot be described.
            all &= reader.has_another(System::host().describe(device).ok());
        }
        if all {
            return card::look(kitchen.context, devices, &kitchen.args.card, &kitchen.sources);
        }
        thread::sleep(EVERY);
    }
}

/// A reader, and the card that was in it.
struct Reader<'a> {
    before: &'a DeviceInfo,
    /// It has been seen without a card since.
    emptied: bool,
}

impl<'a> Reader<'a> {
    fn new(before: &'a DeviceInfo) -> Self {
        Self { before, emptied: false }
    }

    /// Whether another card is in it now. The kernel counts cards (5.15 and later); an older one shows only
    /// that there was none for a while.
    fn has_another(&mut self, now: Option<DeviceInfo>) -> bool {
        let Some(now) = now.filter(|now| now.size > 0) else {
            self.emptied = true;
            return false;
        };
        let counted = self.before.diskseq.zip(now.diskseq).is_some_and(|(then, now)| then != now);
        self.emptied || counted || !now.is_same_disk(self.before)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::Reader;
    use crate::device::info::{DevNumber, DeviceInfo, Kind};

    fn reader(size: u64, diskseq: Option<u64>) -> DeviceInfo {
        DeviceInfo {
            path: PathBuf::from("/dev/sdb"),
            kernel_name: "sdb".to_owned(),
            number: DevNumber { major: 8, minor: 16 },
            inode: None,
            kind: Kind::Disk,
            model: None,
            serial: Some("reader".to_owned()),
            size,
            bus: None,
            removable: true,
            read_only: false,
            logical_block: 512,
            physical_block: 512,
            diskseq,
            partitions: Vec::new(),
            usage: Vec::new(),
        }
    }

    #[test]
    fn the_card_that_was_written_is_no_other_card() {
        for diskseq in [None, Some(7)] {
            let before = reader(8 << 30, diskseq);
            let mut slot = Reader::new(&before);
            assert!(!slot.has_another(Some(before.clone())));
            // Its partitions have come since.
            assert!(!slot.has_another(Some(reader(8 << 30, diskseq))));
        }
    }

    #[test]
    fn a_card_that_was_changed_is_noticed_by_its_count_or_by_the_empty_reader() {
        let before = reader(8 << 30, Some(7));
        assert!(Reader::new(&before).has_another(Some(reader(8 << 30, Some(8)))), "counted");
        let before = reader(8 << 30, None);
        for gone in [None, Some(reader(0, None))] {
            let mut slot = Reader::new(&before);
            assert!(!slot.has_another(gone));
            assert!(slot.has_another(Some(reader(8 << 30, None))), "there was none for a while");
        }
        let other = DeviceInfo { number: DevNumber { major: 8, minor: 32 }, ..before.clone() };
        assert!(Reader::new(&before).has_another(Some(other)), "the name is another reader's now");
    }
}
