//! Addresses, subnets and what goes with them. IPv4 only: an IPv6 address is told so.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::config::net::Net;

/// A host's IPv4 address: nothing that cannot be one machine.
pub(in crate::config) fn host(text: &str) -> Result<Ipv4Addr, String> {
    let address = ipv4(text)?;
    let why = if address.is_unspecified() || address.octets()[0] == 0 {
        "is in the network 0.0.0.0/8, which names no host"
    } else if address.is_loopback() {
        "is a loopback address"
    } else if address.is_multicast() {
        "is a multicast address"
    } else if address.octets()[0] >= 240 {
        "is in the reserved range 240.0.0.0/4"
    } else {
        return Ok(address);
    };
    Err(format!("{text} {why}"))
}

/// A host's address with its prefix length, `192.168.0.1/16`.
pub(in crate::config) fn with_prefix(text: &str) -> Result<(Ipv4Addr, u8), String> {
    let Some((address, prefix)) = text.split_once('/') else {
        let address = host(text)?;
        return Err(format!("the prefix length is missing; write {address}/24 or what your network has"));
    };
    let address = host(address)?;
    let prefix = match decimal(prefix) {
        Some(prefix @ 1..=30) => prefix,
        Some(31 | 32) => {
            return Err(format!("/{prefix} leaves no room for a network; prefix lengths go from 1 to 30"));
        }
        _ => return Err(format!("{prefix:?} is no prefix length from 1 to 30")),
    };
    if address == network(address, prefix) {
        return Err(format!("{text} is the address of the network itself, not of a host"));
    }
    if address == broadcast(address, prefix) {
        return Err(format!("{text} is the broadcast address of its network, not of a host"));
    }
    Ok((address, prefix))
}

/// A network, `10.200.0.0/16`: no bit set beyond the prefix.
pub(in crate::config) fn subnet(text: &str) -> Result<Net, String> {
    let wrong = || format!("{text:?} is no network such as 10.200.0.0/16");
    let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
    let address = ipv4(address)?;
    let prefix = decimal(prefix).filter(|prefix| (1..=32).contains(prefix)).ok_or_else(wrong)?;
    let net = Net::of(address, prefix);
    if address != net.address(0) {
        return Err(format!("{text} has bits set beyond its prefix; the network is {net}"));
    }
    Ok(net)
}

/// The first address of the network that `address` is in.
pub(in crate::config) fn network(address: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    Net::of(address, prefix).address(0)
}

/// The last address of the network that `address` is in.
pub(in crate::config) fn broadcast(address: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(address) | !mask(prefix))
}

/// A Linux interface name: what `dev_valid_name` of net/core/dev.c takes, ASCII only.
pub(in crate::config) fn interface(text: &str) -> Result<String, String> {
    let fits = (1..=15).contains(&text.len());
    let sound = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':');
    if !fits || !sound || text == "." || text == ".." {
        return Err(format!("{text:?} is no interface name such as eth0"));
    }
    if text == "lo" {
        return Err("lo is the loopback interface".to_owned());
    }
    Ok(text.to_owned())
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0)
}

fn ipv4(text: &str) -> Result<Ipv4Addr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let bare = text.split(['/', '%']).next().unwrap_or(text);
    if bare.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("{text} is an IPv6 address; pibake does not support IPv6 yet"));
    }
    Err(format!("{text:?} is no IPv4 address such as 192.168.0.1"))
}

/// Digits only and no leading zero, where `str::parse` would take `+24` and `024`.
fn decimal(text: &str) -> Option<u8> {
    let sound = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if sound { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::{broadcast, host, interface, network, subnet, with_prefix};

    #[test]
    fn hosts() {
        assert_eq!(host("192.168.0.1"), Ok(Ipv4Addr::new(192, 168, 0, 1)));
        for wrong in
            ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "192.168.0", "192.168.0.256", ""]
        {
            assert!(host(wrong).is_err(), "{wrong}");
        }
        let message = host("fe80::1%eth0").expect_err("IPv6 is refused");
        assert!(message.contains("does not support IPv6 yet"), "{message}");
    }

    #[test]
    fn addresses_need_a_prefix_and_must_be_hosts() {
        assert_eq!(with_prefix("192.168.0.1/16"), Ok((Ipv4Addr::new(192, 168, 0, 1), 16)));
        assert_eq!(with_prefix("10.0.1.255/16"), Ok((Ipv4Addr::new(10, 0, 1, 255), 16)));
        for (text, says) in [
            ("192.168.0.1", "192.168.0.1/24"),
            ("192.168.0.0/24", "network itself"),
            ("192.168.255.255/16", "broadcast"),
            ("192.168.0.1/31", "no room"),
            ("192.168.0.1/33", "no prefix length"),
            ("192.168.0.1/+24", "no prefix length"),
            ("192.168.0.1/024", "no prefix length"),
            ("192.168.0.1/", "no prefix length"),
            ("2001:db8::1/64", "IPv6"),
        ] {
            let message = with_prefix(text).expect_err(text);
            assert!(message.contains(says), "{text}: {message}");
        }
    }

    #[test]
    fn networks() {
        let address = Ipv4Addr::new(10, 1, 2, 3);
        assert_eq!(network(address, 8), Ipv4Addr::new(10, 0, 0, 0));
        assert_eq!(broadcast(address, 30), Ipv4Addr::new(10, 1, 2, 3));
        assert_eq!(network(address, 0), Ipv4Addr::UNSPECIFIED);
        assert!(subnet("10.200.0.0/16").is_ok());
        assert!(subnet("10.200.1.0/16").expect_err("bits are set").contains("10.200.0.0/16"));
        assert!(subnet("10.200.0.0").is_err());
    }

    #[test]
    fn interfaces() {
        assert!(interface("eth0").is_ok());
        assert!(interface("enxb827eb123456").is_ok());
        for wrong in ["", "lo", "eth0:1", "a/b", "..", "sixteencharacter", "e th", "ether\n"] {
            assert!(interface(wrong).is_err(), "{wrong:?}");
        }
    }
}
