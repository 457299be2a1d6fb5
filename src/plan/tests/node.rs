//! What a node is, release by release (design.md section 4, raspios.md section 13).

use crate::config::types::{Account, FirstBoot, Password, ResolvConf, Secret, SecretSource, Sudo, Wifi};
use crate::fs::metadata::Meta;
use crate::inventory::types::{FirstBootHook, NetworkStack, Release};
use crate::plan::change::{Action, Content, Volume};
use crate::plan::samples::{self, RELEASES};
use crate::plan::show;

use super::{
    Bench, boot_text, content, is_masked, is_removed, is_removed_from_boot, link, meta, planned, spec, text,
};

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
fn the_account_is_renamed_with_everything_that_is_its_own() {
    for release in RELEASES {
        let plan = Bench::new(release).plan();
        assert!(text(&plan, "/etc/passwd").ends_with("\nanna:x:1000:1000:,,,:/home/anna:/bin/bash\n"));
        assert!(
            text(&plan, "/etc/shadow").ends_with("\nanna:*:20412:0:99999:7:::\n"),
            "{}",
            text(&plan, "/etc/shadow")
        );
        assert_eq!(meta(&plan, "/etc/shadow"), Meta { mode: 0o640, uid: 0, gid: 42 });
        assert!(spec(&plan, "/etc/shadow").content.is_secret());
        assert!(text(&plan, "/etc/group").contains("sudo:x:27:anna\n"));
        let rename = &plan.changes[0];
        assert_eq!(rename.path.as_str(), "/home/pi");
        assert!(matches!(&rename.action, Action::Rename { to } if to == "anna"));
        assert_eq!(
            text(&plan, "/etc/sudoers.d/010_pibake"),
            "# Written by pibake.\nanna ALL=(ALL) NOPASSWD: ALL\n"
        );
        assert_eq!(meta(&plan, "/etc/sudoers.d/010_pibake"), Meta::root(0o440));
        assert_eq!(is_removed(&plan, "/etc/sudoers.d/010_pi-nopasswd"), release < Release::Trixie);
        let own = |mode| Meta { mode, uid: 1000, gid: 1000 };
        assert!(
            matches!(planned(&plan, Volume::Root, "/home/anna/.ssh"), Some(Action::Directory(m)) if *m == own(0o700))
        );
        assert_eq!(meta(&plan, "/home/anna/.ssh/authorized_keys"), own(0o600));
        assert_eq!(text(&plan, "/home/anna/.ssh/authorized_keys"), "ssh-ed25519 AAAA anna\n");
    }
}

#[test]
fn the_account_that_keeps_its_name_still_loses_its_password_and_rule() {
    let mut bench = Bench::new(Release::Buster);
    bench.node.user.name = "pi".to_owned();
    bench.node.user.sudo = Sudo::Password;
    bench.node.user.password = Some(Password::Source(SecretSource::Prompt("x".to_owned())));
    bench.secrets.user_hash = Some(Secret::new("$6$salt$hash".to_owned()));
    let plan = bench.plan();
    assert!(!matches!(plan.changes[0].action, Action::Rename { .. }));
    assert!(text(&plan, "/etc/shadow").ends_with("\npi:$6$salt$hash:20412:0:99999:7:::\n"));
    assert!(is_removed(&plan, "/etc/sudoers.d/010_pi-nopasswd"));
    assert!(text(&plan, "/etc/sudoers.d/010_pibake").ends_with("\npi ALL=(ALL:ALL) ALL\n"));
}

#[test]
fn old_sudo_rules_and_automatic_logins_follow() {
    let mut bench = Bench::new(Release::Jessie);
    let root = |bench: &mut Bench, file, text| samples::add(&mut bench.inventory, Volume::Root, file, text);
    root(
        &mut bench,
        "/etc/sudoers",
        "Defaults env_reset\npi ALL=(ALL) NOPASSWD: ALL\n#includedir /etc/sudoers.d\n",
    );
    let autologin = "/etc/systemd/system/getty@tty1.service.d/autologin.conf";
    root(
        &mut bench,
        autologin,
        "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin pi --noclear %I $TERM\n",
    );
    bench
        .inventory
        .meta
        .insert((Volume::Root, samples::path("/home/pi")), Meta { mode: 0o775, uid: 1000, gid: 1000 });
    let plan = bench.plan();
    assert_eq!(text(&plan, "/etc/sudoers"), "Defaults env_reset\n#includedir /etc/sudoers.d\n");
    assert!(text(&plan, autologin).contains("--autologin anna --noclear"));
    assert!(
        matches!(planned(&plan, Volume::Root, "/home/anna"), Some(Action::SetMeta(m)) if m.mode == 0o755)
    );
}

#[test]
fn further_accounts_get_a_home_groups_and_a_rule() {
    let mut bench = Bench::new(Release::Bookworm);
    bench.node.accounts.push(Account {
        name: "jenkins".to_owned(),
        authorized_keys: vec!["ssh-rsa AAAA\n".to_owned()],
        groups: vec!["adm".to_owned(), "netdev".to_owned()],
        password: None,
        sudo: Some(Sudo::Nopasswd),
    });
    let plan = bench.plan();
    assert!(text(&plan, "/etc/passwd").ends_with("\njenkins:x:1001:1001::/home/jenkins:/bin/bash\n"));
    assert!(text(&plan, "/etc/group").contains("adm:x:4:anna,jenkins\n"));
    let own = |mode| Meta { mode, uid: 1001, gid: 1001 };
    assert!(
        matches!(planned(&plan, Volume::Root, "/home/jenkins"), Some(Action::Directory(m)) if *m == own(0o700))
    );
    assert_eq!(
        (text(&plan, "/home/jenkins/.bashrc").as_str(), meta(&plan, "/home/jenkins/.bashrc")),
        ("# bash\n", own(0o644))
    );
    assert_eq!(text(&plan, "/home/jenkins/.ssh/authorized_keys"), "ssh-rsa AAAA\n");
    assert!(text(&plan, "/etc/sudoers.d/010_pibake").ends_with("\njenkins ALL=(ALL) NOPASSWD: ALL\n"));
}

#[test]
fn ssh_is_on_with_keys_only_and_the_pinned_host_keys() {
    for release in RELEASES {
        let plan = Bench::new(release).plan();
        let system = "/etc/systemd/system";
        assert_eq!(
            link(&plan, &format!("{system}/multi-user.target.wants/ssh.service")),
            Some("/lib/systemd/system/ssh.service")
        );
        assert_eq!(link(&plan, &format!("{system}/sshd.service")), Some("/lib/systemd/system/ssh.service"));
        let keyboard = if release <= Release::Bullseye { "ChallengeResponse" } else { "KbdInteractive" };
        let settings = format!(
            "PermitRootLogin no\nPasswordAuthentication no\n{keyboard}Authentication no\n\
             HostKey /etc/ssh/ssh_host_ed25519_key\nHostKey /etc/ssh/ssh_host_ecdsa_key\n"
        );
        if release <= Release::Buster {
            assert!(
                text(&plan, "/etc/ssh/sshd_config")
                    .starts_with(&format!("# pibake: begin\n{settings}# pibake: end\n"))
            );
            assert!(planned(&plan, Volume::Root, "/etc/ssh/sshd_config.d/00-pibake.conf").is_none());
        } else {
            assert_eq!(
                text(&plan, "/etc/ssh/sshd_config.d/00-pibake.conf"),
                format!("# Written by pibake.\n{settings}")
            );
            assert!(planned(&plan, Volume::Root, "/etc/ssh/sshd_config").is_none());
            assert!(is_removed(&plan, "/etc/ssh/sshd_config.d/rename_user.conf"));
        }
        let key = spec(&plan, "/etc/ssh/ssh_host_ed25519_key");
        assert_eq!((key.meta, key.content.is_secret()), (Meta::root(0o600), true));
        assert_eq!(text(&plan, "/etc/ssh/ssh_host_ed25519_key.pub"), "ssh-ed25519 AAAA root@pi1\n");
        assert_eq!(meta(&plan, "/etc/ssh/ssh_host_ecdsa_key.pub"), Meta::root(0o644));
        assert!(is_masked(&plan, "regenerate_ssh_host_keys.service"));
        assert!(
            text(&plan, &format!("{system}/regenerate_ssh_host_keys.service.d/pibake.conf"))
                .contains("\nExecStart=\nExecStart=/bin/true\n")
        );
        assert!(is_removed(
            &plan,
            &format!("{system}/multi-user.target.wants/regenerate_ssh_host_keys.service")
        ));
    }
}

#[test]
fn a_password_lets_passwords_in() {
    let mut bench = Bench::new(Release::Trixie);
    bench.node.user.password = Some(Password::Hash(Secret::new("$y$j9T$x".to_owned())));
    bench.secrets.user_hash = Some(Secret::new("$y$j9T$x".to_owned()));
    let plan = bench.plan();
    assert!(text(&plan, "/etc/ssh/sshd_config.d/00-pibake.conf").contains("PasswordAuthentication yes\n"));
}

#[test]
fn host_keys_of_a_used_image_go() {
    let mut bench = Bench::new(Release::Bookworm);
    samples::add(&mut bench.inventory, Volume::Root, "/etc/ssh/ssh_host_rsa_key", "x");
    samples::add(&mut bench.inventory, Volume::Root, "/etc/ssh/ssh_host_ecdsa_key", "x");
    samples::add(&mut bench.inventory, Volume::Root, "/etc/ssh/sshd_not_to_be_run", "");
    let plan = bench.plan();
    assert!(is_removed(&plan, "/etc/ssh/ssh_host_rsa_key"));
    assert!(is_removed(&plan, "/etc/ssh/sshd_not_to_be_run"));
    assert_eq!(text(&plan, "/etc/ssh/ssh_host_ecdsa_key"), "PRIVATE ecdsa\n");
}

#[test]
fn no_wizard_no_prompt_no_cloud_init() {
    for release in RELEASES {
        let plan = Bench::new(release).plan();
        assert!(is_masked(&plan, "userconfig.service"));
        assert_eq!(
            link(&plan, "/etc/systemd/system/getty.target.wants/getty@tty1.service"),
            Some("/lib/systemd/system/getty@.service")
        );
        let trixie = release == Release::Trixie;
        assert_eq!(planned(&plan, Volume::Root, "/etc/cloud/cloud-init.disabled").is_some(), trixie);
        assert_eq!(boot_text(&plan, "/cmdline.txt").contains(" cloud-init=disabled"), trixie);
        // The stock seed says nothing and stays.
        assert!(planned(&plan, Volume::Boot, "/user-data").is_none());
    }
}

#[test]
fn what_other_tools_left_goes_with_its_words() {
    let mut bench = Bench::new(Release::Trixie);
    for (file, text) in [
        ("/firstrun.sh", "#!/bin/bash\n"),
        ("/userconf.txt", "pi:x\n"),
        ("/user-data", "#cloud-config\nhostname: x\n"),
    ] {
        samples::add(&mut bench.inventory, Volume::Boot, file, text);
    }
    let cmdline = "root=PARTUUID=0ff22469-02 resize systemd.run=/boot/firstrun.sh systemd.run_success_action=reboot \
                   systemd.unit=kernel-command-line.target ds=nocloud;i=rpi-imager-1\n";
    samples::add(&mut bench.inventory, Volume::Boot, "/cmdline.txt", cmdline);
    let plan = bench.plan();
    for file in ["/firstrun.sh", "/userconf.txt", "/user-data", "/meta-data"] {
        assert!(is_removed_from_boot(&plan, file), "{file}");
    }
    let line = boot_text(&plan, "/cmdline.txt");
    assert!(
        !line.contains("systemd.run") && !line.contains("nocloud") && !line.contains("kernel-command-line"),
        "{line}"
    );
}

#[test]
fn pibakes_first_boot_takes_the_vendors_out() {
    for release in RELEASES {
        let plan = Bench::new(release).plan();
        let id = format!("{:08x}", plan.disk.disk_id.unwrap());
        assert_ne!(id, "0ff22469");
        let cloud = if release == Release::Trixie { " cloud-init=disabled" } else { "" };
        assert_eq!(
            boot_text(&plan, "/cmdline.txt"),
            format!(
                "console=serial0,115200 console=tty1 root=PARTUUID={id}-02 rootfstype=ext4 fsck.repair=yes rootwait \
                 cgroup_enable=memory cgroup_memory=1{cloud}\n"
            )
        );
        let fstab = text(&plan, "/etc/fstab");
        assert!(
            fstab.contains(&format!("PARTUUID={id}-01")) && fstab.contains(&format!("PARTUUID={id}-02")),
            "{fstab}"
        );
        assert!(!fstab.contains("0ff22469"));
        if release < Release::Trixie {
            assert!(is_removed(&plan, "/etc/init.d/resize2fs_once"));
            assert!(is_removed(&plan, "/etc/rc3.d/S01resize2fs_once"));
        }
        assert_eq!(is_masked(&plan, "rpi-resize.service"), release == Release::Trixie);
        let wants = "/etc/systemd/system/multi-user.target.wants/pibake-first-boot.service";
        assert_eq!(link(&plan, wants), Some("/etc/systemd/system/pibake-first-boot.service"));
        assert!(
            planned(&plan, Volume::Root, "/usr/lib/raspberrypi-sys-mods/regenerate_ssh_host_keys").is_none()
        );
    }
}

#[test]
fn the_stock_first_boot_stays_and_undoes_nothing() {
    for release in RELEASES {
        let mut bench = Bench::new(release);
        bench.node.image.first_boot = FirstBoot::Stock;
        let plan = bench.plan();
        assert_eq!(plan.disk.disk_id, None);
        assert!(planned(&plan, Volume::Root, "/etc/fstab").is_none());
        let line = boot_text(&plan, "/cmdline.txt");
        let hook = match release {
            Release::Trixie => " resize ",
            Release::Bookworm => " quiet init=/usr/lib/raspberrypi-sys-mods/firstboot ",
            _ => " quiet init=/usr/lib/raspi-config/init_resize.sh ",
        };
        assert!(line.contains(hook), "{line}");
        assert!(line.contains("root=PARTUUID=0ff22469-02 "));
        assert_eq!(line.contains(" systemd.firstboot=no"), release == Release::Trixie);
        assert!(planned(&plan, Volume::Root, "/etc/init.d/resize2fs_once").is_none());
        assert!(!is_masked(&plan, "rpi-resize.service"));
        assert!(planned(&plan, Volume::Root, "/etc/systemd/system/pibake-first-boot.service").is_none());
        // init= runs this script by its path on Bookworm; everywhere else the mask is enough.
        let script = "/usr/lib/raspberrypi-sys-mods/regenerate_ssh_host_keys";
        if release == Release::Bookworm {
            assert!(!text(&plan, script).contains("rm "));
            assert_eq!(meta(&plan, script), Meta::root(0o755));
        } else {
            assert!(planned(&plan, Volume::Root, script).is_none());
        }
        assert!(planned(&plan, Volume::Root, "/etc/machine-id").is_none(), "{release:?}");
    }
}

#[test]
fn bullseye_with_the_newer_hook_keeps_its_keys_too() {
    let mut bench = Bench::new(Release::Bullseye);
    bench.node.image.first_boot = FirstBoot::Stock;
    bench.inventory.hook = FirstBootHook::Firstboot;
    let plan = bench.plan();
    assert!(text(&plan, "/usr/lib/raspberrypi-sys-mods/regenerate_ssh_host_keys").contains("ssh-keygen -A"));
}

#[test]
fn the_machine_id_is_empty_unless_the_stock_first_boot_needs_it() {
    let plan = Bench::new(Release::Trixie).plan();
    assert_eq!(
        (text(&plan, "/etc/machine-id").as_str(), meta(&plan, "/etc/machine-id")),
        ("", Meta::root(0o444))
    );
    assert!(planned(&Bench::new(Release::Bookworm).plan(), Volume::Root, "/etc/machine-id").is_none());
    for mode in [FirstBoot::Pibake, FirstBoot::Stock] {
        let mut bench = Bench::new(Release::Trixie);
        bench.node.image.first_boot = mode;
        samples::add(
            &mut bench.inventory,
            Volume::Root,
            "/etc/machine-id",
            "0123456789abcdef0123456789abcdef\n",
        );
        samples::add(
            &mut bench.inventory,
            Volume::Root,
            "/var/lib/dbus/machine-id",
            "0123456789abcdef0123456789abcdef\n",
        );
        let plan = bench.plan();
        assert_eq!(text(&plan, "/etc/machine-id"), "");
        assert!(is_removed(&plan, "/var/lib/dbus/machine-id"));
    }
    let mut bench = Bench::new(Release::Bookworm);
    bench.inventory.files.remove(&(Volume::Root, samples::path("/etc/machine-id")));
    assert_eq!(text(&bench.plan(), "/etc/machine-id"), "");
}

#[test]
fn presets_speak_of_every_unit_on_trixie() {
    let preset = "/etc/systemd/system-preset/00-pibake.preset";
    let plan = Bench::new(Release::Trixie).plan();
    let text = text(&plan, preset);
    for line in [
        "enable ssh.service",
        "enable pibake-first-boot.service",
        "disable userconfig.service",
        "disable rpi-resize.service",
        "disable systemd-networkd-wait-online.service",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
    assert!(planned(&Bench::new(Release::Bookworm).plan(), Volume::Root, preset).is_none());
}

#[test]
fn images_of_2016_and_gpt_keep_their_ids() {
    let mut bench = Bench::new(Release::Jessie);
    samples::add(
        &mut bench.inventory,
        Volume::Root,
        "/etc/fstab",
        "/dev/mmcblk0p2  /  ext4  defaults  0  1\n",
    );
    samples::add(&mut bench.inventory, Volume::Boot, "/cmdline.txt", "root=/dev/mmcblk0p2 rootwait");
    let plan = bench.plan();
    assert!(plan.disk.disk_id.is_some() && planned(&plan, Volume::Root, "/etc/fstab").is_none());
    assert!(boot_text(&plan, "/cmdline.txt").starts_with("root=/dev/mmcblk0p2 rootwait "));
    bench.inventory.layout.table = "gpt".to_owned();
    assert_eq!(bench.plan().disk.disk_id, None);
}

#[test]
fn an_image_that_has_booted_will_not_grow_by_itself() {
    let mut bench = Bench::new(Release::Bookworm);
    bench.node.image.first_boot = FirstBoot::Stock;
    bench.inventory.hook = FirstBootHook::None;
    assert!(bench.plan().warnings.iter().any(|warning| warning.contains("will not grow")));
}

#[test]
fn the_clock_starts_at_the_bake() {
    for release in RELEASES {
        let plan = Bench::new(release).plan();
        let fake = planned(&plan, Volume::Root, "/etc/fake-hwclock.data").is_some();
        assert_eq!(fake, release < Release::Trixie);
        if fake {
            assert_eq!(text(&plan, "/etc/fake-hwclock.data"), "2025-11-20 09:00:01\n");
        }
        let clock = if release <= Release::Stretch {
            "/var/lib/systemd/clock"
        } else {
            "/var/lib/systemd/timesync/clock"
        };
        assert_eq!(
            (text(&plan, clock).as_str(), meta(&plan, clock)),
            ("", Meta { mode: 0o644, uid: 997, gid: 998 })
        );
        assert_eq!(plan.bake_time, samples::BAKE_TIME);
    }
}

fn with_wifi(release: Release) -> Bench {
    let mut bench = Bench::new(release);
    bench.node.network.interface = "wlan0".to_owned();
    bench.node.network.wifi = Some(Wifi {
        ssid: "lab".to_owned(),
        psk: SecretSource::Prompt("x".to_owned()),
        country: "DE".to_owned(),
        hidden: true,
    });
    bench.secrets.wifi_psk = Some(Secret::new("ab".repeat(32)));
    bench
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
    bench.inventory.packages.insert("network-manager".to_owned(), "1".to_owned());
    let plan = bench.plan();
    assert!(
        planned(&plan, Volume::Root, "/etc/NetworkManager/system-connections/pibake-wifi.nmconnection")
            .is_some()
    );
    assert!(planned(&plan, Volume::Root, "/etc/NetworkManager/conf.d/90-pibake-dns.conf").is_some());
    assert!(planned(&plan, Volume::Root, "/etc/dhcpcd.conf").is_none());
}

#[test]
fn the_system_speaks_the_users_language() {
    for release in RELEASES.into_iter().skip(1) {
        let mut bench = Bench::new(release);
        let system = &mut bench.node.system;
        system.timezone = Some("Europe/Berlin".to_owned());
        system.locale = Some("de_DE.UTF-8".to_owned());
        system.keymap = Some("de".to_owned());
        system.ntp = vec!["192.168.1.100".to_owned(), "ntp.lan".to_owned()];
        system.cmdline = vec!["dwc_otg.lpm_enable=0".to_owned(), "cgroup_memory=1".to_owned()];
        let plan = bench.plan();
        assert_eq!(link(&plan, "/etc/localtime"), Some("/usr/share/zoneinfo/Europe/Berlin"));
        assert_eq!(text(&plan, "/etc/timezone"), "Europe/Berlin\n");
        assert_eq!(text(&plan, "/etc/locale.gen"), "de_DE.UTF-8 UTF-8\nen_GB.UTF-8 UTF-8\n");
        let locale = if release == Release::Trixie { "/etc/locale.conf" } else { "/etc/default/locale" };
        assert!(text(&plan, locale).ends_with("LANG=de_DE.UTF-8\n"));
        assert_eq!(meta(&plan, "/usr/lib/pibake/locale"), Meta::root(0o755));
        assert!(text(&plan, "/usr/lib/pibake/locale").contains("\nLOCALE='de_DE.UTF-8'\n"));
        assert_eq!(text(&plan, "/etc/default/keyboard"), "XKBMODEL=\"pc105\"\nXKBLAYOUT=\"de\"\n");
        assert!(
            text(&plan, "/etc/systemd/timesyncd.conf.d/pibake.conf").ends_with("NTP=192.168.1.100 ntp.lan\n")
        );
        let line = boot_text(&plan, "/cmdline.txt");
        assert!(line.ends_with(" dwc_otg.lpm_enable=0\n"), "{line}");
        assert_eq!(line.matches("cgroup_memory=1").count(), 1);
    }
}

#[test]
fn the_manifest_names_every_path_and_no_secret() {
    let plan = with_wifi(Release::Bookworm).plan();
    let manifest = spec(&plan, "/usr/share/pibake/manifest.json");
    assert_eq!(manifest.meta, Meta::root(0o600));
    let json: serde_json::Value = serde_json::from_str(&content(&manifest.content)).unwrap();
    assert_eq!(json["node"], "pi1");
    assert_eq!(json["cluster"], "plexi");
    assert_eq!(json["bake_time"], "2025-11-20T09:00:01Z");
    assert_eq!(json["base_sha256"], "01".repeat(32));
    let paths = json["paths"].as_array().unwrap();
    let entry =
        |path: &str| paths.iter().find(|entry| entry["path"] == path).unwrap_or_else(|| panic!("{path}"));
    for change in &plan.changes {
        if change.path.as_str() == "/usr/share/pibake/manifest.json"
            || matches!(change.action, Action::Rename { .. })
        {
            continue;
        }
        let entry = entry(change.path.as_str());
        if let Action::File(spec) = &change.action {
            assert_eq!(entry.get("sha256").is_none(), spec.content.is_secret());
            assert_eq!(entry.get("size").is_none(), spec.content.is_secret());
            assert_eq!(entry.get("secret").is_some(), spec.content.is_secret());
        }
    }
    assert_eq!(entry("/etc/resolv.conf")["flags"], serde_json::json!(["immutable"]));
    assert_eq!(entry("/etc/hostname")["mode"], "0644");
    assert_eq!(entry("/etc/systemd/system/userconfig.service")["target"], "/dev/null");
}

#[test]
fn secrets_are_shown_nowhere() {
    let mut bench = with_wifi(Release::Bookworm);
    bench.node.user.password = Some(Password::Source(SecretSource::Env("X".to_owned())));
    bench.secrets.user_hash = Some(Secret::new("$6$hidden$hidden".to_owned()));
    let plan = bench.plan();
    let json = serde_json::to_string(&show::view(&plan, true)).unwrap();
    let shown = [show::text(&plan, true), json, format!("{plan:?}")];
    for text in shown {
        for secret in ["hidden$hidden", &"ab".repeat(32), "PRIVATE"] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
    // Nor in any file that others may read.
    for change in &plan.changes {
        let Action::File(spec) = &change.action else { continue };
        let Content::Bytes(bytes) = &spec.content else { continue };
        let text = String::from_utf8_lossy(bytes);
        assert!(
            !text.contains("hidden$hidden") && !text.contains(&"ab".repeat(32)) && !text.contains("PRIVATE"),
            "{}",
            change.path
        );
    }
}

#[test]
fn shows_modes_owners_flags_origins_and_texts() {
    let plan = Bench::new(Release::Bookworm).plan();
    let shown = show::text(&plan, true);
    for expected in [
        "node pi1: image of ",
        "boot partition (FAT)\n",
        "  rename                     /home/pi -> anna\n            [user]: the image's account pi becomes anna\n",
        "  file      0644 0:0         /etc/resolv.conf [immutable]\n            overlay resolv-conf (built in): ",
        "            | nameserver 9.9.9.9\n",
        "  file      0640 0:42        /etc/shadow (secret)\n",
    ] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
    assert!(!show::text(&plan, false).contains("nameserver"));
}

#[test]
fn the_same_inputs_give_the_same_plan_and_others_another() {
    let bench = with_wifi(Release::Bookworm);
    let (first, second) = (bench.plan(), bench.plan());
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
    let mut other = with_wifi(Release::Bookworm);
    other.node.user.name = "berta".to_owned();
    assert_ne!(other.plan().digest, first.digest);
}

#[test]
fn the_digest_needs_neither_time_nor_secrets() {
    let mut bench = with_wifi(Release::Bookworm);
    bench.node.user.password = Some(Password::Source(SecretSource::Env("X".to_owned())));
    bench.secrets.user_hash = Some(Secret::new("$6$a$a".to_owned()));
    let first = bench.plan().digest;
    bench.bake_time += 86_400 * 100;
    bench.secrets.user_hash = Some(Secret::new("$6$b$b".to_owned()));
    bench.secrets.wifi_psk = Some(Secret::new("cd".repeat(32)));
    for key in &mut bench.identity.host_keys {
        key.private = zeroize::Zeroizing::new(String::new());
    }
    assert_eq!(bench.plan().digest, first);
    bench.identity.host_keys[0].public.push('x');
    assert_ne!(bench.plan().digest, first);
    let mut bench = with_wifi(Release::Bookworm);
    bench.identity.seed = crate::seed::Seed::new([8; 32]);
    assert_ne!(bench.plan().digest, with_wifi(Release::Bookworm).plan().digest);
}
