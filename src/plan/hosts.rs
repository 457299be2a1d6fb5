//! `/etc/hosts`: the cluster, above what the image has there.

use std::net::Ipv4Addr;

/// The image's text with the cluster's names above it: this node, `127.0.1.1`, then the others.
///
/// `127.0.1.1` does not carry the bare name: glibc sorts loopback addresses before any other
/// (`getaddrinfo`, RFC 3484 rule 8), so `hostname -i` and with it whatever asks for the node's own
/// address would answer `127.0.1.1` in spite of the order of the lines.
pub(super) fn edit(text: &str, own: (&str, Ipv4Addr), others: &[(&str, Ipv4Addr)]) -> String {
    let mut out = format!("{}\t{}\n127.0.1.1\t{}.localdomain\n", own.1, own.0, own.0);
    for (name, address) in others {
        out.push_str(&format!("{address}\t{name}\n"));
    }
    out.push('\n');
    let ours = |line: &str| {
        let mut words = line.split('#').next().unwrap_or("").split_whitespace();
        let Some(address) = words.next() else { return false };
        let known = |name: &str| name == own.0 || others.iter().any(|(other, _)| *other == name);
        address == "127.0.1.1"
            || std::iter::once(&own).chain(others).any(|(_, ours)| ours.to_string() == address)
            || (!address.starts_with("127.") && !address.contains(':') && words.any(known))
    };
    let kept: String = text.split_inclusive('\n').filter(|line| !ours(line)).collect();
    out.push_str(kept.trim_matches('\n'));
    if !kept.trim().is_empty() {
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::edit;

    const STOCK: &str = "127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost ip6-loopback\nff02::1\t\tip6-allnodes\n\
                         ff02::2\t\tip6-allrouters\n\n127.0.1.1\t\traspberrypi\n";

    const BAKED: &str = "192.168.0.1\tpi1\n127.0.1.1\tpi1.localdomain\n192.168.0.2\tpi2\n\n127.0.0.1\tlocalhost\n\
                         ::1\t\tlocalhost ip6-localhost ip6-loopback\nff02::1\t\tip6-allnodes\nff02::2\t\tip6-allrouters\n";

    fn baked(text: &str) -> String {
        edit(text, ("pi1", [192, 168, 0, 1].into()), &[("pi2", [192, 168, 0, 2].into())])
    }

    #[test]
    fn own_name_first_then_loopback_then_the_others() {
        assert_eq!(baked(STOCK), BAKED);
    }

    #[test]
    fn baking_again_changes_nothing() {
        assert_eq!(baked(BAKED), BAKED);
    }

    #[test]
    fn old_lines_of_the_cluster_go_and_foreign_ones_stay() {
        let text = "10.0.0.7 printer # pi1\n10.0.0.1 pi2 old\n192.168.0.2 other\n127.0.0.1 localhost pi1\n";
        let edited = baked(text);
        assert!(edited.ends_with("\n\n10.0.0.7 printer # pi1\n127.0.0.1 localhost pi1\n"), "{edited}");
    }

    #[test]
    fn an_empty_file_is_fine() {
        assert_eq!(baked(""), "192.168.0.1\tpi1\n127.0.1.1\tpi1.localdomain\n192.168.0.2\tpi2\n\n");
    }
}
