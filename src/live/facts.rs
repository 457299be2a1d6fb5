//! What a node says of itself.

use std::collections::BTreeMap;

use super::error::LiveError;
use crate::node::silence::tame;

/// A disk this large is no card. Bytes.
const LARGEST: u64 = 1 << 50;

/// What it says; text is tame, and not to be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The kernel's name of its disk.
    pub disk: String,
    /// The disk's size in bytes.
    pub size: u64,
    /// Its host name.
    pub host: String,
    /// Its kernel's release.
    pub kernel: String,
}

impl Facts {
    pub(super) fn parse(answer: &[u8]) -> Result<Self, LiveError> {
        let text = String::from_utf8_lossy(answer);
        let values: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(' ')).collect();
        let get = |key: &str| {
            let value = values.get(key).map(|value| tame(value)).filter(|value| !value.is_empty());
            value.ok_or_else(|| LiveError::Nonsense(format!("there is no {key} in it")))
        };
        let size = get("size")?;
        match size.parse() {
            Ok(bytes @ 1..=LARGEST) if bytes % 512 == 0 => {
                Ok(Self { disk: get("disk")?, size: bytes, host: get("host")?, kernel: get("kernel")? })
            }
            _ => Err(LiveError::Nonsense(format!("a disk of {size} bytes"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Facts;

    #[test]
    fn a_disk_has_a_size_that_a_disk_can_have() {
        let of = |size: &str| {
            Facts::parse(format!("disk mmcblk0\nsize {size}\nhost a\x1b\nkernel 6.1\n").as_bytes())
        };
        let facts = of("31914983424").unwrap();
        assert_eq!((facts.size, facts.host.as_str()), (31_914_983_424, "a\u{fffd}"));
        for wrong in ["", "0", "513", "-512", "18446744073709551104", "x"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        assert!(Facts::parse(b"size 512\n").unwrap_err().to_string().contains("no disk"));
    }
}
