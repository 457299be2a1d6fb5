//! What makes a disk the one that was shown: compared again once it is open.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

use sha2::{Digest, Sha256};

use super::aligned::AlignedBuf;
use super::authority::Authority;
use super::info::{DevNumber, DeviceInfo, PartitionInfo};

/// How much of each end of the disk counts: where partition tables and their copies lie.
const EDGE: u64 = 1 << 20;

/// A disk at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    number: DevNumber,
    inode: Option<u64>,
    model: Option<String>,
    serial: Option<String>,
    size: u64,
    diskseq: Option<u64>,
    partitions: Vec<PartitionInfo>,
    /// SHA-256 of both ends; `None` when it could not be read.
    edges: Option<[u8; 32]>,
}

impl Identity {
    /// Takes the identity of a described disk, reading both its ends if `authority` may.
    #[must_use]
    pub fn take(info: &DeviceInfo, authority: &dyn Authority) -> Self {
        let edges = authority
            .open(&info.path, OpenOptions::new().read(true))
            .and_then(|file| edges(&file, info.size));
        Self::with_edges(info, edges.ok())
    }

    /// The identity of a disk as it is described, its content unread.
    #[must_use]
    pub fn described(info: &DeviceInfo) -> Self {
        Self::with_edges(info, None)
    }

    /// The identity of a disk that is open already.
    pub(super) fn of_open(info: &DeviceInfo, file: &File) -> io::Result<Self> {
        Ok(Self::with_edges(info, Some(edges(file, info.size)?)))
    }

    fn with_edges(info: &DeviceInfo, edges: Option<[u8; 32]>) -> Self {
        Self {
            number: info.number,
            inode: info.inode,
            model: info.model.clone(),
            serial: info.serial.clone(),
            size: info.size,
            diskseq: info.diskseq,
            partitions: info.partitions.clone(),
            edges,
        }
    }

    /// Whether the ends of the disk could be read.
    #[must_use]
    pub fn has_edges(&self) -> bool {
        self.edges.is_some()
    }

    /// What differs from `now`, in a word or two; `None` when it is the same disk, untouched as far as both
    /// could read its ends.
    #[must_use]
    pub fn difference(&self, now: &Self) -> Option<&'static str> {
        [
            (self.number != now.number || self.inode != now.inode, "device"),
            (self.serial != now.serial, "serial number"),
            (self.model != now.model, "model"),
            (self.size != now.size, "size"),
            (self.diskseq != now.diskseq, "card in the reader"),
            (self.partitions != now.partitions, "partition table"),
            (self.edges.zip(now.edges).is_some_and(|(then, now)| then != now), "content"),
        ]
        .into_iter()
        .find_map(|(differs, what)| differs.then_some(what))
    }
}

/// The digest of the first and the last MiB.
fn edges(file: &File, size: u64) -> io::Result<[u8; 32]> {
    let len = EDGE.min(size);
    let mut buf = AlignedBuf::zeroed(len as usize);
    let mut hasher = Sha256::new();
    for offset in [0, size - len] {
        file.read_exact_at(&mut buf, offset)?;
        hasher.update(&*buf);
    }
    Ok(hasher.finalize().into())
}
