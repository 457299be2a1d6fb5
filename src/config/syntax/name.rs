//! Names: of clusters, nodes, accounts, groups, hosts, labels.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Users of Debian's base-passwd and of packages every Raspberry Pi OS carries.
const SYSTEM_USERS: [&str; 26] = [
    "root",
    "daemon",
    "bin",
    "sys",
    "sync",
    "games",
    "man",
    "lp",
    "mail",
    "news",
    "uucp",
    "proxy",
    "www-data",
    "backup",
    "list",
    "irc",
    "gnats",
    "nobody",
    "messagebus",
    "sshd",
    "avahi",
    "ntp",
    "statd",
    "polkitd",
    "dhcpcd",
    "pibake-join",
];

/// Groups of base-passwd and of Raspberry Pi OS: an account gets a group of its own name, so its name must
/// be none of these.
const SYSTEM_GROUPS: [&str; 33] = [
    "adm", "tty", "disk", "kmem", "dialout", "fax", "voice", "cdrom", "floppy", "tape", "sudo", "audio",
    "dip", "operator", "src", "shadow", "utmp", "video", "sasl", "plugdev", "staff", "users", "nogroup",
    "input", "render", "kvm", "sgx", "netdev", "gpio", "i2c", "spi", "crontab", "docker",
];

/// A cluster's name, which is a directory's name too: `[a-z0-9-]`.
pub(in crate::config) fn cluster(text: &str) -> Result<String, String> {
    if is_label(text) && text.bytes().all(|byte| !byte.is_ascii_uppercase()) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is no cluster name: up to 63 of a-z, 0-9 and -, neither beginning nor ending with -"
    ))
}

/// A node's name: a label of RFC 1123 section 2.1, in lower case, because OpenSSH looks host names up in
/// lower case and Docker compares them exactly.
pub(in crate::config) fn node(text: &str) -> Result<String, String> {
    if !is_label(text) {
        let dot = if text.contains('.') { "; give the name without its domain" } else { "" };
        return Err(format!(
            "{text:?} is no host name: up to 63 of a-z, 0-9 and -, neither beginning nor ending with -{dot}"
        ));
    }
    let lower = text.to_ascii_lowercase();
    if lower != text {
        return Err(format!("{text:?} has capital letters; write {lower:?}"));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{text:?} is a number, which programs read as an address; add a letter"));
    }
    if text == "localhost" {
        return Err("\"localhost\" is every machine's name for itself".to_owned());
    }
    Ok(text.to_owned())
}

/// An account's name as Raspberry Pi OS takes it (userconf-pi): `[a-z][a-z0-9-]{0,31}`, nothing the image
/// uses already.
pub(in crate::config) fn account(text: &str) -> Result<String, String> {
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let goes_on = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !begins || !goes_on || text.len() > 32 {
        return Err(format!("{text:?} is no account name: a letter a-z, then up to 31 of a-z, 0-9 and -"));
    }
    if SYSTEM_USERS.contains(&text) {
        return Err(format!("{text:?} is an account of the system"));
    }
    if SYSTEM_GROUPS.contains(&text) {
        return Err(format!(
            "{text:?} is a group of the system, and an account gets a group of its own name"
        ));
    }
    Ok(text.to_owned())
}

/// A group's name, as Debian's adduser takes system groups.
pub(in crate::config) fn group(text: &str) -> Result<String, String> {
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let goes_on =
        text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
    if begins && goes_on && text.len() <= 32 {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no group name"))
    }
}

/// A domain name of one or more labels.
pub(in crate::config) fn domain(text: &str) -> Result<String, String> {
    let sound = text.len() <= 253 && text.split('.').all(is_label);
    if sound { Ok(text.to_owned()) } else { Err(format!("{text:?} is no domain name such as lan")) }
}

/// A server's name or IPv4 address.
pub(in crate::config) fn server(text: &str) -> Result<String, String> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("{text} is an IPv6 address; pibake does not support IPv6 yet"));
    }
    let dotted_number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let sound = if dotted_number { text.parse::<Ipv4Addr>().is_ok() } else { domain(text).is_ok() };
    if sound {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is neither a host name nor an IPv4 address"))
    }
}

/// The name of a profile, an overlay, a network or a stack: a file or object name of one harmless word.
pub(in crate::config) fn word(text: &str) -> Result<String, String> {
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let goes_on = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if begins && goes_on && text.len() <= 63 {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no name: a letter or digit, then letters, digits, `_`, `.` and `-`"))
    }
}

/// A node label's key, as swarm constraints can test it.
pub(in crate::config) fn label_key(text: &str) -> Result<(), String> {
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let goes_on = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_./-".contains(&byte));
    if begins && goes_on && text.len() <= 128 { Ok(()) } else { Err(format!("{text:?} is no label name")) }
}

/// A node label's value.
pub(in crate::config) fn label_value(text: &str) -> Result<(), String> {
    if text.len() <= 256 && !text.chars().any(char::is_control) {
        Ok(())
    } else {
        Err("a label's value is one line of at most 256 bytes".to_owned())
    }
}

/// RFC 1123 section 2.1, which widens RFC 952.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::{account, cluster, domain, group, label_key, node, server, word};

    fn long(length: usize) -> String {
        "a".repeat(length)
    }

    #[test]
    fn nodes() {
        for right in ["pi1", "a", "1a", "pi-1", &long(63)] {
            assert!(node(right).is_ok(), "{right}");
        }
        for wrong in ["", "-pi", "pi-", "pi_1", "pi.lan", "12", "localhost", "pi 1", "pí", "Pi1", &long(64)]
        {
            assert!(node(wrong).is_err(), "{wrong}");
        }
        assert!(node("Pi1").expect_err("capitals are refused").contains("\"pi1\""));
    }

    #[test]
    fn clusters_are_directory_names() {
        assert!(cluster("plexi").is_ok());
        for wrong in ["", ".", "..", "a/b", "Plexi", "-a", &long(64)] {
            assert!(cluster(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn accounts() {
        for right in ["pi", "jenkins", "a-1", &long(32)] {
            assert!(account(right).is_ok(), "{right}");
        }
        for wrong in
            ["", "root", "Pi", "1a", "a_b", "daemon", "sudo", "docker", "pibake-join", "a:b", &long(33)]
        {
            assert!(account(wrong).is_err(), "{wrong}");
        }
        assert!(group("docker").is_ok());
        assert!(group("a:b").is_err());
    }

    #[test]
    fn domains_servers_and_words() {
        assert!(domain("lan").is_ok() && domain("a.example.org").is_ok());
        assert!(domain("").is_err() && domain("a..b").is_err() && domain("a b").is_err());
        assert!(server("192.168.1.100").is_ok() && server("0.pool.ntp.org").is_ok());
        assert!(server("192.168.1.300").is_err() && server("::1").is_err() && server("a\nb").is_err());
        assert!(word("nfs-client").is_ok() && word("../x").is_err() && word("").is_err());
        assert!(label_key("disk").is_ok() && label_key("a=b").is_err());
    }
}
