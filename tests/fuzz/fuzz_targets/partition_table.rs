//! Partition tables of any content: no panic, and what is read lies inside the disk.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pibake::disk::block::BlockRead;
use pibake::disk::partition_table::{grow_last, read, set_disk_id};
use pibake_fuzz::{DISK, Patch, lay};

/// An MBR and a GPT with its entries fit in front.
const HEAD: u64 = 64 << 10;

fuzz_target!(|input: (Vec<Patch>, Vec<Patch>, Option<u32>)| {
    let mut disk = DISK.view();
    let size = disk.size();
    lay(&mut disk, &input.0, 0, HEAD);
    lay(&mut disk, &input.1, size - HEAD, HEAD);
    let Ok(table) = read(&disk) else { return };
    for (index, partition) in table.partitions.iter().enumerate() {
        assert!(partition.range.end() <= size, "{partition:?}");
        let others = &table.partitions[index + 1..];
        assert!(others.iter().all(|other| other.range.intersect(partition.range).is_none()), "{table:?}");
    }
    let Some(last) = table.partitions.iter().max_by_key(|partition| partition.range.end()) else { return };
    let more = u64::from(input.2.unwrap_or_default());
    disk.grow(size + more).expect("an image grows");
    if let Ok(range) = grow_last(&mut disk, last.number, size + more) {
        assert!(
            range.start() == last.range.start()
                && range.end() >= last.range.end()
                && range.end() <= size + more
        );
        let again = read(&disk).expect("what was written can be read");
        assert_eq!(again.partition(last.number).map(|partition| partition.range), Some(range));
        set_disk_id(&mut disk, 0x1234_5678).expect("the medium takes it");
        assert_eq!(read(&disk).expect("what was written can be read").disk_id, 0x1234_5678);
    }
});
