//! IPv4 networks.

use std::fmt;
use std::net::Ipv4Addr;

/// A network: a base address with no bit set beyond the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Net {
    base: u32,
    prefix: u8,
}

impl Net {
    /// The network of so many leading bits that an address is in; prefixes beyond 32 count as 32.
    #[must_use]
    pub fn of(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        Self { base: u32::from(address) & mask, prefix }
    }

    /// The prefix length.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The address so many places after the first.
    #[must_use]
    pub fn address(self, index: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.base.wrapping_add(index))
    }

    /// Whether the two share an address.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        let shorter = self.prefix.min(other.prefix);
        Net::of(self.address(0), shorter) == Net::of(other.address(0), shorter)
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(0), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::Net;

    fn net(a: u8, b: u8, prefix: u8) -> Net {
        Net::of([a, b, 3, 4].into(), prefix)
    }

    #[test]
    fn are_shown_by_their_first_address() {
        assert_eq!(net(10, 1, 16).to_string(), "10.1.0.0/16");
        assert_eq!(net(10, 1, 0).to_string(), "0.0.0.0/0");
        assert_eq!(net(10, 1, 32).to_string(), "10.1.3.4/32");
        assert_eq!(net(10, 1, 16).address(257).to_string(), "10.1.1.1");
    }

    #[test]
    fn overlap_when_one_is_within_the_other() {
        assert!(net(10, 1, 8).overlaps(net(10, 200, 16)));
        assert!(net(10, 200, 16).overlaps(net(10, 1, 8)));
        assert!(net(1, 1, 0).overlaps(net(10, 1, 32)));
        assert!(!net(10, 1, 16).overlaps(net(10, 2, 16)));
    }
}
