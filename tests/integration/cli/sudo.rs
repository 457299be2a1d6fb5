//! Run through sudo: the tier `root`, asked for with `PIBAKE_TIER=root` and run as root. Needs losetup,
//! mkfs.ext4, mount and the user `nobody`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::User;

use super::desk::{Desk, KEY, Ran, cluster, tree};
use crate::root::asked_as_root;

fn system(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A throw-away account, gone when dropped.
struct Account(User);

impl Account {
    fn new(desk: &Desk, name: &str) -> Self {
        let home = desk.top().join("user");
        system("useradd", &["--create-home", "--home-dir", home.to_str().unwrap(), name]);
        Self(User::from_name(name).unwrap().unwrap())
    }

    /// Gives a whole directory to the account.
    fn own(&self, path: &Path) {
        chown(path, Some(self.0.uid.as_raw()), Some(self.0.gid.as_raw())).unwrap();
        if path.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| self.own(&entry.unwrap().path()));
        }
    }

    /// The program as root the way sudo starts it for this account: root's home, the caller's names.
    fn sudo(&self, desk: &Desk, args: &[&str]) -> Ran {
        let mut command = desk.command(args);
        command.env("HOME", "/root").env_remove("XDG_CACHE_HOME").env("USER", "root");
        command.env("SUDO_UID", self.0.uid.to_string()).env("SUDO_GID", self.0.gid.to_string());
        command.env("SUDO_USER", &self.0.name);
        Ran::of(command)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let _ = Command::new("userdel").arg(&self.0.name).output();
    }
}

/// A loop device, detached when dropped.
pub(super) struct Loop(pub(super) String);

impl Loop {
    pub(super) fn new(file: &Path) -> Self {
        Self(system("losetup", &["--find", "--show", file.to_str().unwrap()]))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
        let _ = Command::new("losetup").args(["--detach", &self.0]).output();
    }
}

/// A desk that belongs to a new account, and a card that belongs to root outside of it.
fn bench(name: &str) -> (Desk, Account, PathBuf, tempfile::TempDir) {
    let desk = Desk::bare();
    let roots = tempfile::tempdir().unwrap();
    fs::set_permissions(desk.top(), fs::Permissions::from_mode(0o755)).unwrap();
    let account = Account::new(&desk, name);
    let more = "[user]\nauthorized_keys = [\"~/.ssh/id.pub\"]\npassword = { file = \"~/secret\" }\n\
         [[account]]\nname = \"ann\"\npassword = { command = [\"sh\", \"-c\", \"id -u > who; echo $HOME >> who; echo x\"] }\n";
    desk.write("pibake.toml", cluster("lab", more, &["pi1"]));
    let home = desk.top().join("user");
    fs::create_dir_all(home.join(".ssh")).unwrap();
    fs::write(home.join(".ssh/id.pub"), KEY).unwrap();
    fs::write(home.join("secret"), "of the user\n").unwrap();
    account.own(desk.top());
    let card = roots.path().join("card");
    fs::File::create(&card).unwrap().set_len(128 << 20).unwrap();
    fs::set_permissions(&card, fs::Permissions::from_mode(0o600)).unwrap();
    (desk, account, card, roots)
}

/// Paths below the desk that are not the account's.
fn foreign(desk: &Desk, account: &Account) -> Vec<String> {
    let owner = format!(" {}:{}", account.0.uid, account.0.gid);
    let all = tree(desk.top()).into_iter();
    all.filter(|(_, what)| !what.ends_with(&owner)).map(|(name, what)| format!("{name}: {what}")).collect()
}

#[test]
fn a_card_is_written_and_everything_else_stays_the_users() {
    if !asked_as_root("root", "the program run through sudo") {
        return;
    }
    let (desk, account, card, _roots) = bench("pibake-test-flash");
    let device = Loop::new(&card);
    account.sudo(&desk, &["bake", "--all", "-y"]).ends(0);
    account.sudo(&desk, &["bake", "--all", "--format", "img.zst"]).ends(0);
    let receipt = account.sudo(&desk, &["flash", "--node", "pi1", &device.0, "-y", "--json"]).ends(0).json();
    assert_eq!(receipt["verified"], true);
    assert_eq!(foreign(&desk, &account), [] as [String; 0]);
    let who = fs::read_to_string(desk.path("who")).unwrap();
    assert_eq!(
        who,
        format!("{}\n{}\n", account.0.uid, account.0.dir.display()),
        "the command ran as somebody else"
    );
    assert!(desk.top().join("user/.cache/pibake").is_dir(), "the cache is not the user's");
    let mut held = fs::read(&card).unwrap();
    let image = fs::read(desk.path("pi1.img")).unwrap();
    held.truncate(image.len());
    assert!(held == image, "the card does not hold what was baked");
    let seen = account.sudo(&desk, &["inspect", &device.0, "--json"]).ends(0).json();
    assert_eq!(seen["system"]["hostname"], "pi1");
    account.sudo(&desk, &["init"]).ends(0);
    assert_eq!(foreign(&desk, &account), [] as [String; 0]);
}

#[test]
fn who_may_not_open_a_card_is_told_how_and_that_works() {
    if !asked_as_root("root", "the program run by somebody else") {
        return;
    }
    let (desk, account, card, _roots) = bench("pibake-test-denied");
    let device = Loop::new(&card);
    let plain = || {
        let mut command = desk.command(&["flash", "--node", "pi1", &device.0, "-y"]);
        command.env("HOME", &account.0.dir).uid(account.0.uid.as_raw()).gid(account.0.gid.as_raw());
        Ran::of(command)
    };
    plain().ends(1).says(&[
        "may not be opened by this user",
        "nothing was written: run it again with sudo",
        &format!("`sudo chown \"$USER\" {}`", device.0),
    ]);
    assert!(fs::read(&card).unwrap().iter().all(|byte| *byte == 0));
    let rule = fs::metadata(&device.0).unwrap();
    account.own(Path::new(&device.0));
    let ran = plain();
    chown(&device.0, Some(rule.uid()), Some(rule.gid())).unwrap();
    ran.ends(0);
}

#[test]
fn the_privilege_is_for_the_card_only() {
    if !asked_as_root("root", "the program run through sudo") {
        return;
    }
    let (desk, account, _, roots) = bench("pibake-test-least");
    let secret = roots.path().join("secret");
    fs::write(&secret, "root's own\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(roots.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let more =
        format!("[user]\nauthorized_keys = [\"{KEY}\"]\npassword = {{ file = \"{}\" }}\n", secret.display());
    fs::write(desk.path("pibake.toml"), cluster("lab", &more, &["pi1"])).unwrap();
    account.sudo(&desk, &["bake", "--all", "-y"]).ends(2).says(&["secret"]);
    let there = roots.path().to_str().unwrap();
    let more = format!("[user]\nauthorized_keys = [\"{KEY}\"]\n");
    fs::write(desk.path("pibake.toml"), cluster("lab", &more, &["pi1"])).unwrap();
    account.sudo(&desk, &["bake", "--all", "-y", "-o", there]).ends(1);
    assert!(!roots.path().join("pi1.img").exists());
    // A state that root made once is refused with the way out.
    chown(desk.state().join("seed"), Some(0), Some(0)).unwrap();
    account.sudo(&desk, &["plan", "--all"]).ends(1).says(&["sudo chown", &account.0.name]);
}

#[test]
fn loop_devices_that_must_not_be_written() {
    if !asked_as_root("root", "the program run through sudo") {
        return;
    }
    let (desk, account, card, roots) = bench("pibake-test-mounted");
    let device = Loop::new(&card);
    let mount_point = roots.path().join("mounted");
    fs::create_dir(&mount_point).unwrap();
    system("mkfs.ext4", &["-q", &device.0]);
    system("mount", &[&device.0, mount_point.to_str().unwrap()]);
    let before = fs::read(&card).unwrap();
    let flash = ["flash", "--node", "pi1", device.0.as_str(), "-y"];
    account.sudo(&desk, &flash).ends(3).says(&["mounted", "--unmount"]);
    assert!(fs::read(&card).unwrap() == before, "a mounted card was written to");
    let in_use = fs::File::create(mount_point.join("in-use")).unwrap();
    let there = mount_point.display();
    account.sudo(&desk, &[&flash[..], &["--unmount"]].concat()).ends(3).says(&[
        "unmounting",
        "nothing was written",
        &format!("`sudo fuser -vm {there}`"),
        &format!("`sudo umount {there}`"),
    ]);
    drop(in_use);
    fs::remove_file(mount_point.join("in-use")).unwrap();
    let mut ran = account.sudo(&desk, &[&flash[..], &["--unmount"]].concat());
    // Namespaces of other programs, made while it was mounted, have it mounted as long as they last, and write to it
    // in the end.
    for _ in 0..100 {
        if ran.status != Some(3) {
            break;
        }
        ran = account.sudo(&desk, &flash);
    }
    ran.ends(0);
    assert!(!fs::read_to_string("/proc/mounts").unwrap().contains(&device.0));
    assert_eq!(foreign(&desk, &account), [] as [String; 0]);

    let small = roots.path().join("small");
    fs::File::create(&small).unwrap().set_len(64 << 20).unwrap();
    let small_device = Loop::new(&small);
    account.sudo(&desk, &["flash", "--node", "pi1", &small_device.0, "-y"]).ends(3);
    assert!(fs::read(&small).unwrap().iter().all(|byte| *byte == 0));
}
