//! What a byte of an image belongs to, for messages.

use std::fmt;

use super::used::{Content, claims};
use crate::disk::block::BlockRead;
use crate::disk::partition_table::{self, Partition};
use crate::disk::window::Window;
use crate::fs::owner::Owner;
use crate::fs::{ext4, fat};

/// Where a byte lies and what it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The partition's number; `None` outside of all.
    pub partition: Option<u32>,
    /// What it belongs to.
    pub owned: Owned,
}

/// What a byte belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owned {
    /// Something of a filesystem.
    By(Owner),
    /// Swap space.
    Swap,
    /// The first sector of the image, with the partition table.
    FirstSector,
    /// Between partitions, or behind them: a GPT, tables of logical partitions, a boot loader, or nothing.
    Gap,
    /// A partition, or an image, of which nothing more can be said.
    Unknown,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.partition, &self.owned) {
            (Some(number), Owned::By(owner)) => write!(f, "partition {number}, {owner}"),
            (Some(number), Owned::Swap) => write!(f, "partition {number}, swap space"),
            (Some(number), _) => write!(f, "partition {number}"),
            (None, Owned::FirstSector) => f.write_str("the first sector, with the partition table"),
            (None, Owned::Gap) => f.write_str("outside of the partitions"),
            (None, _) => f.write_str("an unknown place"),
        }
    }
}

/// What each of `offsets` belongs to, in their order. Reads all directories of the partitions concerned, so it
/// is nothing for a hot path; it never fails, but what cannot be read is [`Owned::Unknown`].
#[must_use]
pub fn owners(image: &dyn BlockRead, offsets: &[u64]) -> Vec<Place> {
    let Ok(table) = partition_table::read(image) else {
        return vec![Place { partition: None, owned: Owned::Unknown }; offsets.len()];
    };
    let outside = |offset: &u64| Place {
        partition: None,
        owned: if *offset < 512 { Owned::FirstSector } else { Owned::Gap },
    };
    let mut places: Vec<Place> = offsets.iter().map(outside).collect();
    for partition in &table.partitions {
        let range = partition.range;
        let (indexes, inside): (Vec<usize>, Vec<u64>) = offsets
            .iter()
            .enumerate()
            .filter(|(_, offset)| range.start() <= **offset && **offset < range.end())
            .map(|(index, offset)| (index, offset - range.start()))
            .unzip();
        if inside.is_empty() {
            continue;
        }
        let found = look_into(image, partition, &inside);
        for (index, owned) in indexes.into_iter().zip(found) {
            places[index] = Place { partition: Some(partition.number), owned };
        }
    }
    places
}

/// What offsets of a partition belong to.
fn look_into(image: &dyn BlockRead, partition: &Partition, offsets: &[u64]) -> Vec<Owned> {
    let unknown = vec![Owned::Unknown; offsets.len()];
    let Ok(window) = Window::new(image, partition.range) else { return unknown };
    let found = match claims(&window).as_deref() {
        Ok([Content::Ext4]) => ext4::owners(&window, offsets),
        Ok([Content::Fat]) => fat::owners(&window, offsets),
        Ok([Content::Swap]) => return vec![Owned::Swap; offsets.len()],
        _ => return unknown,
    };
    found.map_or(unknown, |owners| owners.into_iter().map(Owned::By).collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{MIB, card};
    use super::owners;

    #[test]
    fn names_partition_and_file() {
        let image = card();
        // The one large file is made of lines of 63 digits.
        let line = format!("{:063}\n", 4000);
        let at = image.windows(64).position(|bytes| bytes == line.as_bytes()).unwrap() as u64;
        let offsets = [0, 600, MIB, 15 * MIB + 1024, at, 27 * MIB - 1, 27 * MIB + 5, 28 * MIB];
        let told: Vec<String> = owners(&image, &offsets).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "the first sector, with the partition table",
                "outside of the partitions",
                "partition 1, the boot sectors",
                "partition 2, the superblock",
                "partition 2, /etc/big",
                "partition 2, free space",
                "outside of the partitions",
                "partition 3, swap space",
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        let told = |image: &Vec<u8>, offset| owners(image, &[offset])[0].to_string();
        assert_eq!(told(&vec![0; 4096], 5), "an unknown place");
        let mut image = card();
        image[15 * MIB as usize + 1024 + 0x68] ^= 1;
        assert_eq!(told(&image, 16 * MIB), "partition 2");
    }
}
