//! Which file of a volume a byte belongs to.

use std::collections::BTreeMap;

use super::super::error::FsError;
use super::super::owner::Owner;
use super::FatVolume;
use super::boot_sector::FatKind;
use super::check::{ATTR_VOLUME, chain, read_directory, read_root16};
use super::names::named;
use super::table::{Entry, Table};
use crate::disk::block::BlockRead;

/// What each of `offsets` (bytes of the volume) belongs to; the whole tree is walked once.
///
/// # Errors
/// As [`FatVolume::open`]: nobody follows the chains of a damaged volume.
pub fn owners<D: BlockRead>(medium: D, offsets: &[u64]) -> Result<Vec<Owner>, FsError> {
    let volume = FatVolume::open(medium)?;
    let clusters = offsets.iter().filter_map(|offset| volume.cluster_of(*offset));
    let mut wanted: BTreeMap<u32, Option<Owner>> = clusters.map(|cluster| (cluster, None)).collect();
    volume.walk(&mut wanted)?;
    offsets.iter().map(|offset| volume.owner(*offset, &wanted)).collect()
}

impl<D: BlockRead> FatVolume<D> {
    fn cluster_of(&self, offset: u64) -> Option<u32> {
        let index = offset.checked_sub(self.geometry.data_at)? / self.geometry.cluster_size;
        u32::try_from(index + 2).ok().filter(|cluster| self.geometry.has_cluster(*cluster))
    }

    fn owner(&self, offset: u64, wanted: &BTreeMap<u32, Option<Owner>>) -> Result<Owner, FsError> {
        let geometry = &self.geometry;
        if offset >= geometry.data_at {
            let Some(cluster) = self.cluster_of(offset) else { return Ok(Owner::Free) };
            if let Some(Some(owner)) = wanted.get(&cluster) {
                return Ok(owner.clone());
            }
            return Ok(match Table::new(&self.pages, geometry).entry(cluster)? {
                Entry::Free => Owner::Free,
                Entry::Bad => Owner::metadata("a bad cluster"),
                Entry::End | Entry::Next(_) => Owner::Unknown,
            });
        }
        Ok(if offset >= geometry.root_at {
            Owner::Directory { path: "/".to_owned() }
        } else if offset >= geometry.table_at {
            Owner::metadata("the file allocation table")
        } else if geometry.kind == FatKind::Fat32
            && (geometry.info_at..geometry.info_at + 512).contains(&offset)
        {
            Owner::metadata("the FSInfo sector")
        } else {
            Owner::metadata("the boot sectors")
        })
    }

    /// Finds the owners of clusters. The tree was checked when the volume was opened: it ends.
    fn walk(&self, wanted: &mut BTreeMap<u32, Option<Owner>>) -> Result<(), FsError> {
        let (pages, geometry) = (&self.pages, &self.geometry);
        let root = if geometry.kind == FatKind::Fat32 {
            let clusters = chain(pages, geometry, geometry.root_cluster)?;
            claim(wanted, &clusters, &Owner::Directory { path: "/".to_owned() });
            read_directory(pages, geometry, &clusters)?
        } else {
            read_root16(pages, geometry)?
        };
        let mut pending = vec![(String::new(), root)];
        while let Some((parent, directory)) = pending.pop() {
            for (name, entry) in named(&directory) {
                let first = entry.first_cluster(geometry.kind);
                if entry.attributes & ATTR_VOLUME != 0 || entry.is_dot() || first == 0 {
                    continue;
                }
                let (path, clusters) = (format!("{parent}/{name}"), chain(pages, geometry, first)?);
                if entry.is_directory() {
                    claim(wanted, &clusters, &Owner::Directory { path: path.clone() });
                    pending.push((path, read_directory(pages, geometry, &clusters)?));
                } else {
                    claim(wanted, &clusters, &Owner::File { path });
                }
            }
        }
        Ok(())
    }
}

fn claim(wanted: &mut BTreeMap<u32, Option<Owner>>, clusters: &[u32], owner: &Owner) {
    for cluster in clusters {
        if let Some(found) = wanted.get_mut(cluster) {
            *found = Some(owner.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fat16, fat32};
    use super::super::{FatVolume, Geometry};
    use super::owners;
    use crate::fs::owner::Owner;
    use crate::fs::path::FsPath;

    #[test]
    fn every_byte_has_its_owner() {
        for medium in [fat16(), fat32()] {
            let mut fat = FatVolume::edit(medium, 1_700_000_000).unwrap();
            for (name, byte) in [("/config.txt", 0xc1), ("/overlays/a long name of a file.dtbo", 0xc2)] {
                fat.write_file(&FsPath::new(name).unwrap(), &[byte; 9000]).unwrap();
            }
            let medium = fat.finish().unwrap();
            let geometry = Geometry::read(&medium).unwrap();
            let at = |byte: u8| medium.windows(64).position(|bytes| bytes == [byte; 64]).unwrap() as u64;
            let file = |path: &str| Owner::File { path: path.to_owned() };
            let offsets =
                [0, geometry.table_at, at(0xc1), at(0xc1) + 8999, at(0xc2), medium.len() as u64 - 513];
            let found = owners(&medium, &offsets).unwrap();
            assert!(matches!(&found[0], Owner::Metadata { what } if what == "the boot sectors"));
            assert!(matches!(&found[1], Owner::Metadata { what } if what.contains("table")));
            assert_eq!(found[2..4], [file("/config.txt"), file("/config.txt")]);
            assert_eq!(found[4], file("/overlays/a long name of a file.dtbo"));
            assert_eq!(found[5], Owner::Free);
            // A directory's names lie in its own clusters.
            let name = medium.windows(8).position(|bytes| bytes == b"ALONGN~1").unwrap() as u64;
            let expected = Owner::Directory { path: "/overlays".to_owned() };
            assert_eq!(owners(&medium, &[name]).unwrap(), [expected]);
        }
    }
}
