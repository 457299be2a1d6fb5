//! Accounts and SSH, release by release (raspios.md sections 6 and 7).

use crate::config::types::{Account, Password, Secret, SecretSource, Sudo};
use crate::fs::metadata::Meta;
use crate::fs::volume::Volume;
use crate::inventory::types::Release;
use crate::plan::change::Action;
use crate::plan::samples::{self, RELEASES};

use super::{Bench, is_masked, is_removed, link, meta, planned, spec, text};

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
