//! Whose card was captured, and what it was called.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::config::net::Net;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::inventory::types::Inventory;
use crate::plan::build::Inputs;
use crate::plan::draft::Draft;
use crate::plan::image::{Image, path};

use super::membership::Membership;

/// Directories whose files give an interface its address, besides those of single names.
const NETWORK_DIRS: [&str; 5] = [
    "/etc/NetworkManager/system-connections",
    "/etc/netplan",
    "/etc/network/interfaces.d",
    "/etc/systemd/network",
    "/var/lib/NetworkManager",
];
const NETWORK_FILES: [&str; 2] = ["/etc/dhcpcd.conf", "/etc/network/interfaces"];

/// Names that any machine has before it is given one.
const NOBODYS: [&str; 2] = ["localhost", "localhost.localdomain"];

/// Whose card it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kin {
    /// The node's own.
    Itself,
    /// Another node's that pibake made.
    Another,
    /// One that pibake did not make.
    Stranger,
}

/// A captured card: whose it is, and by which names it was known.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Whose card it is.
    pub kin: Kin,
    /// In a few words: `pi3 of cluster lab`, or its hostname.
    pub name: String,
    /// The cluster and the node of a card that pibake made.
    made: Option<(String, String)>,
    hostname: Option<String>,
    /// Names that it had and the node has not.
    pub names: BTreeSet<String>,
    /// Addresses that it had and the node has not.
    pub addresses: BTreeSet<Ipv4Addr>,
}

impl Origin {
    /// Finds out whose card an inventory is of, as seen by a node.
    #[must_use]
    pub fn of(inventory: &Inventory, cluster: &str, node: &str) -> Self {
        let image = Image { inventory };
        let manifest = inventory.manifest.as_ref();
        let said = |key: &str| Some(manifest?.get(key)?.as_str()?.to_owned());
        let made = said("cluster").zip(said("node"));
        let hostname = image.text(&path("/etc/hostname")).ok().flatten().map(|name| name.trim().to_owned());
        let hostname = hostname.filter(|name| !name.is_empty());
        let kin = match &made {
            Some((of, name)) if of == cluster && name == node => Kin::Itself,
            Some(_) => Kin::Another,
            None => Kin::Stranger,
        };
        let name = match (&made, &hostname) {
            (Some((cluster, name)), _) => format!("{name} of cluster {cluster}"),
            (None, Some(name)) => name.clone(),
            (None, None) => "a machine without a name".to_owned(),
        };
        let names = made.iter().map(|(_, name)| name).chain(&hostname).cloned();
        let names = names.filter(|name| name != node && !NOBODYS.contains(&name.as_str())).collect();
        let own = said("address").and_then(|address| address.split('/').next()?.parse::<Ipv4Addr>().ok());
        let mut addresses = addresses(image, hostname.as_deref());
        addresses.extend(own);
        Self { kin, name, made, hostname, names, addresses }
    }

    /// The words that nothing of the node's should say any more.
    #[must_use]
    pub fn words(&self, address: Ipv4Addr) -> Vec<String> {
        let addresses = self.addresses.iter().filter(|old| **old != address).map(ToString::to_string);
        self.names.iter().cloned().chain(addresses).collect()
    }

    /// Says what becomes of the card.
    pub(super) fn tell(&self, inputs: &Inputs<'_>, draft: &mut Draft) {
        let node = &inputs.node.name;
        draft.say(match self.kin {
            Kin::Itself => format!("the card is {node}'s own: it stays the same machine, with the keys of the state"),
            Kin::Another => format!("the card is that of {}: it becomes another machine", self.name),
            Kin::Stranger => format!(
                "the card is that of {}, which pibake did not make: it becomes another machine, and accounts and \
                 Docker's configuration stay as they are",
                self.name
            ),
        });
    }

    /// What the manifest says of it.
    pub(super) fn record(&self, membership: &Membership) -> Value {
        let (cluster, node) = self.made.clone().unzip();
        json!({
            "cluster": cluster,
            "node": node,
            "hostname": self.hostname,
            "swarm": membership.word(),
        })
    }
}

/// Addresses that the card's own configuration gave it, and that it had from others.
fn addresses(image: Image<'_>, hostname: Option<&str>) -> BTreeSet<Ipv4Addr> {
    let dirs = NETWORK_DIRS.into_iter().flat_map(|dir| image.entries(Volume::Root, &path(dir)));
    let mut found = BTreeSet::new();
    for file in dirs.chain(NETWORK_FILES.map(path)) {
        found.extend(lines(image, &file).flat_map(given));
    }
    if let Some(hostname) = hostname {
        found.extend(lines(image, &path("/etc/hosts")).filter_map(|line| named(line, hostname)));
    }
    found.retain(|address| !address.is_loopback() && !address.is_unspecified());
    found
}

/// The lines of a text that are no comments.
fn lines<'a>(image: Image<'a>, file: &FsPath) -> impl Iterator<Item = &'a str> + use<'a> {
    let text = image.text(file).ok().flatten().unwrap_or_default();
    text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']))
}

/// Addresses with a prefix, whatever the file's form; `address` of interfaces(5) and of leases goes without.
fn given(line: &str) -> Vec<Ipv4Addr> {
    let (key, rest) = line.split_once(['=', ' ', '\t']).unwrap_or((line, ""));
    if key.eq_ignore_ascii_case("address")
        && let Ok(address) = rest.trim().parse()
    {
        return vec![address];
    }
    let words = line.split(|letter: char| letter.is_whitespace() || "=,;\"'[]{}".contains(letter));
    words
        .filter_map(|word| {
            let (address, prefix) = word.split_once('/')?;
            let (address, prefix): (Ipv4Addr, u8) = (address.parse().ok()?, prefix.parse().ok()?);
            // A network is nobody's address.
            let network = prefix < 31 && Net::of(address, prefix).address(0) == address;
            (prefix <= 32 && !network).then_some(address)
        })
        .collect()
}

/// The address of a line of hosts(5) for this name.
fn named(line: &str, hostname: &str) -> Option<Ipv4Addr> {
    let mut words = line.split('#').next()?.split_whitespace();
    let address = words.next()?.parse().ok()?;
    words.any(|name| name == hostname).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::{given, named};

    #[test]
    fn addresses_are_found_in_every_form() {
        for (line, expected) in [
            ("address1=10.0.0.3/24,10.0.0.1", &["10.0.0.3"][..]),
            ("static ip_address=10.0.0.3/24", &["10.0.0.3"]),
            ("address 10.0.0.3", &["10.0.0.3"]),
            ("address 10.0.0.3/24", &["10.0.0.3"]),
            ("ADDRESS=10.0.0.3", &["10.0.0.3"]),
            ("addresses: [10.0.0.3/24, \"10.0.0.4/24\"]", &["10.0.0.3", "10.0.0.4"]),
            ("- 10.0.0.3/31", &["10.0.0.3"]),
            ("- to: 10.0.0.0/24", &[]),
            ("gateway 10.0.0.1", &[]),
            ("x=10.0.0.3/40", &[]),
            ("address", &[]),
            ("", &[]),
        ] {
            let found: Vec<String> = given(line).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn a_hosts_line_is_of_whole_names() {
        assert_eq!(named("10.0.0.3 x pi3 # y", "pi3"), Some([10, 0, 0, 3].into()));
        assert_eq!(named("10.0.0.3 pi30 # pi3", "pi3"), None);
        assert_eq!(named("::1 pi3", "pi3"), None);
    }
}
