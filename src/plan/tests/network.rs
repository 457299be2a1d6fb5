//! Names, addresses, DNS and Wi-Fi, release by release (raspios.md sections 3 to 5).

use crate::config::types::{DockerInstall, Node, ResolvConf};
use crate::deb::testing::package;
use crate::fs::metadata::Meta;
use crate::fs::volume::Volume;
use crate::inventory::types::{NetworkStack, Release};
use crate::plan::samples::{self, RELEASES};

use super::{Bench, boot_text, content, is_masked, is_removed, meta, planned, spec, text, with_wifi};

#[test]
fn name_and_hosts() {
    for release in RELEASES {
        let plan = Bench::new(release).plan();
        assert_eq!(text(&plan, "/etc/hostname"), "pi1\n");
        assert!(text(&plan, "/etc/hosts").starts_with(
            "192.168.0.1\tpi1\n127.0.1.1\tpi1.localdomain\n192.168.0.2\tpi2\n192.168.0.3\tpi3\n\n127.0.0.1\tlocalhost\n"
        ));
        assert_eq!(
            boot_text(&plan, "/pibake-node.txt"),
            "name = pi1\naddress = 192.168.0.1/16\nrole = manager\ncluster = plexi\n"
        );
        assert_eq!(
            text(&plan, "/var/log/pibake.log"),
            "2025-11-20T09:00:01Z bake: pi1 of plexi, by pibake 0.1.0\n"
        );
    }
}

#[test]
fn the_address_goes_to_the_stack_of_the_image() {
    for release in RELEASES {
        let plan = Bench::new(release).plan();
        if release <= Release::Bullseye {
            assert!(
                text(&plan, "/etc/dhcpcd.conf")
                    .contains("interface eth0\nstatic ip_address=192.168.0.1/16\n")
            );
            assert_eq!(meta(&plan, "/etc/dhcpcd.conf"), Meta { mode: 0o664, uid: 0, gid: 107 });
            assert!(
                planned(&plan, Volume::Root, "/etc/NetworkManager/system-connections/pibake.nmconnection")
                    .is_none()
            );
        } else {
            let file = "/etc/NetworkManager/system-connections/pibake.nmconnection";
            assert_eq!(meta(&plan, file), Meta::root(0o600));
            let profile = text(&plan, file);
            assert!(profile.contains(
                "[ipv4]\nmethod=manual\naddress1=192.168.0.1/16,192.168.1.100\ndns=192.168.1.100;9.9.9.9;\n\
                 dns-search=lan;\nmay-fail=false\n\n[ipv6]\nmethod=auto\n"
            ), "{profile}");
            assert!(
                profile
                    .contains("type=ethernet\ninterface-name=eth0\nautoconnect-priority=100\n\n[ethernet]\n")
            );
            let uuid = profile.lines().find_map(|line| line.strip_prefix("uuid=")).unwrap();
            assert_eq!(uuid::Uuid::parse_str(uuid).unwrap().get_version_num(), 4);
            assert!(planned(&plan, Volume::Root, "/etc/dhcpcd.conf").is_none());
        }
    }
}

#[test]
fn a_lone_switch_is_a_network_too() {
    let mut bench = Bench::new(Release::Bookworm);
    bench.node.network.gateway = None;
    bench.node.network.dns.clear();
    bench.node.network.search.clear();
    let plan = bench.plan();
    let profile = text(&plan, "/etc/NetworkManager/system-connections/pibake.nmconnection");
    assert!(profile.contains("address1=192.168.0.1/16\nmay-fail=false\n"), "{profile}");
    assert_eq!(
        text(&plan, "/etc/resolv.conf"),
        "# Written by pibake; see resolv_conf in its cluster file.\n"
    );
}

#[test]
fn nothing_else_claims_the_interface() {
    let mut bench = Bench::new(Release::Trixie);
    let files = [
        ("/etc/NetworkManager/system-connections/old.nmconnection", "[connection]\ntype=ethernet\n"),
        ("/etc/NetworkManager/system-connections/vpn.nmconnection", "[connection]\ntype=vpn\n"),
        ("/etc/netplan/50-cloud-init.yaml", "network:\n  ethernets:\n    eth0: {dhcp4: true}\n"),
        ("/etc/netplan/00-renderer.yaml", "network:\n  renderer: NetworkManager\n"),
        ("/etc/network/interfaces.d/eth0", "auto eth0\niface eth0 inet dhcp\n"),
    ];
    for (file, text) in files {
        samples::add(&mut bench.inventory, Volume::Root, file, text);
    }
    let plan = bench.plan();
    assert!(is_removed(&plan, files[0].0) && is_removed(&plan, files[2].0));
    assert!(planned(&plan, Volume::Root, files[1].0).is_none());
    assert!(planned(&plan, Volume::Root, files[3].0).is_none());
    assert_eq!(text(&plan, files[4].0), "");
    for unit in ["systemd-networkd.service", "systemd-networkd-wait-online.service"] {
        assert!(is_masked(&plan, unit), "{unit}");
    }
    assert!(!is_masked(&Bench::new(Release::Bookworm).plan(), "systemd-networkd.service"));
}

#[test]
fn resolv_conf_holds_the_servers_and_its_writers_keep_off() {
    for release in RELEASES {
        for (mode, immutable) in [(ResolvConf::Immutable, true), (ResolvConf::Static, false)] {
            let mut bench = Bench::new(release);
            bench.node.network.resolv_conf = mode;
            let plan = bench.plan();
            let file = spec(&plan, "/etc/resolv.conf");
            assert_eq!((file.immutable, file.meta), (immutable, Meta::root(0o644)));
            assert_eq!(
                content(&file.content),
                "# Written by pibake; see resolv_conf in its cluster file.\nsearch lan\nnameserver 192.168.1.100\nnameserver 9.9.9.9\n"
            );
            if release <= Release::Bullseye {
                assert!(text(&plan, "/etc/dhcpcd.conf").starts_with("# pibake: begin\nnohook resolv.conf\n"));
                assert_eq!(
                    text(&plan, "/etc/resolvconf.conf"),
                    "resolv_conf=/etc/resolv.conf\nresolvconf=NO\n"
                );
            } else {
                let quiet = text(&plan, "/etc/NetworkManager/conf.d/90-pibake-dns.conf");
                assert!(quiet.ends_with("[main]\ndns=none\nrc-manager=unmanaged\n"));
            }
        }
    }
}

#[test]
fn a_managed_resolv_conf_is_left_to_the_stack() {
    for release in RELEASES {
        let mut bench = Bench::new(release);
        bench.node.network.resolv_conf = ResolvConf::Managed;
        let plan = bench.plan();
        for file in
            ["/etc/resolv.conf", "/etc/resolvconf.conf", "/etc/NetworkManager/conf.d/90-pibake-dns.conf"]
        {
            assert!(planned(&plan, Volume::Root, file).is_none(), "{release:?} {file}");
        }
        if release <= Release::Bullseye {
            let text = text(&plan, "/etc/dhcpcd.conf");
            assert!(!text.contains("nohook") && text.contains("domain_name_servers=192.168.1.100 9.9.9.9\n"));
        }
    }
}

#[test]
fn wifi_is_on_with_its_country() {
    for release in RELEASES {
        let mut bench = with_wifi(release);
        samples::add(&mut bench.inventory, Volume::Root, "/etc/default/crda", "REGDOMAIN=\n");
        let plan = bench.plan();
        assert_eq!(text(&plan, "/etc/default/crda"), "REGDOMAIN=DE\n");
        let radio = planned(&plan, Volume::Root, "/var/lib/systemd/rfkill/platform-fe300000.mmcnr:wlan");
        assert_eq!(radio.is_some(), release >= Release::Buster);
        let line = boot_text(&plan, "/cmdline.txt");
        assert_eq!(line.contains(" cfg80211.ieee80211_regdom=DE"), release >= Release::Bookworm);
        if release <= Release::Bullseye {
            let file = spec(&plan, "/etc/wpa_supplicant/wpa_supplicant.conf");
            assert_eq!((file.meta, file.content.is_secret()), (Meta::root(0o600), true));
            let key = "ab".repeat(32);
            assert_eq!(
                content(&file.content),
                format!(
                    "# Written by pibake.\nctrl_interface=DIR=/var/run/wpa_supplicant GROUP=netdev\nupdate_config=1\ncountry=DE\n\n\
                     network={{\n\tssid=\"lab\"\n\tscan_ssid=1\n\tkey_mgmt=WPA-PSK\n\tpsk={key}\n}}\n"
                )
            );
            assert!(text(&plan, "/etc/dhcpcd.conf").contains("interface wlan0\nstatic ip_address="));
        } else {
            let profile = spec(&plan, "/etc/NetworkManager/system-connections/pibake-wifi.nmconnection");
            assert_eq!((profile.meta, profile.content.is_secret()), (Meta::root(0o600), true));
            let profile = content(&profile.content);
            assert!(
                profile.contains("interface-name=wlan0\n") && profile.contains("ssid=lab\nhidden=true\n\n"),
                "{profile}"
            );
            assert!(profile.contains("method=manual\naddress1=192.168.0.1/16,192.168.1.100\n"));
            assert!(
                text(&plan, "/var/lib/NetworkManager/NetworkManager.state")
                    .contains("WirelessEnabled=true\n")
            );
            assert!(
                planned(&plan, Volume::Root, "/etc/NetworkManager/system-connections/pibake.nmconnection")
                    .is_none()
            );
        }
    }
}

#[test]
fn wifi_beside_a_wire_asks_for_an_address() {
    let mut bench = with_wifi(Release::Trixie);
    bench.node.network.interface = "eth0".to_owned();
    let plan = bench.plan();
    let profile = text(&plan, "/etc/NetworkManager/system-connections/pibake-wifi.nmconnection");
    assert!(
        profile.contains("interface-name=wlan0\n") && profile.contains("[ipv4]\nmethod=auto\n"),
        "{profile}"
    );
    assert!(
        text(&plan, "/etc/NetworkManager/system-connections/pibake.nmconnection")
            .contains("address1=192.168.0.1")
    );
}

#[test]
fn the_stack_decides_not_the_release() {
    let mut bench = with_wifi(Release::Bullseye);
    bench.inventory.stack = NetworkStack::NetworkManager;
    bench.inventory.packages.installed.push(package("network-manager 1 all", ""));
    let plan = bench.plan();
    assert!(
        planned(&plan, Volume::Root, "/etc/NetworkManager/system-connections/pibake-wifi.nmconnection")
            .is_some()
    );
    assert!(planned(&plan, Volume::Root, "/etc/NetworkManager/conf.d/90-pibake-dns.conf").is_some());
    assert!(planned(&plan, Volume::Root, "/etc/dhcpcd.conf").is_none());
}

/// Docker's address pools are chosen clear of the cluster's networks; where there is no Docker they may take all.
#[test]
fn without_docker_the_cluster_may_have_every_private_network() {
    let mut bench = Bench::new(Release::Bookworm);
    bench.cluster.swarm = None;
    bench.cluster.nodes.push(Node { address: [10, 0, 0, 1].into(), prefix: 1, ..samples::node() });
    bench.cluster.nodes.push(Node { address: [172, 16, 0, 1].into(), prefix: 1, ..samples::node() });
    bench.plan();
    bench.node.docker.install = DockerInstall::Debs;
    assert!(bench.errors().contains("leave no private network free"), "{}", bench.errors());
}
