//! What a plan may want to know of an image: the texts it edits or looks at, the paths whose being there
//! decides something, and the directories whose entries do.
//!
//! Everything is looked for and nothing has to be there. Paths are of the root filesystem unless the table
//! says otherwise; links in their parents are followed inside the image, the path itself never is.

/// Texts: their content, mode and owner.
pub const FILES: &[&str] = &[
    "/etc/dhcpcd.conf",
    "/etc/default/crda",
    "/etc/default/keyboard",
    "/etc/fake-hwclock.data",
    "/etc/fstab",
    "/etc/group",
    "/etc/gshadow",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/locale.gen",
    "/etc/machine-id",
    "/etc/network/interfaces",
    "/etc/passwd",
    "/etc/resolvconf.conf",
    "/etc/shadow",
    "/etc/ssh/sshd_config",
    "/etc/subgid",
    "/etc/subuid",
    "/etc/sudoers",
    "/etc/systemd/system/getty@tty1.service.d/autologin.conf",
    "/usr/share/zoneinfo/tzdata.zi",
    "/usr/share/zoneinfo/zone.tab",
];

/// Texts of the FAT.
pub const BOOT_FILES: &[&str] = &["/cmdline.txt", "/user-data", "/network-config"];

/// Paths: whether something is there, what kind, mode, owner, and a link's target.
pub const PATHS: &[&str] = &[
    "/etc/init.d/resize2fs_once",
    "/etc/ssh/ssh_host_dsa_key",
    "/etc/ssh/ssh_host_dsa_key.pub",
    "/etc/ssh/ssh_host_ecdsa_key",
    "/etc/ssh/ssh_host_ecdsa_key.pub",
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/ssh/ssh_host_ed25519_key.pub",
    "/etc/ssh/ssh_host_rsa_key",
    "/etc/ssh/ssh_host_rsa_key.pub",
    "/etc/ssh/sshd_config.d/rename_user.conf",
    "/etc/ssh/sshd_not_to_be_run",
    "/etc/sudoers.d/010_pi-nopasswd",
    "/etc/sudoers.d/010_wiz-nopasswd",
    "/etc/systemd/system/multi-user.target.wants/regenerate_ssh_host_keys.service",
    "/usr/lib/raspberrypi-sys-mods/regenerate_ssh_host_keys",
    "/var/lib/dbus/machine-id",
    "/var/lib/systemd",
    "/var/lib/systemd/timesync",
];

/// Paths of the FAT.
pub const BOOT_PATHS: &[&str] = &[
    "/custom.toml",
    "/failed_userconf.txt",
    "/firstrun.sh",
    "/meta-data",
    "/network-config",
    "/rpi-preseed.toml",
    "/user-data",
    "/userconf",
    "/userconf.txt",
    "/wpa_supplicant.conf",
    "/wpa_supplicant.conf.txt",
];

/// Directories: every entry as in [`PATHS`].
pub const DIRECTORIES: &[&str] = &[
    "/etc/rc0.d",
    "/etc/rc1.d",
    "/etc/rc2.d",
    "/etc/rc3.d",
    "/etc/rc4.d",
    "/etc/rc5.d",
    "/etc/rc6.d",
    "/etc/rcS.d",
    "/home",
];

/// Directories of texts: every entry as in [`FILES`] when it is a regular file of at most
/// [`TEXT_LIMIT`] bytes, as in [`PATHS`] otherwise.
pub const TEXT_DIRECTORIES: &[&str] =
    &["/etc/NetworkManager/system-connections", "/etc/netplan", "/etc/network/interfaces.d"];

/// Trees of texts: the directory and everything below it, as in [`TEXT_DIRECTORIES`].
pub const TREES: &[&str] = &["/etc/skel"];

/// A text larger than this is not taken; the largest wanted, `tzdata.zi`, has a tenth of it.
pub const TEXT_LIMIT: u64 = 1 << 20;
