//! `/etc/network/interfaces` and `interfaces.d`: stanzas that would claim an interface (`interfaces(5)`).

/// What stands in the way of whoever configures the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claims<'a> {
    /// Any stanza of this interface: NetworkManager leaves alone what ifupdown knows.
    Of(&'a str),
    /// Any interface with an address: Raspbian's dhcpcd then fails for all of them (raspios.md 4.2).
    Addresses,
}

/// The text without the stanzas that claim, and without those interfaces' names in `auto` and `allow-*`
/// lines.
pub(super) fn without(text: &str, claims: Claims<'_>) -> String {
    let claiming: Vec<&str> = text.lines().filter_map(|line| claimed(line, claims)).collect();
    let mut out = String::with_capacity(text.len());
    let mut dropping = false;
    for line in text.split_inclusive('\n') {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or("");
        if is_keyword(first) {
            dropping = claimed(line, claims).is_some();
        } else if first.is_empty() || first.starts_with('#') {
            // Neither ends a stanza, and both are worth keeping.
            out.push_str(line);
            continue;
        }
        if dropping {
            continue;
        }
        if first != "auto" && !first.starts_with("allow-") {
            out.push_str(line);
            continue;
        }
        let names: Vec<&str> = words.clone().filter(|name| !claiming.contains(name)).collect();
        if names.len() == words.count() {
            out.push_str(line);
        } else if !names.is_empty() {
            out.push_str(&format!("{first} {}\n", names.join(" ")));
        }
    }
    out
}

/// The interface that a line's stanza claims.
fn claimed<'a>(line: &'a str, claims: Claims<'_>) -> Option<&'a str> {
    let mut words = line.split_whitespace();
    if words.next() != Some("iface") {
        return None;
    }
    let (name, method) = (words.next()?, words.nth(1).unwrap_or(""));
    let claims = match claims {
        Claims::Of(interface) => name == interface,
        Claims::Addresses => name != "lo" && matches!(method, "static" | "dhcp"),
    };
    claims.then_some(name)
}

fn is_keyword(word: &str) -> bool {
    matches!(
        word,
        "iface"
            | "mapping"
            | "template"
            | "auto"
            | "source"
            | "source-directory"
            | "no-auto-down"
            | "no-scripts"
            | "rename"
    ) || word.starts_with("allow-")
}

#[cfg(test)]
mod tests {
    use super::{Claims, without};

    const JESSIE: &str = "# comment\n\nauto lo\niface lo inet loopback\n\niface eth0 inet manual\n\n\
                          allow-hotplug wlan0\niface wlan0 inet manual\n    wpa-conf /etc/wpa.conf\n";

    #[test]
    fn manual_stanzas_do_not_disturb_dhcpcd() {
        assert_eq!(without(JESSIE, Claims::Addresses), JESSIE);
    }

    #[test]
    fn any_stanza_of_its_interface_disturbs_networkmanager() {
        assert_eq!(
            without(JESSIE, Claims::Of("wlan0")),
            "# comment\n\nauto lo\niface lo inet loopback\n\niface eth0 inet manual\n\n"
        );
    }

    #[test]
    fn addresses_go_with_their_options_and_names() {
        let text = "auto lo eth0 eth1\niface lo inet loopback\nallow-hotplug eth0\niface eth0 inet static\n\
                    \taddress 10.0.0.1\n# kept\n\tgateway 10.0.0.9\niface eth1 inet6 auto\n\
                    iface wlan0 inet dhcp\nsource /etc/network/interfaces.d/*\n";
        assert_eq!(
            without(text, Claims::Addresses),
            "auto lo eth1\niface lo inet loopback\n# kept\niface eth1 inet6 auto\nsource /etc/network/interfaces.d/*\n"
        );
    }

    #[test]
    fn loopback_is_never_taken() {
        let text = "iface lo inet static\n  address 127.0.0.1";
        assert_eq!(without(text, Claims::Addresses), text);
    }
}
