//! What the script on the node is asked, a line each.

use std::fmt;
use std::str::FromStr;

use crate::disk::range::ByteRange;

/// A question, or an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Which disk it is.
    Facts,
    /// To note down every write from now on.
    Track,
    /// To write out what the filesystems hold back.
    Flush,
    /// Bytes of the disk, a multiple of the logical block, past every cache.
    Read(ByteRange),
    /// The SHA-256 of such bytes.
    Digest(ByteRange),
    /// The sectors written since the last time, up to this mark.
    Dirty(u64),
    /// To freeze the disk's filesystems.
    Freeze,
    /// To thaw them, and how long they were frozen.
    Thaw,
    /// To stop a unit.
    Stop(Unit),
    /// To start the stopped ones again.
    Start,
    /// To put everything back and to go.
    Quit,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Facts => f.write_str("facts"),
            Request::Track => f.write_str("track"),
            Request::Flush => f.write_str("flush"),
            Request::Read(range) => write!(f, "read {} {}", range.start(), range.len()),
            Request::Digest(range) => write!(f, "digest {} {}", range.start(), range.len()),
            Request::Dirty(mark) => write!(f, "dirty {mark}"),
            Request::Freeze => f.write_str("freeze"),
            Request::Thaw => f.write_str("thaw"),
            Request::Stop(unit) => write!(f, "stop {unit}"),
            Request::Start => f.write_str("start"),
            Request::Quit => f.write_str("quit"),
        }
    }
}

/// The name of a systemd unit (systemd.unit(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit(String);

/// It is not a unit's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a unit: letters, digits and `:-_.@\\` are, such as docker.service")]
pub struct NotAUnit;

impl FromStr for Unit {
    type Err = NotAUnit;

    fn from_str(text: &str) -> Result<Self, NotAUnit> {
        let named = |c: char| c.is_ascii_alphanumeric() || ":-_.@\\".contains(c);
        if text.is_empty() || text.len() > 255 || text.starts_with('-') || !text.chars().all(named) {
            return Err(NotAUnit);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Request, Unit};
    use crate::disk::range::ByteRange;

    #[test]
    fn a_request_is_one_line_whatever_the_unit_is_called() {
        let range = ByteRange::new(4096, 12288).unwrap();
        assert_eq!(Request::Read(range).to_string(), "read 4096 8192");
        assert_eq!(Request::Stop("a@b\\x2d.service".parse().unwrap()).to_string(), "stop a@b\\x2d.service");
        for wrong in ["", "-a", "a b", "a\nquit", "a/b", "ä", &"a".repeat(256)] {
            assert!(wrong.parse::<Unit>().is_err(), "{wrong:?}");
        }
    }
}
