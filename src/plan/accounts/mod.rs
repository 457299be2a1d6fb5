//! Accounts: the image's own, renamed and with its stock password replaced, and those that are added
//! (raspios.md section 7).

mod database;
mod table;

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::config::types::{Account, Password};
use crate::fs::metadata::Meta;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::inventory::types::Release;
use crate::plan::change::{Action, Content};

use self::database::{Database, Entry, account_error};
use self::table::Table;
use super::build::Inputs;
use super::clock::shadow_day;
use super::draft::{Draft, Reason};
use super::error::PlanError;
use super::image::{Image, path};
use super::{docker, swarm};

/// What no password matches. Not `!`: without PAM, OpenSSH takes that for an account locked to keys too.
const NO_PASSWORD: &str = "*";

/// The number of the image's own account.
const OWN_UID: u32 = 1000;

/// Accounts and groups of the card, by name.
#[derive(Debug, Default)]
pub(super) struct Names {
    users: BTreeMap<String, (u32, u32)>,
    groups: BTreeMap<String, u32>,
}

impl Names {
    /// Number and group of an account.
    pub(super) fn user(&self, name: &str) -> Option<(u32, u32)> {
        self.users.get(name).copied().or_else(|| name.parse().ok().map(|uid| (uid, uid)))
    }

    /// Number of a group.
    pub(super) fn group(&self, name: &str) -> Option<u32> {
        self.groups.get(name).copied().or_else(|| name.parse().ok())
    }
}

/// Plans every account; what is written later may be owned by them.
pub(super) fn plan(inputs: &Inputs<'_>, draft: &mut Draft) -> Names {
    let image = Image { inventory: inputs.inventory };
    let Some(mut db) = draft.note(read(image)) else { return Names::default() };
    plan_own(inputs, image, &mut db, draft);
    plan_system(inputs, &mut db, draft);
    for account in &inputs.node.accounts {
        plan_added(inputs, image, account, &mut db, draft);
    }
    write(image, &db, draft);
    names(&db)
}

/// The accounts as they are; when this card is to answer those who join and was none that did, with the account that
/// they ask through.
pub(super) fn keep(inputs: &Inputs<'_>, answers: bool, draft: &mut Draft) -> Names {
    let image = Image { inventory: inputs.inventory };
    let Some(mut db) = draft.note(read(image)) else { return Names::default() };
    if answers && db.by_name(swarm::JOIN_ACCOUNT).is_none() {
        plan_system(inputs, &mut db, draft);
        write(image, &db, draft);
    }
    names(&db)
}

/// The lines of `/etc/sudoers.d/010_pibake`: who may become anybody, and whether a password is asked.
pub(super) fn sudoers(inputs: &Inputs<'_>) -> Vec<String> {
    use crate::config::types::Sudo;
    let user = &inputs.node.user;
    let rules = inputs.node.accounts.iter().filter_map(|account| Some((&account.name, account.sudo?)));
    std::iter::once((&user.name, user.sudo))
        .chain(rules)
        .map(|(name, sudo)| match sudo {
            Sudo::Nopasswd => format!("{name} ALL=(ALL) NOPASSWD: ALL"),
            Sudo::Password => format!("{name} ALL=(ALL:ALL) ALL"),
        })
        .collect()
}

fn plan_own(inputs: &Inputs<'_>, image: Image<'_>, db: &mut Database, draft: &mut Draft) {
    let user = &inputs.node.user;
    let Some(old) = db.by_uid(OWN_UID) else {
        draft.error(PlanError::ImageLacks {
            what: "an account with number 1000, to become the user".to_owned(),
        });
        return;
    };
    let hash = inputs.secrets.user_hash.as_ref().map(|hash| hash.expose());
    let hash = draft.note(password(inputs, &user.name, user.password.as_ref(), hash));
    if draft.note(check_name(&user.name)).is_none() || draft.note(db.rename(&old.name, &user.name)).is_none()
    {
        return;
    }
    let day = shadow_day(inputs.bake_time);
    db.set_password(&user.name, hash.unwrap_or(NO_PASSWORD), day);
    let Some(entry) = db.by_name(&user.name) else { return };
    rename_home(image, &old, &entry, draft);
    stock_rules(image, &old.name, &user.name, draft);
    plan_keys(&entry, &user.authorized_keys, draft);
}

/// What Docker and the swarm bring along: the group that its package would make only at first boot, so that
/// accounts can be in it, and the account that nodes ask a manager through.
fn plan_system(inputs: &Inputs<'_>, db: &mut Database, draft: &mut Draft) {
    if docker::present(inputs) {
        draft.note(db.add_system_group("docker"));
    }
    if swarm::answers(inputs) && draft.note(db.add_system(swarm::JOIN_ACCOUNT)).is_some() {
        db.set_password(swarm::JOIN_ACCOUNT, NO_PASSWORD, shadow_day(inputs.bake_time));
    }
}

fn plan_added(
    inputs: &Inputs<'_>,
    image: Image<'_>,
    account: &Account,
    db: &mut Database,
    draft: &mut Draft,
) {
    let hash = inputs.secrets.account_hashes.get(&account.name).map(|hash| hash.expose());
    let hash = draft.note(password(inputs, &account.name, account.password.as_ref(), hash));
    if draft.note(check_name(&account.name)).is_none() {
        return;
    }
    let Some(entry) = draft.note(db.add(&account.name)) else { return };
    for group in &account.groups {
        draft.note(db.join(&account.name, group));
    }
    db.set_password(&account.name, hash.unwrap_or(NO_PASSWORD), shadow_day(inputs.bake_time));
    plan_home(image, &entry, draft);
    plan_keys(&entry, &account.authorized_keys, draft);
}

/// The hash to write for an account that may have a password.
fn password<'a>(
    inputs: &Inputs<'a>,
    name: &str,
    wanted: Option<&Password>,
    hash: Option<&'a str>,
) -> Result<&'a str, PlanError> {
    if wanted.is_none() {
        return Ok(NO_PASSWORD);
    }
    let Some(hash) = hash else {
        return Err(PlanError::NoSecret { what: format!("the password of {name}") });
    };
    if hash.is_empty() || hash.contains([':', '\n', '\r']) {
        return Err(account_error(name, "its password hash is no crypt(5) hash".to_owned()));
    }
    let release = inputs.inventory.release;
    if hash.starts_with("$y$") && release <= Release::Buster {
        let message = format!("{release:?} has no yescrypt ($y$) hashes; give a sha512crypt ($6$) hash");
        return Err(account_error(name, message));
    }
    Ok(hash)
}

/// As `useradd(8)` of Debian takes them: what goes into tables with colons and into sudo rules.
fn check_name(name: &str) -> Result<(), PlanError> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let rest =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
    if first && rest && name.len() <= 32 && name != "root" {
        return Ok(());
    }
    Err(account_error(
        name,
        "account names are up to 32 of a-z, 0-9, _ and -, and begin with a letter".to_owned(),
    ))
}

fn rename_home(image: Image<'_>, old: &Entry, new: &Entry, draft: &mut Draft) {
    let reason = Reason::new("[user]", format!("the image's account {} becomes {}", old.name, new.name));
    let (Some(old_home), Some(home)) = (draft.note(home_path(old)), draft.note(home_path(new))) else {
        return;
    };
    if !image.has(&old_home) {
        plan_home(image, new, draft);
        return;
    }
    if old_home != home {
        draft.rename(old_home.clone(), &new.name, &reason);
    }
    // sshd's StrictModes ignores the keys below a home that others may write to.
    let meta = image.meta(&old_home, Meta { mode: 0o755, uid: new.uid, gid: new.gid });
    if meta.mode & 0o022 != 0 {
        let meta = Meta { mode: meta.mode & !0o022, ..meta };
        draft.put(Volume::Root, home, Action::SetMeta(meta), &reason);
    }
}

/// What stock images give the account beyond its entry: sudo rules and automatic login.
fn stock_rules(image: Image<'_>, old: &str, new: &str, draft: &mut Draft) {
    let reason = Reason::new("[user]", "the image's own sudo rule goes; 010_pibake takes its place");
    for file in ["/etc/sudoers.d/010_pi-nopasswd", "/etc/sudoers.d/010_wiz-nopasswd"] {
        let file = path(file);
        if image.has(&file) {
            draft.remove(file, &reason);
        }
    }
    let sudoers = path("/etc/sudoers");
    if let Some(Some(text)) = draft.note(image.text(&sudoers)) {
        let kept: String = text.split_inclusive('\n').filter(|line| !is_rule_of(line, old)).collect();
        if kept != text {
            draft.text(sudoers.clone(), kept, image.meta(&sudoers, Meta::root(0o440)), &reason);
        }
    }
    let autologin = path("/etc/systemd/system/getty@tty1.service.d/autologin.conf");
    if let Some(Some(text)) = draft.note(image.text(&autologin)) {
        let words = text.split_inclusive([' ', '\n']).map(|word| match word.strip_prefix(old) {
            Some(rest) if rest.trim().is_empty() => format!("{new}{rest}"),
            _ => word.to_owned(),
        });
        let edited: String = words.collect();
        if edited != text {
            let reason = Reason::new("[user]", "automatic login follows the account's name");
            let meta = image.meta(&autologin, Meta::root(0o644));
            draft.text(autologin, edited, meta, &reason);
        }
    }
}

fn is_rule_of(line: &str, name: &str) -> bool {
    line.split_whitespace().next() == Some(name)
}

/// A new home directory with what `/etc/skel` holds.
fn plan_home(image: Image<'_>, entry: &Entry, draft: &mut Draft) {
    let reason = Reason::new(format!("account {}", entry.name), "a home directory from /etc/skel");
    let Some(home) = draft.note(home_path(entry)) else { return };
    let own = |mode| Meta { mode, uid: entry.uid, gid: entry.gid };
    let skel = path("/etc/skel");
    draft.put(Volume::Root, home.clone(), Action::Directory(own(0o700)), &reason);
    for source in image.below(&skel) {
        let target = format!("{home}{}", &source.as_str()[skel.as_str().len()..]);
        let Some(target) = draft.note(FsPath::new(&target).map_err(|error| home_error(entry, &error))) else {
            continue;
        };
        let bytes = image.inventory.files.get(&(Volume::Root, source.clone()));
        if let Some(link) = image.link(&source) {
            draft.link(target, link, &reason);
        } else if let Some(bytes) = bytes {
            let mode = image.meta(&source, Meta::root(0o644)).mode;
            draft.text(target, bytes.clone(), own(mode), &reason);
        } else if image.meta(&source, Meta::root(0o755)).mode & 0o111 == 0 {
            draft.warn(format!("{source} is too large to be copied into {home}"));
        } else {
            let mode = image.meta(&source, Meta::root(0o755)).mode;
            draft.put(Volume::Root, target, Action::Directory(own(mode)), &reason);
        }
    }
}

fn plan_keys(entry: &Entry, keys: &[String], draft: &mut Draft) {
    if keys.is_empty() {
        return;
    }
    let reason = Reason::new(format!("account {}", entry.name), "who may log in with a key");
    let own = |mode| Meta { mode, uid: entry.uid, gid: entry.gid };
    let dir = home_path(entry).and_then(|home| home.join(".ssh").map_err(|error| home_error(entry, &error)));
    let Some(dir) = draft.note(dir) else { return };
    let Some(file) = draft.note(dir.join("authorized_keys").map_err(|error| home_error(entry, &error)))
    else {
        return;
    };
    let text: String = keys.iter().map(|key| format!("{}\n", key.trim())).collect();
    draft.put(Volume::Root, dir, Action::Directory(own(0o700)), &reason);
    draft.text(file, text, own(0o600), &reason);
}

fn home_path(entry: &Entry) -> Result<FsPath, PlanError> {
    FsPath::new(&entry.home).map_err(|error| home_error(entry, &error))
}

fn home_error(entry: &Entry, error: &crate::fs::path::BadPath) -> PlanError {
    account_error(&entry.name, format!("its home directory cannot be used: {error}"))
}

fn read(image: Image<'_>) -> Result<Database, PlanError> {
    let required = |file: &'static str| match image.text(&path(file))? {
        Some(text) => Ok(Table::parse(text)),
        None => Err(PlanError::ImageLacks { what: file.to_owned() }),
    };
    let optional = |file: &'static str| Ok(image.text(&path(file))?.map(Table::parse));
    Ok(Database {
        passwd: required("/etc/passwd")?,
        shadow: required("/etc/shadow")?,
        group: required("/etc/group")?,
        gshadow: optional("/etc/gshadow")?,
        subuid: optional("/etc/subuid")?,
        subgid: optional("/etc/subgid")?,
    })
}

fn write(image: Image<'_>, db: &Database, draft: &mut Draft) {
    let reason = Reason::new("[user]", "accounts, groups and passwords");
    let mut put = |file: &'static str, table: Option<&Table>, secret: bool| {
        let Some(table) = table else { return };
        let (file, text) = (path(file), table.text().into_bytes());
        let content = if secret { Content::Secret(Zeroizing::new(text)) } else { Content::Bytes(text) };
        let usual = Meta::root(if file.as_str().ends_with("shadow") { 0o640 } else { 0o644 });
        let meta = image.meta(&file, usual);
        draft.file(file, content, meta, &reason);
    };
    put("/etc/passwd", Some(&db.passwd), false);
    put("/etc/shadow", Some(&db.shadow), true);
    put("/etc/group", Some(&db.group), false);
    put("/etc/gshadow", db.gshadow.as_ref(), db.gshadow.as_ref().is_some_and(Table::holds_hashes));
    put("/etc/subuid", db.subuid.as_ref(), false);
    put("/etc/subgid", db.subgid.as_ref(), false);
}

fn names(db: &Database) -> Names {
    let users = db
        .passwd
        .rows()
        .filter_map(|row| Some((row[0].clone(), (row.get(2)?.parse().ok()?, row.get(3)?.parse().ok()?))));
    let groups = db.group.rows().filter_map(|row| Some((row[0].clone(), row.get(2)?.parse().ok()?)));
    Names { users: users.collect(), groups: groups.collect() }
}
