//! `/etc/dhcpcd.conf` (`dhcpcd.conf(5)`): the static address of Jessie to Bullseye.

use crate::config::types::{Network, Node, ResolvConf};

const BEGIN: &str = "# pibake: begin\n";
const END: &str = "# pibake: end\n";

/// The image's text with the node's address. What is global stands at the top, because an option below an
/// `interface` line belongs to that interface; blocks for our interface that are there already go.
pub(super) fn edit(text: &str, node: &Node) -> String {
    let network = &node.network;
    let global = match network.resolv_conf {
        ResolvConf::Managed => String::new(),
        ResolvConf::Immutable | ResolvConf::Static => format!("{BEGIN}nohook resolv.conf\n{END}"),
    };
    let mut kept = without_interface(&without_ours(text), &network.interface);
    if !kept.is_empty() && !kept.ends_with('\n') {
        kept.push('\n');
    }
    format!("{global}{kept}{BEGIN}{}{END}", block(node, network))
}

fn block(node: &Node, network: &Network) -> String {
    let mut block =
        format!("interface {}\nstatic ip_address={}/{}\n", network.interface, node.address, node.prefix);
    if let Some(gateway) = network.gateway {
        block.push_str(&format!("static routers={gateway}\n"));
    }
    if !network.dns.is_empty() {
        let servers: Vec<String> = network.dns.iter().map(ToString::to_string).collect();
        block.push_str(&format!("static domain_name_servers={}\n", servers.join(" ")));
    }
    if !network.search.is_empty() {
        block.push_str(&format!("static domain_search={}\n", network.search.join(" ")));
    }
    block
}

/// The text without what an earlier bake wrote.
fn without_ours(text: &str) -> String {
    let mut ours = false;
    text.split_inclusive('\n')
        .filter(|line| {
            let begins = *line == BEGIN;
            let was = ours || begins;
            ours = (ours || begins) && *line != END;
            !was
        })
        .collect()
}

fn without_interface(text: &str, interface: &str) -> String {
    let mut dropping = false;
    text.split_inclusive('\n')
        .filter(|line| {
            let mut words = line.split_whitespace();
            let first = words.next().unwrap_or("");
            if matches!(first, "interface" | "ssid" | "profile" | "arping") {
                dropping = first == "interface" && words.next() == Some(interface);
            }
            !dropping || first.is_empty() || first.starts_with('#')
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::edit;
    use crate::config::types::ResolvConf;
    use crate::plan::samples::node;

    const STOCK: &str = "hostname\nclientid\npersistent\noption rapid_commit\nrequire dhcp_server_identifier\n\
                         slaac private\n\n# Example static IP configuration:\n#interface eth0\n#static ip_address=192.168.0.10/24\n";

    #[test]
    fn the_global_line_comes_first_and_the_block_last() {
        let edited = edit(STOCK, &node());
        let expected = format!(
            "# pibake: begin\nnohook resolv.conf\n# pibake: end\n{STOCK}# pibake: begin\ninterface eth0\n\
             static ip_address=192.168.0.1/16\nstatic routers=192.168.1.100\n\
             static domain_name_servers=192.168.1.100 9.9.9.9\nstatic domain_search=lan\n# pibake: end\n"
        );
        assert_eq!(edited, expected);
        assert_eq!(edit(&edited, &node()), expected);
    }

    #[test]
    fn a_lone_switch_has_neither_gateway_nor_servers() {
        let mut node = node();
        node.network.gateway = None;
        node.network.dns.clear();
        node.network.search.clear();
        node.network.resolv_conf = ResolvConf::Managed;
        assert_eq!(
            edit("", &node),
            "# pibake: begin\ninterface eth0\nstatic ip_address=192.168.0.1/16\n# pibake: end\n"
        );
    }

    #[test]
    fn blocks_of_the_same_interface_go_and_others_stay() {
        let text = "interface eth0\nstatic ip_address=1.2.3.4/8\n# a comment\ninterface eth1\nnogateway\nprofile x\nstatic routers=1.1.1.1";
        let edited = edit(text, &node());
        assert!(!edited.contains("1.2.3.4"), "{edited}");
        assert!(
            edited.contains(
                "# a comment\ninterface eth1\nnogateway\nprofile x\nstatic routers=1.1.1.1\n# pibake"
            )
        );
    }
}
