//! The first boot, the clock and the system's settings, release by release (raspios.md sections 2 and 9).

use crate::config::types::FirstBoot;
use crate::fs::metadata::Meta;
use crate::fs::volume::Volume;
use crate::inventory::types::{FirstBootHook, Release};
use crate::plan::samples::{self, RELEASES};

use super::{Bench, boot_text, is_masked, is_removed, is_removed_from_boot, link, meta, planned, text};

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
